// Attention on the tape.
#pragma once

#include "autograd/op.h"
#include "core/kernels/attention.h"

namespace cambium {

// Segments with the tensors they point into.
struct OwnedSegments {
  Tensor begin, length;
  int64_t longest = 0;

  operator Segments() const { return {begin, length, begin.size(), longest}; }
  explicit operator bool() const { return bool(begin); }
};

// out = softmax(scale q k^T + bias) v over ragged sequences (core/kernels/attention.h; Vaswani et al. 2017, eq. 1).
// q is the columns from 0 of the first input [N, ..]. k and v follow it in the same rows, or, for attention to
// something else, are the columns of the second input [M, 2 * kv_heads * head_size].
// prefix_k, prefix_v [R, kv_heads * head_size] and bias [buckets, heads] may be absent.
struct Attend {
  AttentionConfig config;
  OwnedSegments queries, keys, prefixes;
  Tensor bucket;  // int32 [2 range + 1], with bias
  Tensor token;   // int32 [N, 2], with dropout

  enum Input { kQuery, kKeyValue, kPrefixKey, kPrefixValue, kBias };
  struct Saved {
    Tensor query, key_value, prefix_k, prefix_v, bias, out, lse;
  };

  Tensor forward(Saved& saved, Needs<5> needs, const Tensor& query, const Tensor& key_value, const Tensor& prefix_k,
                 const Tensor& prefix_v, const Tensor& bias) const {
    CHECK(query.cols() >= width() + (key_value ? 0 : 2 * kv_width()) &&
              (!key_value || key_value.cols() == 2 * kv_width()),
          "attention: query ", query.shape(), ", key and value ", key_value.shape(), ", ", config.heads, " heads of ",
          config.head_size, ", ", config.kv_heads, " for keys");
    CHECK(!prefix_k || (prefix_k.cols() == kv_width() && prefix_v.shape() == prefix_k.shape() && prefixes),
          "attention: prefix ", prefix_k.shape(), " and ", prefix_v.shape(), " for keys of ", kv_width());
    Tensor out = Tensor::empty({query.rows(), width()}, query.dtype(), query.device());
    Tensor lse = wide_like(query, {query.rows(), config.heads});
    Saved all{query, key_value, prefix_k, prefix_v, bias, out, lse};
    DISPATCH(attention_forward, query.stream())(query.stream(), config, inputs(all), out, lse);
    if (needs[kQuery] || needs[kKeyValue] || needs[kPrefixKey] || needs[kPrefixValue] || needs[kBias])
      saved = std::move(all);
    return out;
  }

  void backward(const Saved& saved, Tensor dy, Grads<5> grads) const {
    const auto like = [&](int input, const Tensor& x) { return grads.needs(input) ? Tensor::like(x) : Tensor(); };
    const auto wide = [&](int input, const Tensor& x) {
      return grads.needs(input) ? wide_like(dy, x.shape()) : Tensor();
    };
    Tensor dquery = like(kQuery, saved.query), dkey_value = like(kKeyValue, saved.key_value);
    Tensor dprefix_k = wide(kPrefixKey, saved.prefix_k), dprefix_v = wide(kPrefixValue, saved.prefix_v);
    Tensor dbias = wide(kBias, saved.bias);
    const View dkv = saved.key_value ? dkey_value.view()
                     : dquery        ? dquery.view().columns(width(), dquery.cols())
                                     : View();
    const AttentionGradients gradients{.dq = dquery ? dquery.view().columns(0, width()) : View(),
                                       .dk = dkv ? dkv.columns(0, kv_width()) : View(),
                                       .dv = dkv ? dkv.columns(kv_width(), 2 * kv_width()) : View(),
                                       .dprefix_k = dprefix_k,
                                       .dprefix_v = dprefix_v,
                                       .dbias = dbias};
    DISPATCH(attention_backward, dy.stream())
    (dy.stream(), config, inputs(saved), dy, saved.out, saved.lse, gradients);
    if (dquery) grads.add(kQuery, std::move(dquery));
    if (dkey_value) grads.add(kKeyValue, std::move(dkey_value));
    if (dprefix_k) grads.add(kPrefixKey, std::move(dprefix_k));
    if (dprefix_v) grads.add(kPrefixValue, std::move(dprefix_v));
    if (dbias) grads.add(kBias, std::move(dbias));
  }

 private:
  int64_t width() const { return int64_t(config.heads) * config.head_size; }
  int64_t kv_width() const { return int64_t(config.kv_heads) * config.head_size; }

  AttentionInputs inputs(const Saved& s) const {
    const ConstView kv = s.key_value ? s.key_value.view() : s.query.view().columns(width(), s.query.cols());
    return {.q = s.query.view().columns(0, width()),
            .k = kv.columns(0, kv_width()),
            .v = kv.columns(kv_width(), 2 * kv_width()),
            .queries = queries,
            .keys = keys,
            .prefix_k = s.prefix_k,
            .prefix_v = s.prefix_v,
            .prefixes = s.prefix_k ? Segments(prefixes) : Segments(),
            .bias = s.bias,
            .bucket = bucket,
            .token = token};
  }
};

}  // namespace cambium
