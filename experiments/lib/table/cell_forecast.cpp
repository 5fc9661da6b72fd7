#include "experiments/lib/table/cell_forecast.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/threads.h"
#include "experiments/lib/table/report.h"
#include "experiments/lib/table/smoke_model.h"
#include "models/fetch.h"

namespace cambium {

const CellForecast::Known& CellForecast::known(const std::string& model) {
  const auto [place, fresh] = models_.try_emplace(model);
  Known& k = place->second;
  if (!fresh) return k;
  if (is_smoke_model(model)) {
    Session session = open_smoke_session(model, common_);
    k.config = session.model->config();
    k.tokenizer = std::move(session.tokenizer);
    return k;
  }
  std::string path;
  try {
    path = find_model(model);
  } catch (const InputError&) {
    return k;
  }
  k.config = ModelSource::open(path)->config();
  k.tokenizer = open_tokenizer(path);
  return k;
}

const ModelConfig* CellForecast::config(const std::string& model) {
  const Known& k = known(model);
  return k.config ? &*k.config : nullptr;
}

const CellForecast::TaskSize& CellForecast::size_of(const CellSpec& spec, const Task& data) {
  const auto [place, fresh] =
      sizes_.try_emplace(text(spec.model, "\n", spec.task, "\n", spec.data, "\n", int(spec.split)));
  TaskSize& size = place->second;
  if (!fresh) return size;
  const std::vector<TextPair> all = data.examples(Split::train);
  size.examples = int64_t(all.size()), size.inputs = int64_t(data.items(spec.split).size());
  constexpr size_t kSampled = 200;  // texts whose mean length stands for all
  const size_t n = std::min(kSampled, all.size());
  if (const Tokenizer* words = known(spec.model).tokenizer.get())
    for (size_t i = 0; i < n; ++i) {
      const TextPair& pair = all[i * all.size() / n];
      const int64_t longest = data.max_input_tokens() ? data.max_input_tokens() : std::numeric_limits<int64_t>::max();
      size.text.input += double(std::min(longest, int64_t(words->encode(pair.input, false).size()))) / double(n);
      if (!data.is_classification())
        size.text.target += double(words->encode(pair.target, false).size() + 1) / double(n);
    }
  return size;
}

const Speeds& CellForecast::speeds(const CellSpec& spec, const Task& data) {
  const auto [place, fresh] = speeds_.try_emplace(spec.model + "\n" + spec.task);
  if (!fresh) return place->second;
  const auto start = std::chrono::steady_clock::now();
  place->second = measure_speeds(*config(spec.model), size_of(spec, data).text, spec.train.batch_size,
                                 spec.generation.batch_size * spec.generation.beams, common_);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Speeds& s = place->second;
  calibration_ =
      text("measured here in ", format_number(seconds, 1), " s, with ", threads(),
           threads() == 1 ? " thread" : " threads", ": training ", format_number(s.rows / 1e9, 1), " GFLOP/s",
           s.writing > 0 ? text(", writing ", format_number(s.writing / 1e9, 1), " GFLOP/s") : "");
  return s;
}

CellCost CellForecast::cost(const CellSpec& spec, const Task& task) {
  CellCost cost;
  const TaskSize& size = size_of(spec, task);
  const TrainOptions& t = spec.train;
  const int64_t count = spec.examples ? spec.examples : size.examples;
  const int64_t per_epoch = (count + t.batch_size - 1) / t.batch_size;
  cost.steps = !spec.trains() ? 0 : t.steps ? t.steps : per_epoch * t.epochs;
  const ModelConfig* shape = config(spec.model);
  if (!shape || !known(spec.model).tokenizer) return cost;

  const int64_t answered = spec.inputs ? std::min(spec.inputs, size.inputs) : size.inputs;
  const int64_t inputs = answered + spec.choosing;
  const GenerationOptions& g = spec.generation;
  const CellCounts counts{.text = size.text,
                          .examples = double(t.steps ? t.steps * t.batch_size : count * t.epochs),
                          .inputs = double(inputs),
                          .new_tokens = double(g.max_new_tokens),
                          .beams = double(g.beams)};
  const double sequences = spec.trains() ? counts.examples : 0;
  cost.train_tokens = int64_t(sequences * (size.text.input + size.text.target));
  cost.decode_tokens = int64_t(double(inputs) * std::min(size.text.target, counts.new_tokens));
  if (shape->is_encoder() && !task.is_classification()) return cost;  // which writes nothing: the run will say so
  cost.seconds = seconds_of(cell_work(*shape, spec, counts), speeds(spec, task));
  return cost;
}

}  // namespace cambium
