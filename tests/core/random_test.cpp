// Random words in vector lanes against their definition, one counter at a time.
#include "core/random.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/cpu/dropout.h"

namespace cambium {
namespace {

TEST(UnitFloat, IsNeitherZeroNorOne) {
  for (const uint32_t word : {0u, 1u, 255u, 0xffffff00u, 0xfffffeffu, 0xffffffffu}) {
    EXPECT_GT(unit_float(word), 0) << word;
    EXPECT_LT(unit_float(word), 1) << word;
  }
}

TEST(Random, ABlockOfChannelsIsPhilox) {
  for (const uint32_t block : {0u, 1u, 77u, 0x0fffffffu})  // the last: its counters end at 2^32 - 1
    for (const RandomKey key : {RandomKey{0, 0}, RandomKey{0xffffffffu, 0xffffffffu}, random_key(3, "dropout", 5)}) {
      uint32_t word[64];
      cpu::philox_block(key, block, 0xfffffffeu, 12345, 0x80000000u, word);
      for (uint32_t channel = 0; channel < 64; ++channel) {
        const RandomWords expected =
            philox(key, block * 16 + channel_counter(channel), 0xfffffffeu, 12345, 0x80000000u);
        EXPECT_EQ(word[channel], expected.word[channel_word(channel)]) << block << ", channel " << channel;
      }
    }
}

// Salmon et al. 2011, known answers of Philox4x32-10 (kat_vectors of Random123).
TEST(Random, KnownAnswers) {
  const auto words = [](RandomKey key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
    const RandomWords w = philox(key, c0, c1, c2, c3);
    return std::vector<uint32_t>(w.word, w.word + 4);
  };
  EXPECT_EQ(words({0, 0}, 0, 0, 0, 0), (std::vector<uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words({0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff),
            (std::vector<uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

}  // namespace
}  // namespace cambium
