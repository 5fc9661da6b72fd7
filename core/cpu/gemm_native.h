// Tiles in instructions that many processors lack; what they compute is written down in gemm_pairs.cpp and, of NEON, in
// gemm_float.cpp. Each in a file of its own that includes nothing else: no other function may come out compiled for
// such a processor.
#pragma once

#include <cstdint>

namespace cambium::cpu::native {

void multiply_vectors(int64_t rows, int64_t length, const void* a, const void* b, float* c, int64_t c_row, bool add);
void multiply_tiles(int64_t rows, int64_t length, const void* a, const void* b, float* c, int64_t c_row, bool add);
void multiply_neon(int64_t rows, int64_t length, const void* a, const void* b, float* c, int64_t c_row, bool add);
void configure_tiles();
void release_tiles();

}  // namespace cambium::cpu::native
