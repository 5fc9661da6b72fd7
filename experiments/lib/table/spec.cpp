#include "experiments/lib/table/spec.h"

#include <nlohmann/json.hpp>

#include "tuning/methods.h"

namespace cambium {
namespace {

using nlohmann::json;

// What outputs depend on: not the batch size, which changes no bit, nor the seed, which is the cell's.
json generation_json(const CellSpec& spec) {
  const GenerationOptions& g = spec.generation;
  return {{"max_new_tokens", g.max_new_tokens},
          {"min_new_tokens", g.min_new_tokens},
          {"beams", g.beams},
          {"results", g.results},
          {"length_penalty", g.length_penalty},
          {"no_repeat_ngram", g.no_repeat_ngram},
          {"forbidden", spec.forbidden},
          {"forbidden_tokens", g.forbidden},
          {"eos", g.eos ? json(*g.eos) : json()},
          {"sample", g.sample},
          {"temperature", g.temperature},
          {"top_p", g.top_p},
          {"top_k", g.top_k}};
}

json train_json(const CellSpec& spec) {
  TrainOptions options = spec.train;
  options.seed = spec.seed;
  if (options.lr == 0) options.lr = default_learning_rate(spec.tuner);
  json j = to_json(options);
  keep_what_is_learned(j);
  return j;
}

}  // namespace

json to_json(const CellSpec& spec) {
  json j = {{"model", spec.model},
            {"method", spec.method},
            {"task", spec.task},
            {"data", spec.data},
            {"seed", spec.seed},
            {"dtype", spec.dtype},
            {"device", spec.device},
            {"inputs", spec.inputs},
            {"split", name_of(spec.split)},
            {"choosing", spec.choosing},
            {"decision", int(spec.decision)},
            {"generation", generation_json(spec)}};
  spec.kernels.describe(j);
  if (spec.demonstrations) j["demonstrations"] = spec.demonstrations;
  if (!spec.tuner.empty()) j["tuner"] = {{"method", spec.tuner}, {"options", tuner_options(spec.tuner, spec.options)}};
  if (spec.untrained) j["untrained"] = true;
  if (spec.trains()) {
    j["train"] = train_json(spec);
    j["examples"] = spec.examples;
    if (spec.dev) j["dev"] = {{"examples", spec.dev}, {"every", spec.train.eval_every}};
  }
  if (spec.start) j["start"] = to_json(*spec.start);
  return j;
}

Cell cell_of(const CellSpec& spec) { return {spec.model, spec.method, spec.task, spec.seed, to_json(spec).dump()}; }

}  // namespace cambium
