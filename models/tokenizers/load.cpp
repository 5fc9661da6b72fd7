// Tokenizers of a directory.
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "models/tokenizers/characters.h"
#include "models/tokenizers/charsmap.h"
#include "models/tokenizers/readers.h"
#include "models/tokenizers/spiece.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr int64_t kVocabularyBytes = int64_t(256) << 20;

// Lines without their ends; a last empty line is none.
template <class F>
void for_each_line(const std::string& text, const F& f) {
  size_t number = 0;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    f(std::move(line), ++number);
  }
}

std::vector<std::pair<std::string, int64_t>> read_vocab_json(const std::string& path) {
  const json j = parse_json_file(path, kVocabularyBytes);
  return reading(path, [&] {
    check_input(j.is_object(), "the vocabulary is ", brief(j), "; expected an object");
    std::vector<std::pair<std::string, int64_t>> pairs;
    for (const auto& [token, _] : j.items()) pairs.emplace_back(token, get_int(j, token, 0, (int64_t(1) << 31) - 2));
    return pairs;
  });
}

std::vector<std::pair<std::string, std::string>> read_merges(const std::string& path) {
  std::vector<std::pair<std::string, std::string>> merges;
  for_each_line(read_text_file(path, kVocabularyBytes), [&](const std::string& line, size_t number) {
    if (line.starts_with("#version") || line.empty()) return;
    const size_t blank = line.find(' ');
    check_input(blank != line.npos && line.find(' ', blank + 1) == line.npos, path, ":", number, ": ",
                brief(json(line)), " is no merge; expected two tokens with one blank between");
    merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
  });
  return merges;
}

bool is_roberta(const TokenizerSettings& settings, const std::vector<std::pair<std::string, int64_t>>& vocabulary) {
  for (const char* kind : {"roberta", "Roberta", "bart", "Bart"})
    if (settings.kind.starts_with(kind)) return true;
  if (!settings.kind.empty()) return false;
  size_t found = 0;
  for (const auto& [token, _] : vocabulary) found += token == "<s>" || token == "</s>" || token == "<mask>";
  return found == 3;
}

bool is_t5(const TokenizerSettings& settings) {
  return settings.kind.starts_with("t5") || settings.kind.starts_with("T5");
}

void name_token(TokenizerSettings& settings, const char* name, const char* content) {
  if (!settings.find(name)) settings.named.push_back({name, {.content = content}});
}

// GPT-2's, RoBERTa's and BART's files.
Pipeline read_vocab_and_merges(const std::string& directory, TokenizerSettings settings) {
  const auto vocabulary = read_vocab_json(directory + "/vocab.json");
  BpeSpec spec{
      .tokens = tokens_by_id(vocabulary, {}), .merges = read_merges(directory + "/merges.txt"), .byte_level = true};
  const bool roberta = is_roberta(settings, vocabulary);
  Pipeline p{.model = Bpe(std::move(spec)), .bytes = true};
  if (settings.add_prefix_space.value_or(false)) p.pre_tokenizers.push_back(prefix_space());
  p.pre_tokenizers.push_back(byte_level_words());
  p.decoders.push_back(byte_level_decoder());
  if (roberta) {
    for (const auto& [name, token] : {std::pair("bos_token", "<s>"),
                                      {"eos_token", "</s>"},
                                      {"unk_token", "<unk>"},
                                      {"sep_token", "</s>"},
                                      {"pad_token", "<pad>"},
                                      {"cls_token", "<s>"},
                                      {"mask_token", "<mask>"}})
      name_token(settings, name, token);
  } else {
    for (const char* name : {"bos_token", "eos_token", "unk_token"}) name_token(settings, name, "<|endoftext|>");
  }
  apply_settings(p, settings);
  if (roberta && !settings.add_bos && !settings.add_eos) {
    p.prefix = sign_of(p, settings, "cls_token"), p.suffix = sign_of(p, settings, "sep_token");
    p.pair = roberta_pair(p);
    p.trim_offsets = true;
  }
  return p;
}

