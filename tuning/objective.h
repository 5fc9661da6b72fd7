// Objectives: what is asked of a model. An objective makes of an example what the model sees and what it should answer,
// and computes the loss of its answers; models and tuners know nothing of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "models/model.h"

namespace cambium {

// Random numbers of one example, one after the other: a function of (key, example, place), whatever was drawn
// elsewhere.
class Draws {
 public:
  Draws(RandomKey key, int64_t example) : key_(key), example_(uint64_t(example)) {}

  uint32_t word() {
    if (place_ % 4 == 0) words_ = philox(key_, uint32_t(example_), uint32_t(example_ >> 32), uint32_t(place_ / 4), 0);
    return words_.word[place_++ % 4];
  }
  double unit() { return (double(word()) + 0.5) / 4294967296.0; }                     // in (0, 1)
  int64_t below(int64_t n) { return int64_t(uint64_t(word()) * uint64_t(n) >> 32); }  // 0 ... n - 1; n < 2^32
  template <class T>
  void shuffle(std::vector<T>& list) {
    for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[size_t(below(int64_t(i)))]);
  }

 private:
  RandomKey key_;
  uint64_t example_, place_ = 0;
  RandomWords words_{};
};

class Objective {
 public:
  virtual ~Objective() = default;
  // Its name and settings, for the configuration of a run: results depend on them.
  virtual std::string description() const = 0;
  // What the model sees of an example when it is used for the round-th time; `index` of the example and the key are all
  // that random choices depend on. Throws InputError for examples that cannot be used.
  virtual Sequence view(const Sequence& example, RandomKey) const { return example; }
  virtual bool is_random() const { return false; }

  // Throws InputError, naming the sequence, unless the model can learn from these (as `view` gives them).
  virtual void check(const Model& model, const Batch& batch) const { model.check(batch); }
  virtual int64_t scored(const Model& model, const Batch& batch) const { return model.scored_tokens(batch); }
  // What the model reads of a batch, and of which tokens what they become is read: sequence by sequence.
  struct Question {
    Batch inputs;
    std::vector<TokenPlace> tokens;
  };
  virtual Question question(const Model& model, const Batch& batch) const { return {batch, model.scored_places(batch)}; }
  // The loss of the answers: rows [tokens, width] are what those tokens became (Model::hidden).
  virtual Model::Loss answer(Model& model, Pass& pass, const Batch& batch, const Var& rows,
                             const CrossEntropyConfig& config) const {
    return model.loss_of(pass, batch, rows, config);
  }
  Model::Loss loss(Model& model, Pass& pass, const Batch& batch, const CrossEntropyConfig& config) const {
    return answer(model, pass, batch, rows_of(model, pass, batch), config);
  }
  Var rows_of(Model& model, Pass& pass, const Batch& batch) const {
    Question asked = question(model, batch);
    return model.hidden(pass, asked.inputs, std::move(asked.tokens));
  }
  // Whether the loss depends on a base parameter: what it does not read never trains.
  virtual bool reads(std::string_view name) const {
    return !name.starts_with("pooler.") && !name.starts_with("classifier.");
  }
  // Base parameters that train with every tuner, because they are new.
  virtual bool trains(std::string_view /*name*/) const { return false; }
};

// Labels as they stand in the examples: causal LM for decoders, sequence to sequence, labelled positions for encoders.
class GivenLabels : public Objective {
 public:
  std::string description() const override { return "given labels"; }
};

// A text is its own target: each token predicts the next.
class CausalLm : public Objective {
 public:
  std::string description() const override { return "causal lm"; }
  Sequence view(const Sequence& example, RandomKey) const override {
    Sequence s = example;
    s.labels = s.ids;
    return s;
  }
};

}  // namespace cambium
