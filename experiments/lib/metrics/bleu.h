// BLEU (Papineni et al. 2002) in its two common forms, and the tokenisation of mteval-v13a that both use.
#pragma once

#include "experiments/lib/metrics/ngrams.h"
#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

// mteval-v13a: entities resolved, ASCII punctuation apart, full stop and comma apart unless between digits,
// a dash apart after a digit. Its 26 letters are lower-cased if asked for.
std::vector<std::string> tokenize_13a(std::string_view text, bool lower_case);

inline constexpr int kBleuOrder = 4;

// Row of a table: matches of orders 1 to 4, n-grams of orders 1 to 4, length, closest reference length.
inline constexpr size_t kBleuWidth = 2 * kBleuOrder + 2;

// sacrebleu's corpus_bleu with its defaults: cased, 13a, a zero precision of the k-th such order becomes
// 1 / (2^k total), 0 without any match. Scores: {"bleu"}, 0 to 100.
StatisticsTable bleu_table(const References& references, const Outputs& outputs);
double bleu_score(std::span<const double> sums);

// BLEU of the E2E challenge: its mteval-v13a.pl, which its script runs unless told otherwise. Lower-cased, smoothed in
// the same way; an order of which no output has an n-gram counts as a precision of 1; 0 to 1. (The script's other
// choice, a Python port, does not smooth, and counts a negative number of n-grams in an output shorter than n.)
double e2e_bleu_score(std::span<const double> sums);

// Appends one row. `mteval`: a reference without words gives no length, unless it is the first.
void append_bleu_row(const std::vector<Tokens>& references, const Tokens& output, bool mteval,
                     std::vector<double>& row);

}  // namespace cambium::metrics
