// What files of others say beside sizes and weights: settings that change results are used, refused or named, and what
// nothing uses is not asked for.
#include <cmath>

#include "models/generation.h"
#include "models/load.h"
#include "tests/support/changed_model.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

ModelConfig config_of(const std::string& model, const std::function<void(json&)>& change,
                      const std::string& generation = "") {
  const ChangedModel changed(model, change, generation);
  return ModelSource::open(changed.path())->config();
}

void refused(const std::string& model, const std::function<void(json&)>& change,
             std::initializer_list<std::string_view> parts) {
  expect_error<InputError>([&] { config_of(model, change); }, parts);
}

// Standard error while f runs.
template <class F>
std::string said(const F& f) {
  ::testing::internal::CaptureStderr();
  f();
  return ::testing::internal::GetCapturedStderr();
}

// As transformers' RotaryEmbeddingConfigMixin.
TEST(Rotation, IsReadFromEitherFieldAndBesideIt) {
  const auto base = [](const json& parameters, const json& scaling, const json& theta) {
    return config_of("llama_gqa", [&](json& j) {
      j.erase("rope_parameters"), j.erase("rope_theta"), j.erase("rope_scaling");
      if (!parameters.is_null()) j["rope_parameters"] = parameters;
      if (!scaling.is_null()) j["rope_scaling"] = scaling;
      if (!theta.is_null()) j["rope_theta"] = theta;
    });
  };
  const json plain{{"rope_type", "default"}}, own{{"rope_type", "default"}, {"rope_theta", 700}};
  EXPECT_EQ(base(nullptr, nullptr, nullptr).rotary_base, 10000);
  EXPECT_EQ(base(nullptr, nullptr, 500).rotary_base, 500);
  EXPECT_EQ(base(plain, nullptr, 500).rotary_base, 500);
  EXPECT_EQ(base(own, nullptr, 500).rotary_base, 700);
  EXPECT_EQ(base(json::object(), own, 500).rotary_base, 700);
  EXPECT_EQ(base({{"rope_theta", 900}}, own, nullptr).rotary_base, 700);  // rope_scaling stands in for the other
  const json llama3{{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}};
  EXPECT_EQ(base(nullptr, llama3, 500).rotary_scaling.original_positions, 64);  // max_position_embeddings
  json with = llama3;
  with["original_max_position_embeddings"] = 32;
  EXPECT_EQ(base(nullptr, with, nullptr).rotary_scaling.original_positions, 32);
  EXPECT_EQ(base(plain, with, nullptr).rotary_scaling.factor, 8);
  expect_error<InputError>([&] { base({{"rope_type", "yarn"}, {"factor", 2}}, nullptr, nullptr); }, {"yarn"});
  expect_error<InputError>([&] { base(plain, {{"type", "linear"}, {"factor", 2}}, nullptr); }, {"linear"});
  expect_error<InputError>(
      [&] {
        base({{"partial_rotary_factor", 0.5}}, nullptr, nullptr);
      },
      {"partial_rotary_factor"});
  refused("llama_gqa", [](json& j) { j["partial_rotary_factor"] = 0.25; }, {"partial_rotary_factor = 0.25"});
  expect_error<InputError>([&] { base({{"full_attention", plain}}, nullptr, nullptr); }, {"full_attention"});
}

TEST(Config, RefusesWhatWouldComputeSomethingElse) {
  const auto set = [](const char* name, const json& value) { return [=](json& j) { j[name] = value; }; };
  for (const char* model : {"gpt2", "llama_gqa", "bert", "t5", "bart"}) {
    refused(model, set("quantization_config", {{"quant_method", "gptq"}}), {"quantization_config", "gptq"});
    refused(model, set("per_layer_config", {{"0", {{"n_inner", 5}}}}), {"per_layer_config"});
  }
  for (const char* model : {"bert", "roberta", "t5", "bart"}) refused(model, set("is_decoder", true), {"is_decoder"});
  refused("gpt2", set("add_cross_attention", true), {"add_cross_attention"});
  refused("qwen2", set("layer_types", {"sliding_attention", "full_attention"}), {"sliding_attention"});
  refused("t5", set("decoder_start_token_id", {0, 1}), {"decoder_start_token_id", "one token"});
  refused("t5", set("feed_forward_proj", "gated-gelu-x"), {"gated-gelu-x"});
}

