#include "experiments/lib/table/tuning_forecast.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/threads.h"
#include "experiments/lib/table/report.h"
#include "experiments/lib/table/smoke_model.h"
#include "models/fetch.h"

namespace cambium {

const Tokenizer* TuningForecast::tokenizer() {
  if (tokenizer_) return tokenizer_.get();
  if (setting_.preset.name == kSmokePreset) {
    Session session = open_smoke_session(setting_.preset.model, setting_.common);
    config_ = session.model->config();
    tokenizer_ = std::move(session.tokenizer);
    return tokenizer_.get();
  }
  std::string path;
  try {
    path = find_model(setting_.preset.model);
  } catch (const InputError&) {
    return nullptr;
  }
  config_ = ModelSource::open(path)->config();
  tokenizer_ = open_tokenizer(path);
  return tokenizer_.get();
}

const ModelConfig* TuningForecast::config() {
  tokenizer();
  return config_ ? &*config_ : nullptr;
}

const TuningForecast::TaskSize& TuningForecast::size_of(const Task& data) {
  const auto [place, fresh] = sizes_.try_emplace(data.name());
  TaskSize& size = place->second;
  if (!fresh) return size;
  const std::vector<TextPair> all = data.examples(Split::train);
  size.examples = int64_t(all.size()), size.inputs = int64_t(data.items(setting_.preset.split).size());
  constexpr size_t kSampled = 200;  // texts whose mean length stands for all
  const size_t n = std::min(kSampled, all.size());
  if (const Tokenizer* words = tokenizer())
    for (size_t i = 0; i < n; ++i) {
      const TextPair& pair = all[i * all.size() / n];
      const int64_t longest = data.max_input_tokens() ? data.max_input_tokens() : std::numeric_limits<int64_t>::max();
      size.text.input += double(std::min(longest, int64_t(words->encode(pair.input, false).size()))) / double(n);
      if (!data.is_classification())
        size.text.target += double(words->encode(pair.target, false).size() + 1) / double(n);
    }
  return size;
}

const Speeds& TuningForecast::speeds(const Task& data) {
  const auto [place, fresh] = speeds_.try_emplace(data.name());
  if (!fresh) return place->second;
  const TuningPreset& p = setting_.preset;
  const auto start = std::chrono::steady_clock::now();
  place->second = measure_speeds(*config_, size_of(data).text, p.train.batch_size,
                                 p.generation.batch_size * p.generation.beams, setting_.common);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Speeds& s = place->second;
  calibration_ =
      text("measured here in ", format_number(seconds, 1), " s, with ", threads(),
           threads() == 1 ? " thread" : " threads", ": training ", format_number(s.rows / 1e9, 1), " GFLOP/s",
           s.writing > 0 ? text(", writing ", format_number(s.writing / 1e9, 1), " GFLOP/s") : "");
  return s;
}

CellCost TuningForecast::cost(const Cell& cell, const TuningMethod& method, const Task& task) {
  CellCost cost;
  const TuningPreset& preset = setting_.preset;
  const TaskSize& size = size_of(task);
  const TrainOptions t = setting_.train_options(method, cell.seed);
  const bool trains = !method.tuner.empty();
  const int64_t count = preset.examples ? preset.examples : size.examples;
  const int64_t per_epoch = (count + t.batch_size - 1) / t.batch_size;
  cost.steps = !trains ? 0 : t.steps ? t.steps : per_epoch * t.epochs;
  if (!tokenizer()) return cost;

  const int64_t inputs = preset.inputs ? std::min(preset.inputs, size.inputs) : size.inputs;
  const GenerationOptions& g = preset.generation;
  const CellCounts counts{.text = size.text,
                          .examples = double(t.steps ? t.steps * t.batch_size : count * t.epochs),
                          .inputs = double(inputs),
                          .new_tokens = double(g.max_new_tokens),
                          .beams = double(g.beams)};
  const double sequences = trains ? counts.examples : 0;
  cost.train_tokens = int64_t(sequences * (size.text.input + size.text.target));
  cost.decode_tokens = int64_t(double(inputs) * std::min(size.text.target, counts.new_tokens));
  if (config_->is_encoder() && !task.is_classification()) return cost;  // which writes nothing: the run will say so
  cost.seconds = seconds_of(cell_work(*config_, method, counts), speeds(task));
  return cost;
}

}  // namespace cambium
