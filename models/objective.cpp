// What a model makes of a batch with labels: its hidden rows, and the loss of the labelled ones.
#include <algorithm>

#include "autograd/ops/squared_error.h"
#include "models/model.h"

namespace cambium {
namespace {

// Label of the hidden row of token t: a decoder predicts the next token, the others the token itself.
bool shifts(const ModelConfig& config) { return !config.is_encoder() && !config.is_seq2seq(); }

std::vector<int32_t> row_labels(const ModelConfig& config, const Sequence& s) {
  std::vector<int32_t> labels = s.labels;
  if (shifts(config) && !labels.empty()) {
    labels.erase(labels.begin());
    labels.push_back(kNotScored);
  }
  return labels;
}

}  // namespace

int64_t Model::scored_tokens(const Batch& batch) const {
  int64_t count = 0;
  for (const Sequence& s : batch)
    for (const int32_t label : row_labels(config_, s)) count += label != kNotScored;
  return count;
}

std::vector<int32_t> Model::decoder_inputs(const Sequence& s) const {
  check_input(config_.decoder_start.has_value(), "this model's configuration has no decoder_start_token_id");
  std::vector<int32_t> ids{*config_.decoder_start};
  for (size_t t = 0; t + 1 < s.labels.size(); ++t)
    ids.push_back(s.labels[t] == kNotScored ? config_.pad.value_or(0) : s.labels[t]);
  for (const int32_t id : ids)  // the configuration's own may lie anywhere
    check_input(id >= 0 && id < config_.vocabulary, "the decoder would read token ", id, ", outside the vocabulary of ",
                config_.vocabulary, ": decoder_start_token_id or pad_token_id cannot be used");
  return ids;
}

void Model::check(const Batch& batch) const {
  const auto in_vocabulary = [&](int32_t id) { return id >= 0 && id < config_.vocabulary; };
  for (size_t s = 0; s < batch.size(); ++s) {
    const Sequence& q = batch[s];
    check_input(!q.ids.empty(), "sequence ", s, " is empty");
    for (size_t t = 0; t < q.ids.size(); ++t)
      check_input(in_vocabulary(q.ids[t]), "sequence ", s, ", token ", t, ": id ", q.ids[t],
                  " is outside the vocabulary of ", config_.vocabulary);
    for (size_t t = 0; t < q.labels.size(); ++t)
      check_input(q.labels[t] == kNotScored || in_vocabulary(q.labels[t]), "sequence ", s, ", target ", t, ": id ",
                  q.labels[t], " is neither -100 nor inside the vocabulary of ", config_.vocabulary);
    check_input(q.types.empty() || q.types.size() == q.ids.size(), "sequence ", s, " has ", q.ids.size(),
                " tokens and ", q.types.size(), " segment ids; they must be aligned");
    for (size_t t = 0; t < q.types.size(); ++t)
      check_input(q.types[t] == 0 || (q.types[t] > 0 && q.types[t] < config_.token_types), "sequence ", s, ", token ",
                  t, ": segment id ", q.types[t], "; the model has ", config_.token_types, " segments");
    check_input(config_.is_seq2seq() || q.labels.empty() || q.labels.size() == q.ids.size(), "sequence ", s, " has ",
                q.ids.size(), " tokens and ", q.labels.size(), " targets; they must be aligned");
    const int64_t longest = int64_t(config_.is_seq2seq() ? std::max(q.ids.size(), q.labels.size()) : q.ids.size());
    check_input(config_.max_positions == 0 || longest <= config_.max_positions, "sequence ", s, " has ", longest,
                " tokens; the model has ", config_.max_positions, " positions");
  }
}

void Model::check_positions(const Batch& batch, const Hooks& hooks) const {
  if (config_.max_positions == 0) return;
  const auto fits = [&](const Sequence& s, StackKind kind, size_t tokens) {
    const int64_t shift = hooks.position_shift(kind, s.tuner);
    check_input(int64_t(tokens) + shift <= config_.max_positions, "sequence ", s.index, " has ", tokens,
                " tokens, and ", shift, " places are taken in front of them; the model has ", config_.max_positions,
                " positions");
  };
  for (const Sequence& s : batch) {
    if (config_.encoder.layers) fits(s, StackKind::encoder, s.ids.size());
    if (config_.decoder.layers) fits(s, StackKind::decoder, config_.is_seq2seq() ? s.labels.size() : s.ids.size());
  }
}

Var Model::hidden(Pass& pass, const Batch& batch, std::vector<TokenPlace> tokens) {
  std::vector<std::vector<int32_t>> ids, outputs;
  std::vector<int64_t> index;
  std::vector<int> tuner;
  for (const Sequence& s : batch) {
    ids.push_back(s.ids);
    if (config_.is_seq2seq()) outputs.push_back(decoder_inputs(s));
    index.push_back(s.index);
    tuner.push_back(s.tuner);
  }
  Layout layout(ids, index, tuner);
  for (size_t s = 0; s < batch.size(); ++s) layout.set_types(int64_t(s), batch[s].types);
  if (!config_.is_seq2seq()) {
    layout.read = std::move(tokens);
    return config_.is_encoder() ? encode(pass, layout) : decode(pass, layout);
  }
  const Memory memory = remember(pass, std::move(layout));
  layout = Layout(outputs, index, tuner);
  layout.read = std::move(tokens);
  return decode(pass, layout, &memory);
}

Model::Hidden Model::hidden(Pass& pass, const Batch& batch) {
  std::vector<TokenPlace> tokens;
  Hidden result;
  for (const Sequence& s : batch) {
    const size_t length = config_.is_seq2seq() ? decoder_inputs(s).size() : s.ids.size();
    result.begin.push_back(int64_t(tokens.size()));
    result.length.push_back(int64_t(length));
    for (size_t t = 0; t < length; ++t) tokens.push_back({int32_t(result.begin.size()) - 1, int32_t(t)});
  }
  result.rows = hidden(pass, batch, std::move(tokens));
  return result;
}

std::vector<TokenPlace> Model::class_places(const Batch& batch) {
  std::vector<TokenPlace> first;
  for (size_t s = 0; s < batch.size(); ++s) first.push_back({int32_t(s), 0});
  return first;
}

Var Model::class_rows(Pass& pass, const Batch& batch, Var x) {
  CHECK(classifier, "this model has no classification head");
  std::vector<int64_t> index;
  std::vector<int> tuner;
  for (const Sequence& s : batch) index.push_back(s.index), tuner.push_back(s.tuner);
  // Dropout's random numbers count sequences: each is one row here.
  const Layout rows(std::vector<std::vector<int32_t>>(batch.size(), {0}), index, tuner);
  const auto drop = [&](Var x, const char* place) {
    return pass.drop_and_add(pass.dropout().residual, place, std::move(x), Var(), rows);
  };
  if (!pooler) x = drop(std::move(x), "classifier.input");
  const Dense& dense = pooler ? pooler->dense : classifier->dense;  // BERT's pooler is tanh(W h_0 + b)
  x = apply(Activate{Activation::tanh}, apply(Linear{}, x, pass(dense.weight), pass(dense.bias)), Var());
  return drop(std::move(x), "classifier");
}

Tensor Model::classify(Pass& pass, const Batch& batch) {
  const Var x = class_rows(pass, batch, hidden(pass, batch, class_places(batch)));
  return product(x.value, pass(classifier->output.weight).value, {.transpose_b = true}, accumulator(x.value.dtype()),
                 pass(classifier->output.bias).value);
}

Var Model::class_loss(Pass& pass, const Batch& batch, Var first, const Tensor& label,
                      const CrossEntropyConfig& config) {
  const Var x = class_rows(pass, batch, std::move(first));
  return apply(LmHeadLoss{label, config}, x, pass(classifier->output.weight), pass(classifier->output.bias));
}

Var Model::number_loss(Pass& pass, const Batch& batch, Var first, const Tensor& target, float scale) {
  const Var x = class_rows(pass, batch, std::move(first));
  return apply(SquaredError{target, scale}, x, pass(classifier->output.weight), pass(classifier->output.bias));
}

std::pair<Var, Var> Model::choices(Pass& pass, const std::vector<int32_t>& tokens) {
  const auto map = std::make_shared<RowMap>(tokens, config_.vocabulary, device_);
  const Var weight = head_weight(pass), bias = pass(head->bias);
  const Var rows = apply(TakeRows{map, 1, weight.value.dtype(), true}, weight, Var());
  if (!bias) return {rows, Var()};
  const Var column = apply(TakeRows{map, 1, bias.value.dtype(), true}, bias.reshape({config_.vocabulary, 1}), Var());
  return {rows, column.reshape({int64_t(tokens.size())})};
}

Tensor Model::choice_logits(Pass& pass, const Var& hidden, const std::vector<int32_t>& tokens) {
  const auto [weight, bias] = choices(pass, tokens);
  const Var x = head_rows(pass, hidden);
  return product(x.value, weight.value, {.transpose_b = true}, accumulator(x.value.dtype()), bias.value);
}

Var Model::choice_loss(Pass& pass, const Var& hidden, const std::vector<int32_t>& tokens, const Tensor& label,
                       const CrossEntropyConfig& config) {
  const auto [weight, bias] = choices(pass, tokens);
  return apply(LmHeadLoss{label, config}, head_rows(pass, hidden), weight, bias);
}

std::vector<double> Model::sequence_losses(Pass& pass, const Batch& batch) {
  check_input(bool(head), "this model has no LM head: texts cannot be compared");
  const Tensor x = head_rows(pass, hidden(pass, batch, scored_places(batch))).value;
  std::vector<double> losses;
  int64_t begin = 0;
  for (const Sequence& s : batch) {
    std::vector<int32_t> of_sequence = row_labels(config_, s);
    std::erase(of_sequence, kNotScored);
    const int64_t end = begin + int64_t(of_sequence.size());
    const Var sum = apply(LmHeadLoss{Tensor::of(of_sequence, device_), {}}, Var(x.rows(begin, end)), head_weight(pass),
                          pass(head->bias));
    losses.push_back(double(sum.value.to(Device::cpu()).to(DType::f32).data<float>()[0]));
    begin = end;
  }
  return losses;
}

std::vector<TokenPlace> Model::scored_places(const Batch& batch) const {
  std::vector<TokenPlace> places;
  for (size_t s = 0; s < batch.size(); ++s) {
    const std::vector<int32_t> of_row = row_labels(config_, batch[s]);
    for (size_t t = 0; t < of_row.size(); ++t)
      if (of_row[t] != kNotScored) places.push_back({int32_t(s), int32_t(t)});
  }
  return places;
}

Model::Loss Model::loss(Pass& pass, const Batch& batch, const CrossEntropyConfig& config) {
  check_input(bool(head), "this model has no LM head: a loss over the vocabulary cannot be computed");
  return loss_of(pass, batch, hidden(pass, batch, scored_places(batch)), config);
}

Model::Loss Model::loss_of(Pass& pass, const Batch& batch, const Var& rows, const CrossEntropyConfig& config) {
  check_input(bool(head), "this model has no LM head: a loss over the vocabulary cannot be computed");
  std::vector<int32_t> labels;
  for (const Sequence& s : batch)
    for (const int32_t label : row_labels(config_, s))
      if (label != kNotScored) labels.push_back(label);
  const Var x = head_rows(pass, rows);
  return {apply(LmHeadLoss{Tensor::of(labels, device_), config}, x, head_weight(pass), pass(head->bias)),
          int64_t(labels.size())};
}

}  // namespace cambium
