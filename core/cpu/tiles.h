// What the register-blocked products share: the vector unit's width, and how things are cut into equal parts.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cambium::cpu {

// Sums of a tile, kTileRows x 2 vectors, fill the registers but for two vectors of b and one element of a.
#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64, kTileRows = 12;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32, kTileRows = 6;
#elif defined(__aarch64__)
inline constexpr int kVectorBytes = 16, kTileRows = 12;
#else
inline constexpr int kVectorBytes = 16, kTileRows = 6;
#endif
template <class F>
inline constexpr int64_t kVector = kVectorBytes / int64_t(sizeof(F));
template <class F>
using Vector [[gnu::vector_size(kVectorBytes)]] = F;

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `count` things in parts whose sizes differ by one at most.
struct Parts {
  int64_t count, parts;
  int64_t begin(int64_t i) const { return count / parts * i + std::min(i, count % parts); }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
};

// Rows of tiles.
inline Parts tile_rows(int64_t M) { return {M, divide_up(M, kTileRows)}; }

}  // namespace cambium::cpu
