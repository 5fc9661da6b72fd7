#include "tuning/lora.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/linear.h"
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
      return std::any_of(entry.second.begin(), entry.second.end(), [&](const Adapted& a) { return a.name.ends_with("." + target); });
    });
    check_input(found, "lora: targets=", target, " matches nothing in this model; it has query, key, value, output, ",
                context.model.config().gated ? "gate, up, down" : "up, down", " and ", kFused);
  }
}

void Lora::adapt(const Site& site, Dense& product, const TunerContext& context) {
  const auto wanted = [&](const std::string& name) {
    return std::find(options_.targets.begin(), options_.targets.end(), name) != options_.targets.end();
  };
  std::vector<Adapted>& list = adapted_[{site, product.parts.front().name}];
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
}

OptionMap Lora::options() const {
  std::string targets;
  for (const std::string& t : options_.targets) targets += (targets.empty() ? "" : ",") + t;
  return {{"rank", std::to_string(options_.rank)}, {"alpha", text(options_.alpha)}, {"dropout", text(options_.dropout)}, {"targets", targets}};
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

Var Lora::projected(Pass& pass, const Projection& projection, const Var& x, Var y, const Layout& layout) {
  const auto found = adapted_.find({projection.site, projection.parts.front().name});
  if (found == adapted_.end()) return y;
  for (const Adapted& m : found->second) {
    const float dropout = pass.training() ? float(options_.dropout) : 0.f;
    const Var in = dropout > 0 ? pass.drop_and_add(dropout, m.name, x, Var(), layout) : x;
    y = apply(LowRank{float(effective_scale()), m.begin, m.end}, in, pass(m.a), pass(m.b), y);
  }
  return y;
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
      m.weight->value.buffer()->packed = nullptr;
    }
  return true;
}

}  // namespace cambium
