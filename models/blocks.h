// The blocks that every transformer here is built from.
#pragma once

#include <memory>
#include <vector>

#include "models/config.h"
#include "models/parameter.h"
#include "models/pass.h"

namespace cambium {

struct Norm {
  Parameter weight, bias;

  // x [N, width]
  Var operator()(const Pass&, const ModelConfig&, const Var& x) const;
  void visit(auto&& at) { at("weight", weight), at("bias", bias); }
};

// y = x W^T + b; several projections that read the same x are one product whose rows are its parts.
struct Dense {
  Parameter weight, bias;
  std::vector<Part> parts;     // what the rows are, for tuners
  bool separate_names = true;  // each part is a parameter of its own (query.weight), or all are one (weight)

  // Runs the hooks around the product. x [N, in], result [N, out].
  Var operator()(Pass&, const Site&, Var x, const Layout&) const;
  Var weight_of(const Pass&) const;  // as a product reads it
  void visit(auto&& at) {
    if (separate_names && parts.size() > 1) at.parts("weight", weight, parts), at.parts("bias", bias, parts);
    else at("weight", weight), at("bias", bias);
  }
};

// Keys and values of earlier tokens of one layer: row r holds [key | value], [rows, 2 * kv_heads * head_size].
// Sequence s owns segment s, with spare rows behind the ones in use.
struct CachedKeys {
  Tensor rows;
};

// The encoder's result, as cross-attention reads it.
struct Memory {
  Var rows;
  std::shared_ptr<const Layout> layout;  // of these rows
  OwnedSegments segments;                // one for each sequence of the decoder
};

// The rows that are read of a stack's result, where these are not all: the last layer computes what comes behind its
// self-attention for them alone.
struct ReadRows {
  std::shared_ptr<const RowMap> map;
  Layout layout;
  OwnedSegments segments;
  Tensor identities;  // only with dropout

  Var operator()(const Var& x) const { return apply(TakeRows{map, 1, x.value.dtype()}, x, Var()); }
};

// What attention needs to know about the batch, made once for all layers of a stack.
struct StackContext {
  StackKind kind;
  const StackShape* shape = nullptr;
  bool causal = false;
  OwnedSegments segments;        // of the stack's rows
  Tensor positions, identities;  // int32 [N], [N, 2]; identities only with dropout
  Tensor rotary;                 // cosines and sines [positions, rotary_size]
  Tensor bucket;                 // of the relative bias
  Var relative_bias;             // [buckets, heads]
  // Decoding: where new rows go in the caches, and which rows of them each sequence has then.
  Tensor cache_rows;
  OwnedSegments cache_segments;
  Memory memory;                         // cross-attention's
  std::shared_ptr<const ReadRows> read;  // the last layer's; none: all rows
};

struct SelfAttention {
  Dense query_key_value, output;

  Var operator()(Pass&, const ModelConfig&, const StackContext&, const Site&, const Var& x, const Layout&,
                 CachedKeys*) const;
  void visit(auto&& at) {
    if (query_key_value.separate_names) at("", query_key_value);
    else at("query_key_value", query_key_value);
    at("output", output);
  }
};

struct CrossAttention {
  Dense query, key_value, output;

  Var operator()(Pass&, const ModelConfig&, const StackContext&, const Site&, const Var& x, const Layout&,
                 CachedKeys*) const;
  void visit(auto&& at) { at("query", query), at("", key_value), at("output", output); }
};

struct FeedForward {
  Dense up, down;  // up: one part, or gate and up

  Var operator()(Pass&, const ModelConfig&, const Site&, const Var& x, const Layout&) const;
  void visit(auto&& at) {
    if (up.parts.size() > 1) at("", up);
    else at("up", up);
    at("down", down);
  }
};

struct Layer {
  Norm self_attention_norm, cross_attention_norm, feed_forward_norm;
  SelfAttention self_attention;
  std::unique_ptr<CrossAttention> cross_attention;
  FeedForward feed_forward;

  struct Caches {
    CachedKeys self, cross;
  };
  Var operator()(Pass&, const ModelConfig&, const StackContext&, int layer, Var x, const Layout&, Caches*) const;
  void visit(auto&& at) {
    at("self_attention_norm", self_attention_norm), at("self_attention", self_attention);
    if (cross_attention) at("cross_attention_norm", cross_attention_norm), at("cross_attention", cross_attention);
    at("feed_forward_norm", feed_forward_norm), at("feed_forward", feed_forward);
  }
};

}  // namespace cambium
