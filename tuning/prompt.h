// Prompt tuning: rows of a table in front of the embedded input.            (Lester et al. 2021, section 2)
#pragma once

#include "autograd/ops/rows.h"
#include "tuning/tuner.h"

namespace cambium {

// In front of everything, [CLS] and <s> included; a classification head reads [CLS] where it stands then (PEFT's pools
// the first virtual token instead).
class Prompt : public Tuner {
 public:
  struct Options {
    int64_t length = 20;
    // vocabulary: embeddings of sampled tokens, each once, never of special tokens (T5's sentinels among them) or of
    // rows that only fill the table up; random: U(-0.5, 0.5); text: embeddings of `text`, repeated
    // to the length; labels: row i is the mean embedding of label i, the rest sampled; file: rows of another prompt.
    std::string init = "vocabulary";
    std::string where;  // encoder, decoder or both; empty: the encoder where there is one
    std::string text, file;
  };

  Prompt(const Options&, const TunerContext&);

  std::string method() const override { return "prompt"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 1e-2;
  double default_learning_rate() const override { return kLearningRate; }

  void embedded(Pass&, StackKind, Var& rows, Layout&) override;
  int64_t virtual_tokens(StackKind kind) const override { return applies_to(kind) ? options_.length : 0; }

 private:
  bool applies_to(StackKind) const;
  Parameter initial(StackKind, const TunerContext&) const;

  Options options_;
  Parameter encoder_, decoder_;  // [length, width] where it applies
};

}  // namespace cambium
