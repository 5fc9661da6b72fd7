// How alike two prompts are: the embedding indicators of transferability.
//   (Su et al. 2022, "On Transferability of Prompt Tuning for Natural Language Processing", section 5)
#pragma once

#include <array>

#include "core/tensor.h"

namespace cambium {

inline constexpr std::array<const char*, 4> kIndicatorNames = {"E_concat", "E_avg", "C_concat", "C_avg"};

// Prompts P and Q [l, d] in float32, p and q flattened; sums in double.
//   E_concat  1 / (1 + |p - q|)
//   E_avg     1 / (1 + mean over i, j of |P_i - Q_j|)
//   C_concat  p . q / (|p| |q|)
//   C_avg     mean over i, j of P_i . Q_j / (|P_i| |Q_j|)
// In the order of their names; a cosine with a row of zeros is 0. Throws InputError where the shapes differ or a number
// is not finite.
std::array<double, 4> indicators(const Tensor& p, const Tensor& q);

}  // namespace cambium
