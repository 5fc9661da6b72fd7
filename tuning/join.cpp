#include "tuning/join.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/random.h"
#include "core/svd.h"
#include "tuning/lora.h"
#include "tuning/methods.h"

namespace cambium {
namespace {

// The matrices of one part at one module.
struct Pair {
  Tensor a, b;           // [rank, in], [out, rank], double on the CPU
  double weight, scale;  // w_i, s_i
  size_t part;
};

Tensor scaled(const Tensor& x, double factor) {
  Tensor y = x.clone();
  for (double& v : y.span<double>()) v *= factor;
  return y;
}

Tensor sum(const std::vector<Tensor>& all) {
  Tensor total = Tensor::zeros(all.front().shape(), DType::f64);
  for (const Tensor& x : all)
    for (int64_t i = 0; i < x.size(); ++i) total.data<double>()[i] += x.data<double>()[i];
  return total;
}

// The int(density n) largest numbers, the first of equal ones; zero elsewhere.
Tensor largest(const Tensor& x, double density) {
  std::vector<int64_t> order(static_cast<size_t>(x.size()));
  std::iota(order.begin(), order.end(), 0);
  const double* v = x.data<double>();
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return std::abs(v[i]) > std::abs(v[j]); });
  Tensor kept = Tensor::zeros(x.shape(), DType::f64);
  for (int64_t i = 0; i < int64_t(density * double(x.size())); ++i)
    kept.data<double>()[order[size_t(i)]] = v[order[size_t(i)]];
  return kept;
}

// Each number with probability `density`, divided by it.
Tensor dropped(const Tensor& x, double density, uint64_t seed, const std::string& name) {
  Tensor kept = Tensor::zeros(x.shape(), DType::f64);
  const RandomKey key = random_key(seed, name);
  for (int64_t i = 0; i < x.size(); ++i)
    if (unit_float(philox(key, uint32_t(i), uint32_t(i >> 32), 0, 0).word[0]) < float(density))
      kept.data<double>()[i] = x.data<double>()[i] / density;
  return kept;
}

// Of each place the weighted numbers that have the sign of the sum of the unweighted ones, divided by their count.
Tensor elected(const std::vector<Tensor>& all, const std::vector<double>& weights) {
  Tensor merged = Tensor::zeros(all.front().shape(), DType::f64);
  for (int64_t i = 0; i < merged.size(); ++i) {
    double total = 0, chosen = 0;
    int count = 0;
    for (const Tensor& x : all) total += x.data<double>()[i];
    const double sign = total >= 0 ? 1 : -1;
    for (size_t k = 0; k < all.size(); ++k) {
      const double v = all[k].data<double>()[i];
      if ((v > 0 ? 1 : v < 0 ? -1 : 0) == sign) chosen += weights[k] * v, ++count;
    }
    merged.data<double>()[i] = chosen / std::max(count, 1);
  }
  return merged;
}

// One of A and B of the result, from those of the parts.
Tensor mixed(const std::vector<Pair>& pairs, bool of_a, const JoinOptions& o, const std::string& name) {
  std::vector<Tensor> all;
  std::vector<double> weights;
  for (const Pair& p : pairs) {
    const double strength = p.weight * p.scale;
    weights.push_back(std::sqrt(std::abs(strength)) * (of_a && strength < 0 ? -1 : 1));
    const Tensor& x = of_a ? p.a : p.b;
    all.push_back(o.how == "ties"   ? largest(x, o.density)
                  : o.how == "dare" ? dropped(x, o.density, o.seed, text(name, ".", p.part))
                                    : x);
  }
  if (o.how == "ties") return elected(all, weights);
  for (size_t i = 0; i < all.size(); ++i) all[i] = scaled(all[i], weights[i]);
  return sum(all);
}

// B's beside each other, A's with weights and scales below each other.
std::pair<Tensor, Tensor> concatenated(const std::vector<Pair>& pairs) {
  int64_t rank = 0;
  for (const Pair& p : pairs) rank += p.a.rows();
  const int64_t in = pairs.front().a.cols(), out = pairs.front().b.rows();
  Tensor a = Tensor::empty({rank, in}, DType::f64), b = Tensor::empty({out, rank}, DType::f64);
  int64_t first = 0;
  for (const Pair& p : pairs) {
    const int64_t r = p.a.rows();
    const Tensor rows = scaled(p.a, p.weight * p.scale);
    std::copy_n(rows.data<double>(), r * in, a.data<double>() + first * in);
    for (int64_t o = 0; o < out; ++o) std::copy_n(p.b.data<double>() + o * r, r, b.data<double>() + o * rank + first);
    first += r;
  }
  return {a, b};
}

