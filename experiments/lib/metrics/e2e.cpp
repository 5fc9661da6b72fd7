// Joins the five metrics' rows, each on its own words.
#include "experiments/lib/metrics/e2e.h"

#include "experiments/lib/metrics/bleu.h"
#include "experiments/lib/metrics/cider.h"
#include "experiments/lib/metrics/meteor.h"
#include "experiments/lib/metrics/nist.h"
#include "experiments/lib/metrics/ptb_tokenizer.h"
#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

constexpr size_t kNistAt = kBleuWidth, kMeteorAt = kNistAt + kNistWidth, kRougeAt = kMeteorAt + kMeteorWidth;
constexpr size_t kAllWidth = kRougeAt + 3;  // ROUGE-L, CIDEr, 1

// A corpus as one of the metrics reads it.
struct Words {
  std::vector<std::vector<Tokens>> references;
  std::vector<Tokens> outputs;
};

template <class Read>
Words read_all(const References& references, const Outputs& outputs, Read&& read) {
  Words words;
  for (const auto& group : references) {
    auto& out = words.references.emplace_back();
    for (const std::string& reference : group) out.push_back(read(reference));
  }
  for (const std::string& output : outputs) words.outputs.push_back(read(output));
  return words;
}

// As mteval-v13a.pl cuts them.
Words mteval_words(const References& references, const Outputs& outputs) {
  Vocabulary vocabulary;
  return read_all(references, outputs,
                  [&](const std::string& text) { return vocabulary.ids(tokenize_13a(text, true)); });
}

// The texts as coco-caption hands them on: words of the PTB tokeniser joined by blanks. References and outputs
// are tokenised as one text each.
struct CocoText {
  References references;
  Outputs outputs;
};

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

CocoText coco_text(const References& references, const Outputs& outputs) {
  std::vector<std::string> lines;
  for (const auto& group : references) lines.insert(lines.end(), group.begin(), group.end());
  CocoText text;
  auto line = coco_words(lines);
  auto next = line.begin();
  for (const auto& group : references) {
    auto& out = text.references.emplace_back();
    for (size_t i = 0; i < group.size(); ++i) out.push_back(join(*next++));
  }
  for (const auto& words : coco_words(outputs)) text.outputs.push_back(join(words));
  return text;
}

}  // namespace

StatisticsTable e2e_table(const References& references, const Outputs& outputs) {
  const Words mteval = mteval_words(references, outputs);
  NistInformation information;
  for (const auto& group : mteval.references)
    for (const Tokens& reference : group) information.add(reference);

  const CocoText coco = coco_text(references, outputs);
  Vocabulary vocabulary;
  const Words ptb =
      read_all(coco.references, coco.outputs, [&](const std::string& text) { return vocabulary.ids(split(text)); });
  const Cider cider(ptb.references);
  MeteorLexicon lexicon;
  const Words meteor =
      read_all(coco.references, coco.outputs, [&](const std::string& text) { return lexicon.read(text); });
  lexicon.load_paraphrases();

  StatisticsTable table{
      .width = kAllWidth, .scores = [](std::span<const double> sums) {
        const E2eScores s = e2e_scores(sums);
        return Scores{
            {"bleu", s.bleu}, {"nist", s.nist}, {"meteor", s.meteor}, {"rouge_l", s.rouge_l}, {"cider", s.cider}};
      }};
  table.values.reserve(outputs.size() * kAllWidth);
  for (size_t i = 0; i < outputs.size(); ++i) {
    append_bleu_row(mteval.references[i], mteval.outputs[i], true, table.values);
    append_nist_row(information, mteval.references[i], mteval.outputs[i], table.values);
    append_meteor_row(lexicon, meteor.references[i], meteor.outputs[i], table.values);
    table.values.push_back(coco_rouge_l(ptb.references[i], ptb.outputs[i]));
    table.values.push_back(cider.score(i, ptb.outputs[i]));
    table.values.push_back(1);
  }
  return table;
}

E2eScores e2e_scores(std::span<const double> sums) {
  return {.bleu = e2e_bleu_score(sums.first(kBleuWidth)),
          .nist = nist_score(sums.subspan(kNistAt, kNistWidth)),
          .meteor = meteor_score(sums.subspan(kMeteorAt, kMeteorWidth)),
          .rouge_l = sums[kRougeAt] / sums[kRougeAt + 2],
          .cider = sums[kRougeAt + 1] / sums[kRougeAt + 2]};
}

}  // namespace cambium::metrics
