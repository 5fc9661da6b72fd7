#include "models/model.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/linear.h"
#include "core/cpu/parallel.h"
#include "core/kernels/matmul.h"
#include "core/random.h"
#include "models/cache.h"
#include "models/positions.h"

namespace cambium {
namespace {

std::vector<Part> make_parts(std::initializer_list<std::pair<const char*, int64_t>> sizes) {
  std::vector<Part> parts;
  int64_t begin = 0;
  for (const auto& [name, size] : sizes) {
    parts.push_back({name, begin, begin + size});
    begin += size;
  }
  return parts;
}

}  // namespace

Model::Model(ModelConfig config, DType weights, Device device, Storage storage)
    : config_(std::move(config)), weights_(weights), device_(device), storage_(storage) {
  config_.check();
  embedding.weight.value = matrix(config_.vocabulary, config_.width);
  if (config_.encoder.layers) encoder = std::make_unique<Stack>(make_stack(config_.encoder, false));
  if (config_.decoder.layers) decoder = std::make_unique<Stack>(make_stack(config_.decoder, config_.is_seq2seq()));
  if (config_.language_head) head = make_head();
  if (config_.pooler) pooler = make_pooler();
  if (config_.classes) classifier = make_classifier();
}

std::unique_ptr<Head> Model::make_head() const {
  auto result = std::make_unique<Head>();
  if (config_.head_transform) {
    result->transform = dense(config_.width, make_parts({{"transform", config_.width}}), true);
    result->norm = norm();
  }
  if (!config_.tied_head) result->weight.value = matrix(config_.vocabulary, config_.width);
  if (config_.head_bias) result->bias = {vector(config_.vocabulary), config_.family == "bart"};
  return result;
}

std::unique_ptr<Pooler> Model::make_pooler() const {
  return std::make_unique<Pooler>(Pooler{dense(config_.width, make_parts({{"pooler", config_.width}}), true)});
}

std::unique_ptr<Classifier> Model::make_classifier() const {
  auto result = std::make_unique<Classifier>();
  if (!config_.pooler) result->dense = dense(config_.width, make_parts({{"dense", config_.width}}), true);
  result->output = dense(config_.width, make_parts({{"output", config_.classes}}), true);
  return result;
}

std::vector<std::string> Model::add_classifier(int64_t classes, uint64_t seed) {
  check_input(config_.is_encoder(),
              "a classification head needs an encoder; with other models label words tell the class");
  check_input(!classifier, "this model has a classification head already");
  std::vector<std::string> added{"classifier."};
  config_.classes = classes;
  if (config_.family == "bert" && !pooler) {
    config_.pooler = true;
    pooler = make_pooler();
    added.push_back("pooler.");
  } else if (config_.family == "roberta" && pooler) {  // no class of transformers reads it
    config_.pooler = false;
    pooler = nullptr;
  }
  config_.check();
  classifier = make_classifier();
  randomize_parts(added, seed, 0.02f);
  return added;
}

std::vector<std::string> Model::add_language_head(uint64_t seed) {
  check_input(config_.family == "bert" || config_.family == "roberta",
              "a head over the vocabulary can be added to BERT and RoBERTa alone");
  check_input(!head, "this model has a head over the vocabulary already");
  config_.language_head = config_.head_transform = config_.head_bias = config_.tied_head = true;
  head = make_head();
  randomize_parts({"head."}, seed, 0.02f);
  return {"head."};
}

Tensor Model::allocate(const Shape& shape, DType dtype) const {
  if (storage_ == Storage::none)
    return Tensor::wrap(nullptr, shape, dtype, std::shared_ptr<const void>(this, [](const void*) {}));
  return Tensor::empty(shape, dtype, device_);
}

DType Model::activation_type() const {
  if (weights_ == DType::f64) return DType::f64;
  return device_.is_gpu() ? weights_ : DType::f32;
}

Dense Model::dense(int64_t in, std::vector<Part> parts, bool bias, bool separate) const {
  Dense d;
  const int64_t out = parts.back().end;
  d.weight.value = matrix(out, in);
  if (bias) d.bias.value = vector(out);
  d.parts = std::move(parts);
  d.separate_names = separate;
  return d;
}

Norm Model::norm() const {
  Norm n;
  n.weight.value = vector(config_.width);
  if (config_.norm == NormKind::layer) n.bias.value = vector(config_.width);
  return n;
}

Stack Model::make_stack(const StackShape& shape, bool cross) const {
  const ModelConfig& c = config_;
  const int64_t q = shape.query_width(), kv = shape.kv_width();
  Stack stack;
  if (c.positions == PositionKind::learned)
    stack.position.weight.value = matrix(c.max_positions + c.position_offset, c.width);
  if (c.token_types) stack.token_type.weight.value = matrix(c.token_types, c.width);
  if (c.positions == PositionKind::relative)
    stack.relative_bias.weight.value = allocate({c.relative_buckets, shape.heads}, accumulator(weights_));
  if (c.embedding_norm) stack.embedding_norm = norm();
  if (c.final_norm) stack.final_norm = norm();
  for (int64_t i = 0; i < shape.layers; ++i) {
    Layer layer;
    layer.self_attention_norm = norm();
    layer.self_attention.query_key_value =
        dense(c.width, make_parts({{"query", q}, {"key", kv}, {"value", kv}}), c.attention_bias, !c.fused_attention);
    layer.self_attention.output = dense(q, make_parts({{"output", c.width}}), c.output_bias);
    if (cross) {
      layer.cross_attention_norm = norm();
      layer.cross_attention = std::make_unique<CrossAttention>();
      layer.cross_attention->query = dense(c.width, make_parts({{"query", q}}), c.attention_bias);
      layer.cross_attention->key_value = dense(c.width, make_parts({{"key", kv}, {"value", kv}}), c.attention_bias);
      layer.cross_attention->output = dense(q, make_parts({{"output", c.width}}), c.output_bias);
    }
    layer.feed_forward_norm = norm();
    layer.feed_forward.up = dense(
        c.width, c.gated ? make_parts({{"gate", shape.inner}, {"up", shape.inner}}) : make_parts({{"up", shape.inner}}),
        c.feed_forward_bias);
    layer.feed_forward.down = dense(shape.inner, make_parts({{"down", c.width}}), c.feed_forward_bias);
    stack.layers.push_back(std::move(layer));
  }
  return stack;
}

int64_t Model::parameter_count() {
  int64_t count = 0;
  for (const NamedParameter& p : parameters()) count += p.value().size();
  return count;
}

void Model::randomize(uint64_t seed, float deviation) { randomize_parts({""}, seed, deviation); }

void Model::randomize_parts(const std::vector<std::string>& prefixes, uint64_t seed, float deviation) {
  for (const NamedParameter& p : parameters()) {
    if (std::none_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return p.name.starts_with(prefix); }))
      continue;
    const Tensor value = p.value();
    const bool is_norm = p.name.find("norm") != std::string::npos, is_bias = p.name.ends_with(".bias");
    const float offset = is_norm && !is_bias ? 1.f : 0.f, scale = is_norm || is_bias ? 0.f : deviation;
    const RandomKey key = random_key(seed, p.name);
    Tensor numbers = Tensor::empty(value.shape(), DType::f32);
    float* x = numbers.data<float>();
    cpu::parallel_rows((numbers.size() + 1) / 2, [&](int64_t pair) {
      // Box-Muller: two normal numbers from two uniform ones.
      const int64_t i = 2 * pair;
      const RandomWords w = philox(key, uint32_t(i / 2), uint32_t(i >> 33), 0, 0);
      const float radius = scale * std::sqrt(-2 * std::log(unit_float(w.word[0]))),
                  angle = 6.2831853f * unit_float(w.word[1]);
      x[i] = offset + radius * std::cos(angle);
      if (i + 1 < numbers.size()) x[i + 1] = offset + radius * std::sin(angle);
    });
    value.copy_from(numbers.to(value.dtype()).to(device_));
  }
}

