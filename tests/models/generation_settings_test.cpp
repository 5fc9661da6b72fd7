// generation_config.json: done with transformers' meaning, or named.
#include "models/generation_settings.h"

#include "models/load.h"
#include "tests/support/changed_model.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

struct Applied {
  GenerationOptions options;
  GenerationSettings said;
};

Applied applied(const std::string& model, const json& settings, const std::set<std::string>& given = {},
                GenerationOptions options = {}) {
  const ChangedModel changed(
      model, [](json&) {}, settings.dump());
  Applied a{std::move(options), {}};
  a.said = apply_generation_settings(changed.path(), ModelSource::open(changed.path())->config(), given, a.options);
  return a;
}

using Words = std::vector<std::string>;

TEST(GenerationSettings, AreUsed) {
  const Applied a = applied("bart", {{"num_beams", 4},
                                     {"length_penalty", 2.0},
                                     {"no_repeat_ngram_size", 3},
                                     {"max_length", 31},
                                     {"min_length", 6},
                                     {"num_return_sequences", 2},
                                     {"bad_words_ids", {{5}, {6, 7}}},
                                     {"suppress_tokens", {8, 9}},
                                     {"early_stopping", false}});
  EXPECT_EQ(a.options.beams, 4);
  EXPECT_EQ(a.options.length_penalty, 2);
  EXPECT_EQ(a.options.no_repeat_ngram, 3);
  EXPECT_EQ(a.options.max_new_tokens, 30);  // max_length counts the start token
  EXPECT_EQ(a.options.min_new_tokens, 5);
  EXPECT_EQ(a.options.results, 2);
  EXPECT_EQ(a.options.forbidden, (std::vector<std::vector<int32_t>>{{5}, {6, 7}, {8}, {9}}));
  EXPECT_FALSE(a.options.sample);
  EXPECT_EQ(a.said.used.size(), 8u) << listed(a.said.used);
  EXPECT_EQ(a.said.not_used, Words());

  const Applied s = applied("gpt2", {{"do_sample", true}, {"temperature", 0.6}, {"top_p", 0.9}});
  EXPECT_TRUE(s.options.sample);
  EXPECT_EQ(s.options.temperature, 0.6);
  EXPECT_EQ(s.options.top_p, 0.9);
  EXPECT_EQ(s.options.top_k, 50);  // transformers' where nobody says
  EXPECT_EQ(s.said.used, (Words{"do_sample = true", "temperature = 0.6", "top_p = 0.9"}));
  EXPECT_EQ(applied("gpt2", {{"do_sample", true}, {"top_k", 0}}).options.top_k, 0);
  EXPECT_EQ(applied("gpt2", {{"max_new_tokens", 7}, {"min_new_tokens", 2}}).options.max_new_tokens, 7);
}

TEST(GenerationSettings, YieldToWhatTheCallerSays) {
  const json all{{"num_beams", 4}, {"max_new_tokens", 9}, {"do_sample", true}, {"temperature", 0.5}, {"max_length", 5}};
  GenerationOptions own;
  own.max_new_tokens = 3;
  const Applied a = applied("gpt2", all, {"num_beams", "max_new_tokens"}, own);
  EXPECT_EQ(a.options.beams, 1);
  EXPECT_FALSE(a.options.sample);  // --beam 1: greedy
  EXPECT_EQ(a.options.max_new_tokens, 3);
  EXPECT_EQ(a.said.used, Words());
  own.sample = true, own.temperature = 2;
  const Applied s =
      applied("gpt2", {{"do_sample", false}, {"temperature", 0.5}, {"top_k", 7}}, {"do_sample", "temperature"}, own);
  EXPECT_TRUE(s.options.sample);
  EXPECT_EQ(s.options.temperature, 2);
  EXPECT_EQ(s.options.top_k, 7);
}

TEST(GenerationSettings, ThatCannotBeDoneAreNamed) {
  const auto named = [](const char* model, const json& settings) { return applied(model, settings).said.not_used; };
  const json foreign{{"repetition_penalty", 1.3},
                     {"encoder_repetition_penalty", 1.1},
                     {"encoder_no_repeat_ngram_size", 2},
                     {"exponential_decay_length_penalty", json::array({5, 1.1})},
                     {"begin_suppress_tokens", json::array({4})},
                     {"sequence_bias", json::array({4, 1})},
                     {"guidance_scale", 1.5},
                     {"stop_strings", json::array({"x"})},
                     {"renormalize_logits", true},
                     {"diversity_penalty", 0.5},
                     {"max_time", 2}};
  for (const auto& [name, value] : foreign.items())
    EXPECT_EQ(named("bart", {{name, value}}), Words{text(name, " = ", brief(value))});
  EXPECT_EQ(named("gpt2", {{"max_length", 50}}), Words{"max_length = 50"});  // would count the input, too
  EXPECT_EQ(named("gpt2", {{"min_length", 10}}), Words{"min_length = 10"});
  EXPECT_EQ(named("gpt2", {{"num_return_sequences", 3}}), Words{"num_return_sequences = 3"});
  EXPECT_EQ(applied("gpt2", {{"num_return_sequences", 3}, {"do_sample", true}}).options.results, 3);
  EXPECT_EQ(named("bart", {{"num_beams", 2}, {"early_stopping", true}}), Words{"early_stopping = true"});
  EXPECT_EQ(named("bart", {{"num_beams", 2}, {"do_sample", true}}), Words{"do_sample = true"});
  EXPECT_EQ(named("gpt2", {{"suppress_tokens", {2}}}), Words{"suppress_tokens = an array of 1"});  // its end token
  EXPECT_EQ(named("gpt2", {{"do_sample", true}, {"min_p", 0.1}}), Words{"min_p = 0.1"});
  // Without effect there, too.
  EXPECT_EQ(named("gpt2", {{"repetition_penalty", 1.0},
                           {"min_p", 0.1},
                           {"typical_p", 0.2},
                           {"early_stopping", true},
                           {"bad_words_ids", nullptr},
                           {"max_length", 20},
                           {"min_length", 0},
                           {"use_cache", false},
                           {"remove_invalid_values", false},
                           {"begin_suppress_tokens", json::array()}}),
            Words());
}

TEST(GenerationSettings, ComeFromConfigJsonWhereThereAreNone) {
  const ChangedModel old(
      "bart", [](json&j) { j["num_beams"] = 3; }, "-"),
      both(
          "bart", [](json&j) { j["num_beams"] = 3; }, "{}");
  for (const auto& [model, beams] : {std::pair(&old, 3), {&both, 1}}) {
    GenerationOptions options;
    apply_generation_settings(model->path(), ModelSource::open(model->path())->config(), {}, options);
    EXPECT_EQ(options.beams, beams);
  }
  expect_error<InputError>(
      [] {
        applied("gpt2", {{"num_beams", "four"}});
      },
      {"generation_config.json", "num_beams", "four"});
  expect_error<InputError>([] { applied("gpt2", {{"bad_words_ids", 5}}); }, {"bad_words_ids"});
  expect_error<InputError>([] { applied("gpt2", {{"bad_words_ids", {{-1}}}}); }, {"bad_words_ids", "-1"});
}

}  // namespace
}  // namespace cambium::testing
