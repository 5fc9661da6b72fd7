// Objectives that hide parts of texts: published statistics over a million tokens, determinism, and what they refuse.
#include "tuning/denoising.h"

#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "tests/support/files.h"

namespace cambium::testing {
namespace {

const RandomKey kKey = random_key(7, "objective");

Sequence text_of(int64_t index, std::vector<int32_t> ids) {
  Sequence s;
  s.ids = std::move(ids);
  s.index = index;
  return s;
}

// `count` ordinary tokens from 100 on, as a function of the index.
Sequence numbered(int64_t index, int64_t count, int64_t kinds = 5000) {
  std::vector<int32_t> ids;
  const RandomKey key = random_key(1, "text", uint64_t(index));
  for (int64_t i = 0; i < count; ++i) ids.push_back(100 + int32_t(philox(key, uint32_t(i), 0, 0, 0).word[0] % kinds));
  return text_of(index, ids);
}

bool same(const Sequence& a, const Sequence& b) { return a.ids == b.ids && a.labels == b.labels; }

template <class Objective>
void expect_function_of_key_and_index(const Objective& objective) {
  const Sequence example = numbered(5, 60);
  const Sequence first = objective.view(example, kKey);
  objective.view(numbered(6, 60), kKey);
  EXPECT_TRUE(same(objective.view(example, kKey), first));
  Sequence elsewhere = example;
  elsewhere.index = 6;
  EXPECT_FALSE(same(objective.view(elsewhere, kKey), first));
  EXPECT_FALSE(same(objective.view(example, random_key(7, "objective", 1)), first));
  EXPECT_TRUE(objective.is_random());
}

TEST(Draws, AreUniformAndIndependentOfEachOther) {
  // Pearson's statistic of equally likely cells: its mean is their number less one, its variance twice that.
  const auto expect_uniform = [](const std::vector<int64_t>& count, const char* what) {
    const double cells = double(count.size()),
                 mean = double(std::accumulate(count.begin(), count.end(), int64_t(0))) / cells;
    double sum = 0;
    for (const int64_t n : count) sum += (double(n) - mean) * (double(n) - mean) / mean;
    EXPECT_NEAR(sum, cells - 1, 4.5 * std::sqrt(2 * (cells - 1))) << what;
  };
  constexpr size_t kExamples = 1000, kDraws = 100;
  std::vector<std::vector<int64_t>> drawn(kExamples);
  for (size_t i = 0; i < kExamples; ++i) {
    Draws draws(kKey, int64_t(i));
    for (size_t k = 0; k < kDraws; ++k) drawn[i].push_back(draws.below(10));
  }
  std::vector<int64_t> one(10), next(100), fourth(100), neighbour(100);
  for (size_t i = 0; i < kExamples; ++i)
    for (size_t k = 0; k < kDraws; ++k) {
      const size_t v = size_t(drawn[i][k]) * 10;
      ++one[v / 10];
      if (k + 1 < kDraws) ++next[v + size_t(drawn[i][k + 1])];
      if (k + 4 < kDraws) ++fourth[v + size_t(drawn[i][k + 4])];  // of the next four words
      if (i + 1 < kExamples) ++neighbour[v + size_t(drawn[i + 1][k])];
    }
  expect_uniform(one, "a draw"), expect_uniform(next, "a draw and the next");
  expect_uniform(fourth, "a draw and the fourth from it"), expect_uniform(neighbour, "draws of neighbouring examples");
  Draws draws(kKey, 0);
  std::map<std::vector<int>, int> orders;
  for (int i = 0; i < 6000; ++i) {
    std::vector<int> list{1, 2, 3};
    draws.shuffle(list);
    ++orders[list];
  }
  EXPECT_EQ(orders.size(), 6u);
  std::vector<int64_t> counts;
  for (const auto& [_, n] : orders) counts.push_back(n);
  expect_uniform(counts, "orders of three");
}

// Masked LM ----------------------------------------------------------------------------------------

MaskedLm::Options masked() { return {.mask = 4, .vocabulary = 6000, .framing = {{2}, {3}}}; }

TEST(MaskedLm, ChoosesFifteenPercentAndShowsThemAsPublished) {
  const MaskedLm objective(masked());
  int64_t tokens = 0, chosen = 0, shown_masked = 0, changed = 0, kept = 0;
  for (int64_t i = 0; i < 2500; ++i) {
    const Sequence example = numbered(i, 400);
    const Sequence s = objective.view(example, kKey);
    ASSERT_EQ(s.ids.size(), 402u);
    ASSERT_EQ(s.labels.size(), 402u);
    EXPECT_EQ(s.ids.front(), 2);
    EXPECT_EQ(s.labels.front(), kNotScored);
    EXPECT_EQ(s.ids.back(), 3);
    for (size_t t = 0; t < example.ids.size(); ++t) {
      ++tokens;
      const int32_t label = s.labels[t + 1], shown = s.ids[t + 1], own = example.ids[t];
      if (label == kNotScored) {
        ASSERT_EQ(shown, own);
        continue;
      }
      ASSERT_EQ(label, own);
      ++chosen;
      if (shown == 4) ++shown_masked;
      else if (shown == own) ++kept;
      else ++changed;
    }
  }
  ASSERT_EQ(tokens, 1'000'000);
  EXPECT_EQ(chosen, 150'000);  // round(0.15 * 400) of each
  EXPECT_NEAR(double(shown_masked) / double(chosen), 0.8, 0.005);
  EXPECT_NEAR(double(changed) / double(chosen), 0.1, 0.003);
  EXPECT_NEAR(double(kept) / double(chosen), 0.1, 0.003);
}

TEST(MaskedLm, HidesWholeWords) {
  MaskedLm::Options o = masked();
  o.whole_words = true;
  o.masked = 1, o.random = 0;
  o.starts.resize(6000);
  for (size_t id = 0; id < 6000; ++id) o.starts[id] = id % 3 != 0;  // every third goes on with the word before
  const MaskedLm objective(o);
  int64_t chosen = 0, tokens = 0;
  for (int64_t i = 0; i < 500; ++i) {
    const Sequence example = numbered(i, 200);
    const Sequence s = objective.view(example, kKey);
    for (size_t t = 0; t < 200; ++t) {
      chosen += s.labels[t + 1] != kNotScored, ++tokens;
      if (t > 0 && !o.starts[size_t(example.ids[t])]) {
        ASSERT_EQ(s.labels[t + 1] == kNotScored, s.labels[t] == kNotScored) << i << " " << t;
      }
    }
  }
  // round(0.15 * 202) = 30 of 200; a word of two or more that no longer fits may leave a place open.
  EXPECT_LE(double(chosen) / double(tokens), 0.15);
  EXPECT_GE(double(chosen) / double(tokens), 0.149);
}

TEST(MaskedLm, CountsAllTokensAndChoosesNoWordBeyondTheNumber) {
  MaskedLm::Options o = masked();  // [CLS] and [SEP] around
  const auto chosen = [](const Sequence& s) {
    return s.labels.size() - size_t(std::count(s.labels.begin(), s.labels.end(), kNotScored));
  };
  EXPECT_EQ(chosen(MaskedLm(o).view(numbered(0, 8), kKey)), 2u);  // round(0.15 * 10)
  o.never = {200};
  EXPECT_EQ(chosen(MaskedLm(o).view(text_of(0, {200, 200, 200, 200, 200, 200, 200, 300}), kKey)), 1u);
  // Two words of three tokens and one of two, a budget of two: it is always the one of two.
  o.whole_words = true, o.never = {};
  o.starts.assign(6000, false);
  for (const size_t start : {1000, 2000, 3000}) o.starts[start] = true;
  for (int64_t i = 0; i < 30; ++i) {
    const Sequence s = MaskedLm(o).view(text_of(i, {1000, 1, 1, 3000, 1, 2000, 1, 1}), kKey);  // round(0.15 * 10) = 2
    EXPECT_EQ(chosen(s), 2u);
    EXPECT_EQ(s.labels[4], 3000);
  }
  // Where none fits it is the shortest.
  const Sequence s = MaskedLm(o).view(text_of(3, {1000, 1, 1, 1, 2000, 1, 1}), kKey);  // round(0.15 * 9) = 1
  EXPECT_EQ(chosen(s), 3u);
  EXPECT_EQ(s.labels[5], 2000);
}

TEST(MaskedLm, TakesOneTokenOfAShortTextAndNoSpecialOne) {
  MaskedLm::Options o = masked();
  o.never = {2, 3, 150};
  const MaskedLm objective(o);
  const Sequence one = objective.view(text_of(0, {200}), kKey);
  EXPECT_EQ(one.labels, (std::vector<int32_t>{kNotScored, 200, kNotScored}));
  for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(objective.view(text_of(i, {150, 200, 150}), kKey).labels[2], 200);
  expect_error<InputError>([&] { objective.view(text_of(8, {150, 3}), kKey); }, {"example 8", "no token"});
  expect_error<InputError>([&] { objective.view(text_of(9, {}), kKey); }, {"example 9"});
}

TEST(MaskedLm, IsAFunctionOfKeyAndIndex) { expect_function_of_key_and_index(MaskedLm(masked())); }

TEST(MaskedLm, RefusesSettingsThatCannotBe) {
  const auto refused = [](auto change, std::string_view part) {
    MaskedLm::Options o = masked();
    change(o);
    expect_error<InputError>([&] { MaskedLm objective(o); }, {"masked lm", part});
  };
  refused([](auto& o) { o.rate = 0; }, "rate");
  refused([](auto& o) { o.random = 0.3; }, "add up");
  refused([](auto& o) { o.mask = 6000; }, "outside the vocabulary");
  refused([](auto& o) { o.whole_words = true; }, "begin a word");
}

// Span corruption ----------------------------------------------------------------------------------

TEST(SpanNoise, HasThePublishedDensityAndLength) {
  int64_t tokens = 0, noise = 0, spans = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    Draws draws(kKey, i);
    const std::vector<bool> mask = span_noise(512, 0.15, 3, draws);
    ASSERT_EQ(mask.size(), 512u);
    EXPECT_FALSE(mask.front());  // spans of other tokens come first
    EXPECT_TRUE(mask.back());
    for (size_t t = 0; t < mask.size(); ++t) {
      ++tokens;
      noise += mask[t];
      spans += mask[t] && (t == 0 || !mask[t - 1]);
    }
  }
  ASSERT_GT(tokens, 1'000'000);
  EXPECT_EQ(noise, 2000 * 77);  // round(512 * 0.15)
  EXPECT_EQ(spans, 2000 * 26);  // round(77 / 3)
  EXPECT_NEAR(double(noise) / double(spans), 3, 0.05);
}

TEST(SpanNoise, CutsIntoAllPartsAlike) {
  // 20 tokens: 3 of noise in 1 span if the length is 3; with length 1.5 there are 2 spans: noise 1 + 2 or 2 + 1.
  std::map<int, int> first;
  for (int64_t i = 0; i < 4000; ++i) {
    Draws draws(kKey, i);
    const std::vector<bool> mask = span_noise(20, 0.15, 1.5, draws);
    size_t begin = 0;
    while (!mask[begin]) ++begin;
    int length = 0;
    while (begin + size_t(length) < 20 && mask[begin + size_t(length)]) ++length;
    ++first[length];
  }
  EXPECT_EQ(first.size(), 2u);
  EXPECT_NEAR(first[1], 2000, 200);
  EXPECT_NEAR(first[2], 2000, 200);
}

TEST(SpanNoise, KeepsTheOnlyToken) {
  Draws draws(kKey, 0);
  EXPECT_TRUE(span_noise(0, 0.15, 3, draws).empty());
  EXPECT_EQ(span_noise(1, 0.15, 3, draws), (std::vector<bool>{false}));
  EXPECT_EQ(span_noise(2, 0.15, 3, draws), (std::vector<bool>{false, true}));
}

// What the model must be able to put together again.
std::vector<int32_t> restored(const Sequence& s, int32_t first, int64_t count, int32_t end) {
  const auto is_sentinel = [&](int32_t id) { return id <= first && id > first - count; };
  std::map<int32_t, std::vector<int32_t>> hidden;
  int32_t open = -1;
  for (const int32_t id : s.labels) {
    if (id == end) break;
    if (is_sentinel(id)) open = id;
    else hidden[open].push_back(id);
  }
  std::vector<int32_t> text;
  for (const int32_t id : s.ids) {
    if (id == end) break;
    if (is_sentinel(id)) text.insert(text.end(), hidden[id].begin(), hidden[id].end());
    else text.push_back(id);
  }
  return text;
}

TEST(SpanCorruption, HidesSpansBehindSentinelsThatCountDown) {
  const SpanCorruption objective({.framing = {{}, {1}}});
  for (int64_t i = 0; i < 200; ++i) {
    const Sequence example = numbered(i, 2 + i);
    const Sequence s = objective.view(example, kKey);
    EXPECT_EQ(s.ids.back(), 1);
    EXPECT_EQ(s.labels.back(), 1);
    EXPECT_EQ(s.labels.front(), 32099);
    EXPECT_EQ(restored(s, 32099, 100, 1), example.ids);
    int32_t next = 32099;
    for (const int32_t id : s.ids) {
      if (id <= 31999) continue;
      EXPECT_EQ(id, next--);
    }
  }
}

TEST(SpanCorruption, InputsHaveTheWantedLength) {
  const int64_t text = span_corruption_text(512, 0.15, 3, 1);
  EXPECT_EQ(text, 568);  // as T5's own function finds for inputs of 512
  const SpanCorruption objective({.framing = {{}, {1}}});
  EXPECT_EQ(objective.view(numbered(0, text), kKey).ids.size(), 512u);
  EXPECT_EQ(objective.view(numbered(0, text), kKey).labels.size(), 114u);
  EXPECT_THROW(span_corruption_text(2, 0.15, 3, 1), InputError);
}

TEST(SpanCorruption, RefusesSentinelsInTheTextAndTooManySpans) {
  const SpanCorruption objective({.framing = {{}, {1}}});
  expect_error<InputError>(
      [&] {
        objective.view(text_of(3, {5, 32050, 6}), kKey);
      },
      {"example 3", "token 1", "32050", "sentinel"});
  expect_error<InputError>([&] { objective.view(text_of(4, {}), kKey); }, {"example 4", "empty"});
  expect_error<InputError>([&] { objective.view(numbered(5, 3000), kKey); }, {"example 5", "100 sentinels"});
  EXPECT_EQ(objective.view(text_of(0, {5}), kKey).ids, (std::vector<int32_t>{5, 1}));
  EXPECT_EQ(objective.view(text_of(0, {5}), kKey).labels, (std::vector<int32_t>{32099, 1}));
  EXPECT_NO_THROW(objective.view(text_of(0, {32100, 31999}), kKey));  // just outside
  for (const auto& o : {SpanCorruption::Options{.density = 0},
                        {.density = 1},
                        {.mean_length = 0.5},
                        {.first_sentinel = 10, .sentinels = 100}})
    EXPECT_THROW(SpanCorruption{o}, InputError);
}

TEST(SpanCorruption, IsAFunctionOfKeyAndIndex) {
  expect_function_of_key_and_index(SpanCorruption({.framing = {{}, {1}}}));
}

// Prefix LM ----------------------------------------------------------------------------------------

TEST(PrefixLm, CutsAnywhereInsideTheText) {
  const PrefixLm seq2seq(true, {{}, {1}}), decoder(false, {});
  std::map<size_t, int> cuts;
  for (int64_t i = 0; i < 5000; ++i) {
    const Sequence example = numbered(i, 6);
    const Sequence s = seq2seq.view(example, kKey);
    std::vector<int32_t> whole(s.ids.begin(), s.ids.end() - 1);
    ++cuts[whole.size()];
    whole.insert(whole.end(), s.labels.begin(), s.labels.end() - 1);
    ASSERT_EQ(whole, example.ids);
    const Sequence d = decoder.view(example, kKey);
    ASSERT_EQ(d.ids, example.ids);
    for (size_t t = 0; t < 6; ++t) ASSERT_EQ(d.labels[t], t + 2 <= s.ids.size() ? kNotScored : example.ids[t]);
  }
  EXPECT_EQ(cuts.size(), 5u);
  for (size_t c = 1; c <= 5; ++c) EXPECT_NEAR(cuts[c], 1000, 150);
  EXPECT_THROW(seq2seq.view(text_of(0, {5}), kKey), InputError);
  expect_function_of_key_and_index(seq2seq);
}

// BART's denoising ---------------------------------------------------------------------------------

BartDenoising::Options bart() {
  BartDenoising::Options o{.random = 0, .mask = 4, .vocabulary = 6000, .sentence_ends = {50}, .framing = {{0}, {2}}};
  o.starts.resize(6000);
  for (size_t id = 0; id < 6000; ++id) o.starts[id] = id % 2 == 0 || id < 100;
  return o;
}

// What fairseq's infilling does to `words` words, by itself and with other random numbers: words that are gone, and
// spans that show a token (empty ones too).
std::pair<int64_t, int64_t> infilled_by_definition(int64_t words, double rate, double mean, std::mt19937_64& random) {
  std::poisson_distribution<int64_t> poisson(mean);
  std::vector<int64_t> lengths;
  int64_t left = int64_t(std::ceil(rate * double(words))), empty = 0;
  while (left > 0) {
    const int64_t length = std::min(left, poisson(random));
    left -= length;
    if (length) lengths.push_back(length);
    else ++empty;
  }
  std::vector<int64_t> starts(static_cast<size_t>(words));
  std::iota(starts.begin(), starts.end(), 0);
  std::shuffle(starts.begin(), starts.end(), random);
  std::vector<bool> gone(static_cast<size_t>(words)), swallowed(static_cast<size_t>(words));
  for (size_t i = 0; i < lengths.size(); ++i)
    for (int64_t w = starts[i]; w < std::min(words, starts[i] + lengths[i]); ++w) {
      gone[size_t(w)] = true;
      if (w > starts[i]) swallowed[size_t(w)] = true;
    }
  int64_t shown = empty;
  for (size_t i = 0; i < lengths.size(); ++i) shown += !swallowed[size_t(starts[i])];
  return {std::count(gone.begin(), gone.end(), true), shown};
}

TEST(BartDenoising, InfillsAsItsDefinition) {
  BartDenoising::Options o = bart();
  o.starts.assign(6000, true);
  const BartDenoising objective(o);
  constexpr int64_t kTexts = 2000, kWords = 500;
  // Sums over the texts, and over their squares.
  struct Sums {
    double sum = 0, squares = 0;
    void add(int64_t x) { sum += double(x), squares += double(x) * double(x); }
    double mean() const { return sum / kTexts; }
    double error() const { return std::sqrt((squares / kTexts - mean() * mean()) / kTexts); }
  } gone, shown, gone_there, shown_there;
  std::mt19937_64 random(5);
  for (int64_t i = 0; i < kTexts; ++i) {
    Draws draws(kKey, i);
    const std::vector<int32_t> ids = objective.infilled(numbered(i, kWords).ids, draws);
    const int64_t masks = std::count(ids.begin(), ids.end(), 4);
    gone.add(kWords - (int64_t(ids.size()) - masks)), shown.add(masks);
    const auto [words, spans] = infilled_by_definition(kWords, 0.3, 3, random);
    gone_there.add(words), shown_there.add(spans);
  }
  EXPECT_NEAR(gone.mean(), gone_there.mean(), 4 * std::hypot(gone.error(), gone_there.error()));
  EXPECT_NEAR(shown.mean(), shown_there.mean(), 4 * std::hypot(shown.error(), shown_there.error()));
  EXPECT_NEAR(gone.error(), gone_there.error(), 0.15 * gone.error());  // spread, not only means
}

TEST(BartDenoising, ShowsATenthOfTheSpansAsRandomTokens) {
  BartDenoising::Options o = bart();
  o.random = 0.1;
  o.starts.assign(6000, true);
  const BartDenoising some(o);
  o.random = 0;
  int64_t masks = 0, all = 0, lowest = 6000;
  std::set<int32_t> kinds;
  for (int64_t i = 0; i < 2000; ++i) {
    const std::vector<int32_t> ids(500, 300);
    Draws draws(kKey, i);
    for (const int32_t id : some.infilled(ids, draws)) {
      if (id == 300) continue;
      ++all, masks += id == 4;
      if (id != 4) kinds.insert(id), lowest = std::min<int64_t>(lowest, id);
    }
  }
  // Of about 47 spans that show something 2.5 are empty, of which one in ten, rounded up, is random: 0.1 * 45 + 1.
  EXPECT_NEAR(1 - double(masks) / double(all), 0.11, 0.006);
  EXPECT_GT(kinds.size(), 4500u);
  EXPECT_EQ(lowest, 1);  // never the first id
  o.random = 0.1, o.vocabulary = 0;
  expect_error<InputError>([&] { BartDenoising{o}; }, {"random tokens", "vocabulary of 0"});
}

TEST(BartDenoising, MovesWholeSentences) {
  BartDenoising::Options o = bart();
  o.rate = 0;
  const BartDenoising objective(o);
  const std::vector<int32_t> ids{100, 101, 50, 110, 50, 50, 120, 121, 122};
  std::set<std::vector<int32_t>> orders;
  for (int64_t i = 0; i < 200; ++i) {
    Draws draws(kKey, i);
    orders.insert(objective.permuted(ids, draws));
  }
  EXPECT_EQ(orders.size(), 6u);  // of three sentences; the second of two full stops begins the third, as in fairseq
  EXPECT_TRUE(orders.count(ids));
  EXPECT_TRUE(orders.count({50, 120, 121, 122, 110, 50, 100, 101, 50}));
  const Sequence s = objective.view(text_of(0, ids), kKey);
  EXPECT_EQ(s.labels, (std::vector<int32_t>{0, 100, 101, 50, 110, 50, 50, 120, 121, 122, 2}));
  EXPECT_EQ(s.ids.size(), s.labels.size());
}

TEST(BartDenoising, WorksOnASingleTokenAndRefusesNone) {
  const BartDenoising objective(bart());
  for (int64_t i = 0; i < 20; ++i)
    EXPECT_EQ(objective.view(text_of(i, {300}), kKey).labels, (std::vector<int32_t>{0, 300, 2}));
  expect_error<InputError>([&] { objective.view(text_of(3, {}), kKey); }, {"example 3", "empty"});
  expect_function_of_key_and_index(objective);
}

}  // namespace
}  // namespace cambium::testing
