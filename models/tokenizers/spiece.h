// SentencePiece model files.
#pragma once

#include <string>
#include <string_view>

#include "models/tokenizers/unigram.h"

namespace cambium {

struct SentencePieceModel {
  UnigramSpec unigram;
  std::string charsmap;                             // empty: characters stay what they are
  std::vector<std::pair<std::string, bool>> added;  // control (true) and user-defined pieces
};

// `bytes`: the file's. InputError: damaged files, models that are not Unigram.
SentencePieceModel read_sentencepiece(std::string_view bytes);

}  // namespace cambium
