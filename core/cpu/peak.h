// What this machine can do at most, measured, and what products have asked of it.
#pragma once

#include <cstdint>

namespace cambium::cpu {

// Loops of nothing but what they measure, on threads() threads, for about `seconds`; the best of several rounds.
double measure_float_flops(double seconds);  // multiply-adds of the level's vectors, FLOP/s
// bfloat16 products in registers and first-level cache, FLOP/s; 0 where the level has none.
double measure_pairs_flops(double seconds);
double measure_read_bandwidth(double seconds);  // of memory, bytes/s

// Operations (2 M N K) of all matrix products since the program began, attention's included; float64 is not counted.
double counted_flops();
void count_flops(double flops);

}  // namespace cambium::cpu
