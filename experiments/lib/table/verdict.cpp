// What results say about a paper's trends.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/table/study_report.h"

namespace cambium {
namespace {

using metrics::StatisticsTable;

// A group with its weight in a claim's difference; without a group: what there should be.
struct Term {
  double weight;
  const Group* group;
  std::string name;
};

// The cells of all terms that have the same seed: [seed][term].
std::vector<std::vector<const CellResult*>> common_seeds(const std::vector<Term>& terms) {
  std::vector<std::vector<const CellResult*>> all;
  for (const CellResult* first : terms.front().group->seeds) {
    std::vector<const CellResult*> one;
    for (const Term& term : terms)
      for (const CellResult* r : term.group->seeds)
        if (r->cell.seed == first->cell.seed) one.push_back(r);
    if (one.size() == terms.size()) all.push_back(std::move(one));
  }
  return all;
}

// The place with other labels.
Coordinates moved(Coordinates place, const Coordinates& labels) {
  for (const auto& [axis, label] : labels) place[axis] = label;
  return place;
}

class Judge {
 public:
  Judge(const Study& study, const StudyResults& results) : study_(study), results_(results) {}

  // A verdict for each place that the claim is about.
  void add(const Claim& claim, std::vector<Verdict>& to) {
    if (claim.kind == Claim::Kind::correlates) return to.push_back(correlation(claim));
    const Axis* axis = results_.grid.axis(claim.axis);
    Coordinates first, last;
    if (!claim.axis.empty() && axis && axis->values.size() > 1)
      first[claim.axis] = axis->values.front().label, last[claim.axis] = axis->values.back().label;
    const Coordinates from = moved(claim.kind == Claim::Kind::rises ? claim.a : moved(claim.a, first),
                                   claim.kind == Claim::Kind::rises ? first : Coordinates());
    const std::vector<const Group*> places = results_.at(from);
    if (places.empty() || (!claim.axis.empty() && first.empty())) {
      const bool elsewhere = !placed(claim.a);
      if (elsewhere) return;  // of a task or model that is not in this grid
      to.push_back(untested(claim, claim.axis.empty() ? said_method(claim.a) + " is not in this grid"
                                                      : "this grid has no two values of " + claim.axis));
      return;
    }
    for (const Group* g : places) {
      const auto at = [&](double weight, const Coordinates& labels, const Coordinates& say) {
        const Coordinates there = moved(g->at, labels);
        for (const Group& other : results_.groups)
          if (other.at == there) return Term{weight, &other, said_method(say)};
        return Term{weight, nullptr, said_method(say)};
      };
      std::vector<Term> terms;
      if (claim.kind == Claim::Kind::above) terms = {at(1, {}, claim.a), at(-1, claim.b, claim.b)};
      else if (claim.kind == Claim::Kind::rises) terms = {at(1, last, last), at(-1, {}, first)};
      else
        terms = {at(1, {}, claim.a), at(-1, claim.b, claim.b), at(-1, last, moved(claim.a, last)),
                 at(1, moved(claim.b, last), moved(claim.b, last))};
      Verdict v = judge(terms);
      v.claim = claim.words() + place_of(*g, claim), v.source = claim.source;
      v.published = published(terms);
      to.push_back(std::move(v));
    }
  }

 private:
  static std::string said_method(const Coordinates& at) { return at.count("method") ? at.at("method") : said(at); }
  // Whether the grid has what a claim says of tasks, models and other axes than methods.
  bool placed(Coordinates at) const {
    at.erase("method");
    return !results_.at(at).empty();
  }
  // ", sst2": what tells the place from others that the claim is about.
  std::string place_of(const Group& g, const Claim& claim) const {
    Coordinates rest;
    for (const auto& [axis, label] : g.at) {
      const auto other = [&, axis = axis, label = label](const Group& o) {
        return o.at.count(axis) && o.at.at(axis) != label;
      };
      if (!claim.a.count(axis) && axis != claim.axis && axis != "method" &&
          std::any_of(results_.groups.begin(), results_.groups.end(), other))
        rest[axis] = label;
      if (axis == "method" && !claim.a.count(axis)) rest[axis] = label;
    }
    return rest.empty() ? "" : ", " + said(rest);
  }
  double published(const std::vector<Term>& terms) const {
    double sum = 0;
    for (const Term& t : terms) {
      const Published* p = t.group ? published_for(study_, t.group->at) : nullptr;
      sum += p ? t.weight * p->values.front() : kNan;
    }
    return sum;
  }
  static Verdict untested(const Claim& claim, const std::string& why) {
    return {.claim = claim.words(), .why = why, .published = kNan, .source = claim.source};
  }

