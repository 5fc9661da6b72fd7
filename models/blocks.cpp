#include "models/blocks.h"

#include <algorithm>

#include "autograd/ops/linear.h"
#include "autograd/ops/mlp.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/rotary.h"

namespace cambium {

OwnedSegments PrefixRows::segments(Device device) const {
  if (!*this) return {};
  return {Tensor::of(begin, device), Tensor::of(length, device), *std::max_element(length.begin(), length.end())};
}

Var Norm::operator()(const Pass& pass, const ModelConfig& config, const Var& x) const {
  if (config.norm == NormKind::rms) return apply(RmsNorm{config.epsilon}, x, pass(weight));
  return apply(LayerNorm{config.epsilon}, x, pass(weight), pass(bias));
}

Var Dense::operator()(Pass& pass, const Site& site, Var x, const Layout& layout) const {
  const Projection projection{site, *this};
  x = pass.hooks().input(pass, projection, std::move(x), layout);
  Var y = apply(Linear{}, x, weight_of(pass), pass(bias));
  return pass.hooks().projected(pass, projection, apply(Identity{}, x), std::move(y), layout);
}

Var Dense::weight_of(const Pass& pass) const {
  return pass.exact ? Var(pass(weight).value.to(accumulator(weight.value.dtype()))) : pass(weight);
}

namespace {

Attend attend(const Pass& pass, const ModelConfig& config, const StackShape& shape, const Site& site,
              const OwnedSegments& queries, const OwnedSegments& keys, const PrefixRows& prefix,
              const Tensor& identities) {
  return {.config = {.heads = int(shape.heads),
                     .kv_heads = int(shape.kv_heads),
                     .head_size = int(shape.head_size),
                     .scale = config.score_scale(shape, site.layer),
                     .dropout = pass.dropout_at(pass.dropout().attention, path_of(site))},
          .queries = queries,
          .keys = keys,
          .prefixes = prefix.segments(queries.begin.device()),
          .token = identities};
}

void store(const Var& key_value, const Tensor& rows, const CachedKeys& cache) {
  const int64_t width = cache.rows.cols(), begin = key_value.value.cols() - width;
  Stream& stream = cache.rows.stream();
  DISPATCH(scatter_rows, stream)(stream, key_value.value.view().columns(begin, begin + width), rows, cache.rows);
}

}  // namespace

Var SelfAttention::operator()(Pass& pass, const ModelConfig& config, const StackContext& stack, const Site& site,
                              const Var& x, const Layout& layout, CachedKeys* cache) const {
  const StackShape& shape = *stack.shape;
  Var qkv = query_key_value(pass, site, x, layout);  // [N, (heads + 2 kv_heads) * head_size]
  if (stack.rotary)
    qkv = apply(Rotate{int(shape.heads + shape.kv_heads), int(shape.head_size), stack.positions, stack.rotary}, qkv);
  if (cache) store(qkv, stack.cache_rows, *cache);
  const PrefixRows prefix = pass.hooks().prefix(pass, site, layout);
  const bool cached = cache && layout.continued;
  Attend op = attend(pass, config, *stack.shape, site, stack.segments, cached ? stack.cache_segments : stack.segments,
                     prefix, stack.identities);
  op.config.causal = stack.causal;
  op.bucket = stack.bucket;
  Var attended = apply(op, qkv, cached ? Var(cache->rows) : Var(), prefix.key, prefix.value, stack.relative_bias);
  if (stack.read) attended = (*stack.read)(attended);
  return output(pass, site, attended, stack.read ? stack.read->layout : layout);
}

Var CrossAttention::operator()(Pass& pass, const ModelConfig& config, const StackContext& stack, const Site& site,
                               const Var& x, const Layout& layout, CachedKeys* cache) const {
  const Var q = query(pass, site, x, layout);
  Var kv;
  if (cache && cache->rows) {
    kv = Var(cache->rows);
  } else {
    kv = key_value(pass, site, stack.memory.rows, *stack.memory.layout);
    if (cache) cache->rows = kv.value;
  }
  const PrefixRows prefix = pass.hooks().prefix(pass, site, layout);
  const Attend op = attend(pass, config, *stack.shape, site, stack.read ? stack.read->segments : stack.segments,
                           stack.memory.segments, prefix, stack.read ? stack.read->identities : stack.identities);
  return output(pass, site, apply(op, q, kv, prefix.key, prefix.value, Var()), layout);
}

Var FeedForward::operator()(Pass& pass, const ModelConfig& config, const Site& site, const Var& x,
                            const Layout& layout) const {
  if (!config.gated && pass.dropout().activation == 0 && !pass.hooks().reaches_inside(site))
    return apply(Mlp{config.activation}, x, up.weight_of(pass), pass(up.bias), down.weight_of(pass), pass(down.bias));
  Var a = up(pass, site, x, layout);
  a = config.gated ? apply(ActivateGated{config.activation}, a, Var()) : apply(Activate{config.activation}, a, Var());
  a = pass.hooks().hidden(pass, site, std::move(a), layout);
  a = pass.drop_and_add(pass.dropout().activation, path_of(site) + ".activation", std::move(a), Var(), layout);
  return down(pass, site, a, layout);
}

Var Layer::operator()(Pass& pass, const ModelConfig& config, const StackContext& stack, int layer, Var x,
                      const Layout& all, Caches* caches) const {
  x = pass.hooks().layer_input(pass, stack.kind, layer, std::move(x), all);
  const Layout& layout = stack.read ? stack.read->layout : all;  // of what the sublayers give
  // One sublayer with its norm and residual, in the model's order.
  const auto sublayer = [&](Place place, const Norm& norm, const auto& run) {
    const Site site{stack.kind, layer, place};
    Var read = config.norm_first ? norm(pass, config, x) : x;
    Var h = run(site, read);
    if (stack.read && place == Place::self_attention) {
      x = (*stack.read)(x);
      read = config.norm_first ? (*stack.read)(read) : x;
    }
    const float p = pass.dropout().residual;
    if (p > 0) h = pass.drop_and_add(p, path_of(site) + ".residual", std::move(h), Var(), layout);
    const std::function<Var(const Var&, const Var&)> result = [&](const Var& residual, const Var& added) {
      const Var sum = apply(Add{}, residual, added);
      return config.norm_first ? sum : norm(pass, config, sum);
    };
    h = pass.hooks().after(pass, site, {apply(Identity{}, read), apply(Identity{}, x), result}, std::move(h), layout);
    x = result(x, h);
  };
  sublayer(Place::self_attention, self_attention_norm, [&](const Site& site, const Var& read) {
    return self_attention(pass, config, stack, site, read, all, caches ? &caches->self : nullptr);
  });
  if (cross_attention)
    sublayer(Place::cross_attention, cross_attention_norm, [&](const Site& site, const Var& read) {
      return (*cross_attention)(pass, config, stack, site, read, layout, caches ? &caches->cross : nullptr);
    });
  sublayer(Place::feed_forward, feed_forward_norm,
           [&](const Site& site, const Var& read) { return feed_forward(pass, config, site, read, layout); });
  return x;
}

}  // namespace cambium
