// CIDEr's vectors and coco-caption's ROUGE-L.
#include "experiments/lib/metrics/cider.h"

#include <cmath>

#include "experiments/lib/metrics/lcs.h"

namespace cambium::metrics {

Cider::Cider(const std::vector<std::vector<Tokens>>& references)
    : references_(references), log_documents_(std::log(double(references.size()))) {
  for (const auto& group : references) {
    NgramCounts seen;
    for (const Tokens& reference : group) add_ngrams(reference, kOrder, seen);
    for (const auto& [ngram, count] : seen) ++document_frequency_[ngram];
  }
}

Cider::Vector Cider::weigh(const Tokens& text) const {
  Vector vector;
  for (size_t i = 0; i < text.size(); ++i)
    for (int n = 1; n <= kOrder && i + size_t(n) <= text.size(); ++n) {
      const Ngram ngram(&text[i], n);
      const auto [slot, is_new] = vector.index.try_emplace(ngram, vector.weights.size());
      if (is_new) vector.weights.emplace_back(ngram, 0.0);
      vector.weights[slot->second].second += 1;
    }
  for (auto& [ngram, weight] : vector.weights) {
    const auto found = document_frequency_.find(ngram);
    const double frequency = found == document_frequency_.end() ? 1 : double(found->second);
    if (ngram.order == 2) vector.length += weight;
    weight *= log_documents_ - std::log(frequency);
    vector.norm[size_t(ngram.order - 1)] += weight * weight;
  }
  for (double& norm : vector.norm) norm = std::sqrt(norm);
  return vector;
}

std::array<double, Cider::kOrder> Cider::similarities(const Vector& output, const Vector& reference) const {
  std::array<double, kOrder> product{};
  for (const auto& [ngram, weight] : output.weights)
    if (const auto found = reference.index.find(ngram); found != reference.index.end()) {
      const double other = reference.weights[found->second].second;
      product[size_t(ngram.order - 1)] += std::min(weight, other) * other;
    }
  constexpr double sigma = 6;
  const double difference = output.length - reference.length;
  const double penalty = std::exp(-difference * difference / (2 * sigma * sigma));
  for (size_t n = 0; n < kOrder; ++n) {
    const double norms = output.norm[n] * reference.norm[n];
    product[n] = penalty * (norms != 0 ? product[n] / norms : product[n]);
  }
  return product;
}

double Cider::score(size_t group, const Tokens& output) const {
  const Vector vector = weigh(output);
  double sum = 0;
  for (const Tokens& reference : references_[group])
    for (const double similarity : similarities(vector, weigh(reference))) sum += similarity;
  return 10 * sum / kOrder / double(references_[group].size());
}

double coco_rouge_l(const std::vector<Tokens>& references, const Tokens& output) {
  const auto size = [](const Tokens& text) { return double(std::max<size_t>(text.size(), 1)); };
  double precision = 0, recall = 0;
  for (const Tokens& reference : references) {
    const bool both_empty = reference.empty() && output.empty();
    const double common = both_empty ? 1 : double(lcs_length(reference, output));
    precision = std::max(precision, common / size(output));
    recall = std::max(recall, common / size(reference));
  }
  constexpr double beta2 = 1.2 * 1.2;
  return precision > 0 ? (1 + beta2) * precision * recall / (recall + beta2 * precision) : 0;
}

}  // namespace cambium::metrics
