#include "models/import/names.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace cambium {
namespace {

// Collects rules of one family; both names get their prefixes.
struct Table {
  const ModelConfig& config;
  std::vector<NameRule> rules = {};

  void add(const std::string& ours, const std::string& foreign, Relayout relayout = Relayout::same, int64_t heads = 0) {
    rules.push_back({ours, foreign, relayout, heads});
  }
  // weight, and bias where the model has it
  void add_dense(const std::string& ours, const std::string& foreign, bool bias, Relayout relayout = Relayout::same,
                 int64_t heads = 0) {
    add(ours + ".weight", foreign + ".weight", relayout, heads);
    if (bias)
      add(ours + ".bias", foreign + ".bias", relayout == Relayout::unpermute_rows ? relayout : Relayout::same, heads);
  }
  void add_norm(const std::string& ours, const std::string& foreign) {
    add_dense(ours, foreign, config.norm == NormKind::layer);
  }
};

void gpt2(Table& t, const std::string& layers, const char* table, const char* places, const char* final_norm,
          const char* const (&names)[6], Relayout relayout) {
  t.add("embedding.weight", table);
  t.add("decoder.position.weight", places);
  for (int64_t i = 0; i < t.config.decoder.layers; ++i) {
    const std::string ours = text("decoder.layers.", i, "."), foreign = text(layers, i, ".");
    t.add_norm(ours + "self_attention_norm", foreign + names[0]);
    t.add_dense(ours + "self_attention.query_key_value", foreign + names[1], true, relayout);
    t.add_dense(ours + "self_attention.output", foreign + names[2], true, relayout);
    t.add_norm(ours + "feed_forward_norm", foreign + names[3]);
    t.add_dense(ours + "feed_forward.up", foreign + names[4], true, relayout);
    t.add_dense(ours + "feed_forward.down", foreign + names[5], true, relayout);
  }
  t.add_norm("decoder.final_norm", final_norm);
}

void llama(Table& t, const std::string& layers, const char* const (&names)[9], Relayout rotated) {
  const ModelConfig& c = t.config;
  for (int64_t i = 0; i < c.decoder.layers; ++i) {
    const std::string ours = text("decoder.layers.", i, "."), foreign = text(layers, i, ".");
    t.add_norm(ours + "self_attention_norm", foreign + names[0]);
    t.add_dense(ours + "self_attention.query", foreign + names[1], c.attention_bias, rotated, c.decoder.heads);
    t.add_dense(ours + "self_attention.key", foreign + names[2], c.attention_bias, rotated, c.decoder.kv_heads);
    t.add_dense(ours + "self_attention.value", foreign + names[3], c.attention_bias);
    t.add_dense(ours + "self_attention.output", foreign + names[4], c.output_bias);
    t.add_norm(ours + "feed_forward_norm", foreign + names[5]);
    t.add_dense(ours + "feed_forward.gate", foreign + names[6], c.feed_forward_bias);
    t.add_dense(ours + "feed_forward.up", foreign + names[7], c.feed_forward_bias);
    t.add_dense(ours + "feed_forward.down", foreign + names[8], c.feed_forward_bias);
  }
}

void bert(Table& t, const std::string& model) {
  const ModelConfig& c = t.config;
  const std::string embeddings = model + "embeddings.";
  t.add("embedding.weight", embeddings + "word_embeddings.weight");
  t.add("encoder.position.weight", embeddings + "position_embeddings.weight");
  if (c.token_types) t.add("encoder.token_type.weight", embeddings + "token_type_embeddings.weight");
  t.add_norm("encoder.embedding_norm", embeddings + "LayerNorm");
  for (int64_t i = 0; i < c.encoder.layers; ++i) {
    const std::string ours = text("encoder.layers.", i, "."), foreign = text(model, "encoder.layer.", i, ".");
    for (const char* part : {"query", "key", "value"})
      t.add_dense(ours + "self_attention." + part, foreign + "attention.self." + part, true);
    t.add_dense(ours + "self_attention.output", foreign + "attention.output.dense", true);
    t.add_norm(ours + "self_attention_norm", foreign + "attention.output.LayerNorm");
    t.add_dense(ours + "feed_forward.up", foreign + "intermediate.dense", true);
    t.add_dense(ours + "feed_forward.down", foreign + "output.dense", true);
    t.add_norm(ours + "feed_forward_norm", foreign + "output.LayerNorm");
  }
  if (c.pooler) t.add_dense("pooler", model + "pooler.dense", true);
  if (c.classes) {
    const bool own_layer = !c.pooler;
    if (own_layer) t.add_dense("classifier.dense", "classifier.dense", true);
    t.add_dense("classifier.output", own_layer ? "classifier.out_proj" : "classifier", true);
  }
  if (!c.language_head) return;
  const bool roberta = c.family == "roberta";
  const std::string head = roberta ? "lm_head." : "cls.predictions.";
  t.add_dense("head.transform", head + (roberta ? "dense" : "transform.dense"), true);
  t.add_norm("head.norm", head + (roberta ? "layer_norm" : "transform.LayerNorm"));
  if (!c.tied_head) t.add("head.weight", head + "decoder.weight");
  t.add("head.bias", head + "bias");
}

void t5_stack(Table& t, const std::string& stack, const StackShape& shape, bool decoder) {
  t.add(stack + ".relative_bias.weight", stack + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight");
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string ours = text(stack, ".layers.", i, "."), foreign = text(stack, ".block.", i, ".layer.");
    const auto attention = [&](const char* place, const std::string& layer, const char* name) {
      t.add_norm(ours + place + "_norm", foreign + layer + "layer_norm");
      constexpr std::pair<const char*, const char*> kParts[] = {
          {".query", ".q"}, {".key", ".k"}, {".value", ".v"}, {".output", ".o"}};
      for (const auto& [part, letter] : kParts)
        t.add_dense(ours + place + part, foreign + layer + name + letter, false);
    };
    attention("self_attention", "0.", "SelfAttention");
    if (decoder) attention("cross_attention", "1.", "EncDecAttention");
    const std::string feed = foreign + (decoder ? "2." : "1.");
    t.add_norm(ours + "feed_forward_norm", feed + "layer_norm");
    if (t.config.gated) t.add_dense(ours + "feed_forward.gate", feed + "DenseReluDense.wi_0", false);
    t.add_dense(ours + "feed_forward.up", feed + (t.config.gated ? "DenseReluDense.wi_1" : "DenseReluDense.wi"), false);
    t.add_dense(ours + "feed_forward.down", feed + "DenseReluDense.wo", false);
  }
  t.add_norm(stack + ".final_norm", stack + ".final_layer_norm");
}

void t5(Table& t) {
  t.add("embedding.weight", "shared.weight");
  t5_stack(t, "encoder", t.config.encoder, false);
  t5_stack(t, "decoder", t.config.decoder, true);
  if (!t.config.tied_head) t.add("head.weight", "lm_head.weight");
}

void bart_stack(Table& t, const std::string& stack, const StackShape& shape, bool decoder) {
  const std::string model = "model." + stack + ".";
  t.add(stack + ".position.weight", model + "embed_positions.weight");
  t.add_norm(stack + ".embedding_norm", model + "layernorm_embedding");
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string ours = text(stack, ".layers.", i, "."), foreign = text(model, "layers.", i, ".");
    const auto attention = [&](const char* place, const char* name) {
      constexpr std::pair<const char*, const char*> kParts[] = {
          {".query", ".q_proj"}, {".key", ".k_proj"}, {".value", ".v_proj"}, {".output", ".out_proj"}};
      for (const auto& [part, projection] : kParts) t.add_dense(ours + place + part, foreign + name + projection, true);
      t.add_norm(ours + place + "_norm", foreign + name + "_layer_norm");
    };
    attention("self_attention", "self_attn");
    if (decoder) attention("cross_attention", "encoder_attn");
    t.add_dense(ours + "feed_forward.up", foreign + "fc1", true);
    t.add_dense(ours + "feed_forward.down", foreign + "fc2", true);
    t.add_norm(ours + "feed_forward_norm", foreign + "final_layer_norm");
  }
}

