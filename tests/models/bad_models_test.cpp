// Encoders and sequence-to-sequence models whose files or inputs do not fit: refused with the place, and nothing loads.
#include <cstdlib>
#include <cstring>
#include <set>

#include "models/generation.h"
#include "models/load.h"
#include "tests/support/changed_model.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

void expect_refused(const std::string& model, const std::function<void(json&)>& change,
                    std::initializer_list<std::string_view> parts) {
  const ChangedModel changed(model, change);
  expect_error<InputError>([&] { ModelSource::open(changed.path()); }, parts);
}

TEST(Seq2seqConfig, NeedsADecoderStartWhereOneIsRead) {
  const auto without = [](const char* name, const json& value) {
    const ChangedModel changed(
        name, [&](json& j) { j["decoder_start_token_id"] = value, j["bos_token_id"] = nullptr; }, "{}");
    const auto model = load_model(*ModelSource::open(changed.path()), DType::f32);
    Hooks none;
    Pass pass(none);
    Sequence labelled;
    labelled.ids = {5, 6}, labelled.labels = {7, 8};
    const std::string named = value.is_null() ? "decoder_start_token_id" : "5000";
    expect_error<InputError>([&] { model->hidden(pass, {labelled}); }, {named, "decoder_start_token_id"});
    expect_error<InputError>([&] { generate(*model, none, {{5}}, {.max_new_tokens = 2}); }, {named});
  };
  for (const char* model : {"t5", "t5_1_1", "bart"}) without(model, nullptr), without(model, 5000);
  expect_refused("t5", [](json& j) { j["decoder_start_token_id"] = "x"; }, {"decoder_start_token_id"});
}

TEST(Weights, HaveTheShapesOfTheConfiguration) {
  for (const char* model : {"bert", "roberta", "t5", "bart"})
    expect_refused(model, [](json& j) { j["vocab_size"] = j["vocab_size"].get<int>() + 1; },
                   {"do not fit the configuration", "of another shape"});
  expect_refused("bert", [](json& j) { j["num_hidden_layers"] = 3; }, {"16 missing"});
  expect_refused("t5", [](json& j) { j["num_layers"] = 1; }, {"names too many"});
  expect_refused("bart", [](json& j) { j["max_position_embeddings"] = 64; }, {"of another shape"});
  expect_refused("t5", [](json& j) { j["relative_attention_num_buckets"] = 16; }, {"of another shape"});
}

TEST(Config, RefusesWhatCannotBe) {
  expect_refused("bert", [](json& j) { j["num_attention_heads"] = 5; }, {"24 cannot be shared by 5 heads"});
  expect_refused("bert", [](json& j) { j["num_attention_heads"] = 0; }, {"config.json"});
  expect_refused("bert", [](json& j) { j["hidden_act"] = "mish"; }, {"\"mish\" is not supported"});
  expect_refused("bert", [](json& j) { j["position_embedding_type"] = "relative_key"; }, {"relative_key"});
  expect_refused("bert", [](json& j) { j["is_decoder"] = true; }, {"is_decoder"});
  expect_refused("bert", [](json& j) { j["vocab_size"] = -3; }, {"vocab_size"});
  expect_refused("roberta", [](json& j) { j["max_position_embeddings"] = 1; }, {"config.json"});
  expect_refused("t5", [](json& j) { j["feed_forward_proj"] = "gated-mish", j.erase("dense_act_fn"); }, {"mish"});
  expect_refused("t5", [](json& j) { j["relative_attention_max_distance"] = 2; }, {"relative_distance"});
  expect_refused("bart", [](json& j) { j["d_model"] = 1e30; }, {"d_model"});
  expect_refused("bart", [](json& j) { j["model_type"] = "bort"; }, {"\"bort\" is not supported"});
  expect_refused("bart", [](json& j) { j.erase("encoder_layers"), j.erase("num_hidden_layers"); },
                 {"missing", "model.encoder.layers.2."});  // BART's class has 12
}

