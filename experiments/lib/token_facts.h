// What objectives need to know of a tokenizer.
#pragma once

#include <optional>

#include "models/config.h"
#include "models/tokenizers/tokenizer.h"
#include "tuning/denoising.h"

namespace cambium {

// The tokens that the tokenizer puts around every text.
Framing framing_of(const Tokenizer&);

// Which tokens begin a word, by id: SentencePiece's with U+2581 and byte-level BPE's with a blank in front, WordPiece's
// without ##.
WordStarts word_starts(const Tokenizer&);

// The token that hides another: [MASK] or <mask>.
std::optional<int32_t> mask_token(const Tokenizer&);

// Tokens that end a sentence: full stops that stand alone, with or without a blank in front (fairseq knows the one of
// GPT-2's vocabulary without).
std::vector<int32_t> sentence_ends(const Tokenizer&);

// T5's <extra_id_0>, and how many count down from it; none where the tokenizer has no sentinels.
struct Sentinels {
  int32_t first = 0;
  int64_t count = 0;
};
std::optional<Sentinels> sentinels(const Tokenizer&);

// All ids that stand for no text.
std::vector<int32_t> special_tokens(const Tokenizer&);

// The token of a label word, read as it stands inside a text: its first one, and the only one where `whole` asks for
// that.
int32_t label_token(const Tokenizer&, const std::string& word, bool whole);

}  // namespace cambium
