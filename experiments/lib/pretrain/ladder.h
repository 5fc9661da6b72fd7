// A ladder of small shapes of every family, to pre-train from nothing.
#pragma once

#include <string>
#include <vector>

#include "models/model.h"

namespace cambium {

// About 1, 3, 7 and 16 million parameters as an encoder-decoder with a vocabulary of 8192: "1m", "3m", "7m", "16m"; and
// "tiny" for tests.
std::vector<std::string> ladder_sizes();
// family: t5 (the form of T5 1.1 with a tied head), bert, gpt2 or bart.
ModelConfig ladder_shape(const std::string& size, const std::string& family, int64_t vocabulary);

// Initial values as the families' authors draw them: N(0, 0.02), T5's by the widths that a product reads.
void initialize(Model&, uint64_t seed);

}  // namespace cambium
