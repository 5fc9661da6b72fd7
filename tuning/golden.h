// What a model with its tuner should compute: a few short sequences, and a small record of the logits of each of their
// positions. It is stored with every tuner and finds a wrong base, a wrong tuner or a wrong kernel.
//
// Of a row x of V logits the record keeps, in float32 and less than 128 bytes:
//   log_sum        log sum_i exp x_i: every likely token
//   top            the kTop largest x_i with their numbers i
//   least          the smallest x_i
//   projections    sum_i s_ij x_i / sqrt(V) for kProjections fixed rows s_j of random signs: every x_i alike. Their
//   mean
//                  square is, in the mean over signs, that of the row (Johnson & Lindenstrauss 1984; Achlioptas 2003,
//                  "Database-friendly random projections"), so a difference of two rows shows at about its own size,
//                  and that of a single logit as 1/sqrt(V) of itself.
#pragma once

#include <vector>

#include "tuning/tuner.h"

namespace cambium {

class Hdf5File;
class Hdf5Writer;

struct GoldenRecord {
  static constexpr int64_t kTop = 8, kProjections = 8;

  Tensor log_sum;      // [tokens]
  Tensor top_ids;      // [tokens, min(kTop, V)], int32; the largest first
  Tensor top;          // the same shape
  Tensor least;        // [tokens]
  Tensor projections;  // [tokens, kProjections]
};

struct Golden {
  Batch sequences;  // of at most 16 tokens
  std::vector<GoldenRecord> records;

  bool empty() const { return sequences.empty(); }
  // The largest absolute value in the records, at least 1: what a difference is measured by. NaN where one is NaN.
  double scale() const;
};

// The record of logits [tokens, V] (of a head without vocabulary its scores, without a head hidden rows), float32.
GoldenRecord record_of(const Tensor& logits);
// The largest difference between a record and what logits [tokens, V] give; NaN where one of both is NaN. InputError
// where they are of other sizes.
double difference(const GoldenRecord&, const Tensor& logits);

// Of each sequence, one at a time and in float32 arithmetic: logits [tokens, vocabulary], a classification head's
// scores [1, classes], or hidden rows [tokens, width] without a head.
std::vector<Tensor> exact_logits(Model&, Hooks&, const Batch& sequences);
// The largest absolute value; NaN where one is NaN.
double largest_value(const std::vector<Tensor>&);
// The largest difference between two lists of logits of the same shapes, of each value; NaN where one is NaN.
double largest_difference(const std::vector<Tensor>&, const std::vector<Tensor>&);
// Random tokens to compare on where a tuner brings none.
Batch sample_sequences(const ModelConfig&);
// At most three of the examples, cut to 16 tokens.
Batch golden_sequences(const ModelConfig&, const std::vector<Sequence>& examples);
Golden compute_golden(Model&, Tuner&, const std::vector<Sequence>& examples);
// The largest difference between what is stored and what model and tuner compute now.
double golden_difference(Model&, Tuner&, const Golden&);

// As /golden/<number>/ids, labels, log_sum, ... of a file. Files of format 1 hold whole logits there instead.
void save_golden(Hdf5Writer&, const Golden&);
Golden read_golden(const Hdf5File&);

}  // namespace cambium