// Qwen 2 has a window in some layers, or in none of them.
TEST(Config, QwensWindowBoundsItsSequencesWhereALayerHasIt) {
  const auto positions = [](bool used, int64_t first, const json& kinds) {
    return config_of("qwen2",
                     [&](json& j) {
                       j.erase("layer_types"), j["max_position_embeddings"] = 64, j["sliding_window"] = 8;
                       j["use_sliding_window"] = used, j["max_window_layers"] = first;
                       if (!kinds.is_null()) j["layer_types"] = kinds;
                     })
        .max_positions;
  };
  EXPECT_EQ(positions(false, 0, nullptr), 64);
  EXPECT_EQ(positions(true, 2, nullptr), 64);  // both layers lie before
  EXPECT_EQ(positions(true, 1, nullptr), 8);
  EXPECT_EQ(positions(true, 2, {"full_attention", "sliding_attention"}), 8);
  EXPECT_EQ(positions(true, 0, {"full_attention", "full_attention"}), 64);
}

TEST(Config, TakesAClasssNamesAndDefaults) {
  // A shared name wins over the class's own, and T5's decoder has the layers of the latter: as transformers has it.
  EXPECT_EQ(config_of("t5", [](json& j) { j["num_hidden_layers"] = 2, j["num_layers"] = 2; }).decoder.layers, 2);
  refused("t5", [](json& j) { j["num_hidden_layers"] = 3; }, {"missing"});
  refused("gpt2", [](json& j) { j["n_layer"] = 2, j["num_hidden_layers"] = 3; }, {"missing"});
  EXPECT_EQ(config_of(
                "bart", [](json& j) { j.erase("decoder_start_token_id"); }, "-")
                .decoder_start,
            2);
  EXPECT_EQ(config_of("roberta", [](json& j) { j.erase("pad_token_id"); }).position_offset, 2);
  EXPECT_EQ(config_of("bart", [](json& j) { j.erase("pad_token_id"); }).pad, 1);
  EXPECT_EQ(config_of("t5", [](json& j) { j["dense_act_fn"] = "gelu"; }).activation, Activation::gelu);
  EXPECT_EQ(config_of("bert", [](json& j) { j["hidden_act"] = "gelu_python"; }).activation, Activation::gelu);
}

// generation_config.json, or config.json where that is not there; never both.
TEST(Config, TakesGenerationsTokensFromOneFile) {
  const auto forced = [](json& j) { j["forced_bos_token_id"] = 3, j["eos_token_id"] = 5; };
  EXPECT_EQ(config_of("bart", forced, "-").forced_bos, 3);
  EXPECT_EQ(config_of("bart", forced, "{}").forced_bos, std::nullopt);
  const ModelConfig c = config_of("bart", forced, R"({"eos_token_id": [6, 7], "forced_eos_token_id": 6})");
  EXPECT_EQ(c.eos, (std::vector<int32_t>{6, 7}));
  EXPECT_EQ(c.forced_eos, 6);
  EXPECT_EQ(config_of(
                "bart", [](json& j) { j["force_bos_token_to_be_generated"] = true; }, "-")
                .forced_bos,
            0);
}

