// PEFT's adapter directories against the logits that PEFT computed with them.
#include "tuning/peft.h"

#include <filesystem>

#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const std::string kAdapters = golden_path("adapters/");

TEST(Peft, AdaptersGiveTheirLogits) {
  size_t cases = 0;
  for (const std::string& name : list_directory(kAdapters)) {
    ++cases;
    const json expected = parse_json_file(kAdapters + name + "/expected.json");
    const SafetensorsFile logits(kAdapters + name + "/expected.safetensors");
    for (const auto& [dtype, tolerance] : {std::pair{DType::f64, 1e-5}, {DType::f32, 2e-5}}) {
      const auto model = golden_model(expected.at("base"), dtype);
      EXPECT_TRUE(is_peft_adapter(kAdapters + name));
      const auto tuner = load_peft_adapter(kAdapters + name, *model);
      const auto seen = logits_of(*model, *tuner, golden_batch(expected));
      for (size_t s = 0; s < seen.size(); ++s)
        expect_close(to_array(seen[s]), to_array(logits.read(std::to_string(s))), tolerance, tolerance,
                     text(name, " ", name_of(dtype), " sequence ", s));
    }
  }
  EXPECT_EQ(cases, 7u);
}

TEST(Peft, ScaleAndDropoutAreKept) {
  const auto model = golden_model("llama_gqa");
  const auto tuner = load_peft_adapter(kAdapters + "llama_all_rslora", *model);
  EXPECT_DOUBLE_EQ(tuner->effective_scale(), 6 / std::sqrt(4.0));
  EXPECT_EQ(tuner->options().at("dropout"), "0.1");
  const auto one = load_peft_adapter(kAdapters + "llama_one_layer", *model);
  for (const NamedParameter& p : one->parameters())
    EXPECT_EQ(to_array(p.value()).largest() == 0, p.name.starts_with("decoder.layers.0.")) << p.name;
}

class ChangedAdapter : public ::testing::Test {
 protected:
  void SetUp() override { copy("llama_all_rslora"); }
  void copy(const std::string& name) {
    for (const char* file : {"/adapter_config.json", "/adapter_model.safetensors"})
      fs::copy_file(kAdapters + name + file, folder.path() + file, fs::copy_options::overwrite_existing);
  }
  void set_field(const std::string& field, const json& value) {
    json config = parse_json_file(folder / "adapter_config.json");
    config[field] = value;
    put_file(folder / "adapter_config.json", config.dump());
  }
  void expect_refused(const char* model_name, std::initializer_list<std::string_view> parts) {
    const auto model = golden_model(model_name);
    expect_error<InputError>([&] { load_peft_adapter(folder.path(), *model); }, parts);
  }
  const TemporaryDirectory folder;
};

TEST_F(ChangedAdapter, WhatComputesSomethingElseIsRefused) {
  const std::vector<std::pair<std::string, json>> fields = {{"use_dora", true},
                                                            {"bias", "all"},
                                                            {"lora_bias", true},
                                                            {"modules_to_save", {"lm_head"}},
                                                            {"rank_pattern", {{"q_proj", 2}}},
                                                            {"alpha_pattern", {{"q_proj", 2}}},
                                                            {"kasa_config", {{"beta", 1e-4}}},
                                                            {"velora_config", {{"num_groups", 64}}},
                                                            {"monteclora_config", {{"num_samples", 8}}},
                                                            {"use_bdlora", {{"nblocks", 2}}}};
  for (const auto& [field, value] : fields) {
    copy("llama_all_rslora");
    set_field(field, value);
    expect_refused("llama_gqa", {folder.path(), "adapter_config.json", field, "cannot be computed"});
  }
  copy("llama_all_rslora");
  set_field("peft_type", "IA3");
  expect_refused("llama_gqa", {"peft_type IA3", "LORA"});
  set_field("peft_type", nullptr);
  expect_refused("llama_gqa", {"adapter_config.json", "peft_type"});
}

TEST_F(ChangedAdapter, MatricesTakenOutOfTheBaseAreRefused) {
  for (const char* name : {"pissa", "pissa_niter_16", "olora", "OLoRA", "corda", "loftq", "lora_ga", "new"}) {
    set_field("init_lora_weights", name);
    expect_refused("llama_gqa", {folder.path(), "adapter_config.json", "init_lora_weights", name,
                                 "path_initial_model_for_weight_conversion"});
  }
  const auto model = golden_model("llama_gqa");
  for (const json& leaves_it_alone :
       {json(true), json(false), json(), json("gaussian"), json("eva"), json("orthogonal"), json("mica")}) {
    set_field("init_lora_weights", leaves_it_alone);
    EXPECT_TRUE(load_peft_adapter(folder.path(), *model)) << leaves_it_alone;
  }
  set_field("init_lora_weights", true),
      set_field("lora_ga_config", {{"direction", "ArB2r"}});  // as a conversion leaves it
  EXPECT_TRUE(load_peft_adapter(folder.path(), *model));
}

TEST_F(ChangedAdapter, WhatDoesNotFitIsRefused) {
  set_field("r", 5);
  expect_refused("llama_gqa", {"lora_A", "[4,48]", "[5,48]"});
  set_field("r", 0);
  expect_refused("llama_gqa", {"adapter_config.json", "r"});
  set_field("r", "four");
  expect_refused("llama_gqa", {"adapter_config.json", "r"});
  copy("llama_all_rslora");
  expect_refused("gpt2", {"adapter_model.safetensors", "down_proj", "no product"});
  copy("llama_projected_prefix");
  expect_refused("gpt2", {"prompt_embeddings", "[3,64]", "[3,96]"});
  expect_refused("t5", {"encoder"});
  copy("bert_prompt");
  set_field("num_virtual_tokens", 4);
  expect_refused("bert", {"prompt_embeddings", "[3,24]", "4 rows"});
  set_field("peft_type", "LORA");
  expect_refused("bert", {"adapter_config.json", "\"r\""});
}

TEST_F(ChangedAdapter, DamagedFilesAreRefused) {
  put_file(folder / "adapter_config.json", "{\"peft_type\": ");
  expect_refused("llama_gqa", {"adapter_config.json"});
  copy("llama_all_rslora");
  const std::string bytes = read_text_file(folder / "adapter_model.safetensors");
  put_file(folder / "adapter_model.safetensors", bytes.substr(0, bytes.size() - 7));
  expect_refused("llama_gqa", {"adapter_model.safetensors"});
  fs::remove(folder / "adapter_model.safetensors");
  expect_refused("llama_gqa", {"adapter_model.safetensors"});
  fs::remove(folder / "adapter_config.json");
  EXPECT_FALSE(is_peft_adapter(folder.path()));
}

}  // namespace
}  // namespace cambium::testing
