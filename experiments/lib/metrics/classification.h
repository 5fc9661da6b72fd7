// Scores of labels and of numbers: accuracy, F1, Matthews correlation, Pearson and Spearman.
#pragma once

#include <span>
#include <vector>

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

// An output is right if it equals one of its references. Scores {"accuracy"}, 0 to 1.
StatisticsTable accuracy_table(const References& references, const Outputs& outputs);

// The scores below need exactly one reference each, a label; at most 256 different labels, else InputError.

// As scikit-learn. Scores {"f1", "f1_macro"}, 0 to 1. With at most two labels f1 is that of the positive one:
// "1" (0 if there are only zeros), or of other labels the last in byte order; with more it is the macro average.
StatisticsTable f1_table(const References& references, const Outputs& outputs);

// Matthews' correlation in Gorodkin's form for any number of classes, 0 if either side is constant. Scores
// {"matthews"}, -1 to 1.
StatisticsTable matthews_table(const References& references, const Outputs& outputs);

// SuperGLUE's scores of MultiRC, where the candidate answers of a question are told right (1) from wrong (0) one by
// one:
// {"f1a"} of the right ones over all answers, {"em"} the share of questions whose answers are all told correctly; 0 to
// 1. (Khashabi et al. 2018; Wang et al. 2019) References: the class of an answer, and which question it belongs to. A
// sentence of the table is a question.
StatisticsTable multirc_table(const References& references, const Outputs& outputs);

// Correlations of outputs with their only reference, numbers; an output that is none counts as -1, as T5's evaluation
// has it. Scores {"pearson"} and {"spearman"}, -1 to 1, NaN where a side is constant. Ranks are those among all
// outputs: on resampled sentences Spearman's is an approximation.
StatisticsTable pearson_table(const References& references, const Outputs& outputs);
StatisticsTable spearman_table(const References& references, const Outputs& outputs);

// Correlations of two rows of numbers of equal length, -1 to 1; NaN if either row is constant.
double pearson(std::span<const double> x, std::span<const double> y);
double spearman(std::span<const double> x, std::span<const double> y);
// Ranks from 1; equal values share the mean of theirs.
std::vector<double> ranks(std::span<const double> row);

}  // namespace cambium::metrics