TEST(TokensOutsideTheVocabulary, AreNamedAndAskedForWhereTheyAreNeeded) {
  const auto outside = [](json& j) { j["bos_token_id"] = j["eos_token_id"] = 50256, j["pad_token_id"] = -1; };
  const ChangedModel changed("gpt2", outside, "-");
  std::unique_ptr<ModelSource> source;
  const std::string warned = said([&] { source = ModelSource::open(changed.path()); });
  for (const char* part : {"bos_token_id = 50256", "eos_token_id = 50256", "pad_token_id = -1", "80"})
    EXPECT_NE(warned.find(part), std::string::npos) << warned;
  Hooks none;
  const auto model = load_model(*source, DType::f32),
             plain = load_model(*ModelSource::open(golden_path("models/gpt2")), DType::f32);
  const GenerationOptions free{.max_new_tokens = 6, .eos = std::vector<int32_t>()};
  EXPECT_EQ(generate(*model, none, {{5, 6}}, {.max_new_tokens = 6})[0][0].ids,
            generate(*plain, none, {{5, 6}}, free)[0][0].ids);  // an end that no row has is never reached
  EXPECT_EQ(generate(*model, none, {{5, 6}}, {.max_new_tokens = 6, .min_new_tokens = 3})[0][0].ids.size(), 6u);
  EXPECT_EQ(generate(*model, none, {{5, 6}}, {.max_new_tokens = 4, .beams = 3})[0][0].ids.size(), 4u);

  const auto bart = [&](const char* generation, int64_t tokens) {
    const ChangedModel forced(
        "bart", [](json&) {}, generation);
    generate(*load_model(*ModelSource::open(forced.path()), DType::f32), none, {{5}}, {.max_new_tokens = tokens});
  };
  expect_error<InputError>([&] { bart(R"({"forced_bos_token_id": 900})", 2); }, {"900", "84"});
  expect_error<InputError>([&] { bart(R"({"forced_eos_token_id": -4})", 2); }, {"-4"});
}

TEST(ForcedTokens, AreForcedInDecodersToo) {
  const ChangedModel changed(
      "gpt2", [](json&) {}, R"({"forced_bos_token_id": 7, "forced_eos_token_id": 9})");
  const auto model = load_model(*ModelSource::open(changed.path()), DType::f32);
  Hooks none;
  const auto all = generate(*model, none, {{5}, {5, 6}}, {.max_new_tokens = 3, .eos = std::vector<int32_t>()});
  EXPECT_EQ(all[0][0].ids.front(), 7);  // behind one token alone, as transformers' processor has it
  EXPECT_EQ(all[0][0].ids.back(), 9);
  EXPECT_NE(all[1][0].ids.front(), 7);
  EXPECT_EQ(all[1][0].ids.back(), 9);
}

// A golden model whose weights get more tensors, or lose one.
class OtherWeights {
 public:
  OtherWeights(const std::string& model, const std::map<std::string, Tensor>& more, const std::string& without = "")
      : model_(model, [](json&) {}) {
    const std::string path = model_.path() + "/model.safetensors";
    std::map<std::string, Tensor> all;
    {
      const SafetensorsFile file(path);
      for (const std::string& name : file.names())
        if (name != without) all[name] = file.read(name).clone();
    }
    for (const auto& [name, tensor] : more) all[name] = tensor;
    write_safetensors(path, all);
  }
  std::unique_ptr<ModelSource> open() const { return ModelSource::open(model_.path()); }

 private:
  ChangedModel model_;
};

Tensor tensor_of(const std::string& model, const std::string& name, float more = 0) {
  Tensor t = SafetensorsFile(golden_path("models/" + model + "/model.safetensors")).read(name).to(DType::f32).clone();
  t.data<float>()[0] += more;
  return t;
}

TEST(Weights, BesideTheModelAreNamedAndInsideItRefused) {
  const Tensor ones = Tensor::of(std::vector<float>{1, 1});
  const std::pair<const char*, const char*> beside[] = {{"gpt2", "v_head.summary.weight"},
                                                        {"gpt2", "score.weight"},
                                                        {"llama_gqa", "score.weight"},
                                                        {"bert", "qa_outputs.weight"},
                                                        {"bert", "classifier.weight"},
                                                        {"roberta", "classifier.weight"},
                                                        {"t5", "classification_head.dense.weight"},
                                                        {"bart", "classification_head.out_proj.weight"}};
  for (const auto& [model, name] : beside) {
    const OtherWeights changed(model, {{name, ones}});
    std::unique_ptr<ModelSource> source;
    EXPECT_NE(said([&] { source = changed.open(); }).find(name), std::string::npos) << model << " " << name;
    EXPECT_EQ(source->config().classes, 0) << model;
  }
  const std::pair<const char*, const char*> inside[] = {{"gpt2", "transformer.h.0.adapter.weight"},
                                                        {"gpt2_old", "h.0.adapter.weight"},
                                                        {"gpt2", "transformer.h.2.ln_1.weight"},
                                                        {"llama_gqa", "model.layers.0.self_attn.q_proj.bias"},
                                                        {"llama_gqa", "lm_head.bias"},
                                                        {"bert", "bert.encoder.layer.0.extra"},
                                                        {"t5", "encoder.block.0.layer.0.SelfAttention.q.bias"}};
  for (const auto& [model, name] : inside)
    expect_error<InputError>(
        [&, m = model, n = name] {
          OtherWeights(m, {{n, ones}}).open();
        },
        {"1 names too many", name});
}