Var Model::embed(Pass& pass, Stack& stack, StackKind kind, Layout& layout) {
  const DType type = pass.exact ? accumulator(activation_type()) : activation_type();
  std::vector<int32_t> ids;
  for (const Layout::Row& r : layout.rows) ids.push_back(r.id);
  const auto map = std::make_shared<RowMap>(std::move(ids), config_.vocabulary, device_,
                                            config_.fixed_pad ? config_.pad.value_or(-1) : -1);
  Var x = apply(TakeRows{map, config_.embedding_scale, type, true}, pass(embedding.weight), Var());
  pass.hooks().embedded(pass, kind, x, layout);
  if (stack.position.weight) {
    std::vector<int32_t> rows;
    for (const Layout::Row& r : layout.rows)
      rows.push_back(r.position < 0 ? -1 : r.position + int32_t(config_.position_offset));
    const auto places = std::make_shared<RowMap>(std::move(rows), stack.position.weight.value.rows(), device_);
    x = apply(TakeRows{places, 1, type, true}, pass(stack.position.weight), x);
  }
  if (stack.token_type.weight) {
    std::vector<int32_t> rows;
    for (const Layout::Row& r : layout.rows) rows.push_back(r.type);
    const auto types = std::make_shared<RowMap>(std::move(rows), config_.token_types, device_);
    x = apply(TakeRows{types, 1, type, true}, pass(stack.token_type.weight), x);
  }
  if (config_.embedding_norm) x = stack.embedding_norm(pass, config_, x);
  if (const float p = pass.dropout().embedding; p > 0)
    x = pass.drop_and_add(p, text(name_of(kind), ".embedding"), std::move(x), Var(), layout);
  return x;
}