TEST(Config, MistralsWindowBoundsItsSequences) {
  const auto positions = [](const std::function<void(json&)>& change) {
    const ChangedModel changed("llama_gqa", [&](json& j) {
      j["model_type"] = "mistral", j["max_position_embeddings"] = 32768;
      change(j);
    });
    return ModelSource::open(changed.path())->config().max_positions;
  };
  EXPECT_EQ(positions([](json&) {}), 4096);
  EXPECT_EQ(positions([](json& j) { j["sliding_window"] = 8; }), 8);
  EXPECT_EQ(positions([](json& j) { j["sliding_window"] = nullptr; }), 32768);
  EXPECT_EQ(positions([](json& j) { j["sliding_window"] = 65536; }), 32768);
}

// What a run remembers its base by.
TEST(Hash, ChangesWithAnyShard) {
  const TemporaryDirectory home;
  ::setenv("CAMBIUM_HOME", home.path().c_str(), 1);
  const ChangedModel sharded("llama_sharded", [](json&) {});
  const auto hash = [&] { return ModelSource::open(sharded.path())->hash(); };
  const std::string before = hash();
  EXPECT_EQ(hash(), before);
  size_t shards = 0;
  std::set<std::string> all{before};
  for (const std::string& name : list_directory(sharded.path())) {
    if (!name.ends_with(".safetensors") || !name.starts_with("model-")) continue;
    std::string bytes = read_text_file(sharded.path() + "/" + name, 1 << 24);
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    for (size_t i = 8 + header; i < bytes.size(); i += 16) bytes[i] = char(bytes[i] ^ 1);
    put_file(sharded.path() + "/" + name, bytes);
    all.insert(hash());
    ++shards;
  }
  EXPECT_EQ(shards, 2u);
  EXPECT_EQ(all.size(), shards + 1);
  ::unsetenv("CAMBIUM_HOME");
}

Sequence sequence(size_t ids, size_t labels) {
  Sequence s;
  s.ids.assign(ids, 5), s.labels.assign(labels, 6);
  return s;
}

TEST(LongSequences, AreRefusedWhereAModelHasNoPositionsForThem) {
  const auto check = [](const char* name, const Sequence& s) {
    load_model(*ModelSource::open(golden_path(std::string("models/") + name)), DType::f32)->check({s});
  };
  check("bert", sequence(32, 32));
  expect_error<InputError>([&] { check("bert", sequence(33, 33)); }, {"sequence 0", "33", "32 positions"});
  check("roberta", sequence(32, 32));  // 34 rows, two of them below the first position
  expect_error<InputError>([&] { check("roberta", sequence(33, 33)); }, {"33", "32 positions"});
  check("bart", sequence(32, 32));
  expect_error<InputError>([&] { check("bart", sequence(33, 3)); }, {"33", "32 positions"});
  expect_error<InputError>([&] { check("bart", sequence(3, 33)); }, {"33", "32 positions"});
  check("t5", sequence(400, 300));  // relative positions have no end
  expect_error<InputError>([&] { check("bert", sequence(3, 2)); }, {"3 tokens", "2 targets", "aligned"});
  expect_error<InputError>([&] { check("t5", sequence(0, 2)); }, {"sequence 0", "empty"});
}

TEST(Generation, RefusesModelsWithoutADecoderAndInputsWithoutRoom) {
  Hooks none;
  const auto bert = load_model(*ModelSource::open(golden_path("models/bert")), DType::f32);
  expect_error<InputError>([&] { generate(*bert, none, {{1}}, {}); }, {"cannot generate"});
  const auto bart = load_model(*ModelSource::open(golden_path("models/bart")), DType::f32);
  expect_error<InputError>([&] { generate(*bart, none, {std::vector<int32_t>(33, 5)}, {.max_new_tokens = 4}); },
                           {"input 0", "33 tokens"});
  expect_error<InputError>([&] { generate(*bart, none, {{5}}, {.max_new_tokens = 33}); }, {"32 positions"});
  EXPECT_EQ(generate(*bart, none, {{5}}, {.max_new_tokens = 32, .eos = std::vector<int32_t>()})[0][0].ids.size(), 32u);
}

}  // namespace
}  // namespace cambium::testing
