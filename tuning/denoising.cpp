#include "tuning/denoising.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cambium {
namespace {

std::string settings(const Framing& f) {
  std::string list;
  for (const auto* side : {&f.before, &f.after}) {
    list += list.empty() ? " [" : "|";
    for (const int32_t id : *side) list += " " + std::to_string(id);
  }
  return list + "]";
}

bool begins_word(const WordStarts& starts, int32_t id) {
  return starts.empty() || size_t(id) >= starts.size() || starts[size_t(id)];
}

// Rounds halves to the even neighbour, as the papers' programs do.
int64_t rounded(double x) { return int64_t(std::nearbyint(x)); }

// Cuts `items` into `parts` of at least one each, all ways equally likely.
std::vector<int64_t> random_parts(int64_t items, int64_t parts, Draws& draws) {
  std::vector<uint8_t> begins(size_t(items - 1), 0);
  std::fill(begins.begin(), begins.begin() + (parts - 1), uint8_t(1));
  draws.shuffle(begins);
  std::vector<int64_t> lengths{1};
  for (const uint8_t b : begins) {
    if (b) lengths.push_back(1);
    else ++lengths.back();
  }
  return lengths;
}

}  // namespace

std::vector<int32_t> Framing::around(const std::vector<int32_t>& ids) const {
  std::vector<int32_t> all = before;
  all.insert(all.end(), ids.begin(), ids.end());
  all.insert(all.end(), after.begin(), after.end());
  return all;
}

// Masked LM ----------------------------------------------------------------------------------------

MaskedLm::MaskedLm(Options options) : options_(std::move(options)) {
  const Options& o = options_;
  check_input(o.rate > 0 && o.rate <= 1, "masked lm: a rate of ", o.rate, "; it must be above 0 and at most 1");
  check_input(o.masked >= 0 && o.random >= 0 && o.masked + o.random <= 1, "masked lm: shares ", o.masked, " and ",
              o.random, " do not add up to at most 1");
  check_input(o.vocabulary > 0 && o.mask >= 0 && o.mask < o.vocabulary, "masked lm: the mask token ", o.mask,
              " is outside the vocabulary of ", o.vocabulary);
  check_input(!o.whole_words || !o.starts.empty(), "masked lm: whole words need to know which tokens begin a word");
}

std::string MaskedLm::description() const {
  return text("masked lm, rate ", options_.rate, ", ", options_.masked, " masked, ", options_.random, " random, mask ",
              options_.mask, options_.whole_words ? ", whole words" : "", settings(options_.framing));
}

Sequence MaskedLm::view(const Sequence& example, RandomKey key) const {
  const Options& o = options_;
  Draws draws(key, example.index);
  Sequence s = example;
  std::vector<std::vector<size_t>> words;  // places of the tokens of each
  size_t candidates = 0;
  for (size_t t = 0; t < s.ids.size(); ++t) {
    if (std::find(o.never.begin(), o.never.end(), s.ids[t]) != o.never.end()) continue;
    ++candidates;
    const bool follows =
        o.whole_words && !words.empty() && words.back().back() + 1 == t && !begins_word(o.starts, s.ids[t]);
    if (follows) words.back().push_back(t);
    else words.push_back({t});
  }
  check_input(candidates > 0, "example ", example.index, " has no token that could be masked");
  draws.shuffle(words);
  const size_t all = s.ids.size() + o.framing.before.size() + o.framing.after.size();
  const size_t wanted = size_t(std::max<int64_t>(1, rounded(o.rate * double(all))));
  const auto shorter = [](const auto& a, const auto& b) { return a.size() < b.size(); };
  const auto shortest = std::min_element(words.begin(), words.end(), shorter);
  if (shortest->size() > wanted) words = {std::vector<size_t>(*shortest)};
  s.labels.assign(s.ids.size(), kNotScored);
  size_t chosen = 0;
  for (const std::vector<size_t>& word : words) {
    if (chosen >= wanted) break;
    if (words.size() > 1 && chosen + word.size() > wanted) continue;
    for (const size_t t : word) {
      s.labels[t] = s.ids[t];
      const double kind = draws.unit();
      const int32_t other = int32_t(draws.below(o.vocabulary));
      if (kind < o.masked) s.ids[t] = o.mask;
      else if (kind < o.masked + o.random) s.ids[t] = other;
      ++chosen;
    }
  }
  s.ids = o.framing.around(s.ids);
  s.labels.insert(s.labels.begin(), o.framing.before.size(), kNotScored);
  s.labels.insert(s.labels.end(), o.framing.after.size(), kNotScored);
  return s;
}

// Span corruption ----------------------------------------------------------------------------------

