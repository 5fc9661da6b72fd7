// Steps as graphs: what is recorded and launched as one has the bits of what is launched one by one.
#include "cuda/graph.h"

#include "core/kernels/elementwise.h"
#include "core/upload.h"
#include "models/decoding.h"
#include "models/load.h"
#include "tests/cuda/sides.h"
#include "tests/support/files.h"
#include "tests/support/tuning.h"
#include "tuning/methods.h"

namespace cambium::testing {
namespace {

// Graphs are on while this lives.
struct WithGraphs {
  explicit WithGraphs(bool on = true) { gpu::use_graphs(on); }
  ~WithGraphs() { gpu::use_graphs(false); }
};

class StepGraphs : public ::testing::Test {
 protected:
  void SetUp() override {
    if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  }
  static constexpr Device kGpu = Device::gpu();
};

// The sum of `values` and 1, through scratch memory that is given back before the step has run.
Tensor step(const std::vector<float>& values, int times) {
  Tensor x = Tensor::of(values, Device::gpu());
  for (int i = 0; i < times; ++i) {
    const Tensor y = Tensor::like(x);
    DISPATCH(scale, x.stream())(x.stream(), x, 2, y);
    x = y;
  }
  return x;
}

TEST_F(StepGraphs, NewArgumentsAreUsed) {
  const WithGraphs on;
  gpu::StepGraphs graphs(kGpu);
  std::vector<Tensor> results;
  for (int i = 0; i < 6; ++i) {
    Tensor result;
    const size_t length = size_t(3 + 70 * i);
    graphs.run(1, 5, [&] { result = step(std::vector<float>(length, float(i + 1)), 3); });
    results.push_back(result);
  }
  for (int i = 0; i < 6; ++i) {
    const Array seen = to_array(results[size_t(i)]);
    ASSERT_EQ(seen.size(), 3 + 70 * i);
    for (const double v : seen.values) EXPECT_EQ(v, 8 * (i + 1)) << "step " << i;
  }
  if (!gpu::is_real()) return;
  EXPECT_EQ(graphs.counts().direct, 1);
  EXPECT_EQ(graphs.counts().made, 1);
  EXPECT_EQ(graphs.counts().updated, 4);
}

TEST_F(StepGraphs, AnotherShapeOfStepGetsAnotherGraph) {
  if (!gpu::is_real()) GTEST_SKIP() << "the host has no graphs";
  const WithGraphs on;
  gpu::StepGraphs graphs(kGpu);
  for (const int times : {1, 1, 4, 2, 2}) {
    Tensor result;
    graphs.run(1, 1, [&] { result = step({1}, times); });
    EXPECT_EQ(to_array(result)(0), double(1 << times));
  }
  EXPECT_EQ(graphs.counts().direct, 1);
  EXPECT_GE(graphs.counts().made, 1);  // an emulator may take any graph for an old one
  for (const int64_t rows : {256, 257, 257}) graphs.run(1, rows, [] { step({1}, 1); });
  EXPECT_EQ(graphs.counts().direct, 2) << "one capacity more";
}

TEST_F(StepGraphs, LargeUploadsAreKept) {
  const WithGraphs on;
  gpu::StepGraphs graphs(kGpu);
  for (int i = 0; i < 4; ++i) {
    Tensor small, large;
    graphs.run(1, 1, [&] {
      large = step(std::vector<float>(700000, float(i)), 1);
      small = step({float(i)}, 2);
    });
    EXPECT_EQ(to_array(large)(699999), 2.0 * i);
    EXPECT_EQ(to_array(small)(0), 4.0 * i);
  }
}

TEST_F(StepGraphs, AStepThatFailsLeavesNothingBehind) {
  const WithGraphs on;
  gpu::StepGraphs graphs(kGpu);
  const auto good = [] { step({1}, 1); };
  graphs.run(1, 1, good);
  EXPECT_THROW(graphs.run(1, 1, [] { step({1}, 1), throw Error("no"); }), Error);
  Tensor result = step({3}, 1);
  EXPECT_EQ(to_array(result)(0), 6);
  graphs.run(1, 1, [&] { result = step({5}, 1); });
  EXPECT_EQ(to_array(result)(0), 10);
  if (!gpu::is_real()) return;
  // A step that waits for the device cannot be recorded, and says so.
  EXPECT_THROW(graphs.run(1, 1, [] { step({1}, 1).to(Device::cpu()); }), Error);
  EXPECT_EQ(to_array(step({4}, 1))(0), 8);
}

// More than the staging memory holds at once, in pieces: each arrives as it was.
TEST_F(StepGraphs, UploadsDoNotOverwriteEachOther) {
  std::vector<Tensor> parts;
  for (int i = 0; i < 40; ++i) parts.push_back(Tensor::of(std::vector<float>(50000, float(i)), kGpu));
  for (int i = 0; i < 40; ++i) {
    const Array a = to_array(parts[size_t(i)]);
    EXPECT_EQ(*std::min_element(a.values.begin(), a.values.end()), i);
    EXPECT_EQ(*std::max_element(a.values.begin(), a.values.end()), i);
  }
}

// Indices come through a queue of their own, into blocks that are used again while kernels are still waiting.
TEST_F(StepGraphs, IndicesArriveBesideTheKernels) {
  const auto indices = [](int i) { return std::vector<int32_t>(size_t(1 + i * 37 % 900), i); };
  std::vector<Tensor> copies;
  for (int i = 0; i < 300; ++i) {
    if (i % 10 == 0) step(std::vector<float>(20000, 1), 5);
    copies.push_back(Tensor::of(indices(i), kGpu).clone());
  }
  gpu::synchronize(gpu::stream(kGpu, gpu::Queue::copies));
  for (int i = 0; i < 300; ++i)
    EXPECT_EQ(values_of(copies[size_t(i)]).values, std::vector<double>(indices(i).size(), i));
}

// Nor is memory overwritten that the allocator had back before its last kernels have run.
TEST_F(StepGraphs, IndicesWaitForWhoeverHadTheirMemory) {
  constexpr size_t kCount = 16384;
  Allocator::of(kGpu).trim();
  Tensor x = Tensor::of(std::vector<float>(kCount, 3), kGpu);
  const Tensor y = x.clone();
  x = Tensor();
  const Tensor index = Tensor::of(std::vector<int32_t>(kCount, -1), kGpu);
  gpu::synchronize(gpu::stream(kGpu, gpu::Queue::copies));
  EXPECT_EQ(to_array(y).values, std::vector<double>(kCount, 3));
  EXPECT_EQ(values_of(index).values, std::vector<double>(kCount, -1));
}

// A recorded step reads what was uploaded before it, and lets go of it before it has run.
TEST_F(StepGraphs, IndicesOfARecordedStepStay) {
  const WithGraphs on;
  gpu::StepGraphs graphs(kGpu);
  std::vector<Tensor> copies;
  for (int i = 0; i < 8; ++i) {
    Tensor index = Tensor::of(std::vector<int32_t>(100, i), kGpu);
    graphs.run(1, 1, [&] {
      step(std::vector<float>(20000, 1), 5);
      copies.push_back(index.clone());
      index = Tensor();
      for (int k = 0; k < 3; ++k) Tensor::of(std::vector<int32_t>(100, -1), kGpu).clone();
    });
    for (int k = 0; k < 3; ++k) Tensor::of(std::vector<int32_t>(100, -2), kGpu).clone();
  }
  for (int i = 0; i < 8; ++i) EXPECT_EQ(values_of(copies[size_t(i)]).values, std::vector<double>(100, i));
}

// ---- models ----

std::unique_ptr<Model> open_model(const std::string& name, DType dtype) {
  return load_model(*ModelSource::open(golden_path("models/" + name)), dtype, Device::gpu());
}

struct Written {
  std::vector<std::vector<Generated>> texts;
  gpu::StepGraphs::Counts counts;
};

// Texts that one run writes behind inputs of three lengths.
Written write(Model& model, Hooks& hooks, const GenerationOptions& options, bool graphs) {
  const WithGraphs on(graphs);
  const std::vector<std::vector<int32_t>> inputs = {{5, 9, 4, 17}, {7}, {30, 31, 32, 33, 34, 35, 9}};
  const std::vector<int> tuner(inputs.size(), 0);
  Decoding decoding(model, hooks, options, inputs, tuner);
  auto texts = options.beams > 1 ? beam_search(decoding, options, 3) : write_one_by_one(decoding, options, 3, 0);
  return {std::move(texts), decoding.graphs().counts()};
}

class DecodingGraphs : public ::testing::TestWithParam<const char*> {};

TEST_P(DecodingGraphs, HaveTheSameBits) {
  if (!gpu::is_real() || gpu::device_count() == 0) GTEST_SKIP() << "no GPU, no graphs";
  const auto model = open_model(GetParam(), DType::bf16);
  GenerationOptions greedy{.max_new_tokens = 5, .eos = std::vector<int32_t>(), .scores = true}, beam = greedy;
  beam.beams = 3, beam.results = 2;
  const auto prefix = make_tuner("prefix", {{"length", "3"}, {"init", "random"}}, {.model = *model, .seed = 3});
  Hooks none;
  for (const auto& [options, hooks] : {std::pair<GenerationOptions, Hooks*>{greedy, prefix.get()}, {beam, &none}}) {
    const Written direct = write(*model, *hooks, options, false), recorded = write(*model, *hooks, options, true);
    for (size_t i = 0; i < direct.texts.size(); ++i)
      for (size_t k = 0; k < direct.texts[i].size(); ++k) {
        EXPECT_EQ(recorded.texts[i][k].ids, direct.texts[i][k].ids);
        EXPECT_EQ(recorded.texts[i][k].score, direct.texts[i][k].score) << "input " << i;
      }
    EXPECT_EQ(direct.counts.made + direct.counts.updated, 0);
    EXPECT_EQ(recorded.counts.direct, 1);
    EXPECT_EQ(recorded.counts.made + recorded.counts.updated, 3);
    EXPECT_GE(recorded.counts.updated, 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DecodingGraphs, ::testing::Values("gpt2", "llama_gqa", "t5", "bart"),
                         [](const auto& info) { return std::string(info.param); });

// ---- training ----

struct Method {
  const char *model, *name;
  OptionMap options;
  const char* optimizer;
  DType dtype;
};

void PrintTo(const Method& m, std::ostream* out) { *out << m.model << " " << m.name; }

// Steps of batches of three lengths, with dropout and another learning rate each.
struct TrainedRun {
  Record record;
  std::vector<Tensor> values;
  gpu::StepGraphs::Counts counts;

  TrainedRun(const Method& m, bool graphs, int64_t report_every) {
    const WithGraphs on(graphs);
    const auto model = open_model(m.model, m.dtype);
    const auto tuner = make_tuner(m.name, m.options, {.model = *model, .seed = 3});
    TrainedSet trained(*model, *tuner);
    Trainer trainer(*model, *tuner, trained, {random_batch(model->config(), {5, 7, 9, 3, 12, 11})},
                    {.optimizer = m.optimizer,
                     .lr = 0.01,
                     .schedule = "cosine",
                     .clip = 0.5,
                     .batch_size = 2,
                     .steps = 13,
                     .shards = 2,
                     .dropout = {0.1f, 0.1f, 0.1f, 0.1f},
                     .seed = 3,
                     .shuffle = false,
                     .report_every = report_every});
    trainer.run(record);
    counts = trainer.graph_counts();
    for (const TrainedSet::Entry& e : trained.entries()) values.push_back(e.value.clone());
  }
};

class TrainingGraphs : public ::testing::TestWithParam<Method> {
 protected:
  void SetUp() override {
    if (!gpu::is_real() || gpu::device_count() == 0) GTEST_SKIP() << "no GPU, no graphs";
  }
};

TEST_P(TrainingGraphs, HaveTheSameBits) {
  const TrainedRun direct(GetParam(), false, 1), recorded(GetParam(), true, 0);
  ASSERT_EQ(direct.record.steps.size(), 13u);
  EXPECT_EQ(recorded.record.losses(), direct.record.losses());
  for (size_t i = 0; i < direct.record.steps.size(); ++i)
    EXPECT_EQ(recorded.record.steps[i].gradient_norm, direct.record.steps[i].gradient_norm) << "step " << i + 1;
  ASSERT_EQ(recorded.values.size(), direct.values.size());
  for (size_t i = 0; i < direct.values.size(); ++i) EXPECT_TRUE(same_bits(recorded.values[i], direct.values[i])) << i;
  EXPECT_EQ(direct.counts.made + direct.counts.updated, 0);
  EXPECT_EQ(recorded.counts.direct, 1);
  EXPECT_EQ(recorded.counts.made + recorded.counts.updated, 12);
  EXPECT_GE(recorded.counts.updated, 6);
}

INSTANTIATE_TEST_SUITE_P(
    Tuners, TrainingGraphs,
    ::testing::Values(Method{"llama_gqa", "lora", {{"rank", "3"}, {"dropout", "0.1"}}, "adamw", DType::bf16},
                      Method{"gpt2", "prefix", {{"length", "3"}, {"init", "random"}}, "adamw", DType::f32},
                      Method{"gpt2", "full", {}, "sgd", DType::bf16},
                      Method{"llama_gqa", "full", {}, "adamw", DType::f32},
                      Method{"t5", "full", {}, "adafactor", DType::f32}),
    [](const auto& info) { return std::string(info.param.model) + "_" + info.param.name; });

// Steps that were already under way when a bad one is noticed have changed nothing, recorded or not.
TEST_F(StepGraphs, StayBeforeTheFirstBadStep) {
  const auto run = [](bool graphs, int64_t steps, bool fails) {
    const WithGraphs on(graphs);
    const auto model = open_model("gpt2", DType::f32);
    for (const NamedParameter& p : model->parameters()) {
      if (!p.name.ends_with("position.weight")) continue;
      Array a = to_array(p.value());
      a(20, 0) = INFINITY;
      p.value().copy_from(to_tensor(a, DType::f32, kGpu));
    }
    std::vector<int64_t> lengths(16, 6);
    lengths[12] = 25;  // step 13
    const auto tuner = make_tuner("lora", {}, {.model = *model});
    TrainedSet trained(*model, *tuner);
    Trainer trainer(*model, *tuner, trained, {random_batch(model->config(), lengths)},
                    {.batch_size = 1, .steps = steps, .shuffle = false});
    Record record;
    if (fails) expect_error<Error>([&] { trainer.run(record); }, {"step 13:", "loss is nan"});
    else trainer.run(record);
    EXPECT_EQ(record.steps.size(), 12u);
    std::vector<Tensor> all;
    for (const TrainedSet::Entry& e : trained.entries()) all.push_back(e.value.clone());
    for (const auto& [name, tensor] : trainer.optimizer().state()) all.push_back(tensor.clone());
    return all;
  };
  const auto before = run(false, 12, false);
  for (const bool graphs : {false, true}) {
    const auto after = run(graphs, 16, true);
    for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i])) << i;
  }
}

}  // namespace
}  // namespace cambium::testing
