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

// The directories that PEFT saved, and what it says of each.
class OfPeft : public ::testing::TestWithParam<std::string> {
 protected:
  const std::string directory = kAdapters + GetParam();
  const json expected = parse_json_file(directory + "/expected.json");
  const SafetensorsFile values{directory + "/expected.safetensors"}, stored{directory + "/adapter_model.safetensors"};

  bool has_steps() const {
    const std::vector<std::string> names = values.names();
    return std::any_of(names.begin(), names.end(), [](const std::string& n) { return n.starts_with("after."); });
  }
  void expect_logits(Model& model, Tuner& tuner, double tolerance) const {
    const auto seen = logits_of(model, tuner, golden_batch(expected));
    for (size_t s = 0; s < seen.size(); ++s)
      expect_close(to_array(seen[s]), to_array(values.read(std::to_string(s))), tolerance, tolerance,
                   text(GetParam(), " sequence ", s));
  }
  static void write(const std::string& path, Model& model, Tuner& tuner) {
    const TrainedSet trained(model, tuner);
    std::vector<std::string> of_base;
    for (const TrainedSet::Entry& e : trained.entries())
      if (e.of_base) of_base.push_back(e.name);
    save_peft_adapter(path, tuner, model, "the base", of_base);
  }
  // What we write of the tuner has PEFT's tensors, by name, shape and value: those of its file, or after a step.
  void expect_written(Model& model, Tuner& tuner, bool after, double tolerance) const {
    const TemporaryDirectory folder;
    write(folder / "out", model, tuner);
    const SafetensorsFile written(folder / "out/adapter_model.safetensors");
    std::vector<std::string> names = stored.names();
    if (written.has("base_model.vera_A") && !stored.has("base_model.vera_A"))  // it is drawn from a seed
      names.insert(names.begin(), {"base_model.vera_A", "base_model.vera_B"});
    std::vector<std::string> seen = written.names();
    std::sort(names.begin(), names.end()), std::sort(seen.begin(), seen.end());
    ASSERT_EQ(seen, names);
    const bool doubled = parse_json_file(directory + "/adapter_config.json").value("num_transformer_submodules", 1) == 2 &&
                         GetParam().find("prefix") == std::string::npos;
    for (const std::string& name : stored.names()) {
      ASSERT_EQ(written.shape(name), stored.shape(name)) << name;
      const std::string moved = "after." + name;
      Tensor value = written.read(name), reference = after && values.has(moved) ? values.read(moved) : stored.read(name);
      if (doubled) value = value.rows(0, value.rows() / 2), reference = reference.rows(0, reference.rows() / 2);
      expect_close(to_array(value), to_array(reference), name.starts_with("base_model.vera_") ? 1e-6 : tolerance, tolerance,
                   GetParam() + " " + name);
    }
  }
};

TEST_P(OfPeft, GivesItsLogits) {
  for (const auto& [dtype, tolerance] : {std::pair{DType::f64, 1e-5}, {DType::f32, 2e-5}}) {
    const auto model = golden_model(expected.at("base"), dtype);
    EXPECT_TRUE(is_peft_adapter(directory));
    expect_logits(*model, *load_peft_adapter(directory, *model), tolerance);
  }
}

TEST_P(OfPeft, LearnsAsThere) {
  // A step with dropout is another in each program; AdaLoRA's step is one of E, A and B, not of E A and B.
  const json config = parse_json_file(directory + "/adapter_config.json");
  if (!has_steps() || config.value("lora_dropout", 0.0) > 0 || config["peft_type"] == "ADALORA") return;
  const auto model = golden_model(expected.at("base"), DType::f64);
  const auto tuner = load_peft_adapter(directory, *model);
  Batch batch = golden_batch(expected);
  for (Sequence& s : batch)
    if (s.labels.empty()) s.labels = s.ids;
  TrainOptions options{.optimizer = "sgd", .lr = 0.1, .clip = 0, .steps = 1, .shuffle = false};
  train(*model, *tuner, batch, options);
  expect_written(*model, *tuner, true, 1e-6);
}

TEST_P(OfPeft, IsWrittenAsItWas) {
  const auto model = golden_model(expected.at("base"));
  const auto tuner = load_peft_adapter(directory, *model);
  if (!GetParam().ends_with("adalora")) expect_written(*model, *tuner, false, 0);
  // And is read as it was.
  const TemporaryDirectory folder;
  write(folder / "out", *model, *tuner);
  const auto other = golden_model(expected.at("base"), DType::f64);
  expect_logits(*other, *load_peft_adapter(folder / "out", *other), 1e-5);
}

std::vector<std::string> adapters() { return list_directory(kAdapters); }
INSTANTIATE_TEST_SUITE_P(Directories, OfPeft, ::testing::ValuesIn(adapters()),
                         [](const auto& info) { return info.param; });
