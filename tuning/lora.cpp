#include "tuning/lora.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/low_rank.h"
#include "core/kernels/matmul.h"
#include "tuning/options.h"
#include "tuning/sites.h"

namespace cambium {
namespace {

constexpr const char* kFused = "query_key_value";

}  // namespace

Lora::Lora(const Options& options, const TunerContext& context) : options_(options) {
  for_each_product(context.model, [&](const Site& site, Dense& product) { adapt(site, product, context); });
  for (const std::string& target : options_.targets) {
    const bool found = std::any_of(adapted_.begin(), adapted_.end(), [&](const auto& entry) {
      return std::any_of(entry.second.begin(), entry.second.end(),
                         [&](const Adapted& a) { return a.name.ends_with("." + target); });
    });
    check_input(found, "lora: targets=", target, " matches nothing in this model; it has query, key, value, output, ",
                context.model.config().gated ? "gate, up, down" : "up, down", " and ", kFused);
  }
}

void Lora::adapt(const Site& site, Dense& product, const TunerContext& context) {
  const auto wanted = [&](const std::string& name) {
    return std::find(options_.targets.begin(), options_.targets.end(), name) != options_.targets.end();
  };
  std::vector<Adapted> list;
  const auto add = [&](const std::string& name, int64_t begin, int64_t end) {
    if (!wanted(name)) return;
    Adapted m{path_of(site) + "." + name, &product.weight, begin, end, {}, {}};
    const int64_t in = product.weight.value.cols();
    m.a = tuner_parameter(context.model, {options_.rank, in});
    m.b = tuner_parameter(context.model, {end - begin, options_.rank});
    if (context.initialize) fill_uniform(m.a, context.seed, m.name + ".lora_a", 1 / std::sqrt(double(in)));
    list.push_back(std::move(m));
  };
  for (const Part& part : product.parts) add(part.name, part.begin, part.end);
  if (product.parts.size() == 3) add(kFused, 0, product.parts.back().end);
  if (!list.empty()) adapted_[{site, product.parts.front().name}] = std::move(list);
}

OptionMap Lora::options() const {
  return {{"rank", std::to_string(options_.rank)},
          {"alpha", print_number(options_.alpha)},
          {"dropout", print_number(options_.dropout)},
          {"targets", listed(options_.targets, ",")}};
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

bool Lora::inside(const Site& site) const {
  const auto found = adapted_.lower_bound({site, ""});
  return found != adapted_.end() && found->first.first == site;
}

Var Lora::projected(Pass& pass, const Projection& projection, const Var& x, Var y, const Layout& layout) {
  const auto found = adapted_.find({projection.site, projection.parts.front().name});
  if (found == adapted_.end()) return y;
  const float dropout = pass.drops() ? float(options_.dropout) : 0.f;
  const std::vector<Adapted>& list = found->second;
  // Each drops other elements of its input, so with dropout they are done one by one.
  const size_t together = dropout > 0 ? 1 : LowRank::kMost;
  for (size_t begin = 0; begin < list.size(); begin += together) {
    const std::span<const Adapted> group = std::span(list).subspan(begin, std::min(together, list.size() - begin));
    y = add_group(pass, group, dropout > 0 ? pass.drop_and_add(dropout, group[0].name, x, Var(), layout) : x,
                  std::move(y));
  }
  return y;
}

Var Lora::add_group(const Pass& pass, std::span<const Adapted> group, const Var& x, Var y) const {
  LowRank op;
  Var a[LowRank::kMost], b[LowRank::kMost];
  for (size_t i = 0; i < group.size(); ++i) {
    op.parts[i] = {.scale = float(effective_scale()),
                   .rank = options_.rank,
                   .column_begin = group[i].begin,
                   .column_end = group[i].end};
    a[i] = pass(group[i].a), b[i] = pass(group[i].b);
  }
  return apply(op, x, y, a[0], b[0], a[1], b[1], a[2], b[2]);
}

bool Lora::merge_into(Model&) {
  for (auto& [_, list] : adapted_)
    for (Adapted& m : list) {
      // W + scale * B A in float32, rounded once.
      const Tensor rows = m.weight->value.rows(m.begin, m.end);
      Tensor sum = rows.to(accumulator(rows.dtype())).clone();
      Tensor b = m.b.value.clone();
      DISPATCH(scale, b.stream())(b.stream(), b, effective_scale(), b);
      DISPATCH(matmul, sum.stream())(sum.stream(), b, m.a.value, {}, {.accumulate = true}, sum);
      rows.copy_from(sum.to(rows.dtype()));
    }
  return true;
}

}  // namespace cambium
