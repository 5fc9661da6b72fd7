// What tests of tuning share: small models from tests/golden, tuners on them, and training runs that record what they
// did.
#pragma once

#include "core/files.h"
#include "core/threads.h"
#include "models/load.h"
#include "tests/support/golden.h"
#include "tuning/methods.h"
#include "tuning/trainer.h"

namespace cambium::testing {

inline std::unique_ptr<Model> golden_model(const std::string& name, DType dtype = DType::f32) {
  return load_model(*ModelSource::open(golden_path("models/" + name)), dtype);
}

inline std::vector<int32_t> random_ids(int64_t count, int64_t vocabulary, uint64_t seed) {
  const RandomKey key = random_key(seed, "random_ids");
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(int32_t(4 + philox(key, uint32_t(i), 0, 0, 0).word[0] % uint32_t(vocabulary - 4)));
  return ids;
}

// Sequences of these lengths; a decoder's labels are its tokens, a masked LM scores every second one.
inline Batch random_batch(const ModelConfig& config, const std::vector<int64_t>& lengths, uint64_t seed = 1) {
  Batch batch;
  for (const int64_t length : lengths) {
    Sequence s;
    s.index = int64_t(batch.size());
    s.ids = random_ids(length, config.vocabulary, seed * 1000 + uint64_t(s.index));
    s.labels = config.is_seq2seq()
                   ? random_ids(1 + length / 2, config.vocabulary, seed * 1000 + 500 + uint64_t(s.index))
                   : s.ids;
    if (config.is_encoder())
      for (size_t t = 0; t < s.labels.size(); t += 2) s.labels[t] = kNotScored;
    batch.push_back(std::move(s));
  }
  return batch;
}

// Logits of each sequence, [tokens, vocabulary].
inline std::vector<Tensor> logits_of(Model& model, Hooks& hooks, const Batch& batch) {
  Pass pass(hooks);
  const Model::Hidden h = model.hidden(pass, batch);
  std::vector<Tensor> all;
  for (size_t s = 0; s < batch.size(); ++s)
    all.push_back(model.logits(pass, h.rows.value.rows(h.begin[s], h.begin[s] + h.length[s])));
  return all;
}

// Words become the ids of their letters, so that texts need no tokenizer's files.
inline TunerContext letters_context(Model& model, uint64_t seed = 3) {
  TunerContext context{.model = model, .seed = seed};
  context.tokenize = [](const std::string& words) {
    std::vector<int32_t> ids;
    for (const char c : words)
      if (c != ' ') ids.push_back(int32_t(c - 'a') + 5);
    return ids;
  };
  context.words = "abcde";
  context.labels = {"ab", "c"};
  return context;
}

// Numbers in all of a tuner's parameters, so that it does something.
inline void randomize(Tuner& tuner, uint64_t seed, double deviation = 0.2) {
  for (const NamedParameter& p : tuner.parameters())
    p.value().copy_from(to_tensor(random_array(p.value().shape(), seed ^ std::hash<std::string>()(p.name), deviation),
                                  p.value().dtype()));
}

// Keeps what the trainer reports.
struct Record : TrainListener {
  std::vector<StepReport> steps;
  std::vector<int64_t> saved;
  std::vector<double> dev;
  std::function<void(int64_t)> on_saved;

  void on_step(const StepReport& r) override { steps.push_back(r); }
  void on_evaluation(int64_t, double loss, bool) override { dev.push_back(loss); }
  void on_save(int64_t step, bool) override {
    saved.push_back(step);
    if (on_saved) on_saved(step);
  }
  std::vector<double> losses() const {
    std::vector<double> all;
    for (const StepReport& r : steps) all.push_back(r.loss);
    return all;
  }
};

// Trains for as many steps as the options say, from the tuner's present values.
inline Record train(Model& model, Tuner& tuner, const Batch& examples, const TrainOptions& options) {
  TrainedSet trained(model, tuner);
  Trainer trainer(model, tuner, trained, {.examples = examples}, options);
  Record record;
  trainer.run(record);
  return record;
}

inline std::map<std::string, Tensor> values_of(Model& model, Tuner& tuner) {
  std::map<std::string, Tensor> all;
  const TrainedSet trained(model, tuner);
  for (const TrainedSet::Entry& e : trained.entries()) all[e.name] = e.value.clone();
  return all;
}

}  // namespace cambium::testing
