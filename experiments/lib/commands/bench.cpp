// bench: how long a training step and decoding take on random weights in published shapes.
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/cpu/level.h"
#include "core/cpu/peak.h"
#include "core/threads.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/shapes.h"
#include "experiments/lib/statistics.h"
#include "experiments/lib/table/machine.h"
#include "experiments/lib/timing.h"
#include "tuning/methods.h"

namespace cambium {
namespace {

constexpr double kPeakSeconds = 0.3;

// Every token is a target; roberta-base scores one position a sequence.
Batch random_batch(const ModelConfig& config, const BenchOptions& options, uint64_t seed) {
  Batch batch;
  for (int64_t s = 0; s < options.batch; ++s) {
    Sequence q;
    q.index = s;
    q.ids = random_tokens(options.length, config.vocabulary, seed, s);
    q.labels = config.is_seq2seq() ? random_tokens(options.length, config.vocabulary, seed, s + options.batch) : q.ids;
    if (config.is_encoder())
      for (size_t t = 1; t < q.labels.size(); ++t) q.labels[t] = kNotScored;
    batch.push_back(std::move(q));
  }
  return batch;
}

OptionMap usual_options(const std::string& tuner, const ModelConfig& config) {
  if (tuner == "lora") return {{"rank", "8"}, {"targets", config.fused_attention ? "query_key_value" : "query,value"}};
  if (tuner == "prefix") return {{"length", "10"}, {"init", "random"}};
  if (tuner == "prompt") return {{"length", "10"}};
  return {};
}

// Those of --option before the usual ones.
OptionMap bench_options(const BenchOptions& options, const ModelConfig& config) {
  OptionMap map = option_map(options.options);
  for (const auto& [name, value] : usual_options(options.tuner, config)) map.emplace(name, value);
  return map;
}

nlohmann::ordered_json result(const Times& times, double tokens, int64_t trained, Device device) {
  const double median = quantile(times.clock, 0.5);
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  nlohmann::ordered_json j{{"step_s", median},
                           {"min_s", *std::min_element(times.clock.begin(), times.clock.end())},
                           {"cpu_s", quantile(times.processor, 0.5)},
                           {"tok_s", tokens / median},
                           {"trainable", trained},
                           {"rss_mib", double(usage.ru_maxrss) / 1024}};
  if (device.is_gpu()) j["gpu_mib"] = double(Allocator::of(device).counters().peak) / (1 << 20);
  return j;
}

// Operations of matrix products in each of `runs` runs since `before`, the machine's peak for the base's type, measured
// now, and what share of it they reached. On the CPU: of a GPU, --kernels tells more.
void add_share(nlohmann::ordered_json& j, const Model& model, double before, int64_t runs) {
  if (model.device().is_gpu()) return;
  const double flops = (cpu::counted_flops() - before) / double(runs);
  const double pairs = model.weight_type() == DType::bf16 ? cpu::measure_pairs_flops(kPeakSeconds) : 0;
  const double peak = pairs > 0 ? pairs : cpu::measure_float_flops(kPeakSeconds);
  j["flops"] = flops, j["peak_flops"] = peak, j["share"] = flops / j["step_s"].get<double>() / peak;
}

int bench_peak(bool as_json) {
  nlohmann::ordered_json j{{"machine", machine_description()},
                           {"level", std::string(name_of(cpu::level()))},
                           {"threads", threads()},
                           {"f32_flops", cpu::measure_float_flops(kPeakSeconds)},
                           {"bf16_flops", cpu::measure_pairs_flops(kPeakSeconds)},
                           {"read_bytes_s", cpu::measure_read_bandwidth(kPeakSeconds)}};
  if (as_json) {
    std::cout << j.dump() << "\n";
    return 0;
  }
  const double pairs = j["bf16_flops"].get<double>();
  std::printf("%s, level %s\nfloat32 multiply-adds: %.1f GFLOP/s\nbfloat16 products: %s\nreading memory: %.1f GB/s\n",
              j["machine"].get<std::string>().c_str(), j["level"].get<std::string>().c_str(),
              j["f32_flops"].get<double>() / 1e9,
              pairs > 0 ? text(std::lround(pairs / 1e9), " GFLOP/s").c_str() : "widened to float32 at this level",
              j["read_bytes_s"].get<double>() / 1e9);
  return 0;
}

nlohmann::ordered_json bench_step(Model& model, Tuner& tuner, const BenchOptions& options, uint64_t seed) {
  constexpr int64_t kWarmUp = 2;
  const double before = cpu::counted_flops();
  const Times times = time_training_steps(model, tuner, random_batch(model.config(), options, seed), GivenLabels(),
                                          kWarmUp, options.steps, seed);
  auto j = result(times, double(options.batch * options.length), TrainedSet(model, tuner).scalars(), model.device());
  add_share(j, model, before, options.steps + kWarmUp);
  return j;
}

nlohmann::ordered_json bench_generate(Model& model, Tuner& tuner, const BenchOptions& options, uint64_t seed) {
  const int64_t trained = TrainedSet(model, tuner).scalars();
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t s = 0; s < options.batch; ++s)
    prompts.push_back(random_tokens(options.length, model.config().vocabulary, seed, s));
  constexpr int64_t kWarmUp = 1;
  const double before = cpu::counted_flops();
  const Times times = time_decoding(model, tuner, prompts, options.new_tokens, kWarmUp, options.steps);
  auto j = result(times, double(options.batch * options.new_tokens), trained, model.device());
  add_share(j, model, before, options.steps + kWarmUp);
  return j;
}

}  // namespace

int run_bench(const CommonOptions& common, const BenchOptions& options) {
  check_input(options.kernels ? options.what.empty()
                              : options.what == "step" || options.what == "generate" || options.what == "peak",
              "bench ", options.what, ": there are step, generate and peak, or --kernels alone");
  check_input(options.batch >= 1 && options.length >= 1 && options.steps >= 1 && options.new_tokens >= 1,
              "--batch, --length, --steps and --new-tokens must be at least 1");
  if (options.kernels) return run_kernel_bench(common, options);
  if (options.what == "peak") return bench_peak(common.json);
  const ModelConfig config = resized(published_shape(options.shape), options.layers, options.width);
  check_input(!config.max_positions || options.length <= config.max_positions, "--length ", options.length, ": ",
              options.shape, " has ", config.max_positions, " positions");
  const Device device = device_of(common);
  const DType dtype = weight_type_of(common, device);
  choose_kernels(common, config, dtype, device);
  Model model(config, dtype, device);
  model.randomize(common.seed);
  const auto tuner = make_tuner(options.tuner, bench_options(options, config), {.model = model, .seed = common.seed});
  const auto j = options.what == "step" ? bench_step(model, *tuner, options, common.seed)
                                        : bench_generate(model, *tuner, options, common.seed);
  if (common.json) {
    std::cout << j.dump() << "\n";
  } else {
    std::printf("%s %s, %s: median %.3f s (%.3f s of processors), fastest %.3f s, %.0f tokens/s, %.0f MiB%s\n",
                options.shape.c_str(), options.what.c_str(), options.tuner.c_str(), j["step_s"].get<double>(),
                j["cpu_s"].get<double>(), j["min_s"].get<double>(), j["tok_s"].get<double>(),
                j["rss_mib"].get<double>(),
                j.contains("share")     ? text(", ", std::lround(100 * j["share"].get<double>()), " % of peak").c_str()
                : j.contains("gpu_mib") ? text(", ", std::lround(j["gpu_mib"].get<double>()), " of the GPU's").c_str()
                                        : "");
  }
  return 0;
}

}  // namespace cambium
