// METEOR's aligner (candidates by stage, then a beam search along the reference) and its score.
#include "experiments/lib/metrics/meteor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "core/error.h"

namespace cambium::metrics {
namespace {

constexpr size_t kBeam = 40;
constexpr size_t kMaxCandidates = 1'000'000;  // a few seconds; real sentences have hundreds

// All matches by where they start in the reference, and how many of them touch each word.
struct Candidates {
  std::vector<std::vector<MeteorMatch>> at;
  std::vector<int> touching_reference, touching_output;
  size_t count = 0;

  Candidates(size_t reference, size_t output) : at(reference), touching_reference(reference), touching_output(output) {}

  void add(const MeteorMatch& match) {
    check_input(++count <= kMaxCandidates, "METEOR: a text of ", touching_output.size(),
                " words repeats so many of the ", touching_reference.size(),
                " words of its reference that it cannot be aligned");
    at[size_t(match.start)].push_back(match);
    for (int i = 0; i < match.length; ++i) ++touching_reference[size_t(match.start + i)];
    for (int i = 0; i < match.output_length; ++i) ++touching_output[size_t(match.output_start + i)];
  }
};

// Matches of single words for which `same(output word, reference word)`.
template <class Same>
void match_words(const Tokens& output, const Tokens& reference, MeteorMatch::Stage stage, Same&& same,
                 Candidates& candidates) {
  for (size_t i = 0; i < reference.size(); ++i)
    for (size_t j = 0; j < output.size(); ++j)
      if (same(output[j], reference[i])) candidates.add({int(i), 1, int(j), 1, stage});
}

// Calls f(position in `text`, its length, position in `other`, its length) for each phrase of `text` that has a
// paraphrase in `other`.
template <class F>
void for_each_paraphrase(const MeteorLexicon& lexicon, const Tokens& text, const Tokens& other, F&& f) {
  std::vector<MeteorLexicon::Phrase> phrases;
  for (size_t i = 0; i < text.size(); ++i) {
    lexicon.phrases_at(text, i, phrases);
    for (const auto& [length, paraphrase] : phrases)
      for (auto place = other.begin();
           (place = std::search(place, other.end(), paraphrase->begin(), paraphrase->end())) != other.end(); ++place)
        f(int(i), int(length), int(place - other.begin()), int(paraphrase->size()));
  }
}

Candidates find_candidates(const MeteorLexicon& lexicon, const Tokens& output, const Tokens& reference) {
  Candidates candidates(reference.size(), output.size());
  match_words(
      output, reference, MeteorMatch::exact, [](int a, int b) { return a == b; }, candidates);
  if (output == reference) return candidates;
  match_words(
      output, reference, MeteorMatch::stem, [&](int a, int b) { return a != b && lexicon.stem(a) == lexicon.stem(b); },
      candidates);
  match_words(
      output, reference, MeteorMatch::synonym, [&](int a, int b) { return a != b && lexicon.are_synonyms(a, b); },
      candidates);
  for_each_paraphrase(lexicon, reference, output, [&](int start, int length, int output_start, int output_length) {
    candidates.add({start, length, output_start, output_length, MeteorMatch::paraphrase});
  });
  for_each_paraphrase(lexicon, output, reference, [&](int output_start, int output_length, int start, int length) {
    candidates.add({start, length, output_start, output_length, MeteorMatch::paraphrase});
  });
  return candidates;
}

// The words that are taken: those of the reference, then those of the output.
class Taken {
 public:
  Taken(size_t reference, size_t output) : reference_(int(reference)), bits_((reference + output + 63) / 64) {}
  bool reference_word(int i) const { return test(i); }
  bool any(const MeteorMatch& match) const {
    for (int i = 0; i < match.length; ++i)
      if (test(match.start + i)) return true;
    for (int i = 0; i < match.output_length; ++i)
      if (test(reference_ + match.output_start + i)) return true;
    return false;
  }
  void add(const MeteorMatch& match) {
    for (int i = 0; i < match.length; ++i) set(match.start + i);
    for (int i = 0; i < match.output_length; ++i) set(reference_ + match.output_start + i);
  }

