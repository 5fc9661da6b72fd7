#include "models/pass.h"

#include "core/random.h"

namespace cambium {

std::string_view name_of(StackKind stack) { return stack == StackKind::encoder ? "encoder" : "decoder"; }

std::string_view name_of(Place place) {
  return place == Place::self_attention    ? "self_attention"
         : place == Place::cross_attention ? "cross_attention"
                                           : "feed_forward";
}

std::string path_of(const Site& site) {
  return text(name_of(site.stack), ".layers.", site.layer, ".", name_of(site.place));
}

Var Pass::operator()(const Parameter& p) const {
  if (tape_)
    if (const auto found = leaves_.find(&p); found != leaves_.end()) return found->second;
  return Var(p.value);
}

void Pass::set_dropout(const DropoutRates& rates, uint64_t seed, uint64_t step) {
  rates_ = rates;
  drops_ = true;
  seed_ = seed;
  step_ = step;
}

DropoutConfig Pass::dropout_at(float probability, const std::string& place) const {
  if (probability == 0) return {};
  return {probability, random_key(seed_, "dropout." + place, step_)};
}

Var Pass::drop_and_add(float probability, const std::string& place, Var x, const Var& residual,
                       const Layout& layout) const {
  if (probability > 0)
    return apply(DropoutAdd{dropout_at(probability, place), layout.identities(x.value.device())}, x, residual);
  return residual ? apply(Add{}, residual, x) : x;
}

}  // namespace cambium
