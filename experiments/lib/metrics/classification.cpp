// Scores from counts of labels.
#include "experiments/lib/metrics/classification.h"

#include <algorithm>
#include <charconv>
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

StatisticsTable multirc_table(const References& references, const Outputs& outputs) {
  StatisticsTable table{.width = 5, .scores = [](std::span<const double> sums) {
                          const double f1a = sums[1] + sums[2] > 0 ? 2 * sums[0] / (sums[1] + sums[2]) : 0;
                          return Scores{{"f1a", f1a}, {"em", sums[3] / sums[4]}};
                        }};
  std::map<std::string, size_t> questions;
  for (size_t i = 0; i < outputs.size(); ++i) {
    check_input(references[i].size() == 2, "multirc: item ", i + 1, " has ", references[i].size(),
                " references; it needs a class and a question");
    for (const std::string& label : {references[i][0], outputs[i]})
      check_input(label == "0" || label == "1", "multirc: item ", i + 1, " has the class \"", label,
                  "\"; there are 0 and 1");
    const auto [place, fresh] = questions.emplace(references[i][1], questions.size());
    if (fresh) table.values.insert(table.values.end(), {0, 0, 0, 1, 1});
    double* row = &table.values[5 * place->second];
    const bool said = outputs[i] == "1", right = references[i][0] == "1";
    row[0] += said && right, row[1] += said, row[2] += right;
    if (said != right) row[3] = 0;
  }
  return table;
}

namespace {

struct NumberRows {
  std::vector<double> outputs, references;
};

double number_or(const std::string& text, double other) {
  double value = other;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value) ? value : other;
}

NumberRows numbers_of(const char* metric, const References& references, const Outputs& outputs) {
  NumberRows rows;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const bool one = references[i].size() == 1;
    const double reference = one ? number_or(references[i][0], NAN) : NAN;
    check_input(std::isfinite(reference), metric, ": item ", i + 1,
                one ? " has a reference that is no number: \"" : " has ",
                one ? references[i][0] + "\"" : text(references[i].size(), " references; it needs one number"));
    rows.outputs.push_back(number_or(outputs[i], -1)), rows.references.push_back(reference);
  }
  return rows;
}

// Pearson's of the sums of x, y, x^2, y^2 and x y, with both rows moved to their means, which changes nothing but the
// rounding.
StatisticsTable correlation_table(const char* name, std::vector<double> x, std::vector<double> y) {
  for (std::vector<double>* row : {&x, &y}) {
    const double mean = std::accumulate(row->begin(), row->end(), 0.0) / double(row->size());
    const bool constant = std::all_of(row->begin(), row->end(), [&](double v) { return v == row->front(); });
    for (double& v : *row) v = constant ? 0 : v - mean;
  }
  StatisticsTable table{.width = 6, .scores = [name](std::span<const double> s) {
                          const double n = s[5], xx = s[2] - s[0] * s[0] / n, yy = s[3] - s[1] * s[1] / n;
                          const double r = xx > 0 && yy > 0 ? (s[4] - s[0] * s[1] / n) / std::sqrt(xx) / std::sqrt(yy)
                                                            : std::numeric_limits<double>::quiet_NaN();
                          return Scores{{name, std::clamp(r, -1.0, 1.0)}};
                        }};
  for (size_t i = 0; i < x.size(); ++i)
    table.values.insert(table.values.end(), {x[i], y[i], x[i] * x[i], y[i] * y[i], x[i] * y[i], 1});
  return table;
}

}  // namespace

std::vector<double> ranks(std::span<const double> row) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return row[a] < row[b]; });
  std::vector<double> rank(row.size());
  for (size_t i = 0, end; i < order.size(); i = end) {
    for (end = i + 1; end < order.size() && row[order[end]] == row[order[i]];) ++end;
    for (size_t k = i; k < end; ++k) rank[order[k]] = (double(i) + double(end) + 1) / 2;
  }
  return rank;
}

StatisticsTable pearson_table(const References& references, const Outputs& outputs) {
  NumberRows rows = numbers_of("pearson", references, outputs);
  return correlation_table("pearson", std::move(rows.outputs), std::move(rows.references));
}

StatisticsTable spearman_table(const References& references, const Outputs& outputs) {
  const NumberRows rows = numbers_of("spearman", references, outputs);
  return correlation_table("spearman", ranks(rows.outputs), ranks(rows.references));
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

double spearman(std::span<const double> x, std::span<const double> y) { return pearson(ranks(x), ranks(y)); }

}  // namespace cambium::metrics
