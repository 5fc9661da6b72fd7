// What the blocked product needs of an instruction set: how its panels lie in memory, and the product of two of them.
#pragma once

#include <cstdint>

#include "core/cpu/level.h"
#include "core/dtype.h"

namespace cambium::cpu {

// Element (i, j) is at data[i * row + j * col]; float32 or bfloat16. One of the strides is 1.
struct GemmOperand {
  const void* data = nullptr;
  DType type = DType::f32;
  int64_t row = 0, col = 0;
};

// Panels hold float32, or bfloat16 of which two neighbours along k lie together ("pairs").
struct Microkernel {
  const char* name;
  int64_t rows, columns;  // of a tile: a panel of a has `rows` rows or fewer, one of b `columns` columns
  int64_t step, depth;    // panels are filled up with zeros to a multiple of step along k; longest piece of k
  bool pairs;
  bool whole;                        // panels of a are filled up with zeros to `rows` rows, which are all written
  int64_t block_rows, block_panels;  // rows of a and panels of b that stay in the second-level cache
  // Rows [0, rows) and k in [0, length) of a, as the kernel reads them.
  void (*pack_a)(const GemmOperand& a, bool round, int64_t rows, int64_t length, void* panel);
  // The same of columns [0, count) of b: whole panels one after the other, the last one filled up with zeros.
  void (*pack_b)(const GemmOperand& b, bool round, int64_t count, int64_t length, void* panels);
  // c [rows, columns] = (add: +=) a b over `length`, a multiple of step.
  void (*multiply)(int64_t rows, int64_t length, const void* a, const void* b, float* c, int64_t c_row, bool add);
  void (*begin)() = nullptr, (*end)() = nullptr;  // around a thread's calls of multiply

  int64_t padded(int64_t length) const { return (length + step - 1) / step * step; }
  int64_t element() const { return pairs ? 2 : 4; }
};

// Float32 tiles as wide as the vectors of neon, x86_64, avx2 or avx512, in C++; every machine runs all four. Elements
// have the same bits in all of them: k ascending, from zero in each piece, product and sum rounded once where this
// library has fused multiply-add.
const Microkernel& float_kernel(Level width);
// The tiles of neon in its own instructions, on Arm only; float_kernel(Level::neon) is their twin.
const Microkernel& neon_kernel();
// bfloat16 products: avx512_bf16's vdpbf16ps or amx's tdpbf16ps. twin: the same panels, and sums in the same order and
// with the rounding that the manual documents, in plain C++.
const Microkernel& pairs_kernel(Level level, bool twin);

// The kernel for operands of which at least one is bfloat16 (low) or none, at level().
const Microkernel& kernel_for(bool low);

}  // namespace cambium::cpu
