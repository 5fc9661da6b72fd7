// merge: a tuner into the weights of its base, and out of them.
#include <algorithm>
#include <cmath>

#include "core/path_kind.h"
#include "core/places.h"
#include "core/progress.h"
#include "core/random.h"
#include "experiments/lib/commands/commands.h"
#include "models/export.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

constexpr double kBound = 1e-4;  // between logits that should be equal, as a share of the largest stored number

// Compares with the logits that were stored with the tuner, on the base in the type that it trained on.
void check_stored(const CommonOptions& exact, const MergeOptions& options, Session& session, Tuner& tuner,
                  const Golden& stored) {
  const std::string& path = options.tuners.front();
  if (stored.empty()) {
    Progress::say(text("warning: ", path, " stores no logits: whether it is what was saved cannot be checked. ",
                       "Merged and unmerged logits are compared on random tokens"));
    return;
  }
  CommonOptions as_trained = exact;
  as_trained.dtype = read_checkpoint_info(path).base.dtype;
  double worst = 0;
  if (as_trained.dtype == exact.dtype) {
    worst = golden_difference(*session.model, tuner, stored);
  } else {
    Session other = open_session(options.model, as_trained);
    worst = golden_difference(*other.model, *open_tuner(path, other, options.force_base), stored);
  }
  const double allowed = kBound * stored.scale();
  if (worst <= allowed) return;
  const std::string difference =
      text(path, ": logits differ from the stored ones by ", worst, "; allowed is ", allowed);
  CHECK(options.force_base, difference,
        ". Nothing was written\nModel or checkpoint is another than it was; --force-base merges them all the same");
  Progress::say(text("warning: ", difference));
}

uint64_t checksum(Model& model, const NamedParameter& p) {
  return parameter_checksum(model, [&](const NamedParameter& q) { return q.name == p.name; });
}

std::vector<uint64_t> checksums(Model& model) {
  std::vector<uint64_t> all;
  for (const NamedParameter& p : model.parameters()) all.push_back(checksum(model, p));
  return all;
}

// How far rounding alone may move the logits of `model`, whose matrices were just changed.
//
// Each number of these matrices was rounded: that moves logits as moving it by up to half a unit in its last place at
// random does, which is measured. A float32 sum of K products errs in the root mean square by up to sqrt(K) roundings of
// its result (Higham 2002, section 4.2), in the merged and in the unmerged model: 4 sqrt(K) times what was measured, K the
// longest such sum.
double rounding_bound(Model& model, const std::vector<uint64_t>& before, const Batch& sequences,
                      const std::vector<Tensor>& logits) {
  Hooks none;
  int64_t longest = 1;
  size_t number = 0;
  std::vector<std::pair<Tensor, Tensor>> changed;  // place and value
  for (const NamedParameter& p : model.parameters()) {
    const Tensor value = p.value();
    if (checksum(model, p) == before[number++] || value.shape().rank() != 2) continue;
    longest = std::max(longest, value.cols());
    changed.emplace_back(value, value.clone());
    const RandomKey key = random_key(0, p.name);
    int64_t i = 0;
    for (float& x : value.span<float>()) {
      const float half_unit = std::ldexp(std::abs(x), -24);
      x += 2 * half_unit * (2 * unit_float(philox(key, uint32_t(i), uint32_t(i >> 32), 0, 0).word[0]) - 1);
      ++i;
    }
  }
  const double moved = largest_difference(exact_logits(model, none, sequences), logits);
  for (const auto& [place, value] : changed) place.copy_from(value);
  return 4 * std::sqrt(double(longest)) * std::max(moved, std::ldexp(largest_value(logits), -24));
}

void check_bound(const MergeOptions& options, double worst, double bound, const char* what) {
  const std::string difference = text(what, " differ by ", worst, "; rounding explains ", bound);
  CHECK(worst <= bound || options.force, difference, ". Nothing was written\n--force writes it all the same");
  if (!(worst <= bound)) Progress::say(text("warning: ", difference));
}

void save(Session& session, const std::string& output) {
  Model& model = *session.model;
  save_model(
      model.config(),
      [&](const std::string& name) { return parameter_named(model.parameters(), name).value(); },
      session.source->path(), output);
}

int undo(const CommonOptions& exact, const MergeOptions& options) {
  Session session = open_session(options.model, exact);
  session.identity.hash.clear();  // a merged model is another base
  const std::string& path = options.tuners.front();
  const auto tuner = open_tuner(path, session, true);
  const Golden stored = is_peft_adapter(path) ? Golden() : read_golden(path);
  const Batch sequences = stored.empty() ? sample_sequences(session.model->config()) : stored.sequences;
  Hooks none;
  const std::vector<Tensor> merged = exact_logits(*session.model, none, sequences);
  const std::vector<uint64_t> before = checksums(*session.model);
  check_input(tuner->unmerge_from(*session.model), tuner->method(),
              " cannot be taken out: the base that it was merged into is not in the merged weights");
  const std::vector<Tensor> base = exact_logits(*session.model, none, sequences);
  const double bound = rounding_bound(*session.model, before, sequences, base);
  const double worst = largest_difference(exact_logits(*session.model, *tuner, sequences), merged);
  check_bound(options, worst, bound, "the merged model's logits and those of base and tuner");
  if (!stored.empty())  // and the model is the one that this tuner went into
    check_bound(options, golden_difference(*session.model, *tuner, stored), std::max(bound, kBound * stored.scale()),
                "the logits of base and tuner and those that the tuner stores");
  save(session, options.output);
  Progress::say(text(options.output, ": ", tuner->method(), " taken out; with it logits differ by at most ", worst,
                     " from the merged ones, rounding explains ", bound));
  return 0;
}

int merge(const CommonOptions& exact, const MergeOptions& options) {
  Session session = open_session(options.model, exact);
  const std::string& path = options.tuners.front();
  const auto tuner = open_tuner(path, session, options.force_base);
  Golden stored;
  if (!is_peft_adapter(path)) {
    stored = read_golden(path);
    check_stored(exact, options, session, *tuner, stored);
  }
  const Batch sequences = stored.empty() ? sample_sequences(session.model->config()) : stored.sequences;
  const std::vector<Tensor> apart = exact_logits(*session.model, *tuner, sequences);
  const std::vector<uint64_t> before = checksums(*session.model);
  check_input(tuner->merge_into(*session.model), tuner->method(),
              " cannot be merged into the weights: it computes something that they cannot");
  Hooks none;  // the base alone must now give what both gave
  const std::vector<Tensor> merged = exact_logits(*session.model, none, sequences);
  const double worst = largest_difference(merged, apart),
               bound = rounding_bound(*session.model, before, sequences, merged);
  check_bound(options, worst, bound, "merged and unmerged logits");
  save(session, options.output);
  Progress::say(text(options.output, ": merged; logits differ by at most ", worst,
                     " from the unmerged ones, rounding explains ", bound));
  return 0;
}

}  // namespace

int run_merge(const CommonOptions& common, const MergeOptions& options) {
  check_file_or_directory(options.output);
  for (const std::string& tuner : options.tuners) check_tuner(tuner);
  CommonOptions exact = common;
  exact.device = "cpu", exact.dtype = "f32";  // the sum is made in float32, whatever the base trains in
  if (!options.join.empty()) return run_join(exact, options);
  check_input(options.tuners.size() == 1, "merge takes one --tuner; --join average|cat|svd|ties|dare makes one LoRA of several");
  check_input(!options.model.empty(), "merge needs --model");
  check_input(options.weights.empty(), "--weights is for --join");
  return options.undo ? undo(exact, options) : merge(exact, options);
}

}  // namespace cambium
