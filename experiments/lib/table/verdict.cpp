// What results say about a paper's trends.
#include <algorithm>
#include <map>

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

// Statistics of a cell's outputs, computed once a cell.
class Tables {
 public:
  explicit Tables(std::string metric) : metric_(std::move(metric)) {}
  const StatisticsTable& of(const CellResult& r) {
    StatisticsTable& table = tables_[&r];
    if (!table.width) table = metrics::metric_table(metric_, r.references, r.outputs);
    return table;
  }

 private:
  std::string metric_;
  std::map<const CellResult*, StatisticsTable> tables_;
};

Verdict judge_one(const Claim& claim, const std::vector<RowResults>& rows, Tables& tables, const std::string& score) {
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
  std::vector<StatisticsTable> a, b;
  for (const auto& [x, y] : pairs) {
    if (x->inputs != y->inputs || x->references != y->references || x->inputs != pairs.front().first->inputs)
      return v.why = "they were scored on different texts", v;
    if (x->notes.count("base_hash") && y->notes.count("base_hash") &&
        x->notes.at("base_hash") != y->notes.at("base_hash"))
      return v.why = "they were made on different base models", v;
    a.push_back(tables.of(*x)), b.push_back(tables.of(*y));
  }
  v.kind = Verdict::Kind::open;  // until Holm's p is known
  v.test = seed_test(a, b, score);
  return v;
}

}  // namespace

std::string Verdict::word() const {
  switch (kind) {
    case Kind::holds: return "holds";
    case Kind::reversed: return "reversed";
    case Kind::open:
      return test.seeds >= kEnoughSeeds ? "open" : text("open (", test.seeds, test.seeds == 1 ? " seed)" : " seeds)");
    case Kind::not_testable: break;
  }
  return "not testable";
}

std::vector<Verdict> judge(const std::vector<Claim>& claims, const std::vector<RowResults>& rows,
                           const std::string& metric, const std::string& score) {
  std::vector<Verdict> verdicts;
  std::vector<double> p;
  Tables tables(metric);
  for (const Claim& claim : claims) {
    verdicts.push_back(judge_one(claim, rows, tables, score));
    if (verdicts.back().kind != Verdict::Kind::not_testable) p.push_back(verdicts.back().test.p);
  }
  const std::vector<double> adjusted = holm(p);
  size_t next = 0;
  for (Verdict& v : verdicts) {
    if (v.kind == Verdict::Kind::not_testable) continue;
    v.adjusted_p = adjusted[next++];
    if (v.test.seeds < Verdict::kEnoughSeeds || v.adjusted_p >= 0.05) continue;
    if (v.test.low > 0) v.kind = Verdict::Kind::holds;
    if (v.test.high < 0) v.kind = Verdict::Kind::reversed;
  }
  return verdicts;
}

namespace {

std::string signed_number(double value, int decimals) {
  const std::string number = format_number(value, decimals);
  return (value > 0 && number.find_first_of("123456789") != number.npos ? "+" : "") + number;
}

// The cells of a verdict behind the published difference.
std::vector<ReportTable::Value> test_cells(const Verdict& v, const ScoreColumn& column) {
  if (v.kind == Verdict::Kind::not_testable) return {v.why, "–", "–", "–", "–", "0"};
  const auto difference = [&](double d) { return signed_number(d * column.scale, column.decimals); };
  const std::string detectable = format_number(v.test.detectable * column.scale, column.decimals);
  return {difference(v.test.a - v.test.b),
          "[" + difference(v.test.low) + ", " + difference(v.test.high) + "]",
          format_number(v.test.p, 3),
          format_number(v.adjusted_p, 3),
          v.kind != Verdict::Kind::open ? "–"
          : v.test.seeds == 1           ? "> " + detectable
                                        : detectable,
          std::to_string(v.test.seeds)};
}

std::vector<std::string> verdict_notes(const std::vector<Verdict>& verdicts) {
  const auto any = [&](auto&& is) { return std::any_of(verdicts.begin(), verdicts.end(), is); };
  std::vector<std::string> notes = {
      text("holds: at least ", Verdict::kEnoughSeeds,
           " seeds, the interval lies above 0, and Holm's p over these claims is below 0.05; reversed: the same below "
           "0; open: neither. The interval and p come from one resampling of seeds and texts, widened by Student's t "
           "for the number of seeds.")};
  if (any([](const Verdict& v) { return v.kind == Verdict::Kind::open; }))
    notes.push_back(
        "Detectable: the difference that this many seeds and texts would find (two-sided, 0.05) with a probability of "
        "80 %, from the resampled standard error.");
  if (any([](const Verdict& v) { return v.test.seeds == 1; }))
    notes.push_back(
        "With one seed only texts are resampled: interval, p and detectable difference leave out that another seed "
        "gives another result.");
  return notes;
}

}  // namespace

ReportTable verdict_table(const TuningTable& definition, const std::vector<RowResults>& rows,
                          const std::string& metric) {
  const ScoreColumn& main = definition.columns.front();
  ReportTable t{.title = text("Does the paper's trend hold? (", main.title, ", seeds and texts resampled)"),
                .columns = {{"verdict", false},
                            {"claim", false},
                            {"published difference"},
                            {"measured difference"},
                            {"95 % interval"},
                            {"p"},
                            {"p, Holm"},
                            {"detectable"},
                            {"seeds"},
                            {"source", false}}};
  const std::vector<Verdict> verdicts = judge(definition.claims, rows, metric, main.score);
  for (size_t i = 0; i < verdicts.size(); ++i) {
    const Claim& c = definition.claims[i];
    const PublishedRow *a = published_for(definition, c.better), *b = published_for(definition, c.worse);
    std::vector<ReportTable::Value> row{
        verdicts[i].word(), c.better + " above " + c.worse,
        a && b ? signed_number(a->values.front() - b->values.front(), main.decimals) : "–"};
    const auto cells = test_cells(verdicts[i], main);
    row.insert(row.end(), cells.begin(), cells.end());
    row.push_back(c.source);
    t.rows.push_back(std::move(row));
  }
  t.notes = verdict_notes(verdicts);
  return t;
}

}  // namespace cambium
