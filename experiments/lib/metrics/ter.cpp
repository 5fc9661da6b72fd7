// Edit distance in a band around the diagonal, and the greedy search for shifts.
#include "experiments/lib/metrics/ter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <tuple>

#include "core/error.h"
#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

// Tercom's limits, and sacrebleu's on the shifts that it tries in one text.
constexpr int kMaxShiftSize = 10, kMaxShiftDistance = 50, kBeam = 25, kMaxCandidates = 1000;

enum Edit : char { none, keep, substitute, remove, insert };  // of the output's words

struct Cell {
  int cost = 1 << 29;
  Edit edit = none;
};

// A row of the table of distances: the cells of a band, infinity elsewhere.
struct Row {
  int first = 0;
  std::vector<Cell> cells;
  Cell at(int j) const { return j >= first && j < first + int(cells.size()) ? cells[size_t(j - first)] : Cell{}; }
};

// Distances of beginnings of the output to beginnings of the reference. Texts that start alike share their rows.
class EditTable {
 public:
  explicit EditTable(const Tokens& reference) : reference_(reference) {
    Row& start = rows_.emplace_back();
    for (int j = 0; j <= size(); ++j) start.cells.push_back({j, insert});
  }

  // The distance. All texts given to one table have the same length.
  int distance(const Tokens& output) {
    size_t same = 0;
    while (same < output_.size() && same < output.size() && output_[same] == output[same]) ++same;
    output_ = output;
    rows_.resize(std::min(rows_.size(), same + 1));
    while (rows_.size() <= output_.size()) add_row();
    return rows_.back().at(size()).cost;
  }

  // The edits that make the last output into the reference, in order.
  std::vector<Edit> edits() const {
    std::vector<Edit> path;
    for (int i = int(output_.size()), j = size(); i > 0 || j > 0;) {
      const Edit edit = rows_[size_t(i)].at(j).edit;
      CHECK(edit != none, "TER: the band misses the path at word ", i);
      path.push_back(edit);
      i -= edit != insert;
      j -= edit != remove;
    }
    std::reverse(path.begin(), path.end());
    return path;
  }

 private:
  int size() const { return int(reference_.size()); }

  void add_row() {
    const int i = int(rows_.size()), length = int(output_.size());
    const double ratio = double(size()) / length;
    const int beam = kBeam < ratio / 2 ? int(std::ceil(ratio / 2 + kBeam)) : kBeam;
    const int diagonal = int(std::floor(i * ratio));
    const int begin = std::max(0, diagonal - beam);
    const int end = i == length ? size() + 1 : std::min(size() + 1, diagonal + beam);
    Row row{begin, {}};
    row.cells.reserve(size_t(std::max(0, end - begin)));
    const Row& above = rows_.back();
    for (int j = begin; j < end; ++j) {
      Cell best;
      const auto offer = [&](int cost, Edit edit) {
        if (cost < best.cost) best = {cost, edit};
      };
      if (j > 0) {
        const bool same = output_[size_t(i - 1)] == reference_[size_t(j - 1)];
        offer(above.at(j - 1).cost + !same, same ? keep : substitute);
      }
      offer(above.at(j).cost + 1, remove);
      if (j > begin) offer(row.cells.back().cost + 1, insert);
      row.cells.push_back(best);
    }
    rows_.push_back(std::move(row));
  }

  const Tokens& reference_;
  Tokens output_;
  std::vector<Row> rows_;  // of the longest beginning that is computed
};

// Where each word of the reference is in the output, and which words of both are edited.
struct Alignment {
  std::vector<int> place;  // by word of the reference; the word before it if it is missing
  std::vector<bool> reference_wrong, output_wrong;
};

Alignment align(const std::vector<Edit>& edits) {
  Alignment alignment;
  int output = -1;
  for (const Edit edit : edits) {
    if (edit != insert) {
      ++output;
      alignment.output_wrong.push_back(edit != keep);
    }
    if (edit != remove) {
      alignment.place.push_back(output);
      alignment.reference_wrong.push_back(edit != keep);
    }
  }
  return alignment;
}

// The words with [start, start + length) moved to `target`, a position in the old text.
Tokens shifted(const Tokens& words, int start, int length, int target) {
  Tokens moved = words;
  const auto at = [&](int i) { return moved.begin() + i; };
  if (target < start) std::rotate(at(target), at(start), at(start + length));
  else if (target > start + length) std::rotate(at(start), at(start + length), at(target));
  else std::rotate(at(start), at(start + length), at(std::min(length + target, int(words.size()))));
  return moved;
}