  Verdict judge(const std::vector<Term>& terms) {
    Verdict v;
    for (const Term& t : terms)
      if (!t.group || t.group->seeds.empty())
        return v.why = t.name + (t.group ? " is not finished" : " is not in this grid"), v;
    const auto seeds = common_seeds(terms);
    if (seeds.empty()) return v.why = "no seed is finished for both", v;
    std::vector<std::vector<StatisticsTable>> tables(terms.size());
    for (const auto& cells : seeds)
      for (size_t t = 0; t < terms.size(); ++t) {
        const CellResult &x = *cells[t], &first = *seeds.front().front();
        if (x.inputs != first.inputs || x.references != first.references)
          return v.why = "they were scored on different texts", v;
        if (x.cell.model == first.cell.model && x.notes.count("base_hash") && first.notes.count("base_hash") &&
            x.notes.at("base_hash") != first.notes.at("base_hash"))
          return v.why = "they were made on different base models", v;
        tables[t].push_back(table_of(x, terms[t].group->spec));
      }
    std::vector<ContrastTerm> contrast;
    for (size_t t = 0; t < terms.size(); ++t) contrast.push_back({terms[t].weight, tables[t]});
    v.kind = Verdict::Kind::open;  // until Holm's p is known
    v.test = contrast_test(contrast, study_.columns.front().score);
    if (terms.size() == 2 && study_.columns.front().score == "accuracy") v.pairs = pairs(seeds);
    return v;
  }
  // Of each seed: answers that just one side has right.
  static std::string pairs(const std::vector<std::vector<const CellResult*>>& seeds) {
    std::string all;
    for (const auto& cells : seeds) {
      int64_t only[2] = {0, 0};
      for (size_t i = 0; i < cells[0]->outputs.size(); ++i) {
        const auto& right = cells[0]->references[i];
        bool is[2];
        for (size_t k = 0; k < 2; ++k)
          is[k] = std::find(right.begin(), right.end(), cells[k]->outputs[i]) != right.end();
        if (is[0] != is[1]) ++only[is[0] ? 0 : 1];
      }
      all += text(all.empty() ? "" : "; ", only[0], ":", only[1], " p ", format_number(mcnemar(only[0], only[1]), 3));
    }
    return all;
  }
  Verdict correlation(const Claim& claim) const {
    std::vector<double> x, y;
    size_t fewest = SIZE_MAX;
    for (const Group* g : results_.at(claim.a)) {
      const double a = g->mean(claim.measurement), b = g->mean(study_.columns.front().score);
      if (!std::isfinite(a) || !std::isfinite(b)) continue;
      x.push_back(a), y.push_back(b), fewest = std::min(fewest, g->seeds.size());
    }
    if (x.size() < 3) return untested(claim, "fewer than three places are finished");
    Verdict v = untested(claim, "");
    v.test = correlation_test(x, y);
    v.test.seeds = fewest;
    if (std::isnan(v.test.difference)) return v.why = "one side is the same everywhere", v;
    v.kind = Verdict::Kind::open;
    return v;
  }
  // Statistics of a cell's outputs, computed once a cell; of a measurement, which texts have no part in, a single one.
  const StatisticsTable& table_of(const CellResult& r, const CellSpec& spec) {
    StatisticsTable& table = tables_[&r];
    const std::string& score = study_.columns.front().score;
    if (table.width) return table;
    if (r.scores.count(score))
      return table = metrics::metric_table(results_.task(spec).metric(), r.references, r.outputs);
    table.width = 1, table.values = {r.value(score)};
    table.scores = [score](std::span<const double> sums) { return metrics::Scores{{score, sums[0]}}; };
    return table;
  }

  const Study& study_;
  const StudyResults& results_;
  std::map<const CellResult*, StatisticsTable> tables_;
};

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

std::vector<Verdict> judge(const Study& study, const StudyResults& results) {
  std::vector<Verdict> verdicts;
  Judge judging(study, results);
  for (const Claim& claim : study.claims) judging.add(claim, verdicts);
  std::vector<double> p;
  for (const Verdict& v : verdicts)
    if (v.kind != Verdict::Kind::not_testable) p.push_back(v.test.p);
  const std::vector<double> adjusted = holm(p);
  const bool lower = study.columns.front().better == ScoreColumn::Better::lower;
  size_t next = 0;
  for (Verdict& v : verdicts) {
    if (v.kind == Verdict::Kind::not_testable) continue;
    v.adjusted_p = adjusted[next++];
    if (v.test.seeds < Verdict::kEnoughSeeds || v.adjusted_p >= 0.05) continue;
    if (v.test.low > 0) v.kind = lower ? Verdict::Kind::reversed : Verdict::Kind::holds;
    if (v.test.high < 0) v.kind = lower ? Verdict::Kind::holds : Verdict::Kind::reversed;
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
  return {difference(v.test.difference),
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

ReportTable verdict_table(const Study& study, const StudyResults& results) {
  const ScoreColumn& main = study.columns.front();
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
  const std::vector<Verdict> verdicts = judge(study, results);
  const bool pairs = std::any_of(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return !v.pairs.empty(); });
  if (pairs) t.columns.insert(t.columns.end() - 1, {"right alone", false});
  for (const Verdict& v : verdicts) {
    std::vector<ReportTable::Value> row{v.word(), v.claim,
                                        std::isfinite(v.published) ? signed_number(v.published, main.decimals) : "–"};
    const auto cells = test_cells(v, main);
    row.insert(row.end(), cells.begin(), cells.end());
    if (pairs) row.push_back(v.pairs.empty() ? "–" : v.pairs);
    row.push_back(v.source);
    t.rows.push_back(std::move(row));
  }
  t.notes = verdict_notes(verdicts);
  if (main.better == ScoreColumn::Better::lower)
    t.notes.push_back(text("Of ", main.title, " less is better: a claim holds where the difference lies below 0."));
  if (pairs)
    t.notes.push_back(
        "Right alone: of each seed, answers that the first has right and the second has not : the reverse, with "
        "McNemar's "
        "exact p for these texts.");
  return t;
}

}  // namespace cambium
