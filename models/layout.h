// Ragged batches: which sequences there are, and where their tokens and virtual tokens lie in the rows that
// a model computes on. There is no padding anywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "autograd/ops/attention.h"
#include "autograd/ops/rows.h"

namespace cambium {

inline constexpr int32_t kNotScored = -100;  // a label that is not scored

// One example. For decoders and masked LMs labels are aligned with ids (a decoder's shift happens in the
// model); for sequence-to-sequence models ids go to the encoder and labels are what the decoder says.
struct Sequence {
  std::vector<int32_t> ids;
  std::vector<int32_t> labels;  // empty: none
  std::vector<int32_t> types;   // segment ids (token types) of an encoder's ids; empty: all 0
  int64_t index = 0;            // its place in the order of the data: the counter of its random numbers
  int tuner = 0;                // which tuner of a mixture treats it (tuning/mixture.h); below 0: none
};

using Batch = std::vector<Sequence>;

// A token of a batch: the number of its sequence, and its place there.
struct TokenPlace {
  int32_t sequence = 0, token = 0;
};

// The rows of one stack: the tokens of all sequences back to back, with virtual tokens between them.
struct Layout {
  struct Row {
    int32_t id = -1;        // token id; -1: a virtual token
    int32_t position = -1;  // place for position embeddings and rotations; -1: none
    int32_t sequence = 0;   // number in the batch
    int32_t token = 0;      // place in its sequence; virtual tokens count from -1 downwards
    int32_t type = 0;       // segment id
  };

  std::vector<Row> rows;
  std::vector<int32_t> begin, length;   // of each sequence, in rows
  std::vector<int64_t> sequence_index;  // Sequence::index of each
  std::vector<int> tuner;               // Sequence::tuner of each
  bool continued = false;               // earlier rows of the sequences are cached
  // The tokens whose hidden rows are asked for, sequence by sequence; without it all rows are.
  std::optional<std::vector<TokenPlace>> read;

  Layout() = default;
  // Positions count from 0, or from past[s] where earlier tokens of sequence s are cached.
  Layout(std::span<const std::vector<int32_t>> ids, std::span<const int64_t> indices, std::span<const int> tuners,
         std::span<const int32_t> past = {});

  // Segment ids of the tokens of sequence s, as many as it has tokens; an empty list: all 0.
  void set_types(int64_t sequence, std::span<const int32_t> types);

  int64_t size() const { return int64_t(rows.size()); }
  int64_t sequences() const { return int64_t(begin.size()); }
  OwnedSegments segments(Device) const;
  Tensor positions(Device) const;  // int32 [N]
  // int32 [N, 2]: who a row is, for random numbers.
  Tensor identities(Device) const;
  // Rows whose token is number t of sequence s: the first row of s, plus this.
  int64_t row_of(int64_t sequence, int64_t token) const;

  // Puts `count[s]` virtual tokens in front of each sequence and gives tokens' old rows for the new layout
  // (below 0: a virtual one) in `source`. Positions of virtual tokens count from 0; others move by `count[s]`.
  Layout with_virtual_tokens(std::span<const int32_t> count, std::vector<int32_t>& source) const;

  // Neighbouring sequences [begin, end) with one tuner.
  struct Run {
    int64_t begin = 0, end = 0;
    int tuner = 0;
  };
  std::vector<Run> runs() const;
  // Sequences [begin, end) with their rows, as a batch of their own: both count from 0 in it.
  Layout part(int64_t begin, int64_t end) const;
  // The parts of a batch one after the other; all of them are continued, or none.
  static Layout joined(std::span<const Layout> parts);

  // Rows of the tokens in `read`, ascending. Throws where a token is not there, or they are not in order.
  std::vector<int32_t> read_rows() const;
  // The same sequences with these of their rows alone, which ascend.
  Layout only(std::span<const int32_t> kept) const;
};

}  // namespace cambium
