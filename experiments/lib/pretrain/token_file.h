// Token files: texts that were tokenised once, as flat arrays that are mapped into memory. What pre-training reads.
//
//   bytes 0-7     "CAMTOK1\n"
//   8-11, 12-15   bytes a token (2 or 4), 0                                    little-endian, as all numbers
//   16-23, 24-31  vocabulary, number of tokens
//   32-63         SHA-256 of all other bytes
//   64-           tokens
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "core/files.h"
#include "models/tokenizers/tokenizer.h"
#include "tuning/examples.h"

namespace cambium {

class TokenFile {
 public:
  // Throws InputError for what is no whole and intact token file.
  explicit TokenFile(const std::string& path);

  int64_t size() const { return size_; }
  int64_t vocabulary() const { return vocabulary_; }
  const std::string& hash() const { return hash_; }  // of what is in it
  const std::string& path() const { return file_.path(); }
  // Appends tokens [begin, end).
  void append_to(std::vector<int32_t>& tokens, int64_t begin, int64_t end) const;

  static void write(const std::string& path, const std::vector<int32_t>& tokens, int64_t vocabulary);

 private:
  MappedFile file_;
  int64_t width_ = 0, vocabulary_ = 0, size_ = 0;
  std::string hash_;
};

// The token file of a text file in `folder`, made unless one of the same text and tokenizer is there. Texts are cut at
// empty lines and tokenised piece by piece; `end` (if not below 0) stands behind the last token. Texts may be packed by
// xz.
std::string tokenized(const std::string& text_file, const std::string& folder, const Tokenizer&, int64_t vocabulary,
                      int32_t end);

// Several token files as one stream, cut into blocks of `length` tokens without padding; the last is shorter. A single
// token behind the last whole block is left out: nothing can be learned from it.
class TokenBlocks {
 public:
  TokenBlocks(const std::vector<std::string>& token_files, int64_t length);

  int64_t size() const { return std::max<int64_t>(1, (tokens_ + length_ - 2) / length_); }
  int64_t tokens() const { return tokens_; }
  Sequence operator[](int64_t block) const;
  std::string hash() const;

 private:
  std::vector<TokenFile> files_;
  std::vector<int64_t> begin_;  // of each file in the stream
  int64_t length_, tokens_ = 0;
};

// Blocks [begin, end) as examples. The blocks must outlive them.
Examples examples_of(const TokenBlocks&, int64_t begin, int64_t end);

}  // namespace cambium