std::vector<bool> span_noise(int64_t length, double density, double mean_length, Draws& draws) {
  if (length <= 0) return {};
  const int64_t n = std::max<int64_t>(length, 2);  // a single token stays
  const int64_t noise = std::clamp<int64_t>(rounded(double(n) * density), 1, n - 1);
  const int64_t spans = std::max<int64_t>(1, rounded(double(std::min(noise, n - noise)) / mean_length));
  const std::vector<int64_t> noisy = random_parts(noise, spans, draws), kept = random_parts(n - noise, spans, draws);
  std::vector<bool> mask;
  for (size_t i = 0; i < noisy.size(); ++i) {
    mask.insert(mask.end(), size_t(kept[i]), false);
    mask.insert(mask.end(), size_t(noisy[i]), true);
  }
  mask.resize(size_t(length));
  return mask;
}

int64_t span_corruption_text(int64_t inputs, double density, double mean_length, int64_t framing) {
  const auto input_of = [&](int64_t n) {
    const int64_t noise = std::clamp<int64_t>(rounded(double(n) * density), 1, n - 1);
    return n - noise + std::max<int64_t>(1, rounded(double(std::min(noise, n - noise)) / mean_length)) + framing;
  };
  check_input(input_of(2) <= inputs, "span corruption: inputs of ", inputs, " tokens have no room for a text");
  int64_t n = 2;
  while (input_of(n + 1) <= inputs) ++n;
  return n;
}

SpanCorruption::SpanCorruption(Options options) : options_(std::move(options)) {
  const Options& o = options_;
  check_input(o.density > 0 && o.density < 1, "span corruption: a noise density of ", o.density,
              "; it must be between 0 and 1");
  check_input(o.mean_length >= 1, "span corruption: a mean length of ", o.mean_length, "; it must be at least 1");
  check_input(o.sentinels >= 1 && o.first_sentinel >= o.sentinels - 1, "span corruption: ", o.sentinels,
              " sentinels down from ", o.first_sentinel);
}

std::string SpanCorruption::description() const {
  return text("span corruption, density ", options_.density, ", mean length ", options_.mean_length, ", ",
              options_.sentinels, " sentinels from ", options_.first_sentinel, settings(options_.framing));
}

Sequence SpanCorruption::view(const Sequence& example, RandomKey key) const {
  const Options& o = options_;
  check_input(!example.ids.empty(), "example ", example.index, " is empty");
  for (size_t t = 0; t < example.ids.size(); ++t)
    check_input(example.ids[t] > o.first_sentinel || example.ids[t] <= o.first_sentinel - o.sentinels, "example ",
                example.index, ", token ", t, ": ", example.ids[t], " is a sentinel; texts must not hold any");
  Draws draws(key, example.index);
  const std::vector<bool> noise = span_noise(int64_t(example.ids.size()), o.density, o.mean_length, draws);
  // Both sides are the text with the other side's spans replaced by sentinels, counted on each side.
  const auto side = [&](bool hidden) {
    std::vector<int32_t> ids;
    int64_t spans = 0;
    for (size_t t = 0; t < noise.size(); ++t) {
      if (noise[t] != hidden) ids.push_back(example.ids[t]);
      else if (t == 0 || noise[t - 1] != hidden) ids.push_back(o.first_sentinel - int32_t(spans++));
    }
    check_input(spans <= o.sentinels, "example ", example.index, " has ", spans, " spans; there are ", o.sentinels,
                " sentinels. Use shorter texts or longer spans");
    return o.framing.around(ids);
  };
  Sequence s = example;
  s.ids = side(true);
  s.labels = side(false);
  return s;
}

// Prefix LM ----------------------------------------------------------------------------------------

Sequence PrefixLm::view(const Sequence& example, RandomKey key) const {
  const int64_t n = int64_t(example.ids.size());
  check_input(n >= 2, "example ", example.index, " has ", n, " tokens; a text to continue needs two");
  Draws draws(key, example.index);
  const int64_t cut = 1 + draws.below(n - 1);
  Sequence s = example;
  if (seq2seq_) {
    s.ids = framing_.around({example.ids.begin(), example.ids.begin() + cut});
    s.labels = framing_.around({example.ids.begin() + cut, example.ids.end()});
    return s;
  }
  s.labels = s.ids;
  std::fill(s.labels.begin(), s.labels.begin() + cut, kNotScored);
  return s;
}

// BART's denoising ---------------------------------------------------------------------------------

BartDenoising::BartDenoising(Options options) : options_(std::move(options)) {
  const Options& o = options_;
  check_input(o.rate >= 0 && o.rate <= 1 && o.permuted >= 0 && o.permuted <= 1, "denoising: shares ", o.rate, " and ",
              o.permuted, " must be from 0 to 1");
  check_input(o.poisson > 0 && o.poisson < 100, "denoising: a mean length of ", o.poisson,
              "; it must be above 0 and below 100");
  check_input(o.random >= 0 && o.random <= 1 && (o.random == 0 || o.vocabulary > 1), "denoising: a share of ", o.random,
              " random tokens from a vocabulary of ", o.vocabulary);
  double p = std::exp(-o.poisson), sum = 0;
  for (int64_t k = 0; k < 512 && sum < 1 - 1e-9; ++k) {
    cumulative_.push_back(sum += p);
    p *= o.poisson / double(k + 1);
  }
}

