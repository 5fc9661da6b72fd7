// Tiles of AMX's tdpbf16ps: 2 x 2 of 16 x 16.
#include "core/cpu/gemm_native.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AMX [[gnu::target("amx-tile,amx-bf16")]]

namespace cambium::cpu::native {

// Sums are tiles 0 to 3, a's two row tiles 4 and 5, b's two column tiles 6 and 7. A step of k takes 32: rows of a tile
// of a are 64 bytes, rows of a panel of b (one pair of 32 columns) 128.
AMX void multiply_tiles(int64_t rows, int64_t length, const void* panel_a, const void* panel_b, float* c, int64_t c_row,
                        bool add) {
  const char *a = static_cast<const char*>(panel_a), *b = static_cast<const char*>(panel_b);
  const int64_t stride = c_row * 4;
  const bool both = rows > 16;
  if (add) {
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + 16, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  if (both && add) {
    _tile_loadd(2, c + 16 * c_row, stride);
    _tile_loadd(3, c + 16 * c_row + 16, stride);
  } else {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < length; k += 32, a += 2048, b += 2048) {
    _tile_loadd(6, b, 128);
    _tile_loadd(7, b + 64, 128);
    _tile_loadd(4, a, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (both) {
      _tile_loadd(5, a + 1024, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + 16, stride);
  _tile_stored(2, c + 16 * c_row, stride);
  _tile_stored(3, c + 16 * c_row + 16, stride);
}

AMX void configure_tiles() {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
}

AMX void release_tiles() { _tile_release(); }

}  // namespace cambium::cpu::native
#else
namespace cambium::cpu::native {
void multiply_tiles(int64_t, int64_t, const void*, const void*, float*, int64_t, bool) { __builtin_trap(); }
void configure_tiles() {}
void release_tiles() {}
}  // namespace cambium::cpu::native
#endif
