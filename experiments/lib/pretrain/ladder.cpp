#include "experiments/lib/pretrain/ladder.h"

#include <cmath>

#include "core/error.h"

namespace cambium {
namespace {

struct Size {
  const char* name;
  int64_t width, layers, heads, inner;
};
constexpr Size kSizes[] = {{"tiny", 32, 1, 2, 64},
                           {"1m", 96, 2, 3, 192},
                           {"3m", 160, 3, 5, 400},
                           {"7m", 224, 4, 7, 576},
                           {"16m", 320, 5, 10, 832}};

constexpr int64_t kPositions = 512;

void set_t5(ModelConfig& c) {
  c.norm = NormKind::rms, c.epsilon = 1e-6f, c.positions = PositionKind::relative, c.attention_scale = 1;
  c.relative_buckets = 32, c.relative_distance = 128;
  c.activation = Activation::gelu_tanh, c.gated = true;
  c.attention_bias = c.output_bias = c.feed_forward_bias = false;
  c.head_scale = 1 / std::sqrt(float(c.width));
  c.decoder_start = c.pad = 0, c.eos = {1};
}

void set_post_norm(ModelConfig& c) {
  c.norm_first = false, c.embedding_norm = true, c.final_norm = false, c.max_positions = kPositions;
}

}  // namespace

std::vector<std::string> ladder_sizes() {
  std::vector<std::string> names;
  for (const Size& s : kSizes) names.push_back(s.name);
  return names;
}

ModelConfig ladder_shape(const std::string& size, const std::string& family, int64_t vocabulary) {
  const Size* s = nullptr;
  std::string names;
  for (const Size& candidate : kSizes) {
    if (size == candidate.name) s = &candidate;
    names += (names.empty() ? "" : ", ") + std::string(candidate.name);
  }
  check_input(s, "--shape ", size, ": there are ", names, ", or a config.json");
  ModelConfig c;
  c.family = family, c.vocabulary = vocabulary, c.width = s->width;
  const StackShape stack{s->layers, s->heads, s->heads, s->width / s->heads, s->inner};
  if (family == "t5" || family == "bart") c.encoder = c.decoder = stack;
  else if (family == "bert") c.encoder = stack;
  else c.decoder = stack;
  if (family == "t5") {
    set_t5(c);
  } else if (family == "bert") {
    set_post_norm(c);
    c.token_types = 1, c.head_transform = c.head_bias = true;
  } else if (family == "bart") {
    set_post_norm(c);
    c.position_offset = 2, c.head_bias = true, c.decoder_start = 1, c.pad = 0, c.eos = {1};
  } else if (family == "gpt2") {
    c.max_positions = kPositions, c.activation = Activation::gelu_tanh, c.fused_attention = true, c.eos = {1};
  } else {
    throw InputError(text("--family ", family, ": there are t5, bert, gpt2 and bart"));
  }
  c.check();
  return c;
}

void initialize(Model& model, uint64_t seed) {
  const ModelConfig& c = model.config();
  if (c.family != "t5") return model.randomize(seed, 0.02f);
  model.randomize(seed, 1);
  for (const NamedParameter& p : model.parameters()) {
    const Tensor value = p.value();
    if (value.shape().rank() != 2 || p.name == "embedding.weight" || p.name == "head.weight") continue;
    const double fan_in = double(value.shape()[1]);
    double deviation = 1 / std::sqrt(fan_in);
    if (p.name.ends_with("query.weight"))
      deviation = 1 / std::sqrt(fan_in * double(c.decoder.head_size));  // scores are not scaled
    if (p.name.find("relative_bias") != p.name.npos) deviation = 1 / std::sqrt(double(c.width));
    DISPATCH(scale, value.stream())(value.stream(), value, float(deviation), value);
  }
}

}  // namespace cambium
