// Steps as graphs: what is recorded and launched as one has the bits of what is launched one by one.
#include "cuda/graph.h"

#include "core/kernels/elementwise.h"
#include "core/upload.h"
#include "models/decoding.h"
#include "models/load.h"
#include "tests/cuda/sides.h"
#include "tests/support/golden.h"
#include "tuning/tuner.h"

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

}  // namespace
}  // namespace cambium::testing