std::string BartDenoising::description() const {
  return text("bart denoising, rate ", options_.rate, ", spans of ", options_.poisson, ", ", options_.permuted,
              " of the sentences permuted, ", options_.random, " random of ", options_.vocabulary, ", mask ",
              options_.mask, settings(options_.framing));
}

int64_t BartDenoising::span_length(Draws& draws) const {
  const auto place = std::lower_bound(cumulative_.begin(), cumulative_.end(), draws.unit());
  return std::min<int64_t>(place - cumulative_.begin(), int64_t(cumulative_.size()) - 1);
}

std::vector<int32_t> BartDenoising::permuted(const std::vector<int32_t>& ids, Draws& draws) const {
  const auto ends = [&](size_t t) {
    const auto& list = options_.sentence_ends;
    return std::find(list.begin(), list.end(), ids[t]) != list.end();
  };
  std::vector<size_t> begin{0};
  for (size_t t = 1; t < ids.size(); ++t)
    if (ends(t - 1) && (t == 1 || !ends(t - 2))) begin.push_back(t);
  const size_t count = begin.size();
  begin.push_back(ids.size());
  std::vector<size_t> order(count), moved(count);
  std::iota(order.begin(), order.end(), 0);
  std::iota(moved.begin(), moved.end(), 0);
  draws.shuffle(moved);
  moved.resize(size_t(std::ceil(double(count) * options_.permuted)));
  std::vector<size_t> targets = moved;
  draws.shuffle(targets);
  for (size_t i = 0; i < moved.size(); ++i) order[moved[i]] = targets[i];
  std::vector<int32_t> result;
  for (const size_t s : order)
    result.insert(result.end(), ids.begin() + int64_t(begin[s]), ids.begin() + int64_t(begin[s + 1]));
  return result;
}

std::vector<int32_t> BartDenoising::infilled(const std::vector<int32_t>& ids, Draws& draws) const {
  std::vector<size_t> starts;  // of words
  for (size_t t = 0; t < ids.size(); ++t)
    if (t == 0 || begins_word(options_.starts, ids[t])) starts.push_back(t);
  const int64_t budget = int64_t(std::ceil(double(starts.size()) * options_.rate));
  if (ids.empty() || budget == 0) return ids;
  std::vector<int64_t> lengths;  // of spans, in words; the last is cut so that they are `budget` words together
  int64_t inserts = 0;
  for (int64_t left = budget; left > 0;) {
    const int64_t length = std::min(span_length(draws), left);
    left -= length;
    if (length > 0) lengths.push_back(length);
    else ++inserts;
  }
  std::vector<size_t> words(starts.size());
  std::iota(words.begin(), words.end(), 0);
  draws.shuffle(words);
  words.resize(lengths.size());
  // Spans may run into each other: then they are one gap, and the mask of the later one goes with its words.
  constexpr int32_t kKept = -1, kGone = -2;  // or the token that stands for a span
  const auto shown = [&](bool random) {
    return random ? 1 + int32_t(draws.below(options_.vocabulary - 1)) : options_.mask;
  };
  std::vector<int32_t> fate(ids.size(), kKept);
  for (const size_t w : words) fate[starts[w]] = shown(draws.unit() < options_.random);
  starts.push_back(ids.size());
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t end = starts[std::min(words[i] + size_t(lengths[i]), starts.size() - 1)];
    std::fill(fate.begin() + int64_t(starts[words[i]]) + 1, fate.begin() + int64_t(end), kGone);
  }
  std::vector<int32_t> result;
  for (size_t t = 0; t < ids.size(); ++t)
    if (fate[t] != kGone) result.push_back(fate[t] == kKept ? ids[t] : fate[t]);
  for (int64_t random = int64_t(std::ceil(double(inserts) * options_.random)); inserts > 0; --inserts, --random) {
    const int32_t token = shown(random > 0);
    result.insert(result.begin() + draws.below(int64_t(result.size()) + 1), token);
  }
  return result;
}

Sequence BartDenoising::view(const Sequence& example, RandomKey key) const {
  check_input(!example.ids.empty(), "example ", example.index, " is empty");
  Draws draws(key, example.index);
  Sequence s = example;
  s.labels = options_.framing.around(example.ids);
  s.ids = options_.framing.around(infilled(permuted(example.ids, draws), draws));
  return s;
}

}  // namespace cambium
