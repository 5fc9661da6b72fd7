#include "tuning/lora.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/low_rank.h"
#include "core/kernels/matmul.h"

namespace cambium {
namespace {

constexpr double kLargestRank = 65536;

// Every entry must fit one of the modules.
void check_patterns(const std::string& method, const char* option, const std::vector<ModuleNumber>& pattern,
                    const std::vector<Target>& targets) {
  for (const ModuleNumber& n : pattern)
    check_input(std::any_of(targets.begin(), targets.end(),
                            [&](const Target& t) { return number_for({n}, t.name(), -1) != -1; }),
                method, ": ", option, ": no adapted module has \"", n.part, "\" in its name; there is ",
                targets.front().name());
}

}  // namespace

Lora::Options Lora::read_options(OptionReader& o) {
  Options options;
  options.rank = o.integer("rank", options.rank, 1, int64_t(kLargestRank));
  options.alpha = o.number("alpha", options.alpha, 1e-6, 1e6);
  options.dropout = o.number("dropout", options.dropout, 0, 0.999);
  options.targets = split(o.word("targets", "query,value"));
  options.rslora = o.flag("rslora", false);
  options.plus_ratio = o.number("plus_ratio", options.plus_ratio, 1e-3, 1e3);
  options.rank_pattern = o.numbers("rank_pattern", 1, kLargestRank);
  options.alpha_pattern = o.numbers("alpha_pattern", 1e-6, 1e6);
  for (const ModuleNumber& n : options.rank_pattern)
    check_input(n.value == std::floor(n.value), o.method(), ": rank_pattern: ", print_number(n.value),
                " is no whole number");
  return options;
}

TunerMaker Lora::read(OptionReader& o) {
  const Options options = read_options(o);
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Lora>(options, context); };
}

Lora::Lora(const Options& options, const TunerContext& context, const std::string& method) : options_(options) {
  const std::vector<Target> targets = find_targets(context.model, method, options_.targets);
  check_patterns(method, "rank_pattern", options_.rank_pattern, targets);
  check_patterns(method, "alpha_pattern", options_.alpha_pattern, targets);
  for (const Target& t : targets) {
    Adapted m{t, t.name(), 0, 0, {}, {}};
    m.rank = int64_t(number_for(options_.rank_pattern, m.name, double(options_.rank)));
    m.scale = options_.scale_of(m.name, m.rank);
    check_input(m.rank <= std::min(t.in(), t.out()), method, ": rank ", m.rank, " exceeds the ", std::min(t.in(), t.out()),
                " of ", m.name, " [", t.out(), ", ", t.in(), "]");
    m.a = tuner_parameter(context.model, {m.rank, t.in()});
    m.b = tuner_parameter(context.model, {t.out(), m.rank});
    if (context.initialize) fill_uniform(m.a, context.seed, m.name + ".lora_a", 1 / std::sqrt(double(t.in())));
    adapted_.at(t).push_back(std::move(m));
  }
}

OptionMap Lora::options() const {
  return {{"rank", std::to_string(options_.rank)},
          {"alpha", print_number(options_.alpha)},
          {"dropout", print_number(options_.dropout)},
          {"targets", listed(options_.targets, ",")},
          {"rslora", options_.rslora ? "1" : "0"},
          {"plus_ratio", print_number(options_.plus_ratio)},
          {"rank_pattern", print_numbers(options_.rank_pattern)},
          {"alpha_pattern", print_numbers(options_.alpha_pattern)}};
}

std::vector<NamedParameter> Lora::parameters() {
  std::vector<NamedParameter> all;
  for (auto& [_, list] : adapted_)
    for (Adapted& m : list) {
      all.push_back({m.name + ".lora_a", &m.a, 0, m.a.value.rows()});
      all.push_back({m.name + ".lora_b", &m.b, 0, m.b.value.rows()});
    }
  return all;
}

double Lora::rate_factor(std::string_view name) const { return name.ends_with(".lora_b") ? options_.plus_ratio : 1; }

bool Lora::reaches_inside(const Site& site) const { return adapted_.has(site); }

Var Lora::projected(Pass& pass, const Projection& projection, const Var& x, Var y, const Layout& layout) {
  const std::vector<Adapted>* list = adapted_.find(projection);
  if (!list) return y;
  const float dropout = pass.drops() ? float(options_.dropout) : 0.f;
  // Each drops other elements of its input, so with dropout they are done one by one.
  const size_t together = dropout > 0 ? 1 : LowRank::kMost;
  for (size_t begin = 0; begin < list->size(); begin += together) {
    const std::span<const Adapted> group = std::span(*list).subspan(begin, std::min(together, list->size() - begin));
    y = add_group(pass, group, dropout > 0 ? pass.drop_and_add(dropout, group[0].name, x, Var(), layout) : x,
                  std::move(y));
  }
  return y;
}

Var Lora::add_group(const Pass& pass, std::span<const Adapted> group, const Var& x, Var y) const {
  LowRank op;
  Var a[LowRank::kMost], b[LowRank::kMost];
  for (size_t i = 0; i < group.size(); ++i) {
    op.parts[i] = {.scale = float(group[i].scale),
                   .rank = group[i].rank,
                   .column_begin = group[i].target.begin,
                   .column_end = group[i].target.end};
    a[i] = pass(group[i].a), b[i] = pass(group[i].b);
  }
  return apply(op, x, y, a[0], b[0], a[1], b[1], a[2], b[2]);
}

Tensor Lora::summed_weight(const Tensor& w, const Tensor& a, const Tensor& b, double scale) {
  Tensor sum = w.to(accumulator(w.dtype())).clone(), scaled = b.clone();
  DISPATCH(scale, scaled.stream())(scaled.stream(), scaled, scale, scaled);
  DISPATCH(matmul, sum.stream())(sum.stream(), scaled, a, {}, {.accumulate = true}, sum);
  return sum;
}

bool Lora::add_to_base(double sign) {
  for (const auto& [_, list] : adapted_)
    for (const Adapted& m : list) {  // in float32, rounded once
      const Tensor rows = m.target.dense->weight.value.rows(m.target.begin, m.target.end);
      rows.copy_from(summed_weight(rows, m.a.value, m.b.value, sign * m.scale).to(rows.dtype()));
    }
  return true;
}

}  // namespace cambium
