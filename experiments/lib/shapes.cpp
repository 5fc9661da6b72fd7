#include "experiments/lib/shapes.h"

#include <cmath>

#include "core/error.h"

namespace cambium {
namespace {

ModelConfig gpt2(int64_t width, int64_t layers, int64_t heads) {
  ModelConfig c;
  c.family = "gpt2", c.vocabulary = 50257, c.width = width;
  c.decoder = {layers, heads, heads, width / heads, 4 * width};
  c.max_positions = 1024, c.activation = Activation::gelu_tanh, c.fused_attention = true;
  c.dropout = {0.1f, 0.1f, 0.1f, 0};
  c.eos = {50256};
  return c;
}

ModelConfig llama(int64_t vocabulary, int64_t width, int64_t layers, int64_t heads, int64_t kv_heads, int64_t inner) {
  ModelConfig c;
  c.family = "llama", c.vocabulary = vocabulary, c.width = width;
  c.decoder = {layers, heads, kv_heads, width / heads, inner};
  c.norm = NormKind::rms, c.positions = PositionKind::rotary, c.rotary_size = width / heads, c.rotary_base = 1e5;
  c.max_positions = 8192, c.activation = Activation::silu, c.gated = true;
  c.attention_bias = c.output_bias = c.feed_forward_bias = false;
  c.eos = {2};
  return c;
}

ModelConfig roberta_base() {
  ModelConfig c;
  c.family = "roberta", c.vocabulary = 50265, c.width = 768;
  c.encoder = {12, 12, 12, 64, 3072};
  c.norm_first = false, c.embedding_norm = true, c.final_norm = false, c.fixed_pad = true;
  c.position_offset = 2, c.max_positions = 512, c.token_types = 1, c.pad = 1;
  c.head_transform = c.head_bias = true;
  c.dropout = {0.1f, 0.1f, 0.1f, 0};
  return c;
}

ModelConfig t5_small() {
  ModelConfig c;
  c.family = "t5", c.vocabulary = 32128, c.width = 512;
  c.encoder = c.decoder = {6, 8, 8, 64, 2048};
  c.norm = NormKind::rms, c.epsilon = 1e-6f, c.positions = PositionKind::relative, c.attention_scale = 1;
  c.relative_buckets = 32, c.relative_distance = 128, c.activation = Activation::relu;
  c.attention_bias = c.output_bias = c.feed_forward_bias = false;
  c.head_scale = 1 / std::sqrt(512.f);
  c.dropout = {0.1f, 0.1f, 0.1f, 0.1f};
  c.decoder_start = c.pad = 0, c.eos = {1};
  return c;
}

ModelConfig bart_base() {
  ModelConfig c;
  c.family = "bart", c.vocabulary = 50265, c.width = 768;
  c.encoder = c.decoder = {6, 12, 12, 64, 3072};
  c.norm_first = false, c.embedding_norm = true, c.final_norm = false, c.fixed_pad = true;
  c.position_offset = 2, c.max_positions = 1024, c.head_bias = true;
  c.dropout = {0.1f, 0.1f, 0.1f, 0.1f};
  c.decoder_start = 2, c.pad = 1, c.eos = {2};
  return c;
}

}  // namespace

std::vector<std::string> published_shapes() {
  return {"gpt2", "gpt2-medium", "smollm2-135m", "roberta-base", "t5-small", "bart-base"};
}

ModelConfig published_shape(const std::string& name) {
  if (name == "gpt2") return gpt2(768, 12, 12);
  if (name == "gpt2-medium") return gpt2(1024, 24, 16);
  if (name == "smollm2-135m") return llama(49152, 576, 30, 9, 3, 1536);
  if (name == "roberta-base") return roberta_base();
  if (name == "t5-small") return t5_small();
  if (name == "bart-base") return bart_base();
  throw InputError(text("--shape ", name, ": there are ", listed(published_shapes())));
}

ModelConfig resized(ModelConfig c, int64_t layers, int64_t width) {
  check_input(layers >= 0 && width >= 0, "--layers and --width must be at least 1");
  const auto scale = [&](int64_t& count, const char* what) {
    check_input(width <= (int64_t(1) << 20) && count * width % c.width == 0, "--width ", width, ": the ", what, " of ",
                c.family, " (", count, " at a width of ", c.width, ") do not come out even");
    count = count * width / c.width;
  };
  for (StackShape* stack : {&c.encoder, &c.decoder}) {
    if (layers && stack->layers) stack->layers = layers;
    if (!width || !stack->layers) continue;
    scale(stack->heads, "heads"), scale(stack->kv_heads, "key and value heads"), scale(stack->inner, "inner channels");
  }
  if (width && c.family == "t5") c.head_scale = 1 / std::sqrt(float(width));
  if (width) c.width = width;
  c.check();
  return c;
}

ModelConfig tiny_decoder(int64_t vocabulary) {
  ModelConfig c = llama(vocabulary, 32, 2, 4, 2, 64);
  c.max_positions = 512;
  return c;
}

ModelConfig tiny_encoder(int64_t vocabulary, int32_t pad) {
  ModelConfig c;
  c.family = "bert", c.vocabulary = vocabulary, c.width = 32;
  c.encoder = {2, 4, 4, 8, 64};
  c.norm_first = false, c.embedding_norm = true, c.final_norm = false, c.fixed_pad = true;
  c.max_positions = 512, c.token_types = 2, c.pad = pad;
  c.language_head = false, c.pooler = true;
  return c;
}

ModelConfig tiny_seq2seq(int64_t vocabulary, int32_t pad, int32_t end) {
  ModelConfig c = t5_small();
  c.vocabulary = vocabulary, c.width = 32;
  c.encoder = c.decoder = {2, 4, 4, 8, 64};
  c.activation = Activation::gelu_tanh, c.gated = true, c.tied_head = false, c.head_scale = 1;
  c.dropout = {};
  c.decoder_start = c.pad = pad, c.eos = {end};
  return c;
}

}  // namespace cambium
