// What turns tokens back into text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/tokenizers/pre_tokenizers.h"

namespace cambium {

// Changes the list of tokens; the text is what is left, one after the other.
using Decoder = std::function<void(std::vector<std::string>&)>;

// Bytes of the tokens, and one more for each; and how many that may become, so that rules of a damaged file cannot fill
// the memory.
size_t decoded_size(const std::vector<std::string>& tokens);
size_t longest_decoded(const std::vector<std::string>& tokens);

// Spellings to bytes; a token with a character that is no byte's stays what it is.
Decoder byte_level_decoder();
// Tokens that begin with `prefix` go on with a word, others start one after a blank. `cleanup`: no blank before
// punctuation and in contractions.
Decoder wordpiece_decoder(const std::string& prefix, bool cleanup);
// `replacement` is a blank; in the first token it is none, if one was put there.
Decoder metaspace_decoder(const std::string& replacement, Prepend prepend);
Decoder replace_decoder(const std::string& from, const std::string& to);
// <0xNN> to bytes.
Decoder byte_fallback_decoder();
Decoder fuse_decoder();
// Removes up to `start` and `stop` characters `content` at the ends of each token.
Decoder strip_decoder(const std::string& content, size_t start, size_t stop);

// Removes blanks before punctuation, as transformers' clean_up_tokenization_spaces.
std::string cleaned_up(std::string text);

}  // namespace cambium
