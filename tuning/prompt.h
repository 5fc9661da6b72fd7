// Prompt tuning: rows of a table in front of the embedded input.            (Lester et al. 2021, section 2)
#pragma once

#include "autograd/ops/rows.h"
#include "tuning/options.h"
#include "tuning/tuner.h"

namespace cambium {

// Rows in front of the embedded input, wherever they come from.
class VirtualRows : public Tuner {
 public:
  void embedded(Pass&, StackKind, Var& rows, Layout&) override;
  int64_t virtual_tokens(StackKind kind, int) const override { return applies_to(kind) ? length_ : 0; }
  bool reaches_inside(const Site&) const override { return false; }

  const std::string& where() const { return where_; }
  // The rows themselves, [length, width].
  Tensor values(StackKind);

 protected:
  // where: encoder, decoder or both; empty: the encoder where there is one. Throws InputError, in the method's name,
  // where the model has no such stack.
  VirtualRows(const std::string& method, int64_t length, std::string where, const ModelConfig&);
  bool applies_to(StackKind) const;
  // [length, width], in the accumulator type.
  virtual Var rows_of(Pass&, StackKind) = 0;

  int64_t length_;
  std::string where_;
};

// In front of everything, [CLS] and <s> included; a classification head reads [CLS] where it stands then (PEFT's pools
// the first virtual token instead).
class Prompt : public VirtualRows {
 public:
  struct Options {
    int64_t length = 20;
    // vocabulary: embeddings of sampled tokens, each once, never of special tokens (T5's sentinels among them) or of
    // rows that only fill the table up; frequent: of the first 5000 of them alone, the most frequent of vocabularies that
    // are in order of frequency (T5X's choice); random: as `random` says; text: embeddings of `text`, repeated
    // to the length; labels: row i is the mean embedding of label i, the rest sampled; file: rows of another prompt.
    std::string init = "vocabulary";
    std::string where;  // encoder, decoder or both; empty: the encoder where there is one
    std::string text, file;
    // uniform: U(-0.5, 0.5) (the paper's); positive: U(0, 0.5) (what T5X draws); normal:S: N(0, S) (normal:1 is PEFT's).
    std::string random = "uniform";
  };

  static TunerMaker read(OptionReader&);
  Prompt(const Options&, const TunerContext&);

  std::string method() const override { return "prompt"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 1e-2;
  double default_learning_rate() const override { return kLearningRate; }

 private:
  Var rows_of(Pass&, StackKind) override;
  Parameter initial(StackKind, const TunerContext&) const;

  Options options_;
  Parameter encoder_, decoder_;  // [length, width] where it applies
};

}  // namespace cambium
