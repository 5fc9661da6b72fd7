// Teaches a language model three sentences with LoRA, by the C++ API: tune MODEL CHECKPOINT
#include <cstdio>

#include "core/machine.h"
#include "experiments/lib/session.h"
#include "models/generation.h"
#include "tuning/methods.h"
#include "tuning/trainer.h"

using namespace cambium;

// Whoever wants to know how training goes listens.
struct Printer : TrainListener {
  void on_step(const StepReport& r) override {
    if (r.step == 1 || r.step % 10 == 0) std::printf("step %lld, loss %.3f\n", (long long)r.step, r.loss);
  }
};

int main(int argc, char** argv) try {
  check_input(argc == 3, "usage: tune MODEL CHECKPOINT");

  // Weights, tokenizer and what identifies the model. Nothing of it trains, unless a tuner says so.
  Session session = open_session(argv[1], {.dtype = "f32"});
  Model& model = *session.model;

  // A tuner is a set of hooks with parameters of its own, which the model calls at its sites.
  const std::unique_ptr<Tuner> lora = make_tuner("lora", {{"rank", "4"}}, session.context(/*seed=*/1));

  // Examples are token ids, back to back in a batch: no padding.
  std::vector<Sequence> examples;
  for (const char* text : {"the cambium makes wood.", "the phloem carries sugar.", "the xylem carries water."})
    examples.push_back({.ids = session.require_tokenizer().encode(text, /*special=*/true), .index = ssize(examples)});

  // What trains is a list. Here each token has to predict the next.
  TrainedSet trained(model, *lora);
  const TrainOptions options{.lr = 1e-2, .batch_size = 3, .steps = 60};
  Trainer trainer(model, *lora, trained, {.examples = examples, .objective = std::make_shared<CausalLm>()}, options);
  std::printf("%lld of %lld numbers train\n", (long long)trained.scalars(), (long long)model.parameter_count());
  Printer printer;
  trainer.run(printer);

  // The checkpoint holds the tuner alone, and a few logits that tell later whether it still computes what it does now.
  const TrainingState state{
      .step = trainer.step(), .steps = trainer.total_steps(), .instruction_set = instruction_set()};
  save_checkpoint(argv[2], *lora, trained, nullptr, state, session.identity, compute_golden(model, *lora, examples));

  // Generation is the same code with every tuner.
  const std::vector<int32_t> start = session.require_tokenizer().encode("the phloem", true);
  const auto texts = generate(model, *lora, {start}, {.max_new_tokens = 16});
  std::printf("the phloem%s\n", session.require_tokenizer().decode(texts[0][0].ids, true).c_str());
} catch (const Error& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return dynamic_cast<const InputError*>(&e) ? 2 : 1;
}
