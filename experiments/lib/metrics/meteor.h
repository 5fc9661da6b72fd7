// METEOR 1.5 for English (Denkowski and Lavie 2014, "Meteor Universal"), with the parameters of its ranking task,
// as coco-caption and the E2E challenge call it (-l en -norm).
//
// Words of output and reference are aligned in four stages: the same word (weight 1), the same Porter2 stem
// (0.6), a common WordNet synset (0.8), a paraphrase (0.6). Of the alignments that a beam search of width 40
// finds it takes the one with the most covered words (exact ones count full, others half, halves being dropped
// match by match as the original does), then the fewest chunks, then the shortest distances. With m the weighted
// matches, where content words count delta = 0.75 and function words 0.25:
//   P = m / output, R = m / reference, F = P R / (alpha P + (1 - alpha) R), alpha = 0.85,
//   score = F (1 - gamma (chunks / matched words)^beta), gamma = 0.6, beta = 0.2.
// The best reference of a group counts; a corpus score comes from the sums of the counts.
//
// Agreement with the original program is a matter of the paraphrase table, of which the repository has the part
// that matters to the E2E corpora (experiments/data/meteor/README.md, with measured differences).
#pragma once

#include <span>

#include "experiments/lib/metrics/meteor_words.h"

namespace cambium::metrics {

struct MeteorMatch {
  enum Stage { exact, stem, synonym, paraphrase };
  int start, length;                // in the reference
  int output_start, output_length;  // in the output
  Stage stage;
};

// The matches in the order of the reference.
std::vector<MeteorMatch> meteor_align(const MeteorLexicon& lexicon, const Tokens& output, const Tokens& reference);

// Row: words of output and reference, function words of both, then matched words by stage: content in the
// output, content in the reference, function in the output, function in the reference; chunks (0 if the texts
// match wholly in one).
inline constexpr size_t kMeteorWidth = 4 + 4 * 4 + 1;
double meteor_score(std::span<const double> sums);

// Appends the row of the reference with the highest score.
void append_meteor_row(const MeteorLexicon& lexicon, const std::vector<Tokens>& references, const Tokens& output,
                       std::vector<double>& row);

}  // namespace cambium::metrics
