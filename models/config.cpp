// Checks of model configurations, and their form in files.
#include "models/config.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace cambium {
namespace {

using nlohmann::json;

// Calls field(name, member) for every member: the one list that writing and reading share.
template <class Config, class Field>
void for_each_field(Config& c, const Field& field) {
  field("family", c.family), field("vocabulary", c.vocabulary), field("width", c.width);
  field("encoder_layers", c.encoder.layers), field("encoder_heads", c.encoder.heads);
  field("encoder_kv_heads", c.encoder.kv_heads), field("encoder_head_size", c.encoder.head_size);
  field("encoder_inner", c.encoder.inner);
  field("decoder_layers", c.decoder.layers), field("decoder_heads", c.decoder.heads);
  field("decoder_kv_heads", c.decoder.kv_heads), field("decoder_head_size", c.decoder.head_size);
  field("decoder_inner", c.decoder.inner);
  field("norm", c.norm), field("epsilon", c.epsilon), field("norm_first", c.norm_first);
  field("embedding_norm", c.embedding_norm), field("final_norm", c.final_norm);
  field("positions", c.positions), field("max_positions", c.max_positions), field("position_offset", c.position_offset);
  field("rotary_base", c.rotary_base), field("rotary_size", c.rotary_size);
  field("rotary_factor", c.rotary_scaling.factor), field("rotary_low_frequency", c.rotary_scaling.low_frequency);
  field("rotary_high_frequency", c.rotary_scaling.high_frequency);
  field("rotary_original_positions", c.rotary_scaling.original_positions);
  field("relative_buckets", c.relative_buckets), field("relative_distance", c.relative_distance);
  field("token_types", c.token_types), field("activation", c.activation), field("gated", c.gated);
  field("attention_bias", c.attention_bias), field("output_bias", c.output_bias);
  field("feed_forward_bias", c.feed_forward_bias), field("fused_attention", c.fused_attention);
  field("attention_scale", c.attention_scale), field("scale_by_layer", c.scale_by_layer);
  field("embedding_scale", c.embedding_scale), field("head_scale", c.head_scale);
  field("fixed_pad", c.fixed_pad);
  field("language_head", c.language_head), field("tied_head", c.tied_head), field("head_bias", c.head_bias);
  field("head_transform", c.head_transform), field("pooler", c.pooler), field("classes", c.classes);
  field("embedding_dropout", c.dropout.embedding), field("attention_dropout", c.dropout.attention);
  field("residual_dropout", c.dropout.residual), field("activation_dropout", c.dropout.activation);
  field("bos", c.bos), field("pad", c.pad), field("decoder_start", c.decoder_start), field("mask", c.mask),
      field("eos", c.eos);
  field("forced_bos", c.forced_bos), field("forced_eos", c.forced_eos);
}

template <class E>
std::string enum_name(E value);
template <>
std::string enum_name(NormKind v) {
  return v == NormKind::rms ? "rms" : "layer";
}
template <>
std::string enum_name(Activation v) {
  return std::string(name_of(v));
}
template <>
std::string enum_name(PositionKind v) {
  constexpr const char* names[] = {"none", "learned", "rotary", "relative"};
  return names[size_t(v)];
}

template <class E>
E enum_value(const std::string& name, const std::string& where) {
  for (int i = 0; i < 5; ++i) {
    const E value = E(i);
    if constexpr (std::is_same_v<E, NormKind>) {
      if (i > 1) break;
    }
    if constexpr (std::is_same_v<E, PositionKind>) {
      if (i > 3) break;
    }
    if (enum_name(value) == name) return value;
  }
  throw InputError(text(where, ": \"", name, "\" is not known"));
}

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};

}  // namespace

float ModelConfig::score_scale(const StackShape& stack, int64_t layer) const {
  const float scale = attention_scale != 0 ? attention_scale : 1 / std::sqrt(float(stack.head_size));
  return scale_by_layer ? scale / float(layer + 1) : scale;
}

void ModelConfig::check() const {
  const auto within = [](const char* name, int64_t value, int64_t least, int64_t most) {
    check_input(value >= least && value <= most, "model configuration: ", name, " is ", value, "; it must be from ",
                least, " to ", most);
  };
  within("vocabulary", vocabulary, 1, 16'000'000);
  within("width", width, 1, 65536);
  for (const StackShape* stack : {&encoder, &decoder}) {
    within("layers", stack->layers, 0, 1000);
    if (stack->layers == 0) continue;
    within("inner", stack->inner, 1, 1'048'576);
    within("heads", stack->heads, 1, 1024);
    within("kv_heads", stack->kv_heads, 1, stack->heads);
    within("head_size", stack->head_size, 1, 256);
    check_input(stack->heads % stack->kv_heads == 0, "model configuration: ", stack->heads, " heads cannot share ",
                stack->kv_heads, " key/value heads");
    if (positions == PositionKind::rotary) within("rotary_size", rotary_size, 2, stack->head_size);
  }
  within("max_positions", max_positions, positions == PositionKind::learned ? 1 : 0, 16'777'216);
  within("position_offset", position_offset, 0, 1024);
  within("token_types", token_types, 0, 1024);
  within("classes", classes, 0, 65536);
  check_input(classes == 0 || is_encoder(), "model configuration: a classification head needs an encoder");
  check_input(encoder.layers + decoder.layers > 0, "model configuration: no layers");
  check_input(epsilon > 0 && epsilon < 1, "model configuration: epsilon is ", epsilon);
  check_input(positions != PositionKind::rotary || (rotary_size % 2 == 0 && rotary_base > 0),
              "model configuration: rotary_size ", rotary_size, ", rotary_base ", rotary_base);
  if (positions == PositionKind::relative) {
    within("relative_buckets", relative_buckets, 4, 4096);
    within("relative_distance", relative_distance, relative_buckets / 2 + 1, 65536);
  }
  for (const float p : {dropout.embedding, dropout.attention, dropout.residual, dropout.activation})
    check_input(p >= 0 && p < 1, "model configuration: a dropout probability of ", p);
}

std::string to_json(const ModelConfig& config) {
  json object = json::object();
  for_each_field(config, [&]<class T>(const char* name, const T& value) {
    if constexpr (std::is_enum_v<T>) object[name] = enum_name(value);
    else if constexpr (is_optional<T>::value) object[name] = value ? json(*value) : json();
    else object[name] = value;
  });
  return object.dump();
}

ModelConfig config_from_json(const std::string& source, const std::string& where) {
  ModelConfig config;
  try {
    const json object = json::parse(source);
    for_each_field(config, [&]<class T>(const char* name, T& value) {
      const json& field = object.at(name);
      if constexpr (std::is_enum_v<T>) value = enum_value<T>(field.get<std::string>(), where);
      else if constexpr (is_optional<T>::value) value = field.is_null() ? T() : T(field.get<typename T::value_type>());
      else value = field.get<T>();
    });
  } catch (const json::exception& error) {
    throw InputError(text(where, ": ", error.what()));
  }
  config.check();
  return config;
}

}  // namespace cambium
