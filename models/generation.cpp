#include "models/generation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/json.h"
#include "core/kernels/generation.h"
#include "core/kernels/rows.h"
#include "core/random.h"
#include "models/decoding.h"

namespace cambium {
namespace {

// What an encoder-decoder's texts start from; as in transformers the begin token where no other is named.
int32_t first_token(const ModelConfig& config) {
  const auto id = config.decoder_start ? config.decoder_start : config.bos;
  check_input(id && *id >= 0 && *id < config.vocabulary, "decoder_start_token_id ",
              id ? text(*id, " is outside the vocabulary of ", config.vocabulary) : std::string("is missing"),
              ": generation needs it");
  return *id;
}

}  // namespace

Decoding::Decoding(Model& model, Hooks& hooks, const GenerationOptions& options,
                   std::span<const std::vector<int32_t>> inputs, std::span<const int> tuner)
    : model_(model), options_(options), tuner_(tuner.begin(), tuner.end()),
      eos_(options.eos.value_or(model.config().eos)), pass_(hooks), graphs_(model.device()) {
  const ModelConfig& config = model.config();
  // An end outside the vocabulary is never reached.
  std::erase_if(eos_, [&](int32_t id) { return id < 0 || id >= config.vocabulary; });
  if (config.is_seq2seq()) {
    const std::vector<int64_t> index(inputs.size(), 0);
    memory_ = model.remember(pass_, Layout(inputs, index, tuner_));
    given_.assign(inputs.size(), {first_token(config)});
  } else {
    given_.assign(inputs.begin(), inputs.end());
  }
  std::vector<int32_t> capacity;
  for (size_t i = 0; i < given_.size(); ++i)
    capacity.insert(capacity.end(), size_t(options.width()),
                    int32_t(int64_t(given_[i].size()) + options.max_new_tokens +
                            hooks.virtual_tokens(StackKind::decoder, tuner_[i])));
  cache_ = std::make_unique<DecoderCache>(config, capacity, model.activation_type(), model.device());
}

std::vector<Hypothesis> Decoding::start() const {
  std::vector<Hypothesis> all;
  for (size_t i = 0; i < given_.size(); ++i) all.push_back({int64_t(i), given_[i], int64_t(given_[i].size()), 0});
  return all;
}

bool Decoding::is_end(int32_t token) const { return std::find(eos_.begin(), eos_.end(), token) != eos_.end(); }

Tensor Decoding::logits(const std::vector<const Hypothesis*>& hypotheses, const std::vector<int32_t>& slot) {
  cache_->active = slot;
  Tensor result;
  const auto run = [&] { result = step(hypotheses); };
  if (started_) graphs_.run(int64_t(slot.size()), cache_->longest(), run);
  else run();
  started_ = true;
  return result;
}

Tensor Decoding::step(const std::vector<const Hypothesis*>& hypotheses) {
  const Device device = model_.device();
  std::vector<std::vector<int32_t>> ids;
  std::vector<int32_t> past, begin, length;
  std::vector<int> tuner;
  for (const Hypothesis* h : hypotheses) {
    ids.push_back(started_ ? std::vector<int32_t>{h->tokens.back()} : h->tokens);
    past.push_back(int32_t(h->tokens.size()) - 1);
    tuner.push_back(tuner_[size_t(h->input)]);
    if (const Layout* read = memory_.layout.get())
      begin.push_back(read->begin[size_t(h->input)]), length.push_back(read->length[size_t(h->input)]);
  }
  const std::vector<int64_t> index(ids.size(), 0);
  Layout layout = started_ ? Layout(ids, index, tuner, past) : Layout(ids, index, tuner);
  if (!begin.empty())
    memory_.segments = {Tensor::of(begin, device), Tensor::of(length, device),
                        *std::max_element(length.begin(), length.end())};
  layout.read.emplace();
  for (size_t s = 0; s < past.size(); ++s) layout.read->push_back({int32_t(s), past[s]});  // the last token's row
  return model_.logits(pass_, model_.decode(pass_, layout, begin.empty() ? nullptr : &memory_, cache_.get()).value);
}

namespace {

// Last tokens of forbidden sequences whose other tokens stand at the end of a text that is no shorter.
void add_forbidden(const std::vector<int32_t>& tokens, const std::vector<std::vector<int32_t>>& forbidden,
                   const std::vector<int32_t>& eos, std::vector<int32_t>& banned) {
  for (const std::vector<int32_t>& word : forbidden) {
    const size_t before = word.size() - 1;
    if (before == 0 && std::find(eos.begin(), eos.end(), word.front()) != eos.end()) continue;
    if ((before == 0 || word.size() <= tokens.size()) &&
        std::equal(word.begin(), word.end() - 1, tokens.end() - int64_t(before)))
      banned.push_back(word.back());
  }
}

// Tokens that would complete an n-gram that is already there.
void add_repeated(const std::vector<int32_t>& tokens, int64_t n, std::vector<int32_t>& banned) {
  const int64_t size = int64_t(tokens.size());
  if (size + 1 < n) return;
  const auto tail = tokens.end() - (n - 1);
  for (auto at = tokens.begin(); at + (n - 1) < tokens.end(); ++at)
    if (std::equal(tail, tokens.end(), at)) banned.push_back(at[n - 1]);
}

}  // namespace

void Decoding::mask(const std::vector<const Hypothesis*>& hypotheses, const Tensor& logits) const {
  std::vector<int32_t> row, column, banned;
  for (size_t r = 0; r < hypotheses.size(); ++r) {
    const Hypothesis& h = *hypotheses[r];
    banned.clear();
    add_forbidden(h.tokens, options_.forbidden, eos_, banned);
    if (h.written() < options_.min_new_tokens) banned.insert(banned.end(), eos_.begin(), eos_.end());
    if (options_.no_repeat_ngram > 0) add_repeated(h.tokens, options_.no_repeat_ngram, banned);
    for (const int32_t token : banned) row.push_back(int32_t(r)), column.push_back(token);
  }
  if (!row.empty()) {
    Stream& stream = logits.stream();
    DISPATCH(mask_logits, stream)
    (stream, Tensor::of(row, logits.device()), Tensor::of(column, logits.device()), logits);
  }
  force(hypotheses, logits);
}

// Rows in which one token alone is possible: it has the logarithm 0, all others minus infinity.
void Decoding::force(const std::vector<const Hypothesis*>& hypotheses, const Tensor& logits) const {
  const ModelConfig& config = model_.config();
  std::vector<int32_t> row;
  std::vector<float> values;
  for (size_t r = 0; r < hypotheses.size(); ++r) {
    const Hypothesis& h = *hypotheses[r];
    const auto forced = h.written() + 1 == options_.max_new_tokens ? config.forced_eos
                        : h.tokens.size() == 1                     ? config.forced_bos
                                                                   : std::nullopt;
    if (!forced) continue;
    check_input(*forced >= 0 && *forced < logits.cols(), "the token that the configuration forces, ", *forced,
                ", is outside the vocabulary of ", logits.cols());
    row.push_back(int32_t(r));
    values.resize(values.size() + size_t(logits.cols()), -std::numeric_limits<float>::infinity());
    values[values.size() - size_t(logits.cols()) + size_t(*forced)] = 0;
  }
  if (row.empty()) return;
  Stream& stream = logits.stream();
  const Tensor rows = Tensor::of(std::span<const float>(values), {int64_t(row.size()), logits.cols()}, logits.device());
  DISPATCH(scatter_rows, stream)(stream, rows, Tensor::of(row, logits.device()), logits);
}

namespace {

// Chooses a token behind each text. draw[i]: the number of text i among its input's.
Tensor choose(const GenerationOptions& options, const std::vector<Hypothesis>& running,
              const std::vector<uint32_t>& draw, int64_t first_input, const Tensor& logits) {
  Stream& stream = logits.stream();
  const int64_t n = logits.rows();
  const Tensor token = Tensor::empty({n, 1}, DType::i32, logits.device());
  if (!options.sample) {
    const Tensor value = Tensor::empty({n, 1}, DType::f32, logits.device());
    DISPATCH(top_k, stream)(stream, logits, 1, value, token);
    return token.to(Device::cpu());
  }
  std::vector<float> uniform;
  for (size_t i = 0; i < running.size(); ++i) {
    const RandomKey key = random_key(options.seed, "sample", uint64_t(first_input + running[i].input));
    uniform.push_back(unit_float(philox(key, uint32_t(running[i].written()), draw[i], 0, 0).word[0]));
  }
  const SamplingConfig config{float(options.temperature), float(options.top_p), int(options.top_k)};
  DISPATCH(sample_tokens, stream)(stream, config, logits, Tensor::of(uniform, logits.device()), token);
  return token.to(Device::cpu());
}

// `count` of each row, one behind the other.
Tensor repeated_rows(const Tensor& x, int64_t count) {
  std::vector<int32_t> rows;
  for (int64_t r = 0; r < x.rows() * count; ++r) rows.push_back(int32_t(r / count));
  Tensor all = Tensor::empty({x.rows() * count, x.cols()}, x.dtype(), x.device());
  DISPATCH(gather_rows, x.stream())(x.stream(), x, Tensor::of(rows, x.device()), 1, false, all);
  return all;
}

}  // namespace

std::vector<std::vector<Generated>> write_one_by_one(Decoding& decoding, const GenerationOptions& options,
                                                     int64_t inputs, int64_t first_input) {
  const int64_t width = options.width();
  std::vector<std::vector<Generated>> results(static_cast<size_t>(inputs));
  for (auto& of_input : results) of_input.resize(size_t(width));
  std::vector<Hypothesis> running = decoding.start();
  std::vector<int32_t> slot;
  std::vector<uint32_t> draw(running.size(), 0);
  for (size_t i = 0; i < running.size(); ++i) slot.push_back(int32_t(int64_t(i) * width));
  bool forked = width == 1;
  while (!running.empty()) {
    std::vector<const Hypothesis*> hypotheses;
    for (const Hypothesis& h : running) hypotheses.push_back(&h);
    Tensor logits = decoding.logits(hypotheses, slot);
    if (options.scores) DISPATCH(log_softmax, logits.stream())(logits.stream(), logits, logits);
    decoding.mask(hypotheses, logits);
    if (!forked) {  // the input was read once; from its end on each result goes its own way
      std::vector<Hypothesis> all;
      std::vector<int32_t> from, to;
      slot.clear(), draw.clear();
      for (const Hypothesis& h : running)
        for (int64_t r = 0; r < width; ++r) {
          all.push_back(h), draw.push_back(uint32_t(r)), slot.push_back(int32_t(h.input * width + r));
          if (r > 0) from.push_back(int32_t(h.input * width)), to.push_back(slot.back());
        }
      decoding.cache().copy(from, to);
      running = std::move(all), logits = repeated_rows(logits, width), forked = true;
    }
    const Tensor token = choose(options, running, draw, first_input, logits);
    const Tensor host = options.scores ? logits.to(Device::cpu()) : Tensor();

    std::vector<Hypothesis> next;
    std::vector<int32_t> next_slot;
    std::vector<uint32_t> next_draw;
    for (size_t i = 0; i < running.size(); ++i) {
      Hypothesis& h = running[i];
      const int32_t chosen = token.data<int32_t>()[i];
      if (host) h.log_probability += double(host.data<float>()[int64_t(i) * host.cols() + chosen]);
      h.tokens.push_back(chosen);
      if (decoding.is_end(chosen) || h.written() == options.max_new_tokens) {
        const std::vector<int32_t> ids(h.tokens.begin() + h.given, h.tokens.end());
        results[size_t(h.input)][draw[i]] = {ids,
                                             h.log_probability / std::pow(double(ids.size()), options.length_penalty)};
      } else {
        next.push_back(std::move(h));
        next_slot.push_back(slot[i]), next_draw.push_back(draw[i]);
      }
    }
    running = std::move(next), slot = std::move(next_slot), draw = std::move(next_draw);
  }
  return results;
}

namespace {

void check_options(const Model& model, const Hooks& hooks, const std::vector<std::vector<int32_t>>& inputs,
                   const std::vector<int>& tuner, const GenerationOptions& o) {
  const ModelConfig& config = model.config();
  check_input(bool(model.head) && config.decoder.layers,
              "this model has no decoder with an LM head: it cannot generate");
  check_input(o.max_new_tokens >= 1 && o.min_new_tokens >= 0 && o.batch_size >= 1,
              "--max-new-tokens and --batch-size must be at least 1");
  check_input(o.min_new_tokens <= o.max_new_tokens, "--min-new-tokens ", o.min_new_tokens, " exceeds --max-new-tokens ",
              o.max_new_tokens);
  check_input(o.beams >= 1 && o.results >= 1 && (o.sample || o.results <= o.beams), "--num-results ", o.results,
              " needs as many beams, or sampling; there are ", o.beams);
  check_input(o.results <= 65536, "--num-results ", o.results, ": at most 65536");
  check_input(!o.sample || o.beams == 1, "--beam ", o.beams, " and sampling exclude each other");
  check_input(float(o.temperature) > 0 && o.top_p > 0 && o.top_p <= 1 && o.top_k >= 0,
              "sampling needs a temperature above 0, top-p in (0, 1] and top-k of at least 0");
  check_input((1 + int64_t(std::max<size_t>(1, config.eos.size()))) * o.beams <= config.vocabulary, "--beam ", o.beams,
              " exceeds what a vocabulary of ", config.vocabulary, " offers");
  std::vector<std::vector<int32_t>> lists = o.forbidden;
  for (const auto& word : lists) check_input(!word.empty(), "--forbid: an empty sequence of tokens");
  lists.push_back(o.eos.value_or(std::vector<int32_t>()));
  for (const auto& list : lists)
    for (const int32_t id : list)
      check_input(id >= 0 && id < config.vocabulary, "token ", id, " is outside the vocabulary of ", config.vocabulary);
  for (size_t i = 0; i < inputs.size(); ++i) {
    check_input(!inputs[i].empty(), "input ", i, " has no tokens");
    for (const int32_t id : inputs[i])
      check_input(id >= 0 && id < config.vocabulary, "input ", i, ": id ", id, " is outside the vocabulary of ",
                  config.vocabulary);
    reading(text("input ", i), [&] { check_input_length(model, hooks, inputs[i], tuner[i], o); });
  }
}

}  // namespace

void check_input_length(const Model& model, const Hooks& hooks, std::span<const int32_t> input, int tuner,
                        const GenerationOptions& o) {
  const ModelConfig& config = model.config();
  const int64_t size = int64_t(input.size());
  const int64_t longest =
      (config.is_seq2seq() ? 1 : size) + o.max_new_tokens - 1 + hooks.position_shift(StackKind::decoder, tuner);
  const int64_t read = config.is_seq2seq() ? size + hooks.position_shift(StackKind::encoder, tuner) : 0;
  check_input(!config.max_positions || std::max(longest, read) <= config.max_positions, size, " tokens, with ",
              o.max_new_tokens, " new ones, are more than the model's ", config.max_positions, " positions");
}

std::vector<std::vector<Generated>> generate(Model& model, Hooks& hooks,
                                             const std::vector<std::vector<int32_t>>& inputs,
                                             const GenerationOptions& options, const std::vector<int>& tuner,
                                             const std::function<void(int64_t)>& progress) {
  const std::vector<int> tuners = tuner.empty() ? std::vector<int>(inputs.size(), 0) : tuner;
  check_options(model, hooks, inputs, tuners, options);
  std::vector<std::vector<Generated>> all;
  for (size_t begin = 0; begin < inputs.size(); begin += size_t(options.batch_size)) {
    const size_t count = std::min(size_t(options.batch_size), inputs.size() - begin);
    Decoding decoding(model, hooks, options, std::span(inputs).subspan(begin, count),
                      std::span(tuners).subspan(begin, count));
    auto results = options.beams > 1 ? beam_search(decoding, options, int64_t(count))
                                     : write_one_by_one(decoding, options, int64_t(count), int64_t(begin));
    for (auto& r : results) all.push_back(std::move(r));
    if (progress) progress(int64_t(all.size()));
  }
  return all;
}

}  // namespace cambium
