// Objectives that choose one of a few classes: by the logits of label words at a position, or by a head of its own. An
// example's only label is the number of its class.
#pragma once

#include "tuning/objective.h"

namespace cambium {

class Classification : public Objective {
 public:
  virtual int64_t classes() const = 0;
  // Logits [sequences, classes] on the CPU, float32.
  virtual Tensor scores(Model&, Pass&, const Batch&) const = 0;

  void check(const Model&, const Batch&) const override;
  int64_t scored(const Model&, const Batch& batch) const override { return int64_t(batch.size()); }

 protected:
  Tensor labels(const Model&, const Batch&) const;  // int32 [sequences] on the model's device
};

// The classes' words (a verbaliser) compete where the model would write one: at the mask token of an encoder, behind
// the last token of a decoder, at the first step of a sequence-to-sequence model's decoder. The loss is the cross
// entropy over these words alone.
class LabelWords : public Classification {
 public:
  // words[c]: the token of class c; all different. mask: of encoders, each example has it once.
  LabelWords(std::vector<int32_t> words, std::optional<int32_t> mask, const Model&);

  std::string description() const override;
  int64_t classes() const override { return int64_t(words_.size()); }
  void check(const Model&, const Batch&) const override;
  Question question(const Model&, const Batch&) const override;
  Model::Loss answer(Model&, Pass&, const Batch&, const Var& rows, const CrossEntropyConfig&) const override;
  Tensor scores(Model&, Pass&, const Batch&) const override;

 private:
  std::vector<int32_t> words_;
  std::optional<int32_t> mask_;
};

// A head on the first token, which trains with every tuner. A model that has none gets one with random numbers from the
// seed.
class ClassificationHead : public Classification {
 public:
  ClassificationHead(Model&, int64_t classes, uint64_t seed);

  std::string description() const override { return text("classification head, ", classes_, " classes"); }
  int64_t classes() const override { return classes_; }
  Question question(const Model&, const Batch& batch) const override { return {batch, Model::class_places(batch)}; }
  Model::Loss answer(Model&, Pass&, const Batch&, const Var& rows, const CrossEntropyConfig&) const override;
  Tensor scores(Model&, Pass&, const Batch&) const override;
  bool reads(std::string_view name) const override { return !name.starts_with("head."); }
  bool trains(std::string_view name) const override;

 private:
  int64_t classes_;
  std::vector<std::string> own_{"classifier."};
};

// A head of one output on the first token, for answers that are numbers: the mean squared error is what transformers
// trains such a head with. (Devlin et al. 2019: STS-B) An example's only label is its number in thousandths.
class RegressionHead : public Objective {
 public:
  RegressionHead(Model&, uint64_t seed);

  static int32_t label_of(double number);

  std::string description() const override { return "regression head"; }
  void check(const Model&, const Batch&) const override;
  int64_t scored(const Model&, const Batch& batch) const override { return int64_t(batch.size()); }
  Question question(const Model&, const Batch& batch) const override { return {batch, Model::class_places(batch)}; }
  Model::Loss answer(Model&, Pass&, const Batch&, const Var& rows, const CrossEntropyConfig&) const override;
  std::vector<double> predictions(Model&, Pass&, const Batch&) const;
  bool reads(std::string_view name) const override { return !name.starts_with("head."); }
  bool trains(std::string_view name) const override;

 private:
  std::vector<std::string> own_{"classifier."};
};

}  // namespace cambium
