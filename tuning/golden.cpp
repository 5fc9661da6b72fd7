#include "tuning/golden.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/hdf5.h"
#include "core/random.h"

namespace cambium {
namespace {

// Bit j of the byte i: the sign s_ij.
std::vector<uint8_t> signs(int64_t width) {
  std::vector<uint8_t> all(static_cast<size_t>(width));
  const RandomKey key = random_key(0, "golden");
  for (size_t i = 0; i < all.size(); ++i) {
    const RandomWords random = philox(key, uint32_t(i / 16), 0, 0, 0);
    all[i] = uint8_t(random.word[i % 16 / 4] >> (8 * (i % 4)));
  }
  return all;
}

// log sum exp of a row; NaN where a value is.
double log_sum_exp(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  if (!std::isfinite(largest)) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (const float x : row) sum += std::exp(double(x) - largest);
  return largest + std::log(sum);
}

std::array<double, GoldenRecord::kProjections> project(std::span<const float> row, const std::vector<uint8_t>& signs) {
  std::array<double, GoldenRecord::kProjections> sums{};
  for (size_t i = 0; i < row.size(); ++i)
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += signs[i] >> j & 1 ? double(row[i]) : -double(row[i]);
  for (double& sum : sums) sum /= std::sqrt(double(row.size()));
  return sums;
}

// The numbers of the `count` largest, the largest first and equal ones by number; NaN counts as the smallest.
std::vector<int32_t> largest(std::span<const float> row, size_t count) {
  const auto value = [&](int32_t i) {
    return std::isnan(row[size_t(i)]) ? -std::numeric_limits<float>::infinity() : row[size_t(i)];
  };
  std::vector<int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(count), order.end(),
                    [&](int32_t a, int32_t b) { return value(a) != value(b) ? value(a) > value(b) : a < b; });
  order.resize(count);
  return order;
}

std::span<const float> row_of(const Tensor& logits, int64_t t) {
  return logits.span<float>().subspan(size_t(t * logits.cols()), size_t(logits.cols()));
}

std::vector<int32_t> read_ids(const Hdf5File& file, const std::string& path) {
  const Tensor t = file.read(path);
  check_input(t.dtype() == DType::i32 && t.shape().rank() == 1 && t.size() <= 64, file.path(), ": ", path,
              " is no short list of ids");
  return {t.span<int32_t>().begin(), t.span<int32_t>().end()};
}

GoldenRecord read_record(const Hdf5File& file, const std::string& group) {
  const auto read = [&](const char* name, DType type, Shape shape) {
    const std::string path = group + "/" + name;
    check_input(file.is_dataset(path), file.path(), ": ", path, " is missing");
    check_input(file.dtype(path) == type && file.shape(path) == shape, file.path(), ": ", path, " is ",
                name_of(file.dtype(path)), " ", file.shape(path), "; needed is ", name_of(type), " ", shape);
    return file.read(path);
  };
  const Shape top = file.is_dataset(group + "/top_ids") ? file.shape(group + "/top_ids") : Shape{};
  check_input(top.rank() == 2 && top[0] <= 64 && top[1] > 0 && top[1] <= GoldenRecord::kTop, file.path(), ": ", group,
              "/top_ids is no table of token numbers");
  return {.log_sum = read("log_sum", DType::f32, {top[0]}),
          .top_ids = read("top_ids", DType::i32, top),
          .top = read("top", DType::f32, top),
          .least = read("least", DType::f32, {top[0]}),
          .projections = read("projections", DType::f32, {top[0], GoldenRecord::kProjections})};
}

}  // namespace

