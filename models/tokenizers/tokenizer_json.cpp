// tokenizer.json: the model, the added tokens and what is put around a text.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/json_integer.h"
#include "models/tokenizers/readers.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr size_t kMostAdded = 1 << 20;
constexpr size_t kMostSigns = 1 << 12;  // tokens around a text

// The section, or null.
const json& section(const json& j, const char* name) {
  static const json none;
  const json* const found = find_field(j, name);
  return found ? *found : none;
}

std::vector<AddedToken> read_added_tokens(const json& list) {
  std::vector<AddedToken> added;
  if (list.is_null()) return added;
  check_input(list.is_array() && list.size() < kMostAdded, "\"added_tokens\" is ", brief(list), "; expected an array");
  for (const json& j : list) {
    const auto flag = [&](const char* name) { return find_bool(j, name).value_or(false); };
    added.push_back({.id = int32_t(get_int(j, "id", 0, kLargestId)),
                     .content = get_string(j, "content"),
                     .special = flag("special"),
                     .normalized = flag("normalized"),
                     .single_word = flag("single_word"),
                     .lstrip = flag("lstrip"),
                     .rstrip = flag("rstrip")});
  }
  return added;
}

std::vector<std::pair<std::string, int64_t>> read_vocabulary(const json& j) {
  const json& vocabulary = get_object(j, "vocab");
  std::vector<std::pair<std::string, int64_t>> pairs;
  for (const auto& [token, id] : vocabulary.items()) {
    check_input(is_int(id, 0, kLargestId), "the id of the token ", brief(json(token)), " is ", brief(id),
                "; expected a number from 0");
    pairs.emplace_back(token, id.get<int64_t>());
  }
  return pairs;
}

// "left right", or ["left", "right"]
std::pair<std::string, std::string> read_merge(const json& merge, size_t rank) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0], merge[1]};
  check_input(merge.is_string(), "merge ", rank, " is ", brief(merge), "; expected two tokens");
  const std::string& both = merge.get_ref<const std::string&>();
  const size_t blank = both.find(' ');
  check_input(blank != both.npos && both.find(' ', blank + 1) == both.npos, "merge ", rank, " is ", brief(merge),
              "; expected two tokens with one blank between");
  return {both.substr(0, blank), both.substr(blank + 1)};
}

Bpe read_bpe(const json& j, const std::vector<AddedToken>& added, bool byte_level) {
  check_input(!find_number(j, "dropout").value_or(0), "BPE with dropout is not supported");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    check_input(find_string(j, affix).value_or("").empty(), "BPE with ", affix, " is not supported");
  BpeSpec spec{.tokens = tokens_by_id(read_vocabulary(j), added),
               .byte_level = byte_level,
               .byte_fallback = find_bool(j, "byte_fallback").value_or(false),
               .fuse_unknown = find_bool(j, "fuse_unk").value_or(false),
               .ignore_merges = find_bool(j, "ignore_merges").value_or(false),
               .unknown = find_string(j, "unk_token")};
  const json& merges = section(j, "merges");
  check_input(merges.is_array(), "\"merges\" is ", brief(merges), "; expected an array");
  for (const json& merge : merges) spec.merges.push_back(read_merge(merge, spec.merges.size()));
  return Bpe(std::move(spec));
}

WordPiece read_wordpiece(const json& j, const std::vector<AddedToken>& added) {
  return WordPiece({.tokens = tokens_by_id(read_vocabulary(j), added),
                    .unknown = find_string(j, "unk_token").value_or("[UNK]"),
                    .prefix = find_string(j, "continuing_subword_prefix").value_or("##"),
                    .longest_word = size_t(find_int(j, "max_input_chars_per_word", 0, kLargestId).value_or(100))});
}

Unigram read_unigram(const json& j) {
  check_input(!find_bool(j, "byte_fallback").value_or(false), "Unigram with byte_fallback is not supported");
  UnigramSpec spec{.unknown = int32_t(get_int(j, "unk_id", 0, kLargestId))};
  const json& vocabulary = section(j, "vocab");
  check_input(vocabulary.is_array(), "\"vocab\" is ", brief(vocabulary), "; expected an array of tokens and scores");
  for (const json& pair : vocabulary) {
    check_input(pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_number(), "\"vocab\"[",
                spec.tokens.size(), "] is ", brief(pair), "; expected a token and its score");
    spec.tokens.push_back(pair[0]), spec.scores.push_back(pair[1]);
  }
  return Unigram(std::move(spec));
}

