#include "tuning/mixture.h"

#include <algorithm>
#include <numeric>

#include "autograd/ops/rows.h"

namespace cambium {
namespace {

bool same(const Var& a, const Var& b) {
  return a.slot == b.slot && a.value.raw() == b.value.raw() && a.shape() == b.shape();
}

// As many at a time as the op takes, then as many of those.
Var join(std::vector<Var> parts) {
  while (parts.size() > 1) {
    std::vector<Var> next;
    for (size_t i = 0; i < parts.size(); i += Join::kMost) {
      const size_t count = std::min(Join::kMost, parts.size() - i);
      Var x[Join::kMost];
      std::copy_n(parts.begin() + std::ptrdiff_t(i), count, x);
      next.push_back(count == 1 ? x[0] : apply(Join{}, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]));
    }
    parts = std::move(next);
  }
  return std::move(parts.front());
}

Var rows_of(const Var& x, int64_t begin, int64_t end) {
  return begin == 0 && end == x.value.rows() ? x : apply(Slice{begin, end}, x);
}

}  // namespace

bool changes_base(const Tuner& tuner, Model& model) {
  const auto all = model.parameters();
  return std::any_of(all.begin(), all.end(), [&](const NamedParameter& p) { return tuner.trains(p.name); });
}

std::vector<size_t> by_tuner(const Batch& batch) {
  std::vector<size_t> order(batch.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return batch[a].tuner < batch[b].tuner; });
  return order;
}

Mixture::Mixture(std::span<Tuner* const> tuners, Model& model) : tuners_(tuners.begin(), tuners.end()) {
  for (size_t i = 0; i < tuners_.size(); ++i) {
    if (!cambium::changes_base(*tuners_[i], model)) continue;
    check_input(tuners_.size() == 1, "tuner ", i, " (", tuners_[i]->method(),
                ") changes the base itself and cannot be mixed with others");
    changes_base_ = true;
  }
}

void Mixture::check(const Batch& batch) const {
  for (const Sequence& s : batch) check_tuner_of(text("sequence ", s.index), s.tuner);
}

void Mixture::check_tuner_of(const std::string& who, int tuner) const {
  check_input(tuner < int(tuners_.size()), who, " names tuner ", tuner, "; there are ", tuners_.size(), " tuners");
  check_input(tuner >= 0 || !changes_base_, tuners_.empty() ? "" : tuners_.front()->method(),
              " changes the base itself: ", who, " cannot be without it");
}

Hooks* Mixture::hooks(int tuner) const {
  CHECK(tuner < int(tuners_.size()), "a sequence names tuner ", tuner, " of a mixture of ", tuners_.size());
  return tuner < 0 ? nullptr : tuners_[size_t(tuner)];
}

Var Mixture::Part::of(const Var& x) const { return rows_of(x, begin, end); }

Var Mixture::each(const Layout& layout, const Var& x, const std::function<Var(const Part&, Var)>& treat) {
  std::vector<Var> parts;
  bool changed = false;
  int64_t begin = 0;
  for (const Layout::Run& run : layout.runs()) {
    const bool whole = run.begin == 0 && run.end == layout.sequences();
    const Layout own = whole ? Layout() : layout.part(run.begin, run.end);
    const Layout& part = whole ? layout : own;
    const int64_t end = begin + part.size();
    if (begin == end) continue;  // a last layer that reads no row of these
    Var rows = rows_of(x, begin, end);
    if (Hooks* const tuner = hooks(run.tuner)) {
      Var treated = treat({*tuner, part, begin, end}, rows);
      changed = changed || !same(rows, treated);
      rows = std::move(treated);
    }
    parts.push_back(std::move(rows));
    begin = end;
  }
  return changed ? join(std::move(parts)) : x;
}

void Mixture::embedded(Pass& pass, StackKind kind, Var& rows, Layout& layout) {
  std::vector<Layout> layouts;
  std::vector<Var> parts;
  bool changed = false;
  int64_t begin = 0;
  for (const Layout::Run& run : layout.runs()) {
    Layout part = layout.part(run.begin, run.end);
    const Var own = rows_of(rows, begin, begin + part.size());
    begin += part.size();
    Var treated = own;
    if (Hooks* const tuner = hooks(run.tuner)) tuner->embedded(pass, kind, treated, part);
    changed = changed || !same(own, treated);
    layouts.push_back(std::move(part)), parts.push_back(std::move(treated));
  }
  if (changed) rows = join(std::move(parts));
  layout = Layout::joined(layouts);
}

int64_t Mixture::virtual_tokens(StackKind kind, int tuner) const {
  const Hooks* const own = hooks(tuner);
  return own ? own->virtual_tokens(kind, tuner) : 0;
}

int64_t Mixture::position_shift(StackKind kind, int tuner) const {
  const Hooks* const own = hooks(tuner);
  return own ? own->position_shift(kind, tuner) : 0;
}

Var Mixture::layer_input(Pass& pass, StackKind kind, int layer, Var x, const Layout& layout) {
  return each(layout, x,
              [&](const Part& p, Var own) { return p.hooks.layer_input(pass, kind, layer, std::move(own), p.layout); });
}

Var Mixture::input(Pass& pass, const Projection& projection, Var x, const Layout& layout) {
  return each(layout, x,
              [&](const Part& p, Var own) { return p.hooks.input(pass, projection, std::move(own), p.layout); });
}

Var Mixture::projected(Pass& pass, const Projection& projection, const Var& x, Var y, const Layout& layout) {
  return each(layout, y, [&](const Part& p, Var own) {
    return p.hooks.projected(pass, projection, p.of(x), std::move(own), p.layout);
  });
}

PrefixRows Mixture::prefix(Pass& pass, const Site& site, const Layout& layout) {
  PrefixRows all;
  std::vector<Var> keys, values;
  int32_t rows = 0;
  for (const Layout::Run& run : layout.runs()) {
    Hooks* const tuner = hooks(run.tuner);
    const PrefixRows own = tuner ? tuner->prefix(pass, site, layout.part(run.begin, run.end)) : PrefixRows();
    for (size_t s = 0; s < size_t(run.end - run.begin); ++s) {
      all.begin.push_back(own ? own.begin[s] + rows : 0);
      all.length.push_back(own ? own.length[s] : 0);
    }
    if (!own) continue;
    rows += int32_t(own.key.value.rows());
    keys.push_back(own.key), values.push_back(own.value);
  }
  if (keys.empty()) return {};
  all.key = join(std::move(keys)), all.value = join(std::move(values));
  return all;
}

bool Mixture::reaches_inside(const Site& site) const {
  return std::any_of(tuners_.begin(), tuners_.end(), [&](const Tuner* t) { return t->reaches_inside(site); });
}

Var Mixture::hidden(Pass& pass, const Site& site, Var a, const Layout& layout) {
  return each(layout, a, [&](const Part& p, Var own) { return p.hooks.hidden(pass, site, std::move(own), p.layout); });
}

Var Mixture::after(Pass& pass, const Site& site, const Sublayer& sublayer, Var h, const Layout& layout) {
  return each(layout, h, [&](const Part& p, Var own) {
    const Var read = p.of(sublayer.read), residual = p.of(sublayer.residual);
    return p.hooks.after(pass, site, {read, residual, sublayer.result}, std::move(own), p.layout);
  });
}

bool Mixture::trains(std::string_view name) const {
  return std::any_of(tuners_.begin(), tuners_.end(), [&](const Tuner* t) { return t->trains(name); });
}

}  // namespace cambium