GoldenRecord record_of(const Tensor& logits) {
  const int64_t tokens = logits.rows(), width = logits.cols(), top = std::min(GoldenRecord::kTop, width);
  CHECK(width > 0, "golden record: logits are ", logits.shape());
  GoldenRecord r{.log_sum = Tensor::empty({tokens}, DType::f32),
                 .top_ids = Tensor::empty({tokens, top}, DType::i32),
                 .top = Tensor::empty({tokens, top}, DType::f32),
                 .least = Tensor::empty({tokens}, DType::f32),
                 .projections = Tensor::empty({tokens, GoldenRecord::kProjections}, DType::f32)};
  const std::vector<uint8_t> sign = signs(width);
  for (int64_t t = 0; t < tokens; ++t) {
    const std::span<const float> row = row_of(logits, t);
    r.log_sum.data<float>()[t] = float(log_sum_exp(row));
    const std::vector<int32_t> ids = largest(row, size_t(top));
    for (int64_t k = 0; k < top; ++k) {
      r.top_ids.data<int32_t>()[t * top + k] = ids[size_t(k)];
      r.top.data<float>()[t * top + k] = row[size_t(ids[size_t(k)])];
    }
    r.least.data<float>()[t] = *std::min_element(row.begin(), row.end());
    const auto projected = project(row, sign);
    for (size_t j = 0; j < projected.size(); ++j)
      r.projections.data<float>()[size_t(t) * projected.size() + j] = float(projected[j]);
  }
  return r;
}

double difference(const GoldenRecord& record, const Tensor& logits) {
  const int64_t tokens = record.log_sum.size(), top = record.top.cols(), width = logits.cols();
  check_input(logits.rows() == tokens && top == std::min(GoldenRecord::kTop, width), "a golden record of ", tokens,
              " positions and ", top, " logits each does not fit logits ", logits.shape());
  double worst = 0;
  const auto compare = [&](double stored, double now) {
    const double d = std::abs(stored - now);
    if (std::isnan(d) || d > worst) worst = d;
    return !std::isnan(d);
  };
  const std::vector<uint8_t> sign = signs(width);
  for (int64_t t = 0; t < tokens; ++t) {
    const std::span<const float> row = row_of(logits, t);
    if (!compare(record.log_sum.data<float>()[t], float(log_sum_exp(row)))) return worst;
    for (int64_t k = 0; k < top; ++k) {
      const int32_t id = record.top_ids.data<int32_t>()[t * top + k];
      check_input(id >= 0 && id < width, "a golden record names logit ", id, " of ", width);
      if (!compare(record.top.data<float>()[t * top + k], row[size_t(id)])) return worst;
    }
    if (!compare(record.least.data<float>()[t], *std::min_element(row.begin(), row.end()))) return worst;
    const auto projected = project(row, sign);
    for (size_t j = 0; j < projected.size(); ++j)
      if (!compare(record.projections.data<float>()[size_t(t) * projected.size() + j], float(projected[j])))
        return worst;
  }
  return worst;
}

double largest_value(const std::vector<Tensor>& all) {
  double largest = 0;
  for (const Tensor& t : all)
    for (const float x : t.span<float>()) {
      if (std::isnan(x)) return x;
      largest = std::max(largest, std::abs(double(x)));
    }
  return largest;
}

double largest_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  CHECK(a.size() == b.size(), "logits of ", a.size(), " and of ", b.size(), " sequences");
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].shape() == b[i].shape(), "logits ", i, " are ", a[i].shape(), " and ", b[i].shape());
    for (int64_t k = 0; k < a[i].size(); ++k) {
      const double d = std::abs(double(a[i].data<float>()[k]) - double(b[i].data<float>()[k]));
      if (std::isnan(d)) return d;
      largest = std::max(largest, d);
    }
  }
  return largest;
}

double Golden::scale() const {
  double largest = 1;
  for (const GoldenRecord& r : records) {
    const double value = largest_value({r.log_sum, r.top, r.least, r.projections});
    if (std::isnan(value)) return value;
    largest = std::max(largest, value);
  }
  return largest;
}

std::vector<Tensor> exact_logits(Model& model, Hooks& hooks, const Batch& sequences) {
  const auto plain = [](const Tensor& t) { return t.to(Device::cpu()).to(DType::f32); };
  std::vector<Tensor> all;
  for (const Sequence& s : sequences) {
    Pass pass(hooks);
    pass.exact = true;
    if (model.classifier) {
      all.push_back(plain(model.classify(pass, {s})));
      continue;
    }
    const Model::Hidden h = model.hidden(pass, {s});
    const Tensor rows = h.rows.value.rows(h.begin[0], h.begin[0] + h.length[0]);
    all.push_back(plain(model.head ? model.logits(pass, rows) : rows));
  }
  return all;
}

