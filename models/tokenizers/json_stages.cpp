// normalizer, pre_tokenizer and decoder of tokenizer.json.
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "models/tokenizers/characters.h"
#include "models/tokenizers/charsmap.h"
#include "models/tokenizers/readers.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const char* section, const std::string& type) {
  throw InputError(text("the ", section, " ", type, " of this tokenizer is not supported"));
}

bool flag(const json& j, const char* name, bool otherwise) { return find_bool(j, name).value_or(otherwise); }

// The members of a Sequence, or the one stage itself; none for null.
std::vector<const json*> members(const json& stage, const char* list) {
  if (stage.is_null()) return {};
  if (get_string(stage, "type") != "Sequence") return {&stage};
  const json* const inner = find_field(stage, list);
  check_input(inner && inner->is_array(), "a Sequence without the list \"", list, "\"");
  std::vector<const json*> all;
  for (const json& one : *inner)
    for (const json* member : members(one, list)) {
      check_input(all.size() < 1000, "a Sequence of more than 1000 stages");
      all.push_back(member);
    }
  return all;
}

// {"String": s} or {"Regex": s}
std::pair<std::string, bool> pattern_of(const json& stage) {
  const json& pattern = get_object(stage, "pattern");
  if (const auto literal = find_string(pattern, "String")) return {*literal, false};
  return {get_string(pattern, "Regex"), true};
}

std::string escaped(const std::string& literal) {
  std::string out;
  for (const char c : literal) {
    if (std::string_view(R"(\^$.|?*+()[]{}#- )").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

SplitBehavior behavior_of(const json& stage) {
  const std::string name = get_string(stage, "behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  refuse("split behavior", name);
}

// Older files have add_prefix_space in place of prepend_scheme.
Prepend prepend_of(const json& stage) {
  const auto scheme = find_string(stage, "prepend_scheme");
  if (!scheme) return flag(stage, "add_prefix_space", true) ? Prepend::always : Prepend::never;
  check_input(*scheme == "always" || *scheme == "first" || *scheme == "never", "the prepend_scheme \"", *scheme,
              "\" is none of always, first, never");
  return *scheme == "always" ? Prepend::always : *scheme == "first" ? Prepend::first : Prepend::never;
}

// What stands for a blank: one character.
std::string mark_of(const json& stage) {
  const std::string mark = get_string(stage, "replacement");
  check_input(!mark.empty() && utf8_char(mark, 0).size == mark.size(), "the replacement of Metaspace is ",
              brief(json(mark)), "; expected one character");
  return mark;
}

std::string base64(std::string_view text) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    check_input(digit != kDigits.npos, "\"precompiled_charsmap\" is no base64");
    bits = bits << 6 | uint32_t(digit);
    if ((count += 6) >= 8) bytes += char(uint8_t(bits >> (count -= 8)));
  }
  return bytes;
}

Normalizer normalizer_of(const json& stage) {
  const std::string type = get_string(stage, "type");
  if (type == "NFC") return unicode_normalizer(UnicodeForm::nfc);
  if (type == "NFD") return unicode_normalizer(UnicodeForm::nfd);
  if (type == "NFKC") return unicode_normalizer(UnicodeForm::nfkc);
  if (type == "NFKD") return unicode_normalizer(UnicodeForm::nfkd);
  if (type == "Lowercase") return lowercase();
  if (type == "StripAccents") return strip_accents();
  if (type == "Strip") return strip(flag(stage, "strip_left", true), flag(stage, "strip_right", true));
  if (type == "Prepend") return prepend(get_string(stage, "prepend"));
  if (type == "Replace") {
    const auto [pattern, regex] = pattern_of(stage);
    return regex ? replace_pattern(pattern, get_string(stage, "content"))
                 : replace_string(pattern, get_string(stage, "content"));
  }
  if (type == "BertNormalizer") {
    const bool lower = flag(stage, "lowercase", true);
    return bert_normalizer({.clean = flag(stage, "clean_text", true),
                            .chinese = flag(stage, "handle_chinese_chars", true),
                            .accents = flag(stage, "strip_accents", lower),
                            .lower = lower});
  }
  if (type == "Precompiled") return charsmap_normalizer(base64(get_string(stage, "precompiled_charsmap")));
  refuse("normalizer", type);
}

void add_pre_tokenizer(const json& stage, PreTokenizers& out) {
  const std::string type = get_string(stage, "type");
  const auto add = [&](PreTokenizer f) { out.stages.push_back(std::move(f)); };
  check_input(!out.byte_level, "the pre-tokenizer ", type, " behind ByteLevel is not supported");
  if (type == "ByteLevel") {
    if (flag(stage, "add_prefix_space", true)) add(prefix_space());
    if (flag(stage, "use_regex", true)) add(byte_level_words());
    out.byte_level = true;
  } else if (type == "Split") {
    const auto [pattern, regex] = pattern_of(stage);
    check_input(!pattern.empty(), "the pre-tokenizer Split has an empty pattern");
    add(split_by_pattern(regex ? pattern : escaped(pattern), behavior_of(stage), flag(stage, "invert", false)));
  } else if (type == "Digits") {
    add(split_by_characters(
        is_numeric, flag(stage, "individual_digits", false) ? SplitBehavior::isolated : SplitBehavior::contiguous));
  } else if (type == "Whitespace") {
    add(split_into_words());
  } else if (type == "WhitespaceSplit") {
    add(split_by_characters(is_blank, SplitBehavior::removed));
  } else if (type == "Punctuation") {
    add(split_by_characters(is_punctuation,
                            find_field(stage, "behavior") ? behavior_of(stage) : SplitBehavior::isolated));
  } else if (type == "BertPreTokenizer") {
    for (const PreTokenizer& f : bert_words()) add(f);
  } else if (type == "Metaspace") {
    add(metaspace(mark_of(stage), prepend_of(stage), flag(stage, "split", true)));
  } else {
    refuse("pre-tokenizer", type);
  }
}

Decoder decoder_of(const json& stage) {
  const std::string type = get_string(stage, "type");
  if (type == "ByteLevel") return byte_level_decoder();
  if (type == "WordPiece") return wordpiece_decoder(get_string(stage, "prefix"), flag(stage, "cleanup", true));
  if (type == "Metaspace") return metaspace_decoder(mark_of(stage), prepend_of(stage));
  if (type == "ByteFallback") return byte_fallback_decoder();
  if (type == "Fuse") return fuse_decoder();
  if (type == "Strip")
    return strip_decoder(get_string(stage, "content"), size_t(get_int(stage, "start", 0)),
                         size_t(get_int(stage, "stop", 0)));
  if (type == "Replace") {
    const auto [pattern, regex] = pattern_of(stage);
    if (regex) refuse("decoder", "Replace with a regular expression");
    return replace_decoder(pattern, get_string(stage, "content"));
  }
  refuse("decoder", type);
}

}  // namespace

std::vector<Normalizer> read_normalizers(const json& stage) {
  std::vector<Normalizer> out;
  for (const json* one : members(stage, "normalizers")) out.push_back(normalizer_of(*one));
  return out;
}

PreTokenizers read_pre_tokenizers(const json& stage) {
  PreTokenizers out;
  for (const json* one : members(stage, "pretokenizers")) add_pre_tokenizer(*one, out);
  return out;
}

std::vector<Decoder> read_decoders(const json& stage) {
  std::vector<Decoder> out;
  for (const json* one : members(stage, "decoders")) out.push_back(decoder_of(*one));
  return out;
}

}  // namespace cambium
