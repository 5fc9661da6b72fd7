// Philox words for a whole row of channels, 64 at a time, by vector instructions.
#pragma once

#include <cstring>

#include "core/cpu/tiles.h"
#include "core/random.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace cambium::cpu {

// 64-bit lanes whose lower halves count: a product needs no more, and nothing else carries from above.
using Counters [[gnu::vector_size(kVectorBytes)]] = uint64_t;
constexpr int kCounters = kVectorBytes / 8;

// The whole product of the lower halves.
inline Counters multiply_low(Counters a, Counters b) {
#if defined(__AVX512F__)
  // Without a mask GCC's header warns of its own placeholder.
  return Counters(_mm512_maskz_mul_epu32(0xff, __m512i(a), __m512i(b)));
#elif defined(__AVX2__)
  return Counters(_mm256_mul_epu32(__m256i(a), __m256i(b)));
#elif defined(__SSE2__)
  return Counters(_mm_mul_epu32(__m128i(a), __m128i(b)));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// word[i] = the word of channel 64 * block + i for the counter (channel, c1, c2, c3): philox() in kCounters lanes.
inline void philox_block(RandomKey key, uint32_t block, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t word[64]) {
  constexpr int kTogether = 2;  // chains of dependent products that run beside each other
  Counters lane{};
  for (int i = 0; i < kCounters; ++i) lane[i] = uint64_t(i);
  for (int first = 0; first < 16; first += kTogether * kCounters) {
    Counters c[4][kTogether], k0 = Counters{} + key.k0, k1 = Counters{} + key.k1;
    for (int g = 0; g < kTogether; ++g) {
      c[0][g] = Counters{} + block * 16 + uint32_t(first + g * kCounters) + lane;
      c[1][g] = Counters{} + c1, c[2][g] = Counters{} + c2, c[3][g] = Counters{} + c3;
    }
    for (int round = 0; round < 10; ++round) {
      for (int g = 0; g < kTogether; ++g) {
        const Counters p0 = multiply_low(c[0][g], Counters{} + 0xd2511f53u),
                       p1 = multiply_low(c[2][g], Counters{} + 0xcd9e8d57u);
        c[0][g] = (p1 >> 32) ^ c[1][g] ^ k0, c[1][g] = p1;
        c[2][g] = (p0 >> 32) ^ c[3][g] ^ k1, c[3][g] = p0;
      }
      k0 += 0x9e3779b9u, k1 += 0xbb67ae85u;
    }
    using Words [[gnu::vector_size(kVectorBytes / 2)]] = uint32_t;
    for (int k = 0; k < 4; ++k)
      for (int g = 0; g < kTogether; ++g) {
        const Words lower = __builtin_convertvector(c[k][g], Words);
        std::memcpy(word + k * 16 + first + g * kCounters, &lower, sizeof lower);
      }
  }
}

}  // namespace cambium::cpu
