#include <algorithm>
#include <cmath>

#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/table/tuning_report.h"

namespace cambium {
namespace {

using metrics::StatisticsTable;

const RowResults* row_of(const std::vector<RowResults>& rows, const std::string& method) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const RowResults& r) { return r.method.name == method; });
  return found == rows.end() ? nullptr : &*found;
}

// The cells of both rows that have the same seed.
std::vector<std::pair<const CellResult*, const CellResult*>> pairs_of(const RowResults& a, const RowResults& b) {
  std::vector<std::pair<const CellResult*, const CellResult*>> pairs;
  for (const CellResult* x : a.seeds)
    for (const CellResult* y : b.seeds)
      if (x->cell.seed == y->cell.seed) pairs.emplace_back(x, y);
  return pairs;
}

// Row i: the statistics of text i, added up over the results.
StatisticsTable summed(const std::vector<const CellResult*>& results, const std::string& metric) {
  StatisticsTable sum;
  for (const CellResult* r : results) {
    const StatisticsTable one = metrics::metric_table(metric, r->references, r->outputs);
    if (!sum.width) {
      sum = one;
      continue;
    }
    for (size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += one.values[i];
  }
  return sum;
}

Verdict judge_one(const Claim& claim, const std::vector<RowResults>& rows, const std::string& metric,
                  const std::string& score) {
  Verdict v;
  const RowResults *better = row_of(rows, claim.better), *worse = row_of(rows, claim.worse);
  const auto missing = [&](const RowResults* r, const std::string& name) {
    if (r && !r->seeds.empty()) return false;
    v.why = name + (r ? " is not finished" : " is not in this grid");
    return true;
  };
  if (missing(better, claim.better) || missing(worse, claim.worse)) return v;
  const auto pairs = pairs_of(*better, *worse);
  if (pairs.empty()) return v.why = "no seed is finished for both", v;
  std::vector<const CellResult*> a, b;
  for (const auto& [x, y] : pairs) {
    if (x->inputs != y->inputs || x->references != y->references || x->inputs != pairs.front().first->inputs)
      return v.why = "they were scored on different texts", v;
    if (x->notes.count("base_hash") && y->notes.count("base_hash") &&
        x->notes.at("base_hash") != y->notes.at("base_hash"))
      return v.why = "they were made on different base models", v;
    a.push_back(x), b.push_back(y);
  }
  v.seeds = pairs.size();
  v.test = paired_bootstrap(summed(a, metric), summed(b, metric), score);
  v.kind = v.test.low > 0 ? Verdict::Kind::holds : v.test.high < 0 ? Verdict::Kind::reversed : Verdict::Kind::open;
  return v;
}

}  // namespace

const char* name_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::holds: return "holds";
    case Verdict::Kind::reversed: return "reversed";
    case Verdict::Kind::open: return "open";
    case Verdict::Kind::not_testable: break;
  }
  return "not testable";
}

std::vector<Verdict> judge(const std::vector<Claim>& claims, const std::vector<RowResults>& rows,
                           const std::string& metric, const std::string& score) {
  std::vector<Verdict> verdicts;
  std::vector<double> p;
  for (const Claim& claim : claims) {
    verdicts.push_back(judge_one(claim, rows, metric, score));
    if (verdicts.back().kind != Verdict::Kind::not_testable) p.push_back(verdicts.back().test.p);
  }
  const std::vector<double> adjusted = holm(p);
  size_t next = 0;
  for (Verdict& v : verdicts)
    if (v.kind != Verdict::Kind::not_testable) v.adjusted_p = adjusted[next++];
  return verdicts;
}

}  // namespace cambium
