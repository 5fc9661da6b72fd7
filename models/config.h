// What a transformer is made of: one description for encoders, decoders and both together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kernels/activation.h"

namespace cambium {

enum class NormKind : uint8_t { layer, rms };
// Where a token's place enters: a learned table, a rotation of queries and keys, a bias of the scores.
enum class PositionKind : uint8_t { none, learned, rotary, relative };

struct RotaryScaling {  // Llama 3's stretching of long wave lengths; factor 1: none
  double factor = 1, low_frequency = 1, high_frequency = 4, original_positions = 8192;
};

// Dropout probabilities of the model's own training; see Pass::dropout.
struct DropoutRates {
  float embedding = 0, attention = 0, residual = 0, activation = 0;
};

// One stack of layers.
struct StackShape {
  int64_t layers = 0;  // 0: no such stack
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  int64_t inner = 0;  // the feed-forward layers' width

  int64_t query_width() const { return heads * head_size; }
  int64_t kv_width() const { return kv_heads * head_size; }
};

struct ModelConfig {
  std::string family;  // "gpt2", "llama", "bert", "roberta", "t5", "bart"

  int64_t vocabulary = 0, width = 0;
  StackShape encoder, decoder;

  NormKind norm = NormKind::layer;
  float epsilon = 1e-5f;
  bool norm_first = true;  // x + f(norm(x)), else norm(x + f(x))
  bool embedding_norm = false;
  bool final_norm = true;  // after the last layer of a stack

  PositionKind positions = PositionKind::learned;
  int64_t max_positions = 0;    // rows of the learned table; for rotary the longest sequence; 0: no limit
  int64_t position_offset = 0;  // RoBERTa and BART: row of the first position
  double rotary_base = 10000;
  int64_t rotary_size = 0;  // rotated channels of a head
  RotaryScaling rotary_scaling;
  int64_t relative_buckets = 0, relative_distance = 0;
  int64_t token_types = 0;

  Activation activation = Activation::gelu;
  bool gated = false;
  bool attention_bias = true, output_bias = true, feed_forward_bias = true;
  bool fused_attention = false;  // query, key and value are one parameter (GPT-2)
  float attention_scale = 0;     // of the scores; 0: 1 / sqrt(head_size)
  bool scale_by_layer = false;   // scores of layer i are divided by i + 1 too (a GPT-2 variant)
  float embedding_scale = 1, head_scale = 1;
  bool fixed_pad = false;  // the pad token's embedding gets no gradient as an input (BERT, RoBERTa, BART)

  bool language_head = true;  // logits over the vocabulary
  bool tied_head = true;      // with the embedding's weight
  bool head_bias = false;
  bool head_transform = false;  // BERT's dense + activation + norm before the head
  bool pooler = false;
  int64_t classes = 0;  // of a classification head; 0: none

  DropoutRates dropout;
  std::optional<int32_t> bos, pad, decoder_start, mask;
  std::optional<int32_t> forced_bos,
      forced_eos;  // what generation writes first, and last where a text gets too long (BART)
  std::vector<int32_t> eos;

  bool is_seq2seq() const { return encoder.layers > 0 && decoder.layers > 0; }
  bool is_encoder() const { return decoder.layers == 0; }
  float score_scale(const StackShape&, int64_t layer) const;

  // Throws InputError naming the first field that is out of range or contradicts another.
  void check() const;
};

std::string to_json(const ModelConfig&);
// Reads what to_json wrote; checks it. `where` names the source in errors.
ModelConfig config_from_json(const std::string& text, const std::string& where);

}  // namespace cambium