void bart(Table& t) {
  t.add("embedding.weight", "model.shared.weight");
  bart_stack(t, "encoder", t.config.encoder, false);
  bart_stack(t, "decoder", t.config.decoder, true);
  if (!t.config.tied_head) t.add("head.weight", "lm_head.weight");
  t.add("head.bias", "final_logits_bias");
  t.rules.back().optional = true;
}

// What transformers puts before the names of the model below a head.
std::string prefix_of(const std::string& family) {
  return family == "gpt2"                          ? "transformer."
         : family == "bert" || family == "roberta" ? family + "."
         : family == "t5"                          ? ""
                                                   : "model.";
}

}  // namespace

std::vector<NameRule> huggingface_names(const ModelConfig& config) {
  Table t{config};
  if (config.family == "gpt2") {
    gpt2(t, "transformer.h.", "transformer.wte.weight", "transformer.wpe.weight", "transformer.ln_f",
         {"ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"}, Relayout::transpose);
    if (!config.tied_head) t.add("head.weight", "lm_head.weight");
  } else if (config.family == "llama") {
    t.add("embedding.weight", "model.embed_tokens.weight");
    llama(t, "model.layers.",
          {"input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"},
          Relayout::same);
    t.add_norm("decoder.final_norm", "model.norm");
    if (!config.tied_head) t.add("head.weight", "lm_head.weight");
  } else if (config.family == "bert" || config.family == "roberta") {
    bert(t, config.family + ".");
  } else if (config.family == "t5") {
    t5(t);
  } else if (config.family == "bart") {
    bart(t);
  } else {
    throw InputError(text("models of the family \"", config.family, "\" are not known"));
  }
  return t.rules;
}