std::variant<Bpe, WordPiece, Unigram> read_model(const json& j, const std::vector<AddedToken>& added, bool byte_level) {
  // Old files have no type, which then is what the fields say.
  const std::string type = find_string(j, "type").value_or(find_field(j, "merges")   ? "BPE"
                                                           : find_field(j, "unk_id") ? "Unigram"
                                                                                     : "WordPiece");
  if (type == "BPE") return read_bpe(j, added, byte_level);
  check_input(!byte_level, "the pre-tokenizer ByteLevel with the model ", type, " is not supported");
  if (type == "WordPiece") return read_wordpiece(j, added);
  if (type == "Unigram") return read_unigram(j);
  throw InputError(
      text("the model ", type, " of this tokenizer is not supported; there are BPE, WordPiece and Unigram"));
}

// [token, id]
int32_t read_sign(const json& j, const char* name, const Pipeline& p) {
  const json& pair = section(j, name);
  check_input(pair.is_array() && pair.size() == 2 && pair[0].is_string(), "\"", name, "\" is ", brief(pair),
              "; expected a token and its id");
  const int64_t size = vocabulary_size_of(p);
  check_input(is_int(pair[1], 0, size - 1), "\"", name, "\" has the id ", brief(pair[1]),
              ", outside the vocabulary of ", size);
  return pair[1].get<int32_t>();
}

// "pair" of TemplateProcessing: [CLS] A [SEP] B:1 [SEP]:1. None where it is missing or has another form: who reads
// pairs says so.
std::optional<PairFraming> read_pair(const json& j, int64_t vocabulary) {
  const json* list = find_field(j, "pair");
  if (!list || !list->is_array()) return std::nullopt;
  PairFraming pair;
  int texts = 0;
  for (const json& part : *list) {
    if (const json* sequence = find_field(part, "Sequence")) {
      if (get_string(*sequence, "id") != (texts == 0 ? "A" : "B") || ++texts > 2) return std::nullopt;
      if (texts == 2) pair.second_type = int32_t(find_int(*sequence, "type_id", 0, 1023).value_or(0));
      continue;
    }
    const json& special =
        get_object(get_object(j, "special_tokens"), get_string(get_object(part, "SpecialToken"), "id"));
    std::vector<int32_t>& place = texts == 0 ? pair.before : texts == 1 ? pair.between : pair.after;
    for (const int64_t id : get_ints(special, "ids", 0, vocabulary - 1)) place.push_back(int32_t(id));
    if (place.size() > size_t(kMostSigns)) return std::nullopt;
  }
  return texts == 2 ? std::optional(pair) : std::nullopt;
}

void read_template(const json& j, Pipeline& p) {
  const json& single = section(j, "single");
  check_input(single.is_array(), "\"single\" of TemplateProcessing is ", brief(single), "; expected an array");
  std::vector<int32_t> before, after;
  bool seen = false;
  const int64_t size = vocabulary_size_of(p);
  for (const json& part : single) {
    if (find_field(part, "Sequence")) {
      check_input(!seen, "TemplateProcessing has the text twice, which is not supported");
      seen = true;
      continue;
    }
    const json& special =
        get_object(get_object(j, "special_tokens"), get_string(get_object(part, "SpecialToken"), "id"));
    for (const int64_t id : get_ints(special, "ids", 0, size - 1)) (seen ? after : before).push_back(int32_t(id));
    check_input(p.prefix.size() + p.suffix.size() + before.size() + after.size() <= kMostSigns,
                "TemplateProcessing puts more than ", kMostSigns, " tokens around a text");
  }
  check_input(seen, "TemplateProcessing does not contain the text");
  p.prefix.insert(p.prefix.begin(), before.begin(), before.end());
  p.suffix.insert(p.suffix.end(), after.begin(), after.end());
  p.pair = read_pair(j, size);
}