// BERT's.
Pipeline read_vocab_txt(const std::string& path, TokenizerSettings settings) {
  for (const auto& [name, token] : {std::pair("unk_token", "[UNK]"),
                                    {"sep_token", "[SEP]"},
                                    {"pad_token", "[PAD]"},
                                    {"cls_token", "[CLS]"},
                                    {"mask_token", "[MASK]"}})
    name_token(settings, name, token);
  WordPieceSpec spec{.unknown = settings.find("unk_token")->content};
  for_each_line(read_text_file(path, kVocabularyBytes), [&](std::string line, size_t number) {
    check_input(is_utf8(line), "line ", number, " is no UTF-8");
    spec.tokens.push_back(strip(false, true)(AlignedText(line, 0)).text());
  });
  Pipeline p{.model = WordPiece(std::move(spec))};
  const bool lower = settings.lower_case.value_or(true);
  p.normalizers.push_back(bert_normalizer(
      {.chinese = settings.chinese.value_or(true), .accents = settings.strip_accents.value_or(lower), .lower = lower}));
  p.pre_tokenizers = bert_words();
  p.decoders.push_back(wordpiece_decoder("##", true));
  apply_settings(p, settings);
  if (!settings.add_bos && !settings.add_eos) {
    p.prefix = sign_of(p, settings, "cls_token"), p.suffix = sign_of(p, settings, "sep_token");
    p.pair = bert_pair(p);
  }
  return p;
}

// T5's.
Pipeline read_spiece(const std::string& path, TokenizerSettings settings) {
  check_input(settings.kind.empty() || is_t5(settings), "a SentencePiece model of a ", settings.kind,
              " is not supported, only T5's; tokenizer.json may be");
  SentencePieceModel model = read_sentencepiece(read_text_file(path, kVocabularyBytes));
  const int64_t sentinels = settings.extra_ids.value_or(100);
  for (int64_t i = sentinels; i-- > 0;) {
    model.unigram.tokens.push_back(text("<extra_id_", i, ">")), model.unigram.scores.push_back(0);
    model.added.emplace_back(model.unigram.tokens.back(), true);
  }
  for (const auto& [name, token] : {std::pair("eos_token", "</s>"), {"unk_token", "<unk>"}, {"pad_token", "<pad>"}})
    name_token(settings, name, token);
  Pipeline p{.model = Unigram(std::move(model.unigram))};
  if (!model.charsmap.empty()) p.normalizers.push_back(charsmap_normalizer(model.charsmap));
  p.pre_tokenizers = {split_by_characters(is_blank, SplitBehavior::removed),
                      metaspace("\u2581", Prepend::always, true)};
  p.decoders.push_back(metaspace_decoder("\u2581", Prepend::always));
  for (const auto& [content, special] : model.added)
    p.added.push_back({.id = *vocabulary_of(p).find(content), .content = content, .special = special});
  apply_settings(p, settings);
  if (!settings.add_bos && !settings.add_eos) p.suffix = sign_of(p, settings, "eos_token");
  return p;
}

}  // namespace

std::unique_ptr<const Tokenizer> load_tokenizer(const std::string& directory) {
  const auto has = [&](const char* name) { return file_exists(directory + "/" + name); };
  const TokenizerSettings settings = read_settings(directory);
  const auto finished = [&](const char* file, const auto& read) {
    return reading(directory + "/" + file, [&] { return make_tokenizer(read()); });
  };
  if (has("tokenizer.json")) {
    const json j = parse_json_file(directory + "/tokenizer.json");
    return finished("tokenizer.json", [&] {
      Pipeline p = read_tokenizer_json(j);
      // What stands around a text is the file's own: transformers drops the settings' wishes beside it.
      TokenizerSettings rest = settings;
      rest.add_bos.reset(), rest.add_eos.reset();
      apply_settings(p, rest);
      return p;
    });
  }
  if (has("vocab.json")) {
    check_input(has("merges.txt"), directory, " has vocab.json, but no merges.txt, which belongs to it");
    return finished("vocab.json", [&] { return read_vocab_and_merges(directory, settings); });
  }
  if (has("vocab.txt"))
    return finished("vocab.txt", [&] { return read_vocab_txt(directory + "/vocab.txt", settings); });
  for (const char* file : {"spiece.model", "tokenizer.model"})
    if (has(file)) return finished(file, [&] { return read_spiece(directory + "/" + file, settings); });
  throw InputError(
      text(directory,
           " has no tokenizer files: tokenizer.json, or vocab.json with merges.txt, or vocab.txt, or spiece.model"));
}

}  // namespace cambium
