// Prompts, P-tuning and prefixes for PEFT.
#include <algorithm>

#include "tuning/peft/writing.h"
#include "tuning/prefix.h"
#include "tuning/prompt.h"

namespace cambium::peft {
namespace {

// What PEFT's prompts say of the model, and that nothing trained along.
void write_shapes(Writing& w, int64_t length, int64_t width, int64_t heads, int64_t layers) {
  check_input(w.trained_base.empty(), w.tuner.method(), " cannot be written for PEFT: ",
              w.trained_base.empty() ? "" : *w.trained_base.begin(),
              " trained along, which PEFT's would read at the first virtual token");
  w.config["modules_to_save"] = nullptr;
  w.config["num_virtual_tokens"] = length;
  w.config["token_dim"] = width;
  w.config["num_attention_heads"] = heads;
  w.config["num_layers"] = layers;
  w.config["num_transformer_submodules"] = w.model.config().is_seq2seq() ? 2 : 1;
}

}  // namespace

void write_prompt(Writing& w) {
  const ModelConfig& c = w.model.config();
  auto& prompt = dynamic_cast<VirtualRows&>(w.tuner);
  const char* where = c.encoder.layers ? "encoder" : "decoder";
  check_input(prompt.where() == where, w.tuner.method(), ": where=", prompt.where(), " cannot be written for PEFT, whose ",
              "prompts stand before the ", where);
  Tensor rows = prompt.values(c.encoder.layers ? StackKind::encoder : StackKind::decoder).to(Device::cpu()).to(DType::f32);
  const int64_t length = rows.rows(), width = rows.cols();
  const StackShape& shape = c.encoder.layers ? c.encoder : c.decoder;
  write_shapes(w, length, width, shape.heads, shape.layers);
  if (c.is_seq2seq()) {  // PEFT has twice the rows and reads the first half
    Tensor twice = Tensor::empty({2 * length, width}, DType::f32);
    twice.rows(0, length).copy_from(rows);
    twice.rows(length, 2 * length).copy_from(rows);
    rows = twice;
  }
  w.tensors["prompt_embeddings"] = rows;
  if (w.tuner.method() == "prompt") {
    w.config["peft_type"] = "PROMPT_TUNING";
    w.config["prompt_tuning_init"] = "RANDOM";
    return;
  }
  const OptionMap options = w.tuner.options();
  const int64_t hidden = std::stoll(options.at("hidden"));
  w.config["peft_type"] = "P_TUNING";
  w.config["encoder_reparameterization_type"] = options.at("encoder") == "lstm" ? "LSTM" : "MLP";
  w.config["encoder_hidden_size"] = hidden ? hidden : width;
  w.config["encoder_num_layers"] = 2;
  w.config["encoder_dropout"] = 0.0;
}

void write_prefix(Writing& w) {
  const ModelConfig& c = w.model.config();
  const auto& prefix = dynamic_cast<const Prefix&>(w.tuner);
  const OptionMap options = w.tuner.options();
  const bool as_peft = options.count("compat") && options.at("compat") == "peft";
  check_input(c.decoder.layers, w.tuner.method(), " cannot be written for PEFT: its prefixes do nothing in encoders");
  check_input(!c.is_seq2seq() || as_peft, w.tuner.method(), " cannot be written for PEFT: in models with encoder and ",
              "decoder its prefixes act in the decoder's self-attention alone, and layers share them (compat=peft trains ",
              "such a one)");
  const int64_t blocks = c.decoder.layers * 2, width = c.decoder.kv_width();
  const Tensor values = prefix.values("decoder").to(Device::cpu()).to(DType::f32);  // [blocks, length, width]
  const int64_t length = values.shape()[1];
  write_shapes(w, length, width, c.decoder.kv_heads, c.decoder.layers);
  Tensor rows = Tensor::empty({length, blocks * width}, DType::f32);
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t t = 0; t < length; ++t)
      std::copy_n(values.data<float>() + (b * length + t) * width, width, rows.data<float>() + (t * blocks + b) * width);
  w.tensors["prompt_embeddings"] = rows;
  w.config["peft_type"] = "PREFIX_TUNING";
  w.config["prefix_projection"] = false;
  w.config["encoder_hidden_size"] = width;
}

}  // namespace cambium::peft
