// Whole models on the GPU side: loss and every gradient, ten steps of every tuner, generation and checkpoints, against
// the CPU side.
#include <map>

#include "core/files.h"
#include "core/random.h"
#include "cuda/matmul.h"
#include "cuda/testing.h"
#include "models/generation.h"
#include "models/load.h"
#include "tests/support/golden.h"
#include "tuning/methods.h"
#include "tuning/trainer.h"

namespace cambium::testing {
namespace {

class Everything : public Hooks {
 public:
  bool trains(std::string_view) const override { return true; }
  bool reaches_inside(const Site&) const override { return false; }
};

std::unique_ptr<Model> open_model(const std::string& name, DType dtype, Device device) {
  return load_model(*ModelSource::open(golden_path("models/" + name)), dtype, device);
}

Batch batch_of(const std::string& model) {
  return golden_batch(parse_json_file(golden_path("models/" + model + "/cases.json")));
}

class GpuModel : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  }
};

struct Results {
  double loss = 0;
  std::map<std::string, Array> gradients;
};

// Moves every weight by up to half a unit in the last place of bfloat16, at random.
void move_weights(Model& model, uint64_t seed) {
  for (const NamedParameter& p : model.parameters()) {
    const Tensor value = p.value();
    const RandomKey key = random_key(seed, p.name);
    for (int64_t i = 0; i < value.size(); ++i)
      value.data<float>()[i] *= 1 + (2 * unit_float(philox(key, uint32_t(i), 0, 0, 0).word[0]) - 1) / 256;
  }
}

Results loss_and_gradients(const std::string& name, DType dtype, Device device, bool recompute,
                           float activation_dropout = 0.1f, uint64_t moved = 0) {
  const auto model = open_model(name, dtype, device);
  if (moved) move_weights(*model, moved);
  const Batch batch = batch_of(name);
  Everything hooks;
  Tape tape;
  Pass pass(hooks, tape);
  pass.recompute = recompute;
  pass.set_dropout({0.1f, 0.1f, 0.1f, activation_dropout}, 5, 1);
  for (const NamedParameter& p : model->parameters())
    if (!p.parameter->buffer) pass.train(*p.parameter);
  const Model::Loss loss = model->loss(pass, batch, {.gradient_scale = 1 / float(model->scored_tokens(batch))});
  Results results{to_array(loss.sum.value)(0), {}};
  tape.backward(loss.sum, Tensor::of(std::vector<float>{1}).to(device));
  for (const NamedParameter& p : model->parameters())
    if (const Tensor whole = p.parameter->buffer ? Tensor() : pass.gradient(*p.parameter))
      results.gradients[p.name] = to_array(whole.rows(p.begin, p.end));
  return results;
}

// loss: of the loss; share: of a gradient's largest value; floor: of the largest of all.
void expect_equal(const Results& seen, const Results& expected, double loss, double share, double floor) {
  EXPECT_NEAR(seen.loss, expected.loss, loss * expected.loss);
  ASSERT_EQ(seen.gradients.size(), expected.gradients.size());
  double largest = 0;
  for (const auto& [_, g] : expected.gradients) largest = std::max(largest, g.largest());
  for (const auto& [name, g] : expected.gradients)
    expect_close(seen.gradients.at(name), g, share, floor * largest, name);
}

TEST_P(GpuModel, LossAndGradients) {
  const Results expected = loss_and_gradients(GetParam(), DType::f32, Device::cpu(), false);
  const Results seen = loss_and_gradients(GetParam(), DType::f32, Device::gpu(), false);
  expect_equal(seen, expected, 4e-7, 2e-5, 2e-6);
}

double length(const Array& a) {
  double squares = 0;
  for (const double v : a.values) squares += v * v;
  return std::sqrt(squares);
}

double distance(Array a, const Array& b) {
  for (int64_t i = 0; i < b.size(); ++i) a(i) -= b(i);
  return length(a);
}

// On a GPU activations are bfloat16 too, so gradients agree as vectors, not element by element. How far they may be
// apart is measured: rounding the weights alone moves a gradient by `noise`, the most of five draws, because a ReLU
// that one rounding turns on another leaves off; and a layer rounds each activation several times.
void expect_equal_in_bfloat16(const std::string& name, float activation_dropout) {
  const Results exact = loss_and_gradients(name, DType::f32, Device::cpu(), false, activation_dropout);
  const Results expected = loss_and_gradients(name, DType::bf16, Device::cpu(), false, activation_dropout);
  const Results seen = loss_and_gradients(name, DType::bf16, Device::gpu(), false, activation_dropout);
  EXPECT_NEAR(seen.loss, expected.loss, 0.03);
  ASSERT_EQ(seen.gradients.size(), expected.gradients.size());
  std::vector<Results> moved;
  for (uint64_t seed = 1; seed < 5; ++seed)
    moved.push_back(loss_and_gradients(name, DType::f32, Device::cpu(), false, activation_dropout, seed));
  double longest = 0;
  for (const auto& [_, g] : expected.gradients) longest = std::max(longest, length(g));
  for (const auto& [name, g] : expected.gradients) {
    double noise = distance(exact.gradients.at(name), g);
    for (const Results& m : moved) noise = std::max(noise, distance(m.gradients.at(name), exact.gradients.at(name)));
    const double error = distance(seen.gradients.at(name), g);
    EXPECT_LE(error, 4 * noise + 0.002 * longest) << name << " of length " << length(g);
  }
}