void read_post_processor(const json& j, Pipeline& p) {
  if (j.is_null()) return;
  const std::string type = get_string(j, "type");
  if (type == "Sequence") {
    const json& list = section(j, "processors");
    check_input(list.is_array() && list.size() <= 1000, "\"processors\" is ", brief(list),
                "; expected an array of at most 1000");
    for (const json& one : list) read_post_processor(one, p);
  } else if (type == "ByteLevel") {
    p.trim_offsets = find_bool(j, "trim_offsets").value_or(true);
  } else if (type == "TemplateProcessing") {
    read_template(j, p);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    p.prefix = {read_sign(j, "cls", p)}, p.suffix = {read_sign(j, "sep", p)};
    p.pair = type == "BertProcessing" ? bert_pair(p) : roberta_pair(p);
    if (type == "RobertaProcessing") p.trim_offsets = find_bool(j, "trim_offsets").value_or(true);
  } else {
    throw InputError(text("the post-processor ", type, " of this tokenizer is not supported"));
  }
}

}  // namespace

std::vector<std::string> tokens_by_id(const std::vector<std::pair<std::string, int64_t>>& vocabulary,
                                      const std::vector<AddedToken>& added) {
  std::vector<std::pair<int64_t, const std::string*>> all;
  for (const auto& [token, id] : vocabulary) all.emplace_back(id, &token);
  std::sort(all.begin(), all.end());
  for (size_t i = 1; i < all.size(); ++i)
    check_input(all[i - 1].first != all[i].first, "the tokens \"", *all[i - 1].second, "\" and \"", *all[i].second,
                "\" have the same id ", all[i].first);
  // Added tokens fill holes; those behind the vocabulary stay apart.
  const auto has = [&, n = all.size()](int64_t id) {
    return std::binary_search(all.begin(), all.begin() + ptrdiff_t(n),
                              std::pair<int64_t, const std::string*>(id, nullptr),
                              [](const auto& a, const auto& b) { return a.first < b.first; });
  };
  const int64_t largest = all.empty() ? -1 : all.back().first;
  std::vector<std::pair<int64_t, const std::string*>> fill;
  for (const AddedToken& t : added)
    if (t.id < largest && !has(t.id)) fill.emplace_back(t.id, &t.content);
  all.insert(all.end(), fill.begin(), fill.end());
  std::sort(all.begin(), all.end());
  std::vector<std::string> tokens;
  tokens.reserve(all.size());
  for (const auto& [id, token] : all) {
    check_input(id == int64_t(tokens.size()), "no token has the id ", tokens.size(), ", but \"", *token, "\" has ", id);
    tokens.push_back(*token);
  }
  return tokens;
}

const Vocabulary& vocabulary_of(const Pipeline& p) {
  return std::visit([](const auto& model) -> const Vocabulary& { return model.vocabulary(); }, p.model);
}

std::optional<int32_t> id_in(const Pipeline& p, std::string_view token) {
  const auto added =
      std::find_if(p.added.begin(), p.added.end(), [&](const AddedToken& t) { return t.content == token; });
  return added != p.added.end() ? std::optional(added->id) : vocabulary_of(p).find(token);
}

int64_t vocabulary_size_of(const Pipeline& p) {
  int64_t size = int64_t(vocabulary_of(p).size());
  for (const AddedToken& t : p.added) size = std::max(size, int64_t(t.id) + 1);
  return size;
}

Pipeline read_tokenizer_json(const json& j) {
  const std::vector<AddedToken> added = read_added_tokens(section(j, "added_tokens"));
  PreTokenizers words = read_pre_tokenizers(section(j, "pre_tokenizer"));
  Pipeline p{.model = read_model(get_object(j, "model"), added, words.byte_level),
             .added = added,
             .normalizers = read_normalizers(section(j, "normalizer")),
             .pre_tokenizers = std::move(words.stages),
             .decoders = read_decoders(section(j, "decoder")),
             .bytes = words.byte_level};
  read_post_processor(section(j, "post_processor"), p);
  return p;
}

}  // namespace cambium
