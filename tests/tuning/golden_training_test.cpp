// Ten training steps against PyTorch and PEFT: losses, learning rates, gradient norms and the weights afterwards.
#include <filesystem>

#include "tests/support/tuning.h"
#include "tuning/peft.h"

namespace cambium::testing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class GoldenTraining : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string directory = golden_path(std::string("training/") + GetParam());
  const json case_ = parse_json_file(directory + "/case.json");
  const std::string method = case_.at("method");

  TrainOptions options() const {
    TrainOptions o;
    o.lr = case_.at("optimizer").at("lr");
    o.optimizer_options.weight_decay = case_.at("optimizer").at("weight_decay");
    o.schedule = case_.at("schedule");
    o.warmup = std::to_string(case_.at("warmup").get<int>());
    o.clip = case_.at("clip");
    o.batch_size = case_.at("batch_size");
    o.steps = case_.at("steps");
    o.shuffle = false;
    return o;
  }

  std::unique_ptr<Tuner> tuner(Model& model, const std::string& when) const {
    if (method == "full") return make_tuner("full", {}, {.model = model});
    if (method != "lora_parts") return load_peft_adapter(directory + "/" + when, model);
    auto tuner = make_tuner("lora", {{"rank", "4"}, {"alpha", "8"}}, {.model = model, .initialize = false});
    const SafetensorsFile file(directory + "/" + when + ".safetensors");
    size_t set = 0;
    for (const NamedParameter& p : tuner->parameters()) {
      // decoder.layers.0.self_attention.query.lora_a: layers.0.query.A
      const std::string layer = p.name.substr(p.name.find("layers."), 8),
                        part = p.name.find("query") != p.name.npos ? ".query." : ".value.";
      p.value().copy_from(file.read(layer + part + (p.name.ends_with("a") ? "A" : "B")).to(p.value().dtype()));
      ++set;
    }
    EXPECT_EQ(set, file.names().size());
    return tuner;
  }

  // What PyTorch ended with, by our names.
  std::map<std::string, Tensor> expected(Model& model) const {
    std::map<std::string, Tensor> all;
    if (method != "full") {
      const auto after = tuner(model, "final");
      for (const NamedParameter& p : after->parameters()) all[p.name] = p.value().clone();
      return all;
    }
    const TemporaryDirectory folder;
    const std::string base = golden_path("models/" + case_.at("model").get<std::string>());
    fs::copy_file(base + "/config.json", folder / "config.json");
    fs::copy_file(directory + "/final.safetensors", folder / "model.safetensors");
    const auto source = ModelSource::open(folder.path());
    for (const NamedParameter& p : model.parameters())
      if (!p.parameter->buffer) all[p.name] = source->read(p.name).clone();
    return all;
  }

  void check(DType dtype, double loss_tolerance, double norm_tolerance, double value_tolerance) {
    const auto model = golden_model(case_.at("model"), dtype);
    const auto tuned = tuner(*model, "initial");
    const auto expected_values = expected(*model);  // before training, which changes the base of full fine-tuning
    const Record record = train(*model, *tuned, golden_batch(parse_json_file(directory + "/batch.json")), options());
    ASSERT_EQ(record.steps.size(), case_.at("loss").size());
    for (size_t i = 0; i < record.steps.size(); ++i) {
      EXPECT_NEAR(record.steps[i].loss, case_.at("loss")[i].get<double>(), loss_tolerance) << "step " << i + 1;
      EXPECT_NEAR(record.steps[i].lr, case_.at("lr")[i].get<double>(), 1e-15) << "step " << i + 1;
      const double norm = case_.at("grad_norm")[i];
      EXPECT_NEAR(record.steps[i].gradient_norm, norm, norm_tolerance * norm) << "step " << i + 1;
    }
    const auto values = values_of(*model, *tuned);
    ASSERT_EQ(values.size(), expected_values.size());
    for (const auto& [name, value] : values)
      expect_values(name, to_array(value), to_array(expected_values.at(name)), value_tolerance);
  }

  // Biases of keys change no score, so their gradients are noise, which Adam makes into steps of full size.
  static void expect_values(const std::string& name, const Array& value, const Array& reference, double tolerance) {
    ASSERT_EQ(value.size(), reference.size()) << name;
    if (name.ends_with(".key.bias")) return;
    const bool fused = name.ends_with("query_key_value.bias");
    for (int64_t i = 0; i < value.size(); ++i) {
      if (fused && i >= value.size() / 3 && i < 2 * value.size() / 3) continue;
      ASSERT_NEAR(value(i), reference(i), tolerance) << name << ", element " << i;
    }
  }
};

// PyTorch's run is one in float64, stored in float32. (1 / scored tokens is a float32 here.)
TEST_P(GoldenTraining, EqualsPyTorchInDouble) { check(DType::f64, 1e-6, 1e-5, 3e-6); }
TEST_P(GoldenTraining, EqualsPyTorch) { check(DType::f32, 3e-5, 1e-4, 2e-4); }

INSTANTIATE_TEST_SUITE_P(Cases, GoldenTraining,
                         ::testing::Values("llama_full", "gpt2_full", "bart_full", "llama_lora", "llama_lora_linear",
                                           "gpt2_lora_fused", "gpt2_lora", "bert_lora", "t5_lora", "llama_prompt",
                                           "gpt2_prompt", "llama_prefix", "gpt2_prefix"),
                         [](const auto& info) { return std::string(info.param); });

TEST(GoldenTrainingFiles, AreAllTested) {
  size_t directories = 0;
  for (const std::string& name : list_directory(golden_path("training")))
    directories += is_directory(golden_path("training/" + name));
  EXPECT_EQ(directories, 13u);
}

}  // namespace
}  // namespace cambium::testing