TEST_P(GpuModel, LossAndGradientsInBfloat16) { expect_equal_in_bfloat16(GetParam(), 0.1f); }

// Without dropout inside, feed-forward layers that are not gated are one operation each; cuBLASLt's products apply the
// GELU of GPT-2.
TEST_P(GpuModel, LossAndGradientsWithFusedGelu) {
  gpu::use_gelu_epilogues(true);
  const Results expected = loss_and_gradients(GetParam(), DType::f32, Device::cpu(), false, 0);
  const Results seen = loss_and_gradients(GetParam(), DType::f32, Device::gpu(), false, 0);
  expect_equal(seen, expected, 4e-7, 2e-5, 2e-6);
  expect_equal_in_bfloat16(GetParam(), 0);
  gpu::use_gelu_epilogues(false);
}

TEST_P(GpuModel, RecomputedLayersHaveTheSameBits) {
  const Results plain = loss_and_gradients(GetParam(), DType::bf16, Device::gpu(), false);
  const Results again = loss_and_gradients(GetParam(), DType::bf16, Device::gpu(), true);
  EXPECT_EQ(again.loss, plain.loss);
  for (const auto& [name, g] : plain.gradients) EXPECT_EQ(again.gradients.at(name).values, g.values) << name;
}

INSTANTIATE_TEST_SUITE_P(Models, GpuModel,
                         ::testing::Values("gpt2", "llama_gqa", "bert", "roberta", "t5", "t5_1_1", "bart"),
                         [](const auto& info) { return std::string(info.param); });

// ---- training ----

struct Method {
  const char *model, *name;
  OptionMap options;
  const char* optimizer;
};

void PrintTo(const Method& m, std::ostream* out) { *out << m.model << " " << m.name; }

// A run of up to ten steps, with dropout.
struct TrainingRun : TrainListener {
  std::unique_ptr<Model> model;
  std::unique_ptr<Tuner> tuner;
  std::unique_ptr<TrainedSet> trained;
  std::unique_ptr<Trainer> trainer;
  std::vector<double> losses;
  std::string save_to;  // a checkpoint after step `save_at`
  int64_t save_at = 0;

  // from: a checkpoint to continue.
  TrainingRun(const Method& m, DType dtype, Device device, const std::string& from = "")
      : model(open_model(m.model, dtype, device)) {
    const TunerContext context{.model = *model, .seed = 3};
    tuner = from.empty() ? make_tuner(m.name, m.options, context) : load_tuner(from, *model, {}, true);
    trained = std::make_unique<TrainedSet>(*model, *tuner, nullptr);
    TrainOptions options{.optimizer = m.optimizer,
                         .lr = 0.01,
                         .schedule = "linear",
                         .warmup = "2",
                         .batch_size = 2,
                         .steps = 10,
                         .shards = 2,
                         .dropout = {0.1f, 0.1f, 0.1f, 0.1f},
                         .seed = 3,
                         .save_every = 1};
    // A gradient that is zero but for rounding must not become a step of full size.
    options.optimizer_options = {.epsilon = 1e-5, .weight_decay = 0.1, .momentum = 0.9};
    trainer = std::make_unique<Trainer>(*model, *tuner, *trained, TrainData{batch_of(m.model), {}}, options);
    if (from.empty()) return;
    load_training_state(from, *trained, trainer->optimizer());
    trainer->resume_at(read_checkpoint_info(from).state.step);
  }

  void on_step(const StepReport& r) override { losses.push_back(r.loss); }
  void on_save(int64_t step, bool) override {
    if (step != save_at) return;
    const TrainingState state{.step = step, .steps = 10, .seed = 3};
    save_checkpoint(save_to, *tuner, *trained, &trainer->optimizer(), state, {},
                    compute_golden(*model, *tuner, batch_of("gpt2")));
  }
};

class GpuTraining : public ::testing::TestWithParam<Method> {
 protected:
  void SetUp() override {
    if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  }
};

