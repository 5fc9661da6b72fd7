// Settings of generation, one by one.
#include "models/generation_settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "models/companions.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr int64_t kMostTokens = int64_t(1) << 31;

// A setting that nothing here does, and the value at which it does nothing; without one any value changes results.
struct Foreign {
  const char* name;
  std::optional<double> neutral;
  bool sampling = false;  // of sampling alone
};
constexpr Foreign kForeign[] = {{"repetition_penalty", 1},
                                {"encoder_repetition_penalty", 1},
                                {"encoder_no_repeat_ngram_size", 0},
                                {"diversity_penalty", 0},
                                {"num_beam_groups", 1},
                                {"guidance_scale", 1},
                                {"penalty_alpha", 0},
                                {"min_p", 0, true},
                                {"top_h", {}, true},
                                {"typical_p", 1, true},
                                {"epsilon_cutoff", 0, true},
                                {"eta_cutoff", 0, true},
                                {"exponential_decay_length_penalty", {}},
                                {"begin_suppress_tokens", {}},
                                {"sequence_bias", {}},
                                {"watermarking_config", {}},
                                {"stop_strings", {}},
                                {"dola_layers", {}},
                                {"constraints", {}},
                                {"force_words_ids", {}},
                                {"forced_decoder_ids", {}},
                                {"token_healing", 0},
                                {"remove_invalid_values", 0},
                                {"renormalize_logits", 0},
                                {"max_time", {}}};

bool is_neutral(const json& value, const Foreign& f) {
  if (value.is_null() || (value.is_array() && value.empty())) return true;
  if (value.is_boolean()) return f.neutral && value.get<bool>() == (*f.neutral != 0);
  return f.neutral && value.is_number() && value.get<double>() == *f.neutral;
}

class Reader {
 public:
  Reader(const json& j, const ModelConfig& config, const std::set<std::string>& given, GenerationOptions& options)
      : j_(j), config_(config), given_(given), o_(options) {}

  GenerationSettings read() {
    lengths();
    search();
    sampling();
    results();
    words();
    for (const Foreign& f : kForeign)
      if (const auto found = j_.find(f.name); found != j_.end() && !is_neutral(*found, f) && (!f.sampling || o_.sample))
        refuse(f.name);
    return std::move(result_);
  }

 private:
  bool wants(const char* name) const { return find_field(j_, name) && !given_.count(name); }
  std::string spelled(const char* name) const { return text(name, " = ", brief(*find_field(j_, name))); }
  void use(const char* name) { result_.used.push_back(spelled(name)); }
  void refuse(const char* name) { result_.not_used.push_back(spelled(name)); }

  // Sets a number that is not what it would be anyway.
  template <class T>
  void take(const char* name, T& option, T value) {
    if (option == value) return;
    option = value;
    use(name);
  }

  // max_length and min_length count what the decoder was given, too: one token where an encoder reads the text.
  void lengths() {
    constexpr int64_t kUnset = 20;  // transformers' max_length where nobody sets one
    if (wants("max_new_tokens"))
      take("max_new_tokens", o_.max_new_tokens, get_int(j_, "max_new_tokens", 1, kMostTokens));
    else if (wants("max_length") && !given_.count("max_new_tokens"))
      if (const int64_t all = get_int(j_, "max_length", 0, kMostTokens); all != kUnset) {
        if (config_.is_seq2seq() && all > 1) take("max_length", o_.max_new_tokens, all - 1);
        else refuse("max_length");
      }
    int64_t least = 0;
    const char* const name = find_field(j_, "min_new_tokens") ? "min_new_tokens" : "min_length";
    if (find_field(j_, name) && !given_.count("min_new_tokens")) least = get_int(j_, name, 0, kMostTokens);
    if (std::string_view(name) == "min_length" && least > 0) least = config_.is_seq2seq() ? least - 1 : kMostTokens;
    if (least > o_.max_new_tokens) refuse(name);
    else if (least > 0) take(name, o_.min_new_tokens, least);
  }

  void search() {
    if (wants("num_beams")) take("num_beams", o_.beams, get_int(j_, "num_beams", 1, kMostTokens));
    if (wants("length_penalty") && o_.beams > 1)
      take("length_penalty", o_.length_penalty, get_number(j_, "length_penalty"));
    if (wants("no_repeat_ngram_size"))
      take("no_repeat_ngram_size", o_.no_repeat_ngram, get_int(j_, "no_repeat_ngram_size", 0, kMostTokens));
    if (const json* early = find_field(j_, "early_stopping"); early && *early != json(false) && o_.beams > 1)
      refuse("early_stopping");
  }

  // Which of the settings are for sampling depends on whether there is any.
  void sampling() {
    if (wants("do_sample") && get_bool(j_, "do_sample")) {
      if (given_.count("num_beams")) return;  // --beam 1: greedy
      if (o_.beams > 1) return refuse("do_sample");
      o_.sample = true;
      use("do_sample");
      if (!given_.count("top_k") && !find_field(j_, "top_k")) o_.top_k = 50;  // transformers' default
    }
    if (!o_.sample) return;
    if (wants("temperature")) take("temperature", o_.temperature, get_number(j_, "temperature"));
    if (wants("top_k")) take("top_k", o_.top_k, get_int(j_, "top_k", 0, kMostTokens));
    if (wants("top_p")) take("top_p", o_.top_p, get_number(j_, "top_p"));
  }

  // Several results are beams, or draws.
  void results() {
    if (!wants("num_return_sequences")) return;
    const int64_t results = get_int(j_, "num_return_sequences", 1, kMostTokens);
    if (results > o_.beams && !o_.sample) refuse("num_return_sequences");
    else take("num_return_sequences", o_.results, results);
  }

  void words() {
    if (wants("bad_words_ids")) {
      const json& list = *find_field(j_, "bad_words_ids");
      check_input(list.is_array(), "bad_words_ids is ", brief(list), "; expected an array");
      for (const json& word : list) {
        const json holder{{"bad_words_ids", word}};
        o_.forbidden.emplace_back();
        for (const int64_t id : get_ints(holder, "bad_words_ids", 0, kMostTokens - 1))
          o_.forbidden.back().push_back(int32_t(id));
      }
      if (!list.empty()) use("bad_words_ids");
    }
    if (!wants("suppress_tokens")) return;
    const std::vector<int64_t> ids = get_ints(j_, "suppress_tokens", 0, kMostTokens - 1);
    const bool ends = std::ranges::any_of(ids, [&](int64_t id) { return std::ranges::count(config_.eos, id) > 0; });
    if (ends) return refuse("suppress_tokens");  // what is forbidden here may always end
    for (const int64_t id : ids) o_.forbidden.push_back({int32_t(id)});
    if (!ids.empty()) use("suppress_tokens");
  }

  const json& j_;
  const ModelConfig& config_;
  const std::set<std::string>& given_;
  GenerationOptions& o_;
  GenerationSettings result_;
};

}  // namespace

GenerationSettings apply_generation_settings(const std::string& model_path, const ModelConfig& config,
                                             const std::set<std::string>& given, GenerationOptions& options) {
  const auto files = settings_of(model_path);
  for (const char* name : {"generation_config.json", "config.json"})
    if (const auto file = files.find(name); file != files.end())
      return reading(text(model_path, ": ", name), [&] {
        const json j = parse_json(file->second, name);
        check_input(j.is_object(), "the file is ", brief(j), "; expected an object");
        return Reader(j, config, given, options).read();
      });
  return {};
}

}  // namespace cambium
