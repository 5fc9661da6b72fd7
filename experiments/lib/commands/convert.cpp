// convert and merge: models from one form to another.
#include <cstdio>

#include "core/files.h"
#include "core/progress.h"
#include "core/random.h"
#include "experiments/lib/commands/commands.h"
#include "models/export.h"
#include "models/fetch.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

// Tokens to compare with where a tuner brings none.
std::vector<Sequence> sample_sequences(const ModelConfig& config) {
  std::vector<Sequence> all(3);
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

}  // namespace

int run_convert(const CommonOptions& common, const ConvertOptions& options) {
  // Whatever this machine would compute in: numbers are rounded only where that was asked for.
  const DType type = common.dtype.empty() ? DType::f32 : weight_type_of(common, Device::cpu());
  check_input(type == DType::f32 || !options.output.ends_with(".h5"),
              "--dtype bf16: .h5 files of ours keep float32; give a directory");
  const std::string path = find_model(options.input);
  const auto source = ModelSource::open(path);
  save_model(
      source->config(), [&](const std::string& name) { return source->read(name); }, path, options.output, type);
  return 0;
}

int run_merge(const CommonOptions& common, const MergeOptions& options) {
  CommonOptions exact = common;
  exact.device = "cpu", exact.dtype = "f32";  // the sum is made in float32, whatever the base trains in
  Session session = open_session(options.model, exact);
  const auto tuner = open_tuner(options.tuner, session, options.force_base);
  const std::vector<Sequence> sequences =
      is_peft_adapter(options.tuner) ? sample_sequences(session.model->config()) : read_golden(options.tuner).sequences;
  const Golden before = compute_golden(*session.model, *tuner, sequences);
  check_input(tuner->merge_into(*session.model), tuner->method(),
              " cannot be merged into the weights: it computes something that they cannot");

  // The base alone must now give what both gave.
  class None : public Tuner {
    std::string method() const override { return "none"; }
    OptionMap options() const override { return {}; }
    double default_learning_rate() const override { return 0; }
  } none;
  double worst = 0, largest = 0;
  const Golden after = compute_golden(*session.model, none, sequences);
  for (size_t i = 0; i < after.logits.size(); ++i)
    for (int64_t k = 0; k < after.logits[i].size(); ++k) {
      worst = std::max(worst,
                       std::abs(double(after.logits[i].data<float>()[k]) - double(before.logits[i].data<float>()[k])));
      largest = std::max(largest, std::abs(double(before.logits[i].data<float>()[k])));
    }
  constexpr double kBound = 1e-4;  // of the largest logit
  CHECK(worst <= kBound * std::max(1.0, largest), "merged and unmerged logits differ by ", worst, "; allowed is ",
        kBound * std::max(1.0, largest), ". Nothing was written");
  Model& model = *session.model;
  save_model(
      model.config(),
      [&](const std::string& name) {
        for (const NamedParameter& p : model.parameters())
          if (p.name == name) return p.value();
        throw Error(text("there is no parameter ", name));
      },
      session.source->path(), options.output);
  Progress::say(text(options.output, ": merged; logits differ by at most ", worst, " from the unmerged ones"));
  return 0;
}

}  // namespace cambium