Batch sample_sequences(const ModelConfig& config) {
  Batch all(3);
  const RandomKey key = random_key(0, "merge");
  for (size_t s = 0; s < all.size(); ++s) {
    all[s].index = int64_t(s);
    const int64_t longest = config.max_positions ? std::min<int64_t>(config.max_positions, 16) : 16;
    for (int64_t t = 0; t < std::min<int64_t>(longest, 5 + 5 * int64_t(s)); ++t)
      all[s].ids.push_back(
          int32_t(uint64_t(philox(key, uint32_t(s), uint32_t(t), 0, 0).word[0]) * uint64_t(config.vocabulary) >> 32));
    if (config.is_seq2seq()) all[s].labels = all[s].ids;
  }
  return all;
}

Batch golden_sequences(const ModelConfig& config, const std::vector<Sequence>& examples) {
  Batch all;
  for (const Sequence& example : examples) {
    if (all.size() == 3) break;
    Sequence s = example;
    s.ids.resize(std::min<size_t>(s.ids.size(), 16));
    s.types.clear();  // the record holds ids alone
    s.labels.resize(config.is_seq2seq() ? std::min<size_t>(s.labels.size(), 16) : 0);
    s.index = int64_t(all.size());
    all.push_back(std::move(s));
  }
  return all;
}

Golden compute_golden(Model& model, Tuner& tuner, const std::vector<Sequence>& examples) {
  Golden golden{.sequences = golden_sequences(model.config(), examples), .records = {}};
  for (const Tensor& logits : exact_logits(model, tuner, golden.sequences)) golden.records.push_back(record_of(logits));
  return golden;
}

double golden_difference(Model& model, Tuner& tuner, const Golden& golden) {
  model.check(golden.sequences);
  const std::vector<Tensor> now = exact_logits(model, tuner, golden.sequences);
  double worst = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    const double d = difference(golden.records[i], now[i]);
    if (std::isnan(d)) return d;
    worst = std::max(worst, d);
  }
  return worst;
}

void save_golden(Hdf5Writer& file, const Golden& golden) {
  file.group("/golden");
  for (size_t i = 0; i < golden.sequences.size(); ++i) {
    const Sequence& s = golden.sequences[i];
    const std::string group = "/golden/" + std::to_string(i) + "/";
    file.write(group + "ids", Tensor::of(s.ids));
    if (!s.labels.empty()) file.write(group + "labels", Tensor::of(s.labels));
    const GoldenRecord& r = golden.records[i];
    file.write(group + "log_sum", r.log_sum);
    file.write(group + "top_ids", r.top_ids);
    file.write(group + "top", r.top);
    file.write(group + "least", r.least);
    file.write(group + "projections", r.projections);
  }
}

Golden read_golden(const Hdf5File& file) {
  Golden golden;
  if (!file.is_group("/golden")) return golden;
  for (const std::string& name : file.list("/golden")) {
    const std::string group = "/golden/" + name;
    Sequence s;
    s.ids = read_ids(file, group + "/ids");
    if (file.is_dataset(group + "/labels")) s.labels = read_ids(file, group + "/labels");
    s.index = int64_t(golden.sequences.size());
    golden.sequences.push_back(std::move(s));
    if (!file.is_dataset(group + "/logits")) {
      golden.records.push_back(read_record(file, group));
      continue;
    }
    const Tensor logits = file.read(group + "/logits").to(DType::f32);
    check_input(logits.shape().rank() == 2 && logits.rows() <= 64 && logits.cols() > 0, file.path(), ": ", group,
                "/logits is ", logits.shape());
    golden.records.push_back(record_of(logits));
  }
  return golden;
}

}  // namespace cambium
