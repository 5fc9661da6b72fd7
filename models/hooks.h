// Hooks: all a model knows of tuning. A model calls them at a few kinds of places and knows no tuner; a tuner
// overrides what it needs and knows no model. Without a tuner every hook leaves things as they are.
#pragma once

#include <functional>
#include <string_view>
#include <typeinfo>
#include <vector>

#include "models/layout.h"
#include "models/parameter.h"

namespace cambium {

class Pass;
struct Dense;  // models/blocks.h

enum class StackKind : uint8_t { encoder, decoder };
enum class Place : uint8_t { self_attention, cross_attention, feed_forward };

std::string_view name_of(StackKind);
std::string_view name_of(Place);

struct Site {
  StackKind stack = StackKind::decoder;
  int layer = 0;
  Place place = Place::self_attention;

  auto operator<=>(const Site&) const = default;
};

// "decoder.layers.3.self_attention"
std::string path_of(const Site&);

// One product of a layer: its weight, its bias, and which of its rows are which projection (query, key, value, output,
// gate, up, down).
struct Projection {
  Site site;
  const Dense& dense;
};

// One sublayer of the residual stream x, whose own result is h.
struct Sublayer {
  const Var& read;      // what it computed h from: norm(x) where norms come first, else x
  const Var& residual;  // x
  // What the stream is behind it: x + h, or norm(x + h) where norms come last. Of all rows, or of some of both.
  const std::function<Var(const Var& residual, const Var& h)>& result;
};

// Keys and values in front of a site's own: [R, kv_heads * head_size] each, and which rows each sequence sees.
struct PrefixRows {
  Var key, value;
  std::vector<int32_t> begin, length;  // of each sequence

  explicit operator bool() const { return bool(key.value); }
  OwnedSegments segments(Device) const;  // absent where there are no rows
};

// What a hook reads more than once (x of `projected`; read and residual of `after`) gets one sum of gradients, so that
// they have the same bits where the hook sees a slice of the batch (tuning/mixture.h).
class Hooks {
 public:
  virtual ~Hooks() = default;

  // Embedded tokens, after the embedding's scale, before positions, types and norm. May insert virtual tokens:
  // then rows, layout and its positions are replaced together.
  virtual void embedded(Pass&, StackKind, Var& /*rows*/, Layout&) {}
  // How many virtual tokens `embedded` puts into a sequence; `tuner` is the sequence's own (Sequence::tuner).
  virtual int64_t virtual_tokens(StackKind, int /*tuner*/) const { return 0; }
  // By how much the positions of its tokens move, at most: what is in front of them takes places too.
  virtual int64_t position_shift(StackKind kind, int tuner) const { return virtual_tokens(kind, tuner); }
  // What a layer reads.
  virtual Var layer_input(Pass&, StackKind, int /*layer*/, Var x, const Layout&) { return x; }
  // What a product reads.
  virtual Var input(Pass&, const Projection&, Var x, const Layout&) { return x; }
  // What a product gave: y = x W^T + b, all parts in one.
  virtual Var projected(Pass&, const Projection&, const Var& /*x*/, Var y, const Layout&) { return y; }
  // Keys and values that every query of an attention site sees first.
  virtual PrefixRows prefix(Pass&, const Site&, const Layout&) { return {}; }
  // Whether `input`, `projected` or `hidden` may do something in this feed-forward layer. Where not, they are not called,
  // and the layer is one operation. Who does nothing there says so; who says nothing is called.
  virtual bool reaches_inside(const Site&) const { return typeid(*this) != typeid(Hooks); }
  // Activations inside the feed-forward layer.
  virtual Var hidden(Pass&, const Site&, Var a, const Layout&) { return a; }
  // What a sublayer adds to the residual stream, before it is added.
  virtual Var after(Pass&, const Site&, const Sublayer&, Var h, const Layout&) { return h; }
  // Whether a base parameter is tuned itself.
  virtual bool trains(std::string_view /*name*/) const { return false; }
};

}  // namespace cambium
