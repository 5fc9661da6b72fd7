#include "tuning/sites.h"

namespace cambium {
namespace {

template <class F>
void for_each_layer(Model& model, const F& f) {
  const auto stack = [&](StackKind kind, Stack* s) {
    for (size_t i = 0; s && i < s->layers.size(); ++i) f(kind, int(i), s->layers[i]);
  };
  stack(StackKind::encoder, model.encoder.get());
  stack(StackKind::decoder, model.decoder.get());
}

}  // namespace

void for_each_product(Model& model, const std::function<void(const Site&, Dense&)>& f) {
  for_each_layer(model, [&](StackKind kind, int i, Layer& layer) {
    const Site self{kind, i, Place::self_attention}, cross{kind, i, Place::cross_attention},
        feed{kind, i, Place::feed_forward};
    f(self, layer.self_attention.query_key_value);
    f(self, layer.self_attention.output);
    if (layer.cross_attention) {
      f(cross, layer.cross_attention->query);
      f(cross, layer.cross_attention->key_value);
      f(cross, layer.cross_attention->output);
    }
    f(feed, layer.feed_forward.up);
    f(feed, layer.feed_forward.down);
  });
}

void for_each_sublayer(Model& model, const std::function<void(const Site&)>& f) {
  for_each_layer(model, [&](StackKind kind, int i, Layer& layer) {
    f({kind, i, Place::self_attention});
    if (layer.cross_attention) f({kind, i, Place::cross_attention});
    f({kind, i, Place::feed_forward});
  });
}

}  // namespace cambium