// A = V^T, B = U diag(s), of the `rank` largest.
std::pair<Tensor, Tensor> best(const std::pair<Tensor, Tensor>& product, int64_t rank) {
  const Svd d = svd_of_product(product.second, product.first);
  rank = std::min(rank, d.s.size());
  const int64_t in = d.v.rows(), out = d.u.rows(), k = d.s.size();
  Tensor a = Tensor::empty({rank, in}, DType::f64), b = Tensor::empty({out, rank}, DType::f64);
  for (int64_t r = 0; r < rank; ++r) {
    for (int64_t i = 0; i < in; ++i) a.data<double>()[r * in + i] = d.v.data<double>()[i * k + r];
    for (int64_t o = 0; o < out; ++o) b.data<double>()[o * rank + r] = d.u.data<double>()[o * k + r] * d.s.data<double>()[r];
  }
  return {a, b};
}

std::map<std::string, std::vector<Pair>> pairs_of(const std::vector<Tuner*>& parts, const std::vector<double>& weights) {
  std::map<std::string, std::vector<Pair>> modules;
  for (size_t i = 0; i < parts.size(); ++i) {
    std::map<std::string, Tensor> values;
    for (const NamedParameter& p : parts[i]->parameters())
      values[p.name] = p.value().to(Device::cpu()).to(DType::f64);
    const OptionMap given = parts[i]->options();
    OptionReader reader("lora", given);
    const Lora::Options options = Lora::read_options(reader);
    constexpr std::string_view kA = ".lora_a";
    for (const auto& [name, a] : values) {
      if (!name.ends_with(kA)) continue;
      const std::string module = name.substr(0, name.size() - kA.size());
      modules[module].push_back(
          {a, values.at(module + ".lora_b"), weights[i], options.scale_of(module, a.rows()), i});
    }
  }
  return modules;
}

}  // namespace

std::vector<std::string> join_methods() { return {"average", "cat", "svd", "ties", "dare"}; }

std::unique_ptr<Tuner> join(const std::vector<Tuner*>& parts, const std::vector<std::string>& names, Model& model,
                            const JoinOptions& o) {
  const std::vector<std::string> known = join_methods();
  check_input(std::find(known.begin(), known.end(), o.how) != known.end(), "--join ", o.how, " is none of ", listed(known));
  check_input(o.density > 0 && o.density <= 1, "--density ", o.density, ": give a share above 0, up to 1");
  std::vector<double> weights = o.weights;
  if (weights.empty()) weights.assign(parts.size(), 1 / double(parts.size()));
  check_input(weights.size() == parts.size(), weights.size(), " weights for ", parts.size(), " tuners");
  for (const double w : weights) check_input(std::isfinite(w), "a weight is not finite");
  for (size_t i = 0; i < parts.size(); ++i)
    check_input(parts[i]->method() == "lora", names[i], " is a ", parts[i]->method(), ": only loras can be joined");

  std::map<std::string, std::pair<Tensor, Tensor>> results;
  std::map<std::string, double> ranks;
  std::set<std::string> modules;
  for (const auto& [module, pairs] : pairs_of(parts, weights)) {
    int64_t rank = 0;
    for (const Pair& p : pairs) {
      check_input(o.how == "cat" || o.how == "svd" || p.a.rows() == pairs.front().a.rows(), "--join ", o.how, ": ", module,
                  " has rank ", pairs.front().a.rows(), " in ", names[pairs.front().part], " and ", p.a.rows(), " in ",
                  names[p.part], "; cat and svd can join them");
      rank = std::max(rank, p.a.rows());
    }
    if (o.how == "cat") results[module] = concatenated(pairs);
    else if (o.how == "svd") results[module] = best(concatenated(pairs), rank);
    else results[module] = {mixed(pairs, true, o, module + ".lora_a"), mixed(pairs, false, o, module + ".lora_b")};
    ranks[module] = double(results.at(module).first.rows());
    modules.insert(module);
  }
  const double rank = ranks.begin()->second;  // alpha = rank everywhere: the scale is 1
  const std::string patterns = print_numbers(numbers_of(ranks, rank));
  auto joined = make_tuner("lora",
                           {{"rank", print_number(rank)},
                            {"alpha", print_number(rank)},
                            {"rank_pattern", patterns},
                            {"alpha_pattern", patterns},
                            {"dropout", parts.front()->options().at("dropout")},
                            {"targets", listed(selectors_of(model, modules), ",")}},
                           {.model = model, .initialize = false});
  for (const NamedParameter& p : joined->parameters()) {
    const auto& [a, b] = results.at(p.name.substr(0, p.name.rfind('.')));
    const Tensor& value = p.name.ends_with("_a") ? a : b;
    CHECK(value.shape() == p.value().shape(), p.name, " is ", value.shape(), ", needed is ", p.value().shape());
    p.value().copy_from(value.to(p.value().dtype()).to(p.value().device()));
  }
  return joined;
}

}  // namespace cambium
