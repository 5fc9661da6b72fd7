// Adapters, prefixes and top layers in whole models against PyTorch with hooks (tools/golden/tuners.py): logits, the
// gradients of what trains, and a few training steps.
#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class GoldenTuner : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string directory = golden_path(std::string("tuners/") + GetParam());
  const json case_ = parse_json_file(directory + "/case.json");
  const std::string folder = golden_path("models/" + case_.at("model").get<std::string>());
  const SafetensorsFile expected{directory + "/expected.safetensors"};
  const Batch batch = golden_batch(parse_json_file(folder + "/cases.json"));

  // With the values of the file, which has exactly the tuner's parameters.
  std::unique_ptr<Tuner> tuner(Model& model) const {
    auto tuner = make_tuner(case_.at("method"), case_.at("options").get<OptionMap>(), {.model = model});
    if (tuner->parameters().empty()) return tuner;
    const SafetensorsFile initial(directory + "/initial.safetensors");
    EXPECT_EQ(tuner->parameters().size(), initial.names().size());
    for (const NamedParameter& p : tuner->parameters()) p.value().copy_from(initial.read(p.name).to(p.value().dtype()));
    return tuner;
  }

  void check(DType dtype, double share, double loss_tolerance) {
    const auto model = golden_model(case_.at("model"), dtype);
    const auto source = ModelSource::open(folder);
    const auto tuned = tuner(*model);
    const auto logits = logits_of(*model, *tuned, batch);
    for (size_t s = 0; s < batch.size(); ++s)
      expect_close(to_array(logits[s]), to_array(expected.read(text("logits.", s))), share, share / 10,
                   text(GetParam(), " logits ", s));

    const TrainedSet trained(*model, *tuned);
    Tape tape;
    Pass pass(*tuned, tape);
    trained.enter(pass);
    const Model::Loss loss = model->loss(pass, batch, {.gradient_scale = 1 / float(model->scored_tokens(batch))});
    tape.backward(loss.sum, Tensor::of(std::vector<double>{1}).to(loss.sum.value.dtype()));
    const std::vector<Tensor> gradients = trained.gradients(pass);
    std::map<std::string, Array> left;
    double largest = 0;
    for (const std::string& name : expected.names())
      if (name.starts_with("gradients.")) {
        left[name.substr(10)] = to_array(expected.read(name));
        largest = std::max(largest, left[name.substr(10)].largest());
      }
    const bool norms = case_.at("options").contains("norms");
    for (size_t i = 0; i < gradients.size(); ++i) {
      const TrainedSet::Entry& e = trained.entries()[i];
      ASSERT_TRUE(gradients[i]) << e.name;
      if (e.of_base && norms) continue;  // golden_test.cpp and the losses below have them
      const GoldenName name = e.of_base ? golden_name(*source, e.name) : GoldenName{e.name};
      ASSERT_TRUE(left.count(name.name)) << e.name << " is " << name.name;
      expect_close(as_in_file(to_array(gradients[i]), name), left.at(name.name), share, share / 10 * largest,
                   text(GetParam(), " ", e.name));
      left.erase(name.name);
    }
    EXPECT_TRUE(left.empty()) << left.begin()->first << " does not train";

    const json& losses = case_.at("loss");
    const Record record = train(*model, *tuned, batch,
                                {.lr = case_.at("lr"),
                                 .clip = 0,
                                 .batch_size = int64_t(batch.size()),
                                 .steps = int64_t(losses.size()),
                                 .shuffle = false});
    for (size_t i = 0; i < losses.size(); ++i)
      EXPECT_NEAR(record.steps[i].loss, losses[i].get<double>(), loss_tolerance) << GetParam() << ", step " << i + 1;
  }
};

TEST_P(GoldenTuner, EqualsPyTorchInDouble) { check(DType::f64, 1e-6, 1e-6); }
TEST_P(GoldenTuner, EqualsPyTorch) { check(DType::f32, 1e-5, 1e-4); }

constexpr const char* kAdapters[] = {"gpt2_houlsby",
                                     "gpt2_pfeiffer",
                                     "gpt2_parallel",
                                     "llama_gqa_houlsby",
                                     "llama_gqa_pfeiffer",
                                     "llama_gqa_parallel",
                                     "bert_houlsby",
                                     "bert_pfeiffer",
                                     "bert_parallel",
                                     "t5_houlsby",
                                     "t5_pfeiffer",
                                     "t5_parallel",
                                     "bart_houlsby",
                                     "bart_pfeiffer",
                                     "bart_parallel",
                                     "bert_houlsby_norms",
                                     "bart_houlsby_not_cross",
                                     "gpt2_parallel_residual",
                                     "gpt2_lin",
                                     "llama_gqa_lin",
                                     "bert_lin",
                                     "t5_lin",
                                     "bart_lin"};
constexpr const char* kPrefixes[] = {"bert_prefix",       "t5_prefix",         "bart_prefix",
                                     "t5_prefix_encoder", "bart_prefix_cross", "bart_prefix_decoder"};
constexpr const char* kTopLayers[] = {"gpt2_top_layers", "t5_top_layers"};

// Made with PEFT (tools/golden/peft_tuners.py).
constexpr const char* kOfPeft[] = {
    "gpt2_dora", "llama_gqa_dora", "bert_dora", "t5_dora", "bart_dora", "gpt2_vera", "llama_gqa_vera", "bert_vera", "t5_vera",
    "bart_vera", "gpt2_ia3", "llama_gqa_ia3", "bert_ia3", "t5_ia3", "bart_ia3", "llama_rslora_patterns", "bart_rslora",
    "gpt2_bitfit", "bert_bitfit", "bart_bitfit", "gpt2_layer_norm", "llama_gqa_layer_norm", "bert_layer_norm",
    "t5_layer_norm", "bart_layer_norm", "gpt2_p_tuning_mlp", "bert_p_tuning_mlp", "t5_p_tuning_mlp", "gpt2_p_tuning_lstm",
    "bert_p_tuning_lstm", "t5_p_tuning_lstm"};

std::string name_of_case(const ::testing::TestParamInfo<const char*>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Adapters, GoldenTuner, ::testing::ValuesIn(kAdapters), name_of_case);
INSTANTIATE_TEST_SUITE_P(Prefixes, GoldenTuner, ::testing::ValuesIn(kPrefixes), name_of_case);
INSTANTIATE_TEST_SUITE_P(TopLayers, GoldenTuner, ::testing::ValuesIn(kTopLayers), name_of_case);

INSTANTIATE_TEST_SUITE_P(OfPeft, GoldenTuner, ::testing::ValuesIn(kOfPeft), name_of_case);

TEST(GoldenTunerFiles, AreAllTested) {
  EXPECT_EQ(list_directory(golden_path("tuners")).size(),
            std::size(kAdapters) + std::size(kPrefixes) + std::size(kTopLayers) + std::size(kOfPeft));
}

}  // namespace
}  // namespace cambium::testing
