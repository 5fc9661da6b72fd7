// Dropout against transformers' own training mode with our random numbers: every place of every family, forward and
// backward.
#include <filesystem>
#include <set>

#include "models/load.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

namespace cambium::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Everything : public Hooks {
 public:
  bool trains(std::string_view) const override { return true; }
  bool reaches_inside(const Site&) const override { return false; }
};

// The stored model with other rates in its configuration, as the golden script loaded it.
std::unique_ptr<ModelSource> with_rates(const std::string& folder, const json& rates, const TemporaryDirectory& copy) {
  json config = parse_json_file(folder + "/config.json");
  config.update(rates);
  write_file(copy / "config.json", config.dump());
  fs::copy_file(folder + "/model.safetensors", copy / "model.safetensors");
  return ModelSource::open(copy.path());
}

// A gradient as the file has it: a matrix as its sums over rows, then over columns.
Array sums(const Array& g) {
  if (g.shape.rank() < 2) return g;
  const int64_t R = g.rows(), C = g.cols();
  Array all({C + R});
  for (int64_t r = 0; r < R; ++r)
    for (int64_t c = 0; c < C; ++c) all(c) += g(r, c), all(C + r) += g(r, c);
  return all;
}

class GoldenDropout : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenDropout, IsInAllPlaces) {
  const std::string directory = golden_path(std::string("dropout/") + GetParam());
  const json stored = parse_json_file(directory + "/case.json");
  const SafetensorsFile expected(directory + "/expected.safetensors");
  const std::string folder = golden_path(stored.at("model").get<std::string>());
  const json cases = parse_json_file(folder + "/cases.json");
  const TemporaryDirectory copy;
  const auto source = with_rates(folder, stored.at("config"), copy);
  Batch batch = golden_batch(cases);
  for (const DType dtype : {DType::f64, DType::f32}) {
    const auto model = load_model(*source, dtype);
    Everything hooks;
    Tape tape;
    Pass pass(hooks, tape);
    pass.set_dropout(model->config().dropout, stored.at("seed"), stored.at("step"));
    for (const NamedParameter& p : model->parameters())
      if (!p.parameter->buffer) pass.train(*p.parameter);
    Var loss;
    if (cases.contains("classes")) {
      const Tensor label = Tensor::of(cases.at("classes").get<std::vector<int32_t>>());
      loss = model->class_loss(pass, batch, model->hidden(pass, batch, Model::class_places(batch)), label, {.gradient_scale = 1 / float(batch.size())});
    } else {
      loss = model->loss(pass, batch, {.gradient_scale = 1 / float(model->scored_tokens(batch))}).sum;
      const Model::Hidden h = model->hidden(pass, batch);
      for (size_t s = 0; s < batch.size(); ++s)
        expect_close(to_array(model->logits(pass, h.rows.value.rows(h.begin[s], h.begin[s] + h.length[s]))),
                     to_array(expected.read(text("logits.", s))), 1e-5, 1e-6, text(GetParam(), " logits ", s));
    }
    EXPECT_NEAR(to_array(loss.value)(0), to_array(expected.read("loss"))(0), 3e-6) << GetParam();
    tape.backward(loss, Tensor::of(std::vector<double>{1}).to(loss.value.dtype()));
    double largest = 0;
    std::set<std::string> left;
    for (const std::string& name : expected.names())
      if (name.starts_with("gradients.")) {
        largest = std::max(largest, to_array(expected.read(name)).largest());
        left.insert(name);
      }
    for (const NamedParameter& p : model->parameters()) {
      if (p.parameter->buffer) continue;
      const Tensor whole = pass.gradient(*p.parameter);
      ASSERT_TRUE(whole) << p.name;
      const GoldenName theirs = golden_name(*source, p.name);
      const std::string name = "gradients." + theirs.name;
      ASSERT_TRUE(left.erase(name)) << p.name << " is " << name;
      expect_close(sums(as_in_file(to_array(whole.rows(p.begin, p.end)), theirs)), to_array(expected.read(name)), 2e-5,
                   3e-6 * largest, text(GetParam(), " ", name));
    }
    EXPECT_TRUE(left.empty()) << GetParam() << " has no " << *left.begin();
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenDropout,
                         ::testing::Values("models_gpt2", "models_llama_gqa", "models_bert", "models_t5", "models_flan",
                                           "models_bart", "classification_bert", "classification_roberta"),
                         [](const auto& info) { return std::string(info.param); });

TEST(GoldenDropoutFiles, AreAllTested) { EXPECT_EQ(list_directory(golden_path("dropout")).size(), 8u); }

}  // namespace
}  // namespace cambium::testing
