// Scores from counts of labels.
#include "experiments/lib/metrics/classification.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/error.h"

namespace cambium::metrics {
namespace {

// A row has, for each class: 1 if output and reference are it, if the output is it, if the reference is it.
struct ClassTable {
  StatisticsTable table;
  std::vector<std::string> labels;  // sorted
};

ClassTable class_table(const std::string& metric, const References& references, const Outputs& outputs) {
  constexpr size_t kMaxLabels = 256;
  std::map<std::string, size_t> classes;
  for (size_t i = 0; i < outputs.size(); ++i) {
    check_input(references[i].size() == 1, metric, ": item ", i + 1, " has ", references[i].size(),
                " references; it needs one label");
    classes.try_emplace(references[i][0]);
    classes.try_emplace(outputs[i]);
    check_input(classes.size() <= kMaxLabels, metric, ": more than ", kMaxLabels, " different labels by item ", i + 1,
                "; are these labels?");
  }
  ClassTable result;
  for (auto& [label, number] : classes) {
    number = result.labels.size();
    result.labels.push_back(label);
  }
  result.table.width = 3 * classes.size();
  result.table.values.assign(outputs.size() * result.table.width, 0.0);
  for (size_t i = 0; i < outputs.size(); ++i) {
    double* row = &result.table.values[i * result.table.width];
    const size_t output = classes.at(outputs[i]), reference = classes.at(references[i][0]);
    row[3 * output] += output == reference;
    row[3 * output + 1] += 1;
    row[3 * reference + 2] += 1;
  }
  return result;
}

// 2 right / (predicted + present), 0 if that is 0 / 0.
double f1_of_class(std::span<const double> sums, size_t number) {
  const auto counts = sums.subspan(3 * number, 3);
  return counts[1] + counts[2] > 0 ? 2 * counts[0] / (counts[1] + counts[2]) : 0;
}

}  // namespace

StatisticsTable accuracy_table(const References& references, const Outputs& outputs) {
  StatisticsTable table{.width = 2, .scores = [](std::span<const double> sums) {
                          return Scores{{"accuracy", sums[0] / sums[1]}};
                        }};
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& right = references[i];
    table.values.push_back(std::find(right.begin(), right.end(), outputs[i]) != right.end());
    table.values.push_back(1);
  }
  return table;
}

StatisticsTable f1_table(const References& references, const Outputs& outputs) {
  ClassTable classes = class_table("f1", references, outputs);
  const auto& labels = classes.labels;
  const size_t count = labels.size();
  const auto one = std::find(labels.begin(), labels.end(), "1");
  const bool only_zero = count == 1 && labels[0] == "0";
  const size_t positive = one != labels.end() ? size_t(one - labels.begin()) : count - 1;
  classes.table.scores = [count, positive, only_zero](std::span<const double> sums) {
    double total = 0, present = 0;
    for (size_t c = 0; c < count; ++c) {
      total += f1_of_class(sums, c);
      present += sums[3 * c + 1] + sums[3 * c + 2] > 0;
    }
    const double macro = total / present;
    const double binary = only_zero ? 0 : f1_of_class(sums, positive);
    return Scores{{"f1", count <= 2 ? binary : macro}, {"f1_macro", macro}};
  };
  return classes.table;
}

StatisticsTable matthews_table(const References& references, const Outputs& outputs) {
  ClassTable classes = class_table("matthews", references, outputs);
  classes.table.scores = [count = classes.labels.size()](std::span<const double> sums) {
    double right = 0, all = 0, both = 0, predicted2 = 0, present2 = 0;
    for (size_t c = 0; c < count; ++c) {
      const double predicted = sums[3 * c + 1], present = sums[3 * c + 2];
      right += sums[3 * c];
      all += present;
      both += predicted * present;
      predicted2 += predicted * predicted;
      present2 += present * present;
    }
    const double norm = (all * all - predicted2) * (all * all - present2);
    return Scores{{"matthews", norm > 0 ? (right * all - both) / std::sqrt(norm) : 0}};
  };
  return classes.table;
}

double pearson(std::span<const double> x, std::span<const double> y) {
  CHECK(x.size() == y.size(), "correlation of ", x.size(), " numbers with ", y.size());
  const double n = double(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  const auto constant = [](std::span<const double> row) {
    return std::all_of(row.begin(), row.end(), [&](double v) { return v == row[0]; });
  };
  if (constant(x) || constant(y)) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp(xy / std::sqrt(xx) / std::sqrt(yy), -1.0, 1.0);
}

double spearman(std::span<const double> x, std::span<const double> y) {
  const auto ranks = [](std::span<const double> row) {
    std::vector<size_t> order(row.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return row[a] < row[b]; });
    std::vector<double> rank(row.size());
    for (size_t i = 0, end; i < order.size(); i = end) {
      for (end = i + 1; end < order.size() && row[order[end]] == row[order[i]];) ++end;
      for (size_t k = i; k < end; ++k) rank[order[k]] = (double(i) + double(end) + 1) / 2;
    }
    return rank;
  };
  return pearson(ranks(x), ranks(y));
}

}  // namespace cambium::metrics
