// Transposing 8 x 8 words of 32 bits in registers: packing of matrices whose rows lie across the panels.
#pragma once

#include <cstring>

namespace cambium::cpu {

using Eight [[gnu::vector_size(32)]] = float;  // any eight words: only moved

// Calls store(k, words) with words[j] = in[j][k].
template <class Store>
[[gnu::always_inline]] inline void transpose_eight(const Eight (&in)[8], const Store& store) {
  Eight a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = __builtin_shufflevector(in[i], in[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    a[i + 1] = __builtin_shufflevector(in[i], in[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      b[i + j] = __builtin_shufflevector(a[i + j], a[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[i + j + 2] = __builtin_shufflevector(a[i + j], a[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int k = 0; k < 4; ++k) {
    store(k, __builtin_shufflevector(b[k], b[k + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    store(k + 4, __builtin_shufflevector(b[k], b[k + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

inline Eight load_words(const void* from) {
  Eight v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline void store_words(Eight v, void* to) { std::memcpy(to, &v, sizeof v); }

}  // namespace cambium::cpu
