// merge --join: several LoRAs as one.
#include <charconv>

#include "core/machine.h"
#include "core/path_kind.h"
#include "core/progress.h"
#include "experiments/lib/commands/commands.h"
#include "tuning/join.h"
#include "tuning/options.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

std::vector<double> read_weights(const std::string& list) {
  std::vector<double> weights;
  if (list.empty()) return weights;
  for (const std::string& word : split(list)) {
    double number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    check_input(error == std::errc() && end == word.data() + word.size(), "--weights ", list, ": \"", word,
                "\" is no number");
    weights.push_back(number);
  }
  return weights;
}

}  // namespace

int run_join(const CommonOptions& exact, const MergeOptions& options) {
  check_input(options.tuners.size() >= 2, "--join takes at least two --tuner");
  check_input(!options.undo, "--undo takes one tuner out of a model; it has nothing to do with --join");
  check_input(options.output.ends_with(".h5"), options.output, ": joined tuners become FILE.h5");
  std::string base = options.model;
  for (const std::string& path : options.tuners)
    if (base.empty() && !is_peft_adapter(path)) base = read_checkpoint_info(path).base.source;
  check_input(!base.empty(), options.tuners.front(), " names no base; give it with --model");
  const JoinOptions how{options.join, read_weights(options.weights), options.density, exact.seed};

  Session session = open_session(base, exact);
  std::vector<std::unique_ptr<Tuner>> tuners;
  std::vector<Tuner*> parts;
  for (const std::string& path : options.tuners) {
    tuners.push_back(open_tuner(path, session, options.force_base));
    parts.push_back(tuners.back().get());
    if (!is_peft_adapter(path)) {
      const auto trained = read_checkpoint_info(path).trained_base;
      check_input(trained.empty(), path, ": ", trained.empty() ? "" : trained.begin()->first,
                  " of the base trained with it; LoRAs alone can be joined");
    }
  }
  const auto joined = join(parts, options.tuners, *session.model, how);
  const TrainedSet trained(*session.model, *joined);
  save_checkpoint(options.output, *joined, trained, nullptr, {.run_config = "{}", .instruction_set = instruction_set()},
                  session.identity,
                  compute_golden(*session.model, *joined, sample_sequences(session.model->config())));
  Progress::say(text(options.output, ": ", options.tuners.size(), " LoRAs as one, ", trained.scalars(), " parameters"));
  return 0;
}

}  // namespace cambium