class ShiftSearch {
 public:
  ShiftSearch(const Tokens& output, const Tokens& reference)
      : output_(output), reference_(reference), base_(reference), trial_(reference) {}

  int edits() {
    int shifts = 0;
    for (;;) {
      const std::optional<Shift> best = best_shift();
      if (tried_ >= kMaxCandidates || !best || best->gain <= 0) break;
      ++shifts;
      output_ = shifted(output_, best->start, best->length, best->target);
    }
    return shifts + base_.distance(output_);
  }

 private:
  struct Shift {
    int gain, length, start, target;
    // Tercom's preference: the gain, the longest, the first, the nearest to the start.
    bool operator<(const Shift& other) const {
      return std::tuple(gain, length, -start, -target) <
             std::tuple(other.gain, other.length, -other.start, -other.target);
    }
  };

  std::optional<Shift> best_shift() {
    before_ = base_.distance(output_);
    alignment_ = align(base_.edits());
    std::optional<Shift> best;
    const int n_output = int(output_.size()), n_reference = int(reference_.size());
    for (int start = 0; start < n_output; ++start) {
      const int from = std::max(0, start - kMaxShiftDistance);
      for (int r = from; r < std::min(n_reference, start + kMaxShiftDistance + 1); ++r)
        for (int length = 1; length <= kMaxShiftSize && start + length <= n_output && r + length <= n_reference &&
                             output_[size_t(start + length - 1)] == reference_[size_t(r + length - 1)];
             ++length)
          if (try_targets(start, r, length, best) && tried_ >= kMaxCandidates) return best;
    }
    return best;
  }

  // Tries to move [start, start + length) to each place that the reference's words at r suggest; false if such a
  // shift cannot help.
  bool try_targets(int start, int r, int length, std::optional<Shift>& best) {
    const auto any = [&](const std::vector<bool>& wrong, int first) {
      return std::any_of(wrong.begin() + first, wrong.begin() + first + length, [](bool w) { return w; });
    };
    if (!any(alignment_.output_wrong, start) || !any(alignment_.reference_wrong, r)) return false;
    const int here = alignment_.place[size_t(r)];
    if (start <= here && here < start + length) return false;
    int previous = -1;
    for (int offset = -1; offset < length; ++offset) {
      const int target = r + offset < 0 ? 0 : alignment_.place[size_t(r + offset)] + 1;
      if (target == previous) continue;
      previous = target;
      const Shift shift{before_ - trial_.distance(shifted(output_, start, length, target)), length, start, target};
      ++tried_;
      if (!best || *best < shift) best = shift;
    }
    return true;
  }

  Tokens output_;
  const Tokens& reference_;
  EditTable base_, trial_;
  Alignment alignment_;
  int before_ = 0, tried_ = 0;
};

}  // namespace

int ter_edits(const Tokens& output, const Tokens& reference) {
  if (reference.empty() || output.empty()) return int(std::max(output.size(), reference.size()));
  constexpr size_t kMaxWords = 20'000;  // some seconds
  check_input(std::max(output.size(), reference.size()) <= kMaxWords, "TER: texts of ", output.size(), " and ",
              reference.size(), " words; at most ", kMaxWords, " are compared");
  return ShiftSearch(output, reference).edits();
}

StatisticsTable ter_table(const References& references, const Outputs& outputs) {
  StatisticsTable table{.width = 2, .scores = [](std::span<const double> sums) {
                          const double rate = sums[1] > 0 ? sums[0] / sums[1] : sums[0] > 0 ? 1 : 0;
                          return Scores{{"ter", 100 * rate}};
                        }};
  for (size_t i = 0; i < outputs.size(); ++i) {
    Vocabulary vocabulary;
    const auto read = [&](const std::string& text) {
      const std::string low = lower(text);
      return vocabulary.ids(split(low));
    };
    const Tokens output = read(outputs[i]);
    double edits = 1e16, words = 0;
    for (const std::string& text : references[i]) {
      const Tokens reference = read(text);
      edits = std::min(edits, double(ter_edits(output, reference)));
      words += double(reference.size());
    }
    table.values.push_back(edits);
    table.values.push_back(words / double(references[i].size()));
  }
  return table;
}

}  // namespace cambium::metrics
