#include "experiments/lib/taken_positions.h"

#include "tuning/methods.h"
#include "tuning/peft.h"

namespace cambium {

int64_t taken_positions(const Hooks& tuner, const ModelConfig& config) {
  const bool decoder = !config.is_encoder() && !config.is_seq2seq();
  return tuner.position_shift(decoder ? StackKind::decoder : StackKind::encoder, 0);
}

int64_t taken_positions(Session& session, const TrainRun& run) {
  const ModelConfig& config = session.model->config();
  TunerContext context{.model = *session.model, .initialize = false};
  if (run.tuner_from.empty()) return taken_positions(*make_tuner(run.method, run.options, context), config);
  if (is_peft_adapter(run.tuner_from)) return taken_positions(*open_tuner(run.tuner_from, session, true), config);
  const CheckpointInfo info = read_checkpoint_info(run.tuner_from);
  return taken_positions(*make_tuner(info.tuner().method, info.tuner().options, context), config);
}

}  // namespace cambium
