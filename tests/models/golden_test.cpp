// Models against transformers: logits, loss and every gradient of small random models, from files.
#include "tests/support/golden.h"

#include "models/load.h"

namespace cambium::testing {
namespace {

class Everything : public Hooks {
 public:
  bool trains(std::string_view) const override { return true; }
  bool reaches_inside(const Site&) const override { return false; }
};

struct Results {
  std::vector<Array> logits;
  double loss = 0;
  std::map<std::string, Array> gradients;  // by transformers' names, as its files have them
  std::vector<std::string> buffers;        // names of what is no parameter there
};

Results run(const ModelSource& source, const Batch& batch, DType dtype, Device device = Device::cpu()) {
  const auto model = load_model(source, dtype, device);
  Everything hooks;
  Results results;
  {
    Pass pass(hooks);
    const Model::Hidden h = model->hidden(pass, batch);
    for (size_t s = 0; s < batch.size(); ++s) {
      const Tensor rows = h.rows.value.rows(h.begin[s], h.begin[s] + h.length[s]);
      results.logits.push_back(to_array(model->head ? model->logits(pass, rows) : rows));
    }
  }
  if (!model->head) return results;
  Tape tape;
  Pass pass(hooks, tape);
  for (const NamedParameter& p : model->parameters()) pass.train(*p.parameter);  // BART's buffer has a gradient, too
  const Model::Loss loss = model->loss(pass, batch, {.gradient_scale = 1 / float(model->scored_tokens(batch))});
  results.loss = to_array(loss.sum.value)(0);
  tape.backward(loss.sum, Tensor::of(std::vector<double>{1}).to(loss.sum.value.dtype()).to(device));
  for (const NamedParameter& p : model->parameters()) {
    const Tensor whole = pass.gradient(*p.parameter);
    if (!whole) continue;
    const GoldenName name = golden_name(source, p.name);
    EXPECT_FALSE(name.name.empty()) << p.name;
    if (p.parameter->buffer) results.buffers.push_back(name.name);
    results.gradients[name.name] = as_in_file(to_array(whole.rows(p.begin, p.end)), name);
  }
  return results;
}

class GoldenModel : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenModel, LogitsLossAndGradients) {
  const std::string folder = golden_path(std::string("models/") + GetParam());
  const Batch batch = golden_batch(parse_json_file(folder + "/cases.json"));
  const SafetensorsFile expected(folder + "/expected.safetensors");
  const auto source = ModelSource::open(folder);
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Results results = run(*source, batch, dtype);
    for (size_t s = 0; s < batch.size(); ++s) {
      const std::string name = text(expected.has(text("logits.", s)) ? "logits." : "hidden.", s);
      expect_close(results.logits[s], to_array(expected.read(name)), 1e-5, 1e-6, text(GetParam(), " ", name));
    }
    if (!expected.has("loss")) continue;
    EXPECT_NEAR(results.loss, to_array(expected.read("loss").reshape({1}))(0), 2e-6) << GetParam();
    double largest = 0;
    size_t compared = 0;
    for (const std::string& name : expected.names())
      if (name.starts_with("gradients.")) largest = std::max(largest, to_array(expected.read(name)).largest());
    for (const std::string& name : expected.names()) {
      if (!name.starts_with("gradients.")) continue;
      const auto found = std::find_if(results.gradients.begin(), results.gradients.end(), [&](const auto& entry) {
        const auto names = spellings(source->config().family, entry.first);  // the file's may be an old one
        return std::find(names.begin(), names.end(), name.substr(10)) != names.end();
      });
      ASSERT_NE(found, results.gradients.end()) << GetParam() << ": " << name << " has no gradient here";
      ++compared;
      expect_close(found->second, to_array(expected.read(name)), 1e-5, 1e-6 * largest, text(GetParam(), " ", name));
    }
    // A buffer that the file has not is all zeros.
    for (const std::string& name : results.buffers) compared += !expected.has("gradients." + name);
    EXPECT_EQ(compared, results.gradients.size()) << GetParam() << ": gradients that the file has not";
  }
}

INSTANTIATE_TEST_SUITE_P(Decoders, GoldenModel,
                         ::testing::Values("llama_gqa", "llama_bias", "llama_sharded", "llama_bf16", "gpt2",
                                           "gpt2_inner", "gpt2_inverse", "gpt2_old", "llama_own_head", "mistral",
                                           "qwen2", "gpt2_common"),
                         [](const auto& info) { return std::string(info.param); });
INSTANTIATE_TEST_SUITE_P(Encoders, GoldenModel,
                         ::testing::Values("bert", "bert_old", "bert_base", "roberta", "roberta_old"),
                         [](const auto& info) { return std::string(info.param); });
INSTANTIATE_TEST_SUITE_P(Seq2seq, GoldenModel,
                         ::testing::Values("t5", "t5_1_1", "t5_old", "flan", "t5_own_head", "bart", "bart_old",
                                           "bart_bare"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace cambium::testing
