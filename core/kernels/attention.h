// Signatures of attention over ragged batches: forward and backward, prefixes, grouped heads, T5's bias.
#pragma once

#include "core/kernels/dropout.h"
#include "core/view.h"

namespace cambium {

struct AttentionConfig {
  int heads = 1, kv_heads = 1, head_size = 1;  // kv_heads divides heads: query head h reads h / (heads / kv_heads)
  float scale = 1;
  bool causal = false;
  DropoutConfig dropout;  // on the probabilities
};

// Sequence s has the queries of queries[s] and, in this order, the prefix rows of prefixes[s] and the keys of
// keys[s]. Query i stands at place i + (keys.length - queries.length) among the keys; causal: it sees keys up
// to its own place. Prefix rows are always seen and get no relative bias. Several sequences may name the
// same keys (beams) or the same prefix. A query that sees nothing gives zeros, lse = -inf.
struct AttentionInputs {
  ConstView q;     // [N, heads * head_size], rows may be strided
  ConstView k, v;  // [M, kv_heads * head_size]
  Segments queries, keys;
  ConstView prefix_k, prefix_v;  // [R, kv_heads * head_size], or absent
  Segments prefixes;             // as many as queries, or absent
  // T5's relative position bias (Raffel et al. 2020, section 2.1), or absent: the score of (query at place i,
  // key j) gets bias[bucket[clamp(j - i, -R, R) + R], head].
  ConstView bias;    // [buckets, heads] in the accumulator type
  ConstView bucket;  // int32 [2 R + 1]
  ConstView token;   // [N, 2] as for dropout; only read where dropout is on
};

// P = softmax over keys of (scale * q k^T + bias);  out = dropout(P) v;  lse = log sum exp of the scores.
// out [N, heads * head_size] of q's type; lse [N, heads] in the accumulator type. Dropout's word for key
// number j (prefix rows first) is philox(key, channel_counter(j), token[n,1], token[n,0], head).
using AttentionForward = void(Stream&, const AttentionConfig&, const AttentionInputs&, View out, View lse);

// Gradients; an absent view is not computed. dq, dk, dv have the type of q; rows that belong to no sequence
// are set to zero, and no two sequences may share rows of k and v here. dprefix_k, dprefix_v [R, ..] and dbias
// [buckets, heads] are in the accumulator type; their sums run over the sequences in order. No atomics.
struct AttentionGradients {
  View dq, dk, dv, dprefix_k, dprefix_v, dbias;
};
using AttentionBackward = void(Stream&, const AttentionConfig&, const AttentionInputs&, ConstView dout, ConstView out,
                               ConstView lse, const AttentionGradients&);

namespace cpu {
AttentionForward attention_forward;
AttentionBackward attention_backward;
}  // namespace cpu

namespace gpu {
AttentionForward attention_forward;
AttentionBackward attention_backward;
}  // namespace gpu

}  // namespace cambium
