// Directories that we write: with everything that transformers reads beside the weights.
#include "models/export.h"

#include <nlohmann/json.hpp>

#include "models/companions.h"
#include "tests/support/changed_model.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

// The directory, once straight and once through a file of ours.
class Export : public ::testing::Test {
 protected:
  std::vector<std::string> exported(const std::string& model) {
    const auto save = [&](const std::string& from, const std::string& to) {
      const auto source = ModelSource::open(from);
      save_model(
          source->config(), [&](const std::string& name) { return source->read(name); }, from, to);
      return to;
    };
    const std::string number = std::to_string(++count_);
    save(model, folder_ / number + ".h5");
    return {save(model, folder_ / number + "-a"), save(folder_ / number + ".h5", folder_ / number + "-b")};
  }
  static json read(const std::string& folder, const std::string& name = "config.json") {
    return parse_json_file(folder + "/" + name);
  }

  const TemporaryDirectory folder_;
  int count_ = 0;
};

TEST_F(Export, KeepsTheClassOfAModel) {
  for (const auto& [model, type, kind] : {std::tuple("qwen2", "qwen2", "Qwen2ForCausalLM"),
                                          {"mistral", "mistral", "MistralForCausalLM"},
                                          {"llama_gqa", "llama", "LlamaForCausalLM"}}) {
    const json original = read(golden_path(std::string("models/") + model));
    for (const std::string& folder : exported(golden_path(std::string("models/") + model))) {
      const json j = read(folder);
      EXPECT_EQ(j.at("model_type"), type);
      EXPECT_EQ(j.at("architectures"), json::array({kind}));
      EXPECT_EQ(j.at("max_position_embeddings"), original.at("max_position_embeddings"));
      EXPECT_EQ(j.contains("attention_bias"), std::string(type) == "llama") << type;  // no other class reads it
      if (original.contains("sliding_window")) {
        EXPECT_EQ(j.at("sliding_window"), original.at("sliding_window"));
      }
      EXPECT_EQ(to_json(ModelSource::open(folder)->config()),
                to_json(ModelSource::open(golden_path(std::string("models/") + model))->config()));
    }
  }
  // By what it is made of alone: biases on queries, keys and values.
  EXPECT_EQ(json::parse(huggingface_config(ModelSource::open(golden_path("models/qwen2"))->config())).at("model_type"),
            "qwen2");
}

TEST_F(Export, KeepsWhatTheConfigurationSaysBeside) {
  const ChangedModel bert("bert", [](json& j) {
    j["initializer_range"] = 0.5, j["note"] = "kept", j["auto_map"] = {{"AutoModel", "code.py"}},
    j["dtype"] = "float16";
    j["rope_scaling"] = nullptr, j["_name_or_path"] = "elsewhere";
  });
  for (const std::string& folder : exported(bert.path())) {
    const json j = read(folder);
    EXPECT_EQ(j.at("initializer_range"), 0.5);
    EXPECT_EQ(j.at("note"), "kept");
    EXPECT_EQ(j.at("torch_dtype"), "float32");
    for (const char* gone : {"auto_map", "dtype", "_name_or_path"}) EXPECT_FALSE(j.contains(gone)) << gone;
  }
  const ChangedModel classes("../classification/bert", [](json& j) {
    j["id2label"] = {{"0", "bad"}, {"1", "good"}, {"2", "other"}},
    j["label2id"] = {{"bad", 0}, {"good", 1}, {"other", 2}};
  });
  for (const std::string& folder : exported(classes.path())) EXPECT_EQ(read(folder).at("id2label").at("1"), "good");
  // A token that is null in the file is none: its class would name one.
  const ChangedModel gpt2(
      "gpt2", [](json& j) { j["bos_token_id"] = nullptr, j["eos_token_id"] = nullptr; }, "-");
  for (const std::string& folder : exported(gpt2.path())) {
    EXPECT_TRUE(read(folder).at("bos_token_id").is_null());
    EXPECT_TRUE(read(folder).at("eos_token_id").is_null());
  }
  for (const std::string& folder : exported(golden_path("models/t5_own_head"))) {
    EXPECT_EQ(read(folder).at("dense_act_fn"), "gelu");
    EXPECT_EQ(read(folder).at("tie_word_embeddings"), true);  // its head's rows are scaled
  }
}

TEST_F(Export, KeepsGenerationsSettingsAndTemplates) {
  const std::string settings = R"({"do_sample": true, "temperature": 0.6, "repetition_penalty": 1.2,
      "decoder_start_token_id": 2, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "forced_eos_token_id": 2})";
  const ChangedModel bart(
      "bart", [](json&) {}, settings);
  put_file(bart.path() + "/tokenizer.json", "{}");
  put_file(bart.path() + "/chat_template.jinja", "{{ messages }}");
  make_directories(bart.path() + "/additional_chat_templates");
  put_file(bart.path() + "/additional_chat_templates/tools.jinja", "{{ tools }}");
  put_file(bart.path() + "/additional_chat_templates/notes.txt", "not a template");
  for (const std::string& folder : exported(bart.path())) {
    EXPECT_EQ(read(folder, "generation_config.json"), json::parse(settings));
    EXPECT_EQ(read_text_file(folder + "/chat_template.jinja"), "{{ messages }}");
    EXPECT_EQ(list_directory(folder + "/additional_chat_templates"), std::vector<std::string>{"tools.jinja"});
    EXPECT_EQ(read_text_file(folder + "/tokenizer.json"), "{}");
  }
  // A model without such a file gets the tokens that its configuration names.
  for (const std::string& folder : exported(golden_path("models/bart_old"))) {
    const json g = read(folder, "generation_config.json");
    EXPECT_EQ(g, (json{{"bos_token_id", 0}, {"eos_token_id", 2}, {"pad_token_id", 1}, {"decoder_start_token_id", 2}}));
  }
}

TEST_F(Export, LeavesTheSettingsOfAnotherModelBehind) {
  const auto source = ModelSource::open(golden_path("models/gpt2"));
  const ChangedModel other(
      "bart", [](json&) {}, R"({"num_beams": 4})");
  put_file(other.path() + "/tokenizer.json", "{}");
  save_model(
      source->config(), [&](const std::string& name) { return source->read(name); }, other.path(), folder_ / "new",
      DType::f32, false);
  EXPECT_FALSE(read(folder_ / "new", "generation_config.json").contains("num_beams"));
  EXPECT_TRUE(file_exists(folder_ / "new/tokenizer.json"));
  EXPECT_EQ(read(folder_ / "new").at("model_type"), "gpt2");
}

TEST_F(Export, AnUntiedMaskedLanguageModelHasItsBiasTwice) {
  auto source = ModelSource::open(golden_path("models/bert"));
  ModelConfig config = source->config();
  config.tied_head = false;
  save_model(
      config, [&](const std::string& name) { return source->read(name == "head.weight" ? "embedding.weight" : name); },
      golden_path("models/bert"), folder_ / "bert");
  const SafetensorsFile file(folder_ / "bert/model.safetensors");
  EXPECT_TRUE(same_bits(file.read("cls.predictions.decoder.bias"), file.read("cls.predictions.bias")));
  EXPECT_EQ(read(folder_ / "bert").at("tie_word_embeddings"), false);
}

}  // namespace
}  // namespace cambium::testing
