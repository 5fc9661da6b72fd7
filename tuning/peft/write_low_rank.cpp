// LoRA and DoRA for PEFT.
#include <algorithm>
#include <cmath>

#include "tuning/lora.h"
#include "tuning/peft/writing.h"

namespace cambium::peft {
namespace {

// One adapted matrix of ours, and where its rows stand in transformers' module.
struct Piece {
  Writing::Place place;
  Tensor a, b;
  double scale;
};

// B A of several pieces as one product: A's below each other, B's beside each other, in their own rows.
std::pair<Tensor, Tensor> together(const std::vector<Piece>& pieces, int64_t rank) {
  const int64_t in = pieces.front().a.cols(), out = pieces.front().place.rows;
  Tensor a = Tensor::empty({rank, in}, DType::f32), b = Tensor::zeros({out, rank}, DType::f32);
  int64_t first = 0;
  for (const Piece& p : pieces) {
    const int64_t r = p.a.rows();
    std::copy_n(p.a.data<float>(), r * in, a.data<float>() + first * in);
    for (int64_t row = p.place.begin; row < p.place.end; ++row)
      std::copy_n(p.b.data<float>() + (row - p.place.begin) * r, r, b.data<float>() + row * rank + first);
    first += r;
  }
  return {a, b};
}

double most_common(const std::map<std::string, double>& values) {
  std::map<double, int> count;
  for (const auto& [_, value] : values) ++count[value];
  return std::max_element(count.begin(), count.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
}

nlohmann::ordered_json pattern_of(const std::map<std::string, double>& values, double usual, bool whole_numbers) {
  auto pattern = nlohmann::ordered_json::object();
  for (const auto& [module, value] : values)
    if (value != usual) pattern[module] = whole_numbers ? nlohmann::ordered_json(int64_t(value)) : nlohmann::ordered_json(value);
  return pattern;
}

}  // namespace

void write_low_rank(Writing& w) {
  const OptionMap given = w.tuner.options();
  OptionReader reader(w.tuner.method(), given);
  const Lora::Options options = Lora::read_options(reader);
  const bool dora = w.tuner.method() == "dora";

  std::map<const Module*, std::vector<Piece>> pieces;
  const auto a = w.own(".lora_a"), b = w.own(".lora_b"), magnitudes = w.own(".magnitude");
  for (const auto& [name, matrix] : a) {
    const Writing::Place place = w.place_of(name);
    check_input(!dora || !place.is_part(), "dora at ", name, " cannot be written for PEFT: it is a part of ",
                place.module->name(), " there; targets=query_key_value adapts it whole");
    pieces[place.module].push_back(
        {place, matrix, b.at(name), options.scale_of(name, matrix.rows())});
  }
  std::set<const Module*> adapted;
  std::map<std::string, double> ranks, alphas;
  for (const auto& [module, list] : pieces) {
    adapted.insert(module);
    int64_t rank = 0;
    for (const Piece& p : list) {
      rank += p.a.rows();
      check_input(p.scale == list.front().scale, w.tuner.method(), ": the parts of ", module->name(),
                  " have different scales; PEFT has one");
    }
    const auto [joined_a, joined_b] = together(list, rank);
    w.tensors[w.tensor(*module, ".lora_A.weight")] = joined_a;
    w.tensors[w.tensor(*module, ".lora_B.weight")] = joined_b;
    if (dora) w.tensors[w.tensor(*module, ".lora_magnitude_vector")] = magnitudes.at(module->ours);
    ranks[w.name(*module)] = double(rank);
    alphas[w.name(*module)] = list.size() == 1 ? number_for(options.alpha_pattern, module->ours, options.alpha)
                                               : list.front().scale * options.divisor(rank);
  }
  for (const auto& [module, list] : pieces)  // a part of a product alone keeps its own alpha
    if (list.size() == 1 && list.front().place.is_part()) alphas[w.name(*module)] = list.front().scale * options.divisor(int64_t(ranks.at(w.name(*module))));

  const double rank = most_common(ranks), alpha = most_common(alphas);
  w.config["peft_type"] = "LORA";
  w.config["r"] = int64_t(rank);
  w.config["lora_alpha"] = alpha == std::floor(alpha) ? nlohmann::ordered_json(int64_t(alpha)) : nlohmann::ordered_json(alpha);
  w.config["lora_dropout"] = options.dropout;
  w.config["use_rslora"] = options.rslora;
  w.config["use_dora"] = dora;
  w.config["fan_in_fan_out"] = w.model.config().family == "gpt2";
  w.config["init_lora_weights"] = true;
  w.config["target_modules"] = targets_of(w, adapted);
  w.config["rank_pattern"] = pattern_of(ranks, rank, true);
  w.config["alpha_pattern"] = pattern_of(alphas, alpha, false);
  write_trained_base(w, adapted, true);
}

}  // namespace cambium::peft
