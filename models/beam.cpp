// Beam search, with the rules of transformers' generate (early_stopping = false): finished texts compete by log
// probability / length^penalty, only candidates among the best `beams` may finish, and an input is done when its best
// running text, scored at its present length, cannot beat its worst finished one.
#include <algorithm>
#include <cmath>

#include "core/kernels/generation.h"
#include "models/decoding.h"

namespace cambium {
namespace {

constexpr float kNever = -1e9f;

struct Candidate {
  float score;     // sum of log probabilities
  int64_t parent;  // number among the input's running texts
  int32_t token;
};

struct Finished {
  float score = kNever;
  std::vector<int32_t> ids;  // new tokens
};

// The search for one input.
class Search {
 public:
  Search(Hypothesis first, const GenerationOptions& options, const Decoding& decoding)
      : options_(options), decoding_(decoding), finished_(size_t(options.beams)) {
    running_.push_back({std::move(first), 0.f});
  }

  struct Running {
    Hypothesis text;
    float score;
  };
  const std::vector<Running>& running() const { return running_; }
  bool done() const { return done_; }

  // Takes the best candidates (best first, twice as many as beams or more); returns the parents of the new running
  // texts.
  std::vector<int64_t> advance(const std::vector<Candidate>& candidates) {
    const int64_t beams = options_.beams, length = running_.front().text.written() + 1;
    const bool last = length == options_.max_new_tokens;
    std::vector<Running> next;
    std::vector<int64_t> parents;
    bool all_stop = true;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const Candidate& c = candidates[i];
      const bool stops = last || decoding_.is_end(c.token);
      all_stop &= stops;
      if (stops) {
        if (int64_t(i) < beams) finish(c, length);
      } else if (int64_t(next.size()) < beams) {
        next.push_back({running_[size_t(c.parent)].text, c.score});
        next.back().text.tokens.push_back(c.token);
        parents.push_back(c.parent);
      }
    }
    running_ = std::move(next);
    done_ = all_stop || running_.empty() || !can_improve(length);
    return parents;
  }

  std::vector<Generated> results() const {
    std::vector<Generated> all;
    for (const Finished& f : finished_)
      if (int64_t(all.size()) < options_.results && !f.ids.empty()) all.push_back({f.ids, double(f.score)});
    return all;
  }

 private:
  void finish(const Candidate& c, int64_t length) {
    const Hypothesis& parent = running_[size_t(c.parent)].text;
    Finished f{c.score / penalty(length), {parent.tokens.begin() + parent.given, parent.tokens.end()}};
    f.ids.push_back(c.token);
    const auto place =
        std::find_if(finished_.begin(), finished_.end(), [&](const Finished& other) { return f.score > other.score; });
    if (place == finished_.end()) return;
    finished_.insert(place, std::move(f));
    finished_.pop_back();
  }
  float penalty(int64_t length) const { return float(std::pow(double(length), options_.length_penalty)); }
  bool can_improve(int64_t length) const {
    const float best = running_.front().score / penalty(length);
    return best > finished_.back().score;  // kNever while a place is free
  }

  const GenerationOptions& options_;
  const Decoding& decoding_;
  std::vector<Running> running_;    // best first
  std::vector<Finished> finished_;  // best first; places that are free have kNever
  bool done_ = false;
};

// The best continuations of all running texts of an input, by score, then by text and token.
std::vector<Candidate> best_candidates(const Search& search, const float* value, const int32_t* token, int64_t each,
                                       size_t wanted) {
  std::vector<Candidate> all;
  for (size_t b = 0; b < search.running().size(); ++b)
    for (int64_t k = 0; k < each; ++k) {
      const size_t at = b * size_t(each) + size_t(k);
      all.push_back({value[at] + search.running()[b].score, int64_t(b), token[at]});
    }
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.parent != b.parent ? a.parent < b.parent : a.token < b.token;
  });
  all.resize(std::min(all.size(), wanted));
  return all;
}

}  // namespace

std::vector<std::vector<Generated>> beam_search(Decoding& decoding, const GenerationOptions& options, int64_t inputs) {
  const int64_t beams = options.beams, kept = std::max<int64_t>(2, 1 + int64_t(decoding.eos().size())) * beams;
  std::vector<Search> searches;
  for (Hypothesis& h : decoding.start()) searches.emplace_back(std::move(h), options, decoding);
  for (;;) {
    std::vector<const Hypothesis*> hypotheses;
    std::vector<int32_t> slot;
    for (int64_t i = 0; i < inputs; ++i) {
      const Search& search = searches[size_t(i)];
      for (size_t b = 0; !search.done() && b < search.running().size(); ++b) {
        hypotheses.push_back(&search.running()[b].text);
        slot.push_back(int32_t(i * beams + int64_t(b)));
      }
    }
    if (hypotheses.empty()) break;

    const Tensor logits = decoding.logits(hypotheses, slot);
    Stream& stream = logits.stream();
    const int64_t n = logits.rows(), each = std::min(kept, logits.cols());
    DISPATCH(log_softmax, stream)(stream, logits, logits);
    decoding.mask(hypotheses, logits);
    Tensor value = Tensor::empty({n, each}, DType::f32, logits.device()),
           token = Tensor::empty({n, each}, DType::i32, logits.device());
    DISPATCH(top_k, stream)(stream, logits, int(each), value, token);
    value = value.to(Device::cpu()), token = token.to(Device::cpu());

    std::vector<int32_t> from, to;
    int64_t row = 0;
    for (int64_t i = 0; i < inputs; ++i) {
      Search& search = searches[size_t(i)];
      if (search.done()) continue;
      const int64_t rows = int64_t(search.running().size());
      const auto candidates = best_candidates(search, value.data<float>() + row * each,
                                              token.data<int32_t>() + row * each, each, size_t(kept));
      row += rows;
      const std::vector<int64_t> parents = search.advance(candidates);
      for (size_t b = 0; !search.done() && b < parents.size(); ++b)
        if (parents[b] != int64_t(b))
          from.push_back(int32_t(i * beams + parents[b])), to.push_back(int32_t(i * beams) + int32_t(b));
    }
    decoding.cache().copy(from, to);
  }
  std::vector<std::vector<Generated>> results;
  for (const Search& search : searches) results.push_back(search.results());
  return results;
}

}  // namespace cambium
