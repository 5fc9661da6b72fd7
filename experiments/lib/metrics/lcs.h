// Longest common subsequences, for the two kinds of ROUGE-L.
#pragma once

#include <vector>

#include "experiments/lib/metrics/ngrams.h"

namespace cambium::metrics {

// Its length. Memory grows with the shorter text only.
size_t lcs_length(const Tokens& a, const Tokens& b);

// Positions in `reference` of one longest common subsequence, ascending: of several the one that ROUGE-1.5.5's
// backtracking finds (from the end; on equal lengths it drops the reference's word).
std::vector<size_t> lcs_positions(const Tokens& reference, const Tokens& output);

}  // namespace cambium::metrics