TEST(Peft, AllDirectoriesAreThere) { EXPECT_EQ(adapters().size(), 31u); }

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
  const std::vector<std::pair<std::string, json>> fields = {{"lora_bias", true},
                                                            {"layer_replication", {{0, 1}}},
                                                            {"kasa_config", {{"beta", 1e-4}}},
                                                            {"velora_config", {{"num_groups", 64}}},
                                                            {"monteclora_config", {{"num_samples", 8}}},
                                                            {"use_bdlora", {{"nblocks", 2}}},
                                                            {"a_field_of_tomorrow", 3}};
  for (const auto& [field, value] : fields) {
    copy("llama_all_rslora");
    set_field(field, value);
    expect_refused("llama_gqa", {folder.path(), "adapter_config.json", field, "cannot be computed"});
  }
  copy("llama_all_rslora");
  set_field("a_field_of_tomorrow", false);
  EXPECT_TRUE(load_peft_adapter(folder.path(), *golden_model("llama_gqa")));
  set_field("peft_type", "OFT");
  expect_refused("llama_gqa", {"peft_type OFT", "LORA"});
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
  expect_refused("llama_gqa", {"adapter_model.safetensors", "28 of another shape", "lora_A", "[4,32]", "[5,32]"});
  set_field("r", 0);
  expect_refused("llama_gqa", {"adapter_config.json", "r"});
  set_field("r", "four");
  expect_refused("llama_gqa", {"adapter_config.json", "r"});
  copy("llama_all_rslora");
  expect_refused("gpt2", {"adapter_config.json", "target_modules", "matches no product"});
  copy("llama_projected_prefix");
  expect_refused("gpt2", {"prompt_embeddings", "[3,64]", "[3,96]"});
  expect_refused("t5", {"T5", "relative positions"});
  expect_refused("bert", {"encoders"});
  copy("bert_prompt");
  set_field("num_virtual_tokens", 4);
  expect_refused("bert", {"prompt_embeddings", "[3,24]", "4 rows"});
  copy("llama_one_layer");
  set_field("r", nullptr);
  expect_refused("llama_gqa", {"adapter_config.json", "\"r\""});
}

TEST_F(ChangedAdapter, TensorsMustBeThoseThatTheConfigurationMeans) {
  set_field("target_modules", {"q_proj"});
  expect_refused("llama_gqa", {"24 tensors too many", "down_proj.lora_A", "0 missing"});
  copy("llama_one_layer");
  set_field("layers_to_transform", nullptr);
  expect_refused("llama_gqa", {"0 tensors too many", "4 missing", "layers.0.mlp.down_proj.lora_A"});
  set_field("target_modules", {"q_proj", "lm_head"});
  set_field("base_model_name_or_path", nullptr);
  expect_refused("llama_own_head", {"lm_head", "no product of a layer"});
  set_field("target_modules", "(q_proj");
  expect_refused("llama_gqa", {"target_modules", "(q_proj"});
  copy("llama_one_layer");
  set_field("bias", "some");
  expect_refused("llama_gqa", {"bias", "some"});
  copy("llama_head_saved");
  expect_refused("llama_gqa", {"lm_head", "one matrix"});
  copy("llama_norms_saved");
  set_field("modules_to_save", nullptr);
  expect_refused("llama_gqa", {"5 tensors too many", "input_layernorm"});
  copy("llama_vera");
  set_field("projection_prng_key", 1);
  expect_refused("llama_gqa", {"vera_A", "projection_prng_key"});
}

TEST(PeftWriting, WhatPeftCannotComputeIsRefused) {
  const TemporaryDirectory folder;
  const auto refused = [&](const char* base, const std::string& method, const OptionMap& options,
                           std::initializer_list<std::string_view> parts) {
    const auto model = golden_model(base);
    TunerContext context = letters_context(*model);
    const auto tuner = make_tuner(method, options, context);
    expect_error<InputError>([&] { save_peft_adapter(folder / "out", *tuner, *model, "", {}); }, parts);
    EXPECT_FALSE(file_exists(folder / "out"));
  };
  refused("gpt2", "adapter", {}, {"adapter", "no such method"});
  refused("bert", "prefix", {{"init", "random"}}, {"encoders"});
  refused("bart", "prefix", {{"init", "random"}}, {"compat=peft"});
  refused("t5", "prompt", {{"where", "decoder"}}, {"where=decoder"});
  refused("gpt2", "vera", {{"rank", "4"}}, {"c_attn", "query_key_value"});
  refused("gpt2", "dora", {}, {"c_attn", "query_key_value"});
  refused("bert", "lora", {{"targets", "query_key_value"}}, {"three modules"});
  refused("gpt2", "lora+adapter", {}, {"one method"});
  refused("gpt2", "full", {}, {"no norm trained"});
}

// Query and value of GPT-2 are rows of one matrix there: one update of twice the rank.
TEST(PeftWriting, PartsOfAProductBecomeOne) {
  for (const char* method : {"lora", "ia3"}) {
    const auto model = golden_model("gpt2", DType::f64);
    const auto tuner = make_tuner(method, {}, {.model = *model});
    randomize(*tuner, 3);
    const Batch batch = random_batch(model->config(), {5, 8});
    const TemporaryDirectory folder;
    save_peft_adapter(folder / "out", *tuner, *model, "", {});
    const auto again = load_peft_adapter(folder / "out", *model);
    EXPECT_EQ(again->options().at("targets").substr(0, 4), method == std::string("lora") ? "quer" : "down");
    const auto before = logits_of(*model, *tuner, batch), after = logits_of(*model, *again, batch);
    for (size_t s = 0; s < batch.size(); ++s)
      expect_close(to_array(after[s]), to_array(before[s]), 1e-5, 1e-5, method);
  }
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
