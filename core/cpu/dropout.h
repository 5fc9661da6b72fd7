// Philox words for a whole row of channels, 64 at a time, in a form that compiles to vector code.
#pragma once

#include "core/random.h"

namespace cambium::cpu {

// word[i] = the word of channel 64 * block + i for the counter (channel, c1, c2, c3).
inline void philox_block(RandomKey key, uint32_t block, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t word[64]) {
  for (uint32_t lane = 0; lane < 16; ++lane) {
    const RandomWords w = philox(key, block * 16 + lane, c1, c2, c3);
    for (uint32_t k = 0; k < 4; ++k) word[k * 16 + lane] = w.word[k];
  }
}

}  // namespace cambium::cpu