 private:
  bool test(int i) const { return bits_[size_t(i) / 64] >> (i % 64) & 1; }
  void set(int i) { bits_[size_t(i) / 64] |= uint64_t(1) << (i % 64); }

  int reference_;
  std::vector<uint64_t> bits_;
};

// An alignment of the reference up to some word. Its matches form a list shared with the paths it came from.
struct Path {
  Taken taken;
  int matched_output = 0, matched_reference = 0;  // weighted, without fractions
  int chunks = 0, distance = 0;
  int next = 0;         // the first word of the reference that is not decided
  int output_end = -1;  // where the last match ended in the output, -1 after a gap
  int last = -1;        // node of the last match

  // The smaller the better.
  std::array<int, 3> cost() const { return {-(matched_output + matched_reference), chunks, distance}; }
};

// The best paths, at most as many as the beam is wide, in order; of equals the earlier first.
void prune(std::vector<Path>& paths) {
  std::vector<std::pair<std::array<int, 3>, size_t>> order;
  for (size_t i = 0; i < paths.size(); ++i) order.emplace_back(paths[i].cost(), i);
  std::sort(order.begin(), order.end());
  const size_t kept = std::min(kBeam, order.size());
  std::vector<Path> best;
  best.reserve(kept);
  for (size_t i = 0; i < kept; ++i) best.push_back(std::move(paths[order[i].second]));
  paths = std::move(best);
}

class Search {
 public:
  explicit Search(const Candidates& candidates) : candidates_(candidates), fixed_(candidates.at.size(), nullptr) {}

  std::vector<MeteorMatch> run() {
    const int words = int(candidates_.at.size());
    std::vector<Path> paths{start()}, longer;
    for (int i = 0; i < words; ++i) {
      prune(paths);
      longer.clear();
      for (Path& path : paths) extend(std::move(path), i, longer);
      std::swap(paths, longer);
    }
    prune(paths);
    for (Path& path : paths) path.chunks += path.output_end != -1;
    prune(paths);
    std::vector<MeteorMatch> matches;
    for (int node = paths.front().last; node >= 0; node = nodes_[size_t(node)].before)
      matches.push_back(*nodes_[size_t(node)].match);
    std::reverse(matches.begin(), matches.end());
    return matches;
  }

 private:
  // Matches without rivals are fixed from the beginning.
  Path start() {
    Path path{Taken(candidates_.at.size(), candidates_.touching_output.size())};
    const auto alone = [](const std::vector<int>& touching, int start, int length) {
      return std::all_of(touching.begin() + start, touching.begin() + start + length, [](int n) { return n == 1; });
    };
    for (size_t i = 0; i < candidates_.at.size(); ++i) {
      if (candidates_.at[i].size() != 1) continue;
      const MeteorMatch& match = candidates_.at[i].front();
      if (!alone(candidates_.touching_reference, match.start, match.length) ||
          !alone(candidates_.touching_output, match.output_start, match.output_length))
        continue;
      fixed_[i] = &match;
      path.taken.add(match);
    }
    return path;
  }

  // Adds to `longer` what becomes of `path` at word i of the reference.
  void extend(Path path, int i, std::vector<Path>& longer) {
    if (path.taken.reference_word(i)) {
      if (const MeteorMatch* match = fixed_[size_t(i)]; match && i >= path.next) take(path, *match, path.distance);
      longer.push_back(std::move(path));
      return;
    }
    for (const MeteorMatch& match : candidates_.at[size_t(i)]) {
      if (path.taken.any(match)) continue;
      Path& next = longer.emplace_back(path);
      next.taken.add(match);
      // The original adds the distance to the path it copied from, so that it counts against its later siblings
      // and not against itself; scores depend on that.
      take(next, match, path.distance);
    }
    path.chunks += path.output_end != -1;
    path.output_end = -1;
    ++path.next;
    longer.push_back(std::move(path));
  }

