// merge: a tuner into the weights of its base.
#include <algorithm>
#include <cstdio>

#include "core/path_kind.h"
#include "core/places.h"
#include "core/progress.h"
#include "experiments/lib/commands/commands.h"
#include "models/export.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

constexpr double kBound = 1e-4;  // between logits that should be equal, as a share of the largest stored number

// Compares with the logits that were stored with the tuner, on the base in the type that it trained on.
void check_stored(const CommonOptions& exact, const MergeOptions& options, Session& session, Tuner& tuner,
                  const Golden& stored) {
  if (stored.empty()) {
    Progress::say(text("warning: ", options.tuner,
                       " stores no logits: whether it is what was saved cannot be checked. ",
                       "Merged and unmerged logits are compared on random tokens"));
    return;
  }
  CommonOptions as_trained = exact;
  as_trained.dtype = read_checkpoint_info(options.tuner).base.dtype;
  double worst = 0;
  if (as_trained.dtype == exact.dtype) {
    worst = golden_difference(*session.model, tuner, stored);
  } else {
    Session other = open_session(options.model, as_trained);
    worst = golden_difference(*other.model, *open_tuner(options.tuner, other, options.force_base), stored);
  }
  const double allowed = kBound * stored.scale();
  if (worst <= allowed) return;
  const std::string difference =
      text(options.tuner, ": logits differ from the stored ones by ", worst, "; allowed is ", allowed);
  CHECK(options.force_base, difference,
        ". Nothing was written\nModel or checkpoint is another than it was; --force-base merges them all the same");
  Progress::say(text("warning: ", difference));
}

}  // namespace

int run_merge(const CommonOptions& common, const MergeOptions& options) {
  check_file_or_directory(options.output);
  check_tuner(options.tuner);
  CommonOptions exact = common;
  exact.device = "cpu", exact.dtype = "f32";  // the sum is made in float32, whatever the base trains in
  Session session = open_session(options.model, exact);
  const auto tuner = open_tuner(options.tuner, session, options.force_base);
  Golden stored;
  if (!is_peft_adapter(options.tuner)) {
    stored = read_golden(options.tuner);
    check_stored(exact, options, session, *tuner, stored);
  }
  const Batch sequences = stored.empty() ? sample_sequences(session.model->config()) : stored.sequences;
  const std::vector<Tensor> before = exact_logits(*session.model, *tuner, sequences);
  check_input(tuner->merge_into(*session.model), tuner->method(),
              " cannot be merged into the weights: it computes something that they cannot");

  // The base alone must now give what both gave.
  class None : public Tuner {
    std::string method() const override { return "none"; }
    OptionMap options() const override { return {}; }
    double default_learning_rate() const override { return 0; }
    bool reaches_inside(const Site&) const override { return false; }
  } none;
  const double worst = largest_difference(exact_logits(*session.model, none, sequences), before),
               allowed = kBound * std::max(1.0, largest_value(before));
  CHECK(worst <= allowed, "merged and unmerged logits differ by ", worst, "; allowed is ", allowed,
        ". Nothing was written");
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
