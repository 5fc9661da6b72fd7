// Random numbers as a function of a key and a counter: the same bits on every device, for any number of
// threads and in any order. Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace cambium {

struct RandomKey {
  uint32_t k0 = 0, k1 = 0;
};

constexpr uint64_t mix_bits(uint64_t z) {  // splitmix64's finaliser
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// A key of its own for each (seed, purpose, step): purposes are tensor names, "dropout", "order", ...
constexpr RandomKey random_key(uint64_t seed, std::string_view purpose, uint64_t step = 0) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : purpose) hash = (hash ^ uint8_t(c)) * 0x100000001b3u;
  const uint64_t key = mix_bits(mix_bits(mix_bits(seed + 0x9e3779b97f4a7c15u) ^ hash) + step);
  return {uint32_t(key), uint32_t(key >> 32)};
}

struct RandomWords {
  uint32_t word[4];
};

// Four random words for the counter (c0, c1, c2, c3).
constexpr RandomWords philox(RandomKey key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(0xd2511f53u) * c0, p1 = uint64_t(0xcd9e8d57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ key.k0;
    c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ key.k1;
    c3 = uint32_t(p0);
    key.k0 += 0x9e3779b9u;
    key.k1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

// A number in (0, 1), never 0 and never 1, from 24 of the word's bits. The largest would be rounded to 1.
constexpr float unit_float(uint32_t word) {
  return word >= 0xffffff00u ? 1 - 1.0f / 16777216.0f : (float(word >> 8) + 0.5f) * (1.0f / 16777216.0f);
}

// Where channel d of a row finds its word: lanes of 16 neighbouring channels take the same word of 16
// neighbouring counters, so that both a vector unit and a warp compute 64 channels in one go.
constexpr uint32_t channel_counter(uint32_t d) { return d / 64 * 16 + d % 16; }
constexpr uint32_t channel_word(uint32_t d) { return d / 16 % 4; }

// Words that an element is kept below: P(word >= threshold) = 1 - p.
constexpr uint32_t drop_threshold(float p) {
  const double scaled = double(p) * 4294967296.0;
  return scaled >= 4294967295.0 ? 4294967295u : uint32_t(scaled);
}

}  // namespace cambium
