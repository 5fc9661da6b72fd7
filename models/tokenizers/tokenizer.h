// Text to token ids and back, as the original tokenizers do it, byte for byte.
//
// The reference is transformers 5 (the tokenizers library below it). Texts are any bytes. Those that are no UTF-8 are
// kept by byte-level BPE, so that decode gives them back; the other kinds see U+FFFD for each of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cambium {

class GgufValues;

// Bytes [begin, end) of a text.
struct ByteRange {
  size_t begin = 0, end = 0;
  bool operator==(const ByteRange&) const = default;
};

// The tokens around two texts that are read together, and the segment id (token type) of the second text and what
// follows it; all before has segment id 0.
struct PairFraming {
  std::vector<int32_t> before, between, after;
  int32_t second_type = 0;
};

// Ids, and for each the bytes of the text it stands for: {0, 0} for tokens put around the text.
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<ByteRange> spans;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids of `text`; `special`: with the tokens that the model's tokenizer puts around it.
  virtual std::vector<int32_t> encode(std::string_view text, bool special) const = 0;
  // The same ids with spans. A character that becomes several tokens is shared out by bytes where tokens are bytes;
  // else each of them has the whole character.
  virtual Encoding encode_with_offsets(std::string_view text, bool special) const = 0;
  // The text of `ids`; `skip_special`: without special tokens. Ids that no token has
  // (a model's table may be longer than its vocabulary) have no text; negative ones are an Error.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special) const = 0;
  // One more than the largest id.
  virtual int64_t vocabulary_size() const = 0;

  // The id of a token as its file spells it ("<extra_id_0>", "##ing", "Ġthe").
  virtual std::optional<int32_t> find_token(std::string_view token) const = 0;
  // The spelling of an id.
  virtual const std::string& token(int32_t id) const = 0;
  // How the model's tokenizer joins two texts; none where its files do not say.
  virtual std::optional<PairFraming> pair_framing() const { return std::nullopt; }
  // Of the tokens that decode skips with skip_special.
  virtual bool is_special(int32_t id) const = 0;
  // Whether an id stands for text: within the vocabulary, spelled, and not special.
  bool is_text(int32_t id) const { return id >= 0 && id < vocabulary_size() && !is_special(id) && !token(id).empty(); }
};

// The tokenizer of a directory in Hugging Face form: tokenizer.json, or vocab.json and merges.txt, vocab.txt,
// spiece.model. Throws InputError, naming the file, where it cannot be used.
std::unique_ptr<const Tokenizer> load_tokenizer(const std::string& directory);

// The tokenizer.ggml.* metadata of a GGUF file.
struct GgufVocabulary {
  std::string model, pre;
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> token_type;  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::optional<int64_t> bos_token_id, eos_token_id, unknown_token_id, padding_token_id, seperator_token_id,
      cls_token_id, mask_token_id;
  std::optional<bool> add_bos_token, add_eos_token;
};

// None where the file has no tokens.
std::optional<GgufVocabulary> read_gguf_vocabulary(const GgufValues&);
std::unique_ptr<const Tokenizer> make_gguf_tokenizer(const GgufVocabulary&);
// The same tokenizer as a tokenizer.json.
std::string gguf_tokenizer_json(const GgufVocabulary&);

}  // namespace cambium