StackContext Model::context(Pass& pass, const Stack& stack, StackKind kind, const Layout& layout, DecoderCache* cache) {
  StackContext context{.kind = kind,
                       .shape = kind == StackKind::encoder ? &config_.encoder : &config_.decoder,
                       .causal = kind == StackKind::decoder,
                       .segments = layout.segments(device_),
                       .positions = layout.positions(device_)};
  const DropoutRates& rates = pass.dropout();
  if (rates.attention > 0) context.identities = layout.identities(device_);
  if (config_.positions == PositionKind::rotary) {
    int32_t last = 0;
    for (const Layout::Row& r : layout.rows) last = std::max(last, r.position);
    if (rotary_.rows() <= last)
      rotary_ = rotary_table(config_, (last / 256 + 1) * 256, accumulator(activation_type()), device_);
    context.rotary = rotary_;
  }
  if (config_.positions == PositionKind::relative) {
    std::optional<Tensor>& bucket = bucket_[kind == StackKind::encoder];
    if (!bucket) bucket = relative_buckets(config_, kind == StackKind::encoder, device_);
    context.bucket = *bucket;
    context.relative_bias = pass(stack.relative_bias.weight);
  }
  if (cache) {
    context.cache_rows = cache->append(layout, device_);
    context.cache_segments = cache->segments(device_);
  }
  return context;
}

// None where all rows are read.
std::shared_ptr<const ReadRows> Model::read_rows(const Pass& pass, const Layout& layout) const {
  if (!layout.read) return nullptr;
  std::vector<int32_t> rows = layout.read_rows();
  if (int64_t(rows.size()) == layout.size()) return nullptr;
  auto read = std::make_shared<ReadRows>();
  read->layout = layout.only(rows);
  read->segments = read->layout.segments(device_);
  if (pass.dropout().attention > 0) read->identities = read->layout.identities(device_);
  read->map = std::make_shared<RowMap>(std::move(rows), layout.size(), device_);
  return read;
}

Var Model::run(Pass& pass, Stack& stack, StackContext& context, Var x, const Layout& layout, DecoderCache* cache) {
  const bool again = pass.recompute && pass.training();
  // The caller's layout is gone when backward computes a layer again.
  const std::shared_ptr<const Layout> kept = again ? std::make_shared<const Layout>(layout) : nullptr;
  for (size_t i = 0; i < stack.layers.size(); ++i) {
    Layer::Caches* caches = cache ? &cache->layers[i] : nullptr;
    if (i + 1 == stack.layers.size()) context.read = read_rows(pass, layout);
    const auto layer = [this, &pass, &stack, context, i, caches](const Var& in, const Layout& rows) {
      return stack.layers[i](pass, config_, context, int(i), in, rows, caches);
    };
    if (again) x = pass.tape()->recompute([layer, x, kept] { return layer(x, *kept); });
    else x = layer(x, layout);
  }
  if (config_.final_norm) x = stack.final_norm(pass, config_, x);
  // T5 drops a stack's result as it drops its input (transformers' T5Stack, T5X).
  if (const float p = pass.dropout().embedding; p > 0 && config_.family == "t5")
    x = pass.drop_and_add(p, text(name_of(context.kind), ".result"), std::move(x), Var(),
                          context.read ? context.read->layout : layout);
  return x;
}

Var Model::encode(Pass& pass, Layout& layout) {
  Var x = embed(pass, *encoder, StackKind::encoder, layout);
  StackContext stack = context(pass, *encoder, StackKind::encoder, layout, nullptr);
  return run(pass, *encoder, stack, std::move(x), layout, nullptr);
}

Memory Model::remember(Pass& pass, Layout layout) {
  Memory memory;
  memory.rows = encode(pass, layout);
  memory.segments = layout.segments(device_);
  memory.layout = std::make_shared<const Layout>(std::move(layout));
  return memory;
}

Var Model::decode(Pass& pass, Layout& layout, const Memory* memory, DecoderCache* cache) {
  Var x = embed(pass, *decoder, StackKind::decoder, layout);
  StackContext stack = context(pass, *decoder, StackKind::decoder, layout, cache);
  if (memory) stack.memory = *memory;
  return run(pass, *decoder, stack, std::move(x), layout, cache);
}

Var Model::head_rows(Pass& pass, const Var& hidden) {
  Var x = hidden;
  if (config_.head_scale != 1) x = apply(Multiply{config_.head_scale}, x);
  if (config_.head_transform) {
    x = apply(Linear{}, x, pass(head->transform.weight), pass(head->transform.bias));
    x = apply(Activate{config_.activation}, x, Var());
    x = head->norm(pass, config_, x);
  }
  return x;
}

Var Model::head_weight(Pass& pass) { return pass(config_.tied_head ? embedding.weight : head->weight); }

Tensor Model::logits(Pass& pass, const Tensor& hidden) {
  const Var x = head_rows(pass, Var(hidden));
  Tensor weight = head_weight(pass).value;
  if (pass.exact) weight = weight.to(accumulator(weight.dtype()));
  return product(x.value, weight, {.transpose_b = true}, accumulator(x.value.dtype()), pass(head->bias).value);
}

}  // namespace cambium
