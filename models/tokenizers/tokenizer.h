// Text to token ids and back, as the original tokenizers do it, byte for byte.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cambium {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids of `text`; `special`: with the tokens that the model's tokenizer puts around it.
  virtual std::vector<int32_t> encode(std::string_view text, bool special) const = 0;
  // The text of `ids`; `skip_special`: without special tokens. Ids are below vocabulary_size().
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special) const = 0;
  // One more than the largest id.
  virtual int64_t vocabulary_size() const = 0;
};

// The tokenizer of a directory in Hugging Face form: tokenizer.json, or vocab.json and merges.txt, vocab.txt,
// spiece.model. Throws InputError, naming the file, where it cannot be used.
std::unique_ptr<const Tokenizer> load_tokenizer(const std::string& directory);

}  // namespace cambium
