#include "tuning/classification.h"

#include <algorithm>
#include <cmath>

namespace cambium {

void Classification::check(const Model& model, const Batch& batch) const {
  Batch inputs = batch;
  for (size_t s = 0; s < batch.size(); ++s) {
    check_input(batch[s].labels.size() == 1 && batch[s].labels[0] >= 0 && batch[s].labels[0] < classes(), "sequence ",
                s,
                batch[s].labels.size() == 1 ? text(": class ", batch[s].labels[0])
                                            : text(" has ", batch[s].labels.size(), " labels"),
                "; one class from 0 to ", classes() - 1, " is needed");
    inputs[s].labels.clear();
  }
  model.check(inputs);
}

Tensor Classification::labels(const Model& model, const Batch& batch) const {
  std::vector<int32_t> list;
  for (const Sequence& s : batch) list.push_back(s.labels.at(0));
  return Tensor::of(list, model.device());
}

// Label words --------------------------------------------------------------------------------------

LabelWords::LabelWords(std::vector<int32_t> words, std::optional<int32_t> mask, const Model& model)
    : words_(std::move(words)), mask_(mask) {
  check_input(words_.size() >= 2, "label words: ", words_.size(), " words; a choice needs two");
  check_input(bool(model.head), "label words: this model has no head over the vocabulary");
  check_input(!model.config().is_encoder() || mask_, "label words: an encoder needs a mask token to put the words at");
  std::vector<int32_t> sorted = words_;
  std::sort(sorted.begin(), sorted.end());
  check_input(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(),
              "label words: two classes have the same token");
  check_input(sorted.front() >= 0 && sorted.back() < model.config().vocabulary, "label words: token ",
              sorted.front() < 0 ? sorted.front() : sorted.back(), " is outside the vocabulary of ",
              model.config().vocabulary);
}

std::string LabelWords::description() const {
  std::string list = "label words";
  for (const int32_t word : words_) list += " " + std::to_string(word);
  return mask_ ? list + text(" at mask ", *mask_) : list;
}

void LabelWords::check(const Model& model, const Batch& batch) const {
  Classification::check(model, batch);
  if (!model.config().is_encoder()) return;
  for (size_t s = 0; s < batch.size(); ++s) {
    const auto count = std::count(batch[s].ids.begin(), batch[s].ids.end(), *mask_);
    check_input(count == 1, "sequence ", s, " has the mask token ", *mask_, " ", count,
                " times; label words need it once");
  }
}

Objective::Question LabelWords::question(const Model& model, const Batch& batch) const {
  Batch inputs = batch;
  const bool seq2seq = model.config().is_seq2seq();
  // Of a decoder with an encoder: its first free step. BART's writes <s> before.
  std::vector<int32_t> first;
  if (seq2seq && model.config().forced_bos) first = {*model.config().forced_bos};
  if (seq2seq) first.push_back(kNotScored);
  for (Sequence& s : inputs) s.labels = first;
  std::vector<TokenPlace> chosen;
  for (const Sequence& s : inputs) {
    const int64_t place = model.config().is_encoder() ? std::find(s.ids.begin(), s.ids.end(), *mask_) - s.ids.begin()
                          : seq2seq                   ? int64_t(first.size()) - 1
                                                      : int64_t(s.ids.size()) - 1;
    chosen.push_back({int32_t(chosen.size()), int32_t(place)});
  }
  return {std::move(inputs), std::move(chosen)};
}

Model::Loss LabelWords::answer(Model& model, Pass& pass, const Batch& batch, const Var& rows,
                               const CrossEntropyConfig& config) const {
  return {model.choice_loss(pass, rows, words_, labels(model, batch), config), int64_t(batch.size())};
}

Tensor LabelWords::scores(Model& model, Pass& pass, const Batch& batch) const {
  return model.choice_logits(pass, rows_of(model, pass, batch), words_).to(Device::cpu()).to(DType::f32);
}

// A head -------------------------------------------------------------------------------------------

ClassificationHead::ClassificationHead(Model& model, int64_t classes, uint64_t seed) : classes_(classes) {
  check_input(classes >= 2, "classification head: ", classes, " classes; a choice needs two");
  if (!model.classifier) own_ = model.add_classifier(classes, seed);
  check_input(model.config().classes == classes, "this model's classification head has ", model.config().classes,
              " classes, the task ", classes);
}

Model::Loss ClassificationHead::answer(Model& model, Pass& pass, const Batch& batch, const Var& rows,
                                       const CrossEntropyConfig& config) const {
  return {model.class_loss(pass, batch, rows, labels(model, batch), config), int64_t(batch.size())};
}

Tensor ClassificationHead::scores(Model& model, Pass& pass, const Batch& batch) const {
  return model.classify(pass, batch).to(Device::cpu()).to(DType::f32);
}

bool ClassificationHead::trains(std::string_view name) const {
  return std::any_of(own_.begin(), own_.end(), [&](const std::string& prefix) { return name.starts_with(prefix); });
}

// A number ---------------------------------------------------------------------------------------------

RegressionHead::RegressionHead(Model& model, uint64_t seed) {
  if (!model.classifier) own_ = model.add_classifier(1, seed);
  check_input(model.config().classes == 1, "this model's classification head has ", model.config().classes,
              " classes; a number needs a head of one output");
}

int32_t RegressionHead::label_of(double number) {
  check_input(std::abs(number) <= 1e6, "the number ", number, " is too large to be learned");
  return int32_t(std::lround(1000 * number));
}

void RegressionHead::check(const Model& model, const Batch& batch) const {
  Batch inputs = batch;
  for (size_t s = 0; s < batch.size(); ++s) {
    check_input(batch[s].labels.size() == 1, "sequence ", s, " has ", batch[s].labels.size(),
                " labels; one number is needed");
    inputs[s].labels.clear();
  }
  model.check(inputs);
}

Model::Loss RegressionHead::answer(Model& model, Pass& pass, const Batch& batch, const Var& rows,
                                   const CrossEntropyConfig& config) const {
  std::vector<float> numbers;
  for (const Sequence& s : batch) numbers.push_back(float(s.labels.at(0)) / 1000);
  const Tensor target = Tensor::of(numbers, model.device()).to(accumulator(model.activation_type()));
  return {model.number_loss(pass, batch, rows, target.reshape({int64_t(batch.size()), 1}), config.gradient_scale),
          int64_t(batch.size())};
}

std::vector<double> RegressionHead::predictions(Model& model, Pass& pass, const Batch& batch) const {
  const Tensor y = model.classify(pass, batch).to(Device::cpu()).to(DType::f32);
  return {y.data<float>(), y.data<float>() + batch.size()};
}

bool RegressionHead::trains(std::string_view name) const {
  return std::any_of(own_.begin(), own_.end(), [&](const std::string& prefix) { return name.starts_with(prefix); });
}

}  // namespace cambium
