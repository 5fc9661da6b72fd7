#include "tuning/train_options.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tuning/options.h"
#include "tuning/schedule.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr const char* kNotLearned[] = {"recompute", "save_every", "eval_every", "report_every"};

json adafactor_json(const OptimizerOptions& o) {
  return {{"decay_rate", o.decay_rate},
          {"clip", o.clip},
          {"epsilon1", o.epsilon1},
          {"epsilon2", o.epsilon2},
          {"initial_step", o.initial_step},
          {"factor_min_dim", o.factor_min_dim},
          {"scale_by_parameter", o.scale_by_parameter},
          {"decay_times_lr", o.decay_times_lr}};
}

json dropout_json(const DropoutRates& d) {
  return {
      {"embedding", d.embedding}, {"attention", d.attention}, {"residual", d.residual}, {"activation", d.activation}};
}

// As they are given on the command line: "lora_b=16,head=2".
std::string joined(const std::vector<RateFactor>& factors) {
  std::vector<std::string> parts;
  for (const RateFactor& f : factors) parts.push_back(f.part + "=" + print_number(f.factor));
  return listed(parts, ",");
}

// A list of values, which programs before names wrote in this order.
void give_names(json& list, std::initializer_list<const char*> names) {
  if (!list.is_array() || list.size() != names.size()) return;
  json object = json::object();
  size_t i = 0;
  for (const char* name : names) object[name] = list[i++];
  list = std::move(object);
}

}  // namespace

void check_options(const TrainOptions& o) {
  static constexpr int64_t kMost = std::numeric_limits<int32_t>::max();  // epochs times examples are counted in 64 bits
  const auto positive = [](const char* name, int64_t value) {
    check_input(value >= 1 && value <= kMost, name, " ", value, " must be from 1 to ", kMost);
  };
  const auto not_negative = [](const char* name, int64_t value) {
    check_input(value >= 0, name, " ", value, " is negative");
  };
  // Written so that NaN fails too.
  const auto within = [](const char* name, double value, double least, double below) {
    check_input(value >= least && value < below, name, " ", value, " must be at least ", least, " and below ", below);
  };
  positive("--batch-size", o.batch_size), positive("--epochs", o.epochs);
  not_negative("--steps", o.steps), not_negative("--save-every", o.save_every),
      not_negative("--eval-every", o.eval_every);
  not_negative("--report-every", o.report_every);
  check_input(o.shards >= 1 && o.shards <= 1 << 20 && (o.shards & (o.shards - 1)) == 0, "--shards ", o.shards,
              " is no power of two");
  schedule_named(o.schedule);
  constexpr double kLarge = 1e30;
  within("--lr", o.lr, 0, kLarge), within("--clip", o.clip, 0, kLarge);
  within("--label-smoothing", double(o.label_smoothing), 0, 1), within("--z-loss", double(o.z_loss), 0, kLarge);
  const OptimizerOptions& p = o.optimizer_options;
  within("--weight-decay", p.weight_decay, 0, kLarge), within("--momentum", p.momentum, 0, 1);
  within("--beta1", p.beta1, 0, 1), within("--beta2", p.beta2, 0, 1), within("--epsilon", p.epsilon, 0, kLarge);
  within("--decay-rate", p.decay_rate, 0, kLarge), within("--initial-step", double(p.initial_step), 0, 1e15);
  within("--update-clip", p.clip, 1e-30, kLarge), within("--factor-min-dim", double(p.factor_min_dim), 1, 1e15);
  within("--epsilon1", p.epsilon1, 0, kLarge), within("--epsilon2", p.epsilon2, 0, kLarge);
  for (const std::string& part : p.no_decay) check_input(!part.empty(), "--no-decay: an empty part of names");
  for (const RateFactor& f : p.rate_factors) within("--lr-factor", f.factor, 0, kLarge);
}

json to_json(const TrainOptions& o) {
  const OptimizerOptions& p = o.optimizer_options;
  return {{"optimizer", o.optimizer},
          {"lr", o.lr},
          {"lr_factors", joined(p.rate_factors)},
          {"weight_decay", p.weight_decay},
          {"no_decay", listed(p.no_decay, ",")},
          {"beta1", p.beta1},
          {"beta2", p.beta2},
          {"epsilon", p.epsilon},
          {"momentum", p.momentum},
          {"adafactor", adafactor_json(p)},
          {"schedule", o.schedule},
          {"warmup", o.warmup},
          {"clip", o.clip},
          {"batch_size", o.batch_size},
          {"epochs", o.epochs},
          {"steps", o.steps},
          {"shards", o.shards},
          {"dropout", dropout_json(o.dropout)},
          {"label_smoothing", o.label_smoothing},
          {"z_loss", o.z_loss},
          {"seed", o.seed},
          {"shuffle", o.shuffle},
          {"recompute", o.recompute},
          {"save_every", o.save_every},
          {"eval_every", o.eval_every},
          {"report_every", o.report_every}};
}

void keep_what_is_learned(json& options) {
  for (const char* name : kNotLearned) options.erase(name);
}

void bring_up_to_date(json& options) {
  if (options.contains("adafactor"))
    give_names(options["adafactor"], {"decay_rate", "clip", "epsilon1", "epsilon2", "initial_step", "factor_min_dim",
                                      "scale_by_parameter", "decay_times_lr"});
  if (options.contains("dropout")) give_names(options["dropout"], {"embedding", "attention", "residual", "activation"});
  json full = to_json(TrainOptions());
  full.update(options, true);
  options = std::move(full);
}

}  // namespace cambium
