// The common form of all metrics: a corpus score is a function of sums over sentences.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cambium::metrics {

// One group of references for each output, in the same order.
using References = std::vector<std::vector<std::string>>;
using Outputs = std::vector<std::string>;

// Scores in the order in which they are printed.
using Scores = std::vector<std::pair<std::string, double>>;

// What a metric keeps of each sentence: `width` numbers whose sums over any set of sentences determine the
// scores of that set. Resampling (experiments/lib/statistics.h) needs nothing else.
struct StatisticsTable {
  size_t width = 0;
  std::vector<double> values;  // [sentences, width]
  std::function<Scores(std::span<const double> sums)> scores;

  size_t sentences() const { return width ? values.size() / width : 0; }
  std::span<const double> row(size_t i) const { return std::span(values).subspan(i * width, width); }
  std::vector<double> sums() const {
    std::vector<double> total(width, 0.0);
    for (size_t i = 0; i < sentences(); ++i)
      for (size_t k = 0; k < width; ++k) total[k] += values[i * width + k];
    return total;
  }
  Scores corpus_scores() const { return scores(sums()); }
};

}  // namespace cambium::metrics
