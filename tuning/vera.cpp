#include "tuning/vera.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "autograd/ops/factors.h"
#include "autograd/ops/low_rank.h"
#include "core/kernels/elementwise.h"
#include "tuning/lora.h"

namespace cambium {
namespace {

// Numbers in [-bound, bound) as torch.Tensor.uniform_ draws them from its generator on a CPU, in float32: the lower 24
// bits of each word of a Mersenne twister. (ATen's uniform_real)
void fill_as_torch(const Parameter& p, std::mt19937& generator, double bound) {
  const float from = float(-bound), to = float(bound);
  Tensor host = Tensor::empty(p.value.shape(), DType::f32);
  for (float& x : host.span<float>()) x = float(generator() & 0xffffff) * (1.f / float(1 << 24)) * (to - from) + from;
  p.value.copy_from(host.to(p.value.dtype()).to(p.value.device()));
}

}  // namespace

TunerMaker Vera::read(OptionReader& o) {
  Options options;
  options.rank = o.integer("rank", options.rank, 1, 65536);
  options.targets = split(o.word("targets", listed(options.targets, ",")));
  options.initial = o.number("initial", options.initial, 1e-6, 1e3);
  options.seed = o.integer("seed", options.seed, 0, int64_t(1) << 52);
  options.dropout = o.number("dropout", options.dropout, 0, 0.999);
  options.compat = o.choice("compat", "", {"", "peft"});
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Vera>(options, context); };
}

Vera::Vera(const Options& options, const TunerContext& context) : options_(options) {
  const std::vector<Target> targets = find_targets(context.model, "vera", options_.targets);
  int64_t in = 0, out = 0;
  for (const Target& t : targets) in = std::max(in, t.in()), out = std::max(out, t.out());
  const int64_t rank = options_.rank;
  a_ = tuner_parameter(context.model, {rank, in});
  b_ = tuner_parameter(context.model, {out, rank});
  if (options_.compat == "peft") {
    std::mt19937 generator{uint32_t(options_.seed)};  // of a longer seed PyTorch reads the lower half, too
    fill_as_torch(a_, generator, std::sqrt(6 / double(in)));
    fill_as_torch(b_, generator, std::sqrt(6 / double(rank)));
  } else {
    fill_uniform(a_, uint64_t(options_.seed), "vera.a", std::sqrt(3 / double(in)));
    fill_uniform(b_, uint64_t(options_.seed), "vera.b", std::sqrt(3 / double(rank)));
  }
  std::map<int64_t, Tensor> columns;  // the first of A, one copy for each width
  for (const Target& t : targets) {
    Tensor& a = columns[t.in()];
    if (!a) {
      a = Tensor::empty({rank, t.in()}, a_.value.dtype(), a_.value.device());
      DISPATCH(convert, a.stream())(a.stream(), a_.value.view().columns(0, t.in()), a);
    }
    Adapted m{t, a, tuner_parameter(context.model, {rank}), tuner_parameter(context.model, {t.out()})};
    if (context.initialize) fill_uniform(m.inner, 0, "", 0, options_.initial);  // all alike
    adapted_.at(t).push_back(std::move(m));
  }
}

OptionMap Vera::options() const {
  return {{"rank", std::to_string(options_.rank)},
          {"targets", listed(options_.targets, ",")},
          {"initial", print_number(options_.initial)},
          {"seed", std::to_string(options_.seed)},
          {"dropout", print_number(options_.dropout)},
          {"compat", options_.compat}};
}

std::vector<NamedParameter> Vera::parameters() {
  std::vector<NamedParameter> all;
  for (auto& [_, list] : adapted_)
    for (Adapted& m : list) {
      all.push_back({m.target.name() + ".vera_b", &m.outer, 0, m.outer.value.size()});
      all.push_back({m.target.name() + ".vera_d", &m.inner, 0, m.inner.value.size()});
    }
  return all;
}

bool Vera::reaches_inside(const Site& site) const { return adapted_.has(site); }

// diag(d) A [rank, in] and diag(b) B [out, rank]
std::pair<Var, Var> Vera::scaled_pair(const Pass& pass, const Adapted& m) const {
  return {apply(ScaleRows{}, Var(m.a), pass(m.inner)),
          apply(ScaleRows{}, Var(b_.value.rows(0, m.target.out())), pass(m.outer))};
}

Var Vera::projected(Pass& pass, const Projection& projection, const Var& x, Var y, const Layout& layout) {
  const std::vector<Adapted>* list = adapted_.find(projection);
  if (!list) return y;
  for (const Adapted& m : *list) {
    const float p = pass.drops() ? float(options_.dropout) : 0.f;
    const Var in = p > 0 ? pass.drop_and_add(p, m.target.name(), x, Var(), layout) : x;
    LowRank op;
    op.parts[0] = {.rank = options_.rank, .column_begin = m.target.begin, .column_end = m.target.end};
    const auto [a, b] = scaled_pair(pass, m);
    y = apply(op, in, y, a, b, Var(), Var(), Var(), Var());
  }
  return y;
}

bool Vera::add_to_base(double sign) {
  Hooks none;
  const Pass pass(none);
  for (const auto& [_, list] : adapted_)
    for (const Adapted& m : list) {
      const Tensor rows = m.target.dense->weight.value.rows(m.target.begin, m.target.end);
      const auto [a, b] = scaled_pair(pass, m);
      rows.copy_from(Lora::summed_weight(rows, a.value, b.value, sign).to(rows.dtype()));
    }
  return true;
}

}  // namespace cambium
