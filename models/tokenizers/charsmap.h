// SentencePiece's table of replaced characters ("precompiled_charsmap"): a trie of strings and what each becomes.
#pragma once

#include <string>

#include "models/tokenizers/normalizers.h"

namespace cambium {

// `map`: the table's bytes. InputError where they are none.
Normalizer charsmap_normalizer(const std::string& map);

}  // namespace cambium