TEST_P(GpuTraining, TenStepsEqualTheCpus) {
  TrainingRun on_cpu(GetParam(), DType::f32, Device::cpu()), on_gpu(GetParam(), DType::f32, Device::gpu());
  on_cpu.trainer->run(on_cpu);
  on_gpu.trainer->run(on_gpu);
  ASSERT_EQ(on_gpu.losses.size(), 10u);
  for (size_t i = 0; i < 10; ++i) EXPECT_NEAR(on_gpu.losses[i], on_cpu.losses[i], 5e-5) << "step " << i + 1;
  ASSERT_EQ(on_gpu.trained->entries().size(), on_cpu.trained->entries().size());
  for (size_t i = 0; i < on_cpu.trained->entries().size(); ++i) {
    const auto& expected = on_cpu.trained->entries()[i];
    expect_close(to_array(on_gpu.trained->entries()[i].value), to_array(expected.value), 1e-4, 1e-4, expected.name);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Tuners, GpuTraining,
    ::testing::Values(Method{"gpt2", "prompt", {{"length", "4"}, {"init", "random"}}, "adafactor"},
                      Method{"gpt2", "prefix", {{"length", "3"}, {"init", "random"}}, "adamw"},
                      Method{"llama_gqa",
                             "prefix",
                             {{"length", "3"}, {"init", "random"}, {"reparametrize", "1"}, {"hidden", "8"}},
                             "adamw"},
                      Method{"bert", "adapter", {{"bottleneck", "5"}}, "sgd"},
                      Method{"llama_gqa", "lora", {{"rank", "3"}, {"dropout", "0.1"}}, "adamw"},
                      Method{"t5", "lora", {{"rank", "2"}}, "adafactor"},
                      Method{"gpt2", "dora", {{"rank", "3"}}, "adamw"},
                      Method{"llama_gqa", "vera", {{"rank", "6"}}, "adamw"}, Method{"t5", "ia3", {}, "adamw"},
                      Method{"bert", "bitfit", {}, "adamw"}, Method{"bert", "p_tuning", {{"length", "4"}}, "adamw"},
                      Method{"bart", "lora+adapter", {{"adapter.kind", "lin"}}, "adamw"},
                      Method{"llama_gqa", "top_layers", {{"layers", "1"}}, "sgd"}, Method{"gpt2", "full", {}, "adamw"}),
    [](const auto& info) {
      std::string name = text(info.param.model, "_", info.param.name);
      std::replace(name.begin(), name.end(), '+', '_');
      return name;
    });

// What a run on the GPU wrote continues there, bit for bit; the CPU reads it, too.
TEST(GpuCheckpoint, ContinuesWithTheSameBits) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  const TemporaryDirectory folder;
  for (const auto& [m, dtype] : {std::pair{Method{"gpt2", "full", {}, "adamw"}, DType::bf16},
                                 {Method{"gpt2", "lora", {{"rank", "3"}}, "adamw"}, DType::f32}}) {
    const std::string path = folder / "checkpoint.h5";
    TrainingRun whole(m, dtype, Device::gpu());
    whole.save_to = path, whole.save_at = 6;
    whole.trainer->run(whole);
    TrainingRun rest(m, dtype, Device::gpu(), path);
    rest.trainer->run(rest);
    ASSERT_EQ(rest.losses.size(), 4u);
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(rest.losses[i], whole.losses[6 + i]) << m.name << " step " << 7 + i;
    for (size_t i = 0; i < whole.trained->entries().size(); ++i)
      EXPECT_TRUE(same_bits(whole.trained->entries()[i].value, rest.trained->entries()[i].value))
          << whole.trained->entries()[i].name;
    const auto model = open_model(m.model, dtype, Device::cpu());
    const auto tuner = load_tuner(path, *model, {}, true);
    EXPECT_LT(golden_difference(*model, *tuner, read_golden(path)), 1e-4) << m.name << " " << name_of(dtype);
  }
}

// ---- generation ----

class GpuGeneration : public GpuModel {};

TEST_P(GpuGeneration, EqualsTheCpus) {
  const auto on_cpu = open_model(GetParam(), DType::f32, Device::cpu()),
             on_gpu = open_model(GetParam(), DType::f32, Device::gpu());
  Hooks none;
  const std::vector<std::vector<int32_t>> inputs = {{5, 9, 4, 17}, {7}, {30, 31, 32, 33, 34, 35, 9}};
  const GenerationOptions greedy{.max_new_tokens = 7, .scores = true};
  GenerationOptions beam = greedy, sampling = greedy;
  beam.beams = 3, beam.results = 2, beam.length_penalty = 0.8, beam.no_repeat_ngram = 2, beam.min_new_tokens = 2;
  sampling.sample = true, sampling.temperature = 1.3, sampling.top_k = 20, sampling.top_p = 0.9, sampling.seed = 4;
  for (const GenerationOptions& options : {greedy, beam, sampling}) {
    const auto expected = generate(*on_cpu, none, inputs, options), seen = generate(*on_gpu, none, inputs, options);
    ASSERT_EQ(seen.size(), expected.size());
    for (size_t i = 0; i < seen.size(); ++i) {
      ASSERT_EQ(seen[i].size(), expected[i].size());
      for (size_t k = 0; k < seen[i].size(); ++k) {
        EXPECT_EQ(seen[i][k].ids, expected[i][k].ids) << "input " << i << ", beams " << options.beams;
        EXPECT_NEAR(seen[i][k].score, expected[i][k].score, 2e-5) << "input " << i << ", beams " << options.beams;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuGeneration, ::testing::Values("gpt2", "llama_gqa", "t5_1_1", "bart"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace cambium::testing
