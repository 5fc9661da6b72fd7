#include "experiments/lib/table/forecast.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "experiments/lib/timing.h"
#include "tuning/classification.h"
#include "tuning/methods.h"
#include "tuning/tuner.h"

namespace cambium {
namespace {

// Parameters of products that a row of a layer meets. Cross-attention's keys and values are the memory's rows'.
double layer_parameters(const ModelConfig& c, const StackShape& s, bool cross) {
  const double width = double(c.width), query = double(s.query_width()), kv = double(s.kv_width());
  const double attention = 2 * width * query + 2 * width * kv, inner = double(s.inner) * width;
  return attention + (cross ? 2 * width * query : 0) + (c.gated ? 3 : 2) * inner;
}

// rows x keys scores and their weighted sums, a layer.
double attention_operations(const StackShape& s, double rows, double keys) {
  return 4 * double(s.query_width()) * rows * keys;
}

double head_operations(const ModelConfig& c, double rows) {
  return c.language_head ? 2 * double(c.width) * double(c.vocabulary) * rows : 0;
}

double option(const CellSpec& m, const std::string& name, double otherwise) {
  const auto found = m.options.find(name);
  if (found == m.options.end()) return otherwise;
  double value = otherwise;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return value;
}

// Backward over forward: 1 through a frozen base, 2 with the gradients of all that it multiplies.
double backward_share(const ModelConfig& c, const CellSpec& m) {
  if (m.tuner == "full") return 2;
  if (m.tuner != "top_layers") return 1;
  const double layers = double(std::max<int64_t>(1, std::max(c.encoder.layers, c.decoder.layers)));
  return std::min(2.0, 2 * option(m, "layers", 2) / layers);
}

}  // namespace

double forward_operations(const ModelConfig& c, const ForwardShape& f) {
  double total = head_operations(c, f.text.target);
  const double input = f.text.input + f.virtual_tokens;
  if (c.encoder.layers) {
    const double per_row = layer_parameters(c, c.encoder, false) + f.extra;
    total +=
        double(c.encoder.layers) * (2 * per_row * input + attention_operations(c.encoder, input, input + f.prefix));
  }
  if (!c.decoder.layers) return total;
  const bool cross = c.is_seq2seq();
  const double rows = cross ? f.text.target : input + f.text.target;
  const double per_row = layer_parameters(c, c.decoder, cross) + f.extra;
  double layer = 2 * per_row * rows + attention_operations(c.decoder, rows, rows / 2 + f.prefix);
  if (cross)
    layer += 4 * double(c.width) * double(c.decoder.kv_width()) * input + attention_operations(c.decoder, rows, input);
  return total + double(c.decoder.layers) * layer;
}

double writing_operations(const ModelConfig& c, double context, double memory) {
  if (!c.decoder.layers) return 0;
  const double layer =
      2 * layer_parameters(c, c.decoder, c.is_seq2seq()) + attention_operations(c.decoder, 1, context + memory);
  return double(c.decoder.layers) * layer + head_operations(c, 1);
}

CellWork cell_work(const ModelConfig& config, const CellSpec& m, const CellCounts& n) {
  ForwardShape shape{.text = n.text};
  if (m.tuner == "prompt") shape.virtual_tokens = option(m, "length", 20);
  if (m.tuner == "prefix") shape.prefix = option(m, "length", 10);
  if (m.tuner == "adapter")  // down and up, behind both sublayers or one
    shape.extra = (m.options.count("kind") ? 2 : 4) * double(config.width) * option(m, "bottleneck", 64);
  CellWork work;
  if (m.trains()) work.training = n.examples * forward_operations(config, shape) * (1 + backward_share(config, m));

  ForwardShape read = shape;
  read.text = {n.text.input + double(m.demonstrations) * (n.text.input + n.text.target), 0};
  work.reading = n.inputs * forward_operations(config, read);
  if (n.text.target == 0) return work;
  // A model that nobody taught when to stop, nor showed it, writes as long as it may.
  const bool knows_the_end = m.trains() || m.start || m.demonstrations || config.is_seq2seq();
  const double written = knows_the_end ? std::min(n.text.target, n.new_tokens) : n.new_tokens;
  const double read_rows = read.text.input + read.virtual_tokens + read.prefix;
  const double context = (config.is_seq2seq() ? 0 : read_rows) + written / 2;
  work.writing =
      n.inputs * n.beams * written * writing_operations(config, context, config.is_seq2seq() ? read_rows : 0);
  return work;
}

double seconds_of(const CellWork& work, const Speeds& speeds) {
  const double rows = work.training + work.reading;
  if ((rows > 0 && speeds.rows <= 0) || (work.writing > 0 && speeds.writing <= 0)) return -1;
  return (rows > 0 ? rows / speeds.rows : 0) + (work.writing > 0 ? work.writing / speeds.writing : 0);
}

ModelConfig shallow(ModelConfig config, int64_t layers) {
  config.encoder.layers = std::min(config.encoder.layers, layers);
  config.decoder.layers = std::min(config.decoder.layers, layers);
  return config;
}

CalibrationShape calibration_shape(const ModelConfig& config, TextShape text, int64_t batch_size, int64_t texts) {
  constexpr double kStep = 4e10, kToken = 4e9;  // operations
  CalibrationShape s{std::max(config.encoder.layers, config.decoder.layers), std::max<int64_t>(1, batch_size),
                     std::clamp<int64_t>(texts, 1, 64)};
  const auto step = [&] { return 2 * double(s.examples) * forward_operations(shallow(config, s.layers), {text}); };
  const auto token = [&] { return double(s.texts) * writing_operations(shallow(config, s.layers), 0, 0); };
  while (s.layers > 2 && (step() > kStep || token() > kToken)) s.layers = (s.layers + 1) / 2;
  while (s.examples > 1 && step() > kStep) s.examples /= 2;
  while (s.layers > 1 && (step() > kStep || token() > kToken)) s.layers = (s.layers + 1) / 2;
  while (s.texts > 1 && token() > kToken) s.texts /= 2;
  return s;
}

namespace {

double least(const std::vector<double>& seconds) { return *std::min_element(seconds.begin(), seconds.end()); }

Batch calibration_batch(const ModelConfig& config, TextShape text, int64_t examples) {
  const int64_t input = std::max<int64_t>(1, std::llround(text.input)), target = std::llround(text.target);
  Batch batch;
  for (int64_t i = 0; i < examples; ++i) {
    Sequence s{.ids = random_tokens(input, config.vocabulary, 0, 2 * i), .labels = {}, .index = i};
    std::vector<int32_t> written = random_tokens(std::max<int64_t>(1, target), config.vocabulary, 0, 2 * i + 1);
    if (config.is_encoder()) {
      s.labels = {0};
    } else if (config.is_seq2seq()) {
      s.labels = std::move(written);
    } else {
      s.labels.assign(s.ids.size(), kNotScored);
      s.ids.insert(s.ids.end(), written.begin(), written.end());
      s.labels.insert(s.labels.end(), written.begin(), written.end());
    }
    batch.push_back(std::move(s));
  }
  return batch;
}

double training_speed(Model& model, TextShape text, int64_t examples) {
  const ModelConfig config = model.config();  // a classification head changes it
  std::unique_ptr<Objective> objective = std::make_unique<GivenLabels>();
  if (config.is_encoder()) objective = std::make_unique<ClassificationHead>(model, 2, 0);
  const auto tuner = make_tuner("prompt", {{"length", "1"}, {"init", "random"}}, {.model = model, .seed = 0});
  const Times times =
      time_training_steps(model, *tuner, calibration_batch(config, text, examples), *objective, 1, 2, 0);
  const ForwardShape shape{.text = {text.input, config.is_encoder() ? 0 : std::max(1.0, text.target)},
                           .virtual_tokens = 1};
  return 2 * double(examples) * forward_operations(config, shape) / least(times.clock);
}

double writing_speed(Model& model, int64_t texts, double rows_speed) {
  constexpr int64_t kRead = 4, kWritten = 6;
  const ModelConfig& config = model.config();
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < texts; ++i) prompts.push_back(random_tokens(kRead, config.vocabulary, 1, i));
  Hooks none;
  const double seconds = least(time_decoding(model, none, prompts, kWritten, 1, 2).clock);
  // The first of the new tokens comes with the reading.
  const double reading = double(texts) * forward_operations(config, {.text = {double(kRead), 1}}) / rows_speed;
  const double operations = double(texts * (kWritten - 1)) *
                            writing_operations(config, config.is_seq2seq() ? kWritten / 2 : kRead + kWritten / 2,
                                               config.is_seq2seq() ? kRead : 0);
  return operations / std::max(seconds - reading, seconds / 4);
}

}  // namespace

Speeds measure_speeds(const ModelConfig& config, TextShape text, int64_t batch_size, int64_t texts,
                      const CommonOptions& common) {
  const Device device = device_of(common);
  CalibrationShape shape = calibration_shape(config, text, batch_size, texts);
  if (device.is_gpu())
    shape = {std::max(config.encoder.layers, config.decoder.layers), std::max<int64_t>(1, batch_size), shape.texts};
  Model model(shallow(config, shape.layers), weight_type_of(common, device), device);
  for (const NamedParameter& p : model.parameters()) p.value().fill_zero();  // numbers do not change the time
  const bool writes = config.decoder.layers > 0 && config.language_head && text.target > 0;
  Speeds speeds;
  speeds.rows = training_speed(model, text, shape.examples);
  if (writes) speeds.writing = writing_speed(model, shape.texts, speeds.rows);
  return speeds;
}

double seconds_left(double forecast_left, double forecast_done, double measured_done) {
  if (forecast_done <= 0 || measured_done <= 0) return std::max(0.0, forecast_left);
  return std::max(0.0, forecast_left) * std::clamp(measured_done / forecast_done, 0.1, 10.0);
}

}  // namespace cambium