  void take(Path& path, const MeteorMatch& match, int& distance) {
    const double weight = match.stage == MeteorMatch::exact ? 1 : 0.5;
    path.matched_output = int(path.matched_output + match.output_length * weight);
    path.matched_reference = int(path.matched_reference + match.length * weight);
    path.chunks += path.output_end != -1 && match.output_start != path.output_end;
    path.next = match.start + match.length;
    path.output_end = match.output_start + match.output_length;
    distance += std::abs(match.start - match.output_start);
    nodes_.push_back({&match, path.last});
    path.last = int(nodes_.size()) - 1;
  }

  struct Node {
    const MeteorMatch* match;
    int before;
  };
  const Candidates& candidates_;
  std::vector<const MeteorMatch*> fixed_;  // by the word of the reference where it starts
  std::vector<Node> nodes_;
};

// Runs of matches that are adjacent and in order in both texts.
int count_chunks(const std::vector<MeteorMatch>& matches) {
  int chunks = 0, end = -1, output_end = -1;
  for (const MeteorMatch& match : matches) {
    chunks += match.start != end || match.output_start != output_end;
    end = match.start + match.length;
    output_end = match.output_start + match.output_length;
  }
  return chunks;
}

std::array<double, kMeteorWidth> statistics(const MeteorLexicon& lexicon, const Tokens& output,
                                            const Tokens& reference) {
  const auto function_words = [&](const Tokens& text) {
    return double(std::count_if(text.begin(), text.end(), [&](int w) { return lexicon.is_function_word(w); }));
  };
  std::array<double, kMeteorWidth> row{double(output.size()), double(reference.size()), function_words(output),
                                       function_words(reference)};
  const std::vector<MeteorMatch> matches = meteor_align(lexicon, output, reference);
  double matched = 0;
  const auto count = [&](const Tokens& text, int start, int length, size_t place) {
    for (int i = start; i < start + length; ++i) ++row[place + (lexicon.is_function_word(text[size_t(i)]) ? 8 : 0)];
    matched += length;
  };
  for (const MeteorMatch& match : matches) {
    count(output, match.output_start, match.output_length, 4 + size_t(match.stage));
    count(reference, match.start, match.length, 8 + size_t(match.stage));
  }
  const int chunks = count_chunks(matches);
  const bool whole = chunks == 1 && matched == double(output.size() + reference.size());
  row.back() = whole ? 0 : chunks;
  return row;
}

}  // namespace

std::vector<MeteorMatch> meteor_align(const MeteorLexicon& lexicon, const Tokens& output, const Tokens& reference) {
  const Candidates candidates = find_candidates(lexicon, output, reference);
  return Search(candidates).run();
}

double meteor_score(std::span<const double> sums) {
  constexpr double kAlpha = 0.85, kBeta = 0.2, kGamma = 0.6, kDelta = 0.75;
  constexpr double kWeights[] = {1, 0.6, 0.8, 0.6};
  double words = 0;  // matched, in both texts
  const auto weighted = [&](size_t place) {
    double sum = 0;
    for (size_t stage = 0; stage < 4; ++stage) {
      const double content = sums[place + stage], function = sums[place + 8 + stage];
      sum += kWeights[stage] * (kDelta * content + (1 - kDelta) * function);
      words += content + function;
    }
    return sum;
  };
  const auto length = [&](size_t text) {
    return kDelta * (sums[text] - sums[text + 2]) + (1 - kDelta) * sums[text + 2];
  };
  const double matched_output = weighted(4), matched_reference = weighted(8);
  if (words == 0) return 0;
  const double precision = matched_output / length(0), recall = matched_reference / length(1);
  const double f = 1 / ((1 - kAlpha) / precision + kAlpha / recall);
  return f * (1 - kGamma * std::pow(sums[kMeteorWidth - 1] / (words / 2), kBeta));
}

void append_meteor_row(const MeteorLexicon& lexicon, const std::vector<Tokens>& references, const Tokens& output,
                       std::vector<double>& row) {
  std::array<double, kMeteorWidth> best{};
  double best_score = -1;
  for (const Tokens& reference : references) {
    const auto candidate = statistics(lexicon, output, reference);
    if (const double score = meteor_score(candidate); score > best_score) {
      best_score = score;
      best = candidate;
    }
  }
  row.insert(row.end(), best.begin(), best.end());
}

}  // namespace cambium::metrics