// transformers 5 ties what is equal, and lets what differs be.
TEST(Weights, AHeadBesideATiedOneCountsWhereItDiffers) {
  const std::pair<const char*, std::pair<const char*, const char*>> models[] = {
      {"gpt2", {"transformer.wte.weight", "lm_head.weight"}},
      {"llama_gqa", {"model.embed_tokens.weight", "lm_head.weight"}},
      {"bert", {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"}},
      {"roberta", {"roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"}},
      {"t5", {"shared.weight", "lm_head.weight"}},
      {"bart", {"model.shared.weight", "lm_head.weight"}}};
  for (const auto& [model, names] : models) {
    const auto& [table, head] = names;
    EXPECT_TRUE(OtherWeights(model, {{head, tensor_of(model, table)}}).open()->config().tied_head) << model;
    const OtherWeights changed(model, {{head, tensor_of(model, table, 1)}});
    std::unique_ptr<ModelSource> source;
    EXPECT_NE(said([&] { source = changed.open(); }).find(head), std::string::npos) << model;
    EXPECT_FALSE(source->config().tied_head) << model;
    EXPECT_TRUE(same_bits(source->read("head.weight"), tensor_of(model, table, 1))) << model;
    EXPECT_TRUE(same_bits(source->read("embedding.weight"), tensor_of(model, table))) << model;
    // A tied table under the head's name alone.
    EXPECT_TRUE(
        same_bits(OtherWeights(model, {{head, tensor_of(model, table, 2)}}, table).open()->read("embedding.weight"),
                  tensor_of(model, table, 2)))
        << model;
  }
  for (const auto& [model, bias] : {std::pair("bert", "cls.predictions."), {"roberta", "lm_head."}}) {
    const std::string own = text(bias, "bias"), other = text(bias, "decoder.bias");
    EXPECT_TRUE(same_bits(OtherWeights(model, {{other, tensor_of(model, own, 1)}}).open()->read("head.bias"),
                          tensor_of(model, own, 1)));
  }
  for (const auto& [model, table] : {std::pair("t5", "shared.weight"), {"bart", "model.shared.weight"}}) {
    const std::string other = text(std::string(model) == "bart" ? "model." : "", "encoder.embed_tokens.weight");
    OtherWeights(model, {{other, tensor_of(model, table)}}).open();
    expect_error<InputError>(
        [&, m = model, t = table] {
          OtherWeights(m, {{other, tensor_of(m, t, 1)}}).open();
        },
        {other, "differ"});
  }
}

TEST(GitLfsPointers, AreCalledByTheirName) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') + "\nsize 100\n";
  const ChangedModel model("gpt2", [](json&) {});
  put_file(model.path() + "/model.safetensors", pointer);
  expect_error<InputError>([&] { ModelSource::open(model.path()); }, {"model.safetensors", "Git LFS", "git lfs pull"});
  for (const char* name : {"x.gguf", "x.safetensors", "x.h5", "tokenizer.json"}) {
    const std::string path = model.path() + "/" + name;
    put_file(path, pointer);
    expect_error<InputError>(
        [&] { std::string(name).ends_with("json") ? void(parse_json_file(path)) : void(ModelSource::open(path)); },
        {name, "Git LFS"});
  }
  const ChangedModel config("gpt2", [](json&) {});
  put_file(config.path() + "/config.json", pointer);
  expect_error<InputError>([&] { ModelSource::open(config.path()); }, {"config.json", "Git LFS"});
  put_file(model.path() + "/text", pointer + std::string(1024, ' '));  // too large for one
  EXPECT_TRUE(read_text_file(model.path() + "/text").starts_with("version"));
}

}  // namespace
}  // namespace cambium::testing