std::vector<NameRule> gguf_names(const ModelConfig& config) {
  Table t{config};
  if (config.family == "gpt2") {
    gpt2(t, "blk.", "token_embd.weight", "position_embd.weight", "output_norm",
         {"attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up", "ffn_down"}, Relayout::same);
  } else {
    t.add("embedding.weight", "token_embd.weight");
    llama(t, "blk.",
          {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"},
          Relayout::unpermute_rows);
    t.add_norm("decoder.final_norm", "output_norm");
  }
  if (!config.tied_head) t.add("head.weight", "output.weight");
  return t.rules;
}

std::vector<std::string> spellings(const std::string& family, const std::string& foreign) {
  std::vector<std::string> all{foreign};
  if (foreign == "model.shared.weight") all.push_back("shared.weight");
  if (foreign == "cls.predictions.bias") all.push_back("cls.predictions.decoder.bias");
  if (foreign == "lm_head.bias") all.push_back("lm_head.decoder.bias");
  if (foreign == "model.shared.weight" || foreign == "shared.weight")
    for (const char* stack : {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}) {
      all.push_back(foreign.substr(0, foreign.find("shared")) + stack);
      all.push_back(stack);
    }
  const std::string prefix = prefix_of(family);
  for (size_t i = 0, n = all.size(); i < n; ++i)
    if (!prefix.empty() && all[i].starts_with(prefix)) all.push_back(all[i].substr(prefix.size()));
  for (size_t i = 0, n = all.size(); i < n; ++i) {
    const size_t norm = all[i].rfind("LayerNorm.");
    if (norm == std::string::npos) continue;
    all.push_back(all[i].substr(0, norm + 10) + (all[i].ends_with("weight") ? "gamma" : "beta"));
  }
  return all;
}

bool is_ignored(const ModelConfig& config, const std::string& foreign) {
  const auto ends = [&](const char* tail) { return foreign.ends_with(tail); };
  if (ends("position_ids") || ends("token_type_ids") || ends("rotary_emb.inv_freq") || foreign == "rope_freqs.weight")
    return true;
  if (config.family == "gpt2" && (ends(".attn.bias") || ends(".attn.masked_bias"))) return true;
  const bool table = ends("embed_tokens.weight");
  if ((config.family == "t5" || config.family == "bart") && table) return true;
  if (config.tied_head && (foreign == "lm_head.weight" || foreign == "output.weight" ||
                           ends("predictions.decoder.weight") || ends("lm_head.decoder.weight")))
    return true;
  // An MLM head's bias has two names.
  if (ends("predictions.decoder.bias") || ends("lm_head.decoder.bias") || ends("predictions.bias") ||
      (config.family == "roberta" && foreign == "lm_head.bias"))
    return true;
  // A table that T5's first release saved and no version used.
  if (ends("EncDecAttention.relative_attention_bias.weight")) return true;
  // Heads for tasks that no language model has.
  if (foreign.starts_with("cls.seq_relationship.")) return true;
  // A pooler or MLM head that the configuration leaves out.
  return (config.family == "bert" || config.family == "roberta") &&
         ((!config.pooler && foreign.find("pooler.") != std::string::npos) ||
          (!config.language_head && (foreign.starts_with("cls.") || foreign.starts_with("lm_head."))));
}

std::vector<std::string> take_beside(const ModelConfig& config, std::vector<std::string>& names) {
  const std::string prefix = prefix_of(config.family);
  const auto has_prefix = [&](std::string_view name) { return !prefix.empty() && name.starts_with(prefix); };
  const auto root = [&](std::string_view name) {
    if (has_prefix(name)) name.remove_prefix(prefix.size());
    return std::string(name.substr(0, name.find('.')));
  };
  std::set<std::string> inside{"lm_head"};
  for (const NameRule& rule : huggingface_names(config))
    if (!rule.ours.starts_with("classifier.")) inside.insert(root(rule.foreign));
  const auto first = std::stable_partition(names.begin(), names.end(), [&](const std::string& name) {
    return has_prefix(name) || inside.count(root(name));
  });
  std::vector<std::string> beside(first, names.end());
  names.erase(first, names.end());
  return beside;
}

Tensor transposed(const Tensor& x) {
  const int64_t rows = x.rows(), cols = x.cols();
  Tensor y = Tensor::empty({cols, rows}, DType::f32);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) y.data<float>()[c * rows + r] = x.data<float>()[r * cols + c];
  return y;
}

}  // namespace cambium
