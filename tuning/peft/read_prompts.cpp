// Prompts, P-tuning and prefixes from PEFT's directories: all are one tensor, prompt_embeddings.
#include <algorithm>

#include "core/json.h"
#include "core/progress.h"
#include "tuning/methods.h"
#include "tuning/peft/directory.h"

namespace cambium::peft {
namespace {

using nlohmann::json;

constexpr const char* kRows = "prompt_embeddings";

int64_t virtual_tokens(const Reading& r) {
  return reading(kConfig, [&] { return get_int(r.files.config, "num_virtual_tokens", 1, 1 << 20); });
}

// Rows in front of the embedded input, of an encoder where there is one.
std::unique_ptr<Tuner> read_rows(Reading& r) {
  const int64_t length = virtual_tokens(r);
  const int64_t copies =
      reading(kConfig, [&] { return find_int(r.files.config, "num_transformer_submodules", 1, 2).value_or(1); });
  check_input(r.plan.has(kRows), kWeights, ": ", kRows, " is missing");
  const Tensor rows = r.files.weights.read(kRows);
  check_input(rows.shape().rank() == 2 && rows.rows() == length * copies, kWeights, ": ", kRows, " is ", rows.shape(),
              ", needed are ", length * copies, " rows");
  if (copies == 2)
    Progress::say(text("note: PEFT keeps twice as many rows as it reads for models with encoder and decoder: the first ",
                       length, " are the prompt, the others were left"));
  const std::string where = r.model.config().encoder.layers ? "encoder" : "decoder";
  Made made{make_tuner("prompt", {{"length", std::to_string(length)}, {"init", "random"}, {"where", where}},
                       {.model = r.model, .initialize = false}),
            ""};
  r.plan.add_value(kRows, made.parameter(where + ".prompt"), rows.rows(0, length));
  r.plan.write();
  return std::move(made.tuner);
}

constexpr std::initializer_list<const char*> kShapes = {"num_virtual_tokens", "num_transformer_submodules"};

}  // namespace

std::unique_ptr<Tuner> read_prompt(Reading& r) {
  r.files.check_fields({kShapes,
                        {"token_dim", "num_attention_heads", "num_layers", "prompt_tuning_init", "prompt_tuning_init_text",
                         "tokenizer_name_or_path", "tokenizer_kwargs"}});
  return read_rows(r);
}

// The network that made the rows is not stored: what is left is a prompt.
std::unique_ptr<Tuner> read_p_tuning(Reading& r) {
  r.files.check_fields({kShapes,
                        {"token_dim", "num_attention_heads", "num_layers", "encoder_reparameterization_type",
                         "encoder_hidden_size", "encoder_num_layers", "encoder_dropout"}});
  Progress::say("note: PEFT stores the rows of P-tuning and not the network that made them: they are a prompt here");
  return read_rows(r);
}

std::unique_ptr<Tuner> read_prefix(Reading& r) {
  r.files.check_fields({kShapes,
                        {"token_dim", "num_attention_heads", "num_layers", "encoder_hidden_size", "prefix_projection",
                         "init_weights"}});
  const ModelConfig& config = r.model.config();
  check_input(config.decoder.layers, kConfig, ": prefixes of encoders cannot be read: PEFT's do nothing in such models");
  check_input(!config.is_seq2seq() || config.positions != PositionKind::relative, kConfig,
              ": a prefix of T5: PEFT gives its keys a place among the relative positions, which cannot be computed here");
  const int64_t P = virtual_tokens(r), blocks = config.decoder.layers * 2, width = config.decoder.kv_width();
  check_input(r.plan.has(kRows), kWeights, ": ", kRows, " is missing");
  const Tensor rows = r.files.weights.read(kRows).to(DType::f32);
  check_input((rows.shape() == Shape{P, blocks * width}), kWeights, ": ", kRows, " is ", rows.shape(), ", needed is ",
              Shape{P, blocks * width});
  if (config.is_seq2seq())
    Progress::say(text("note: compat=peft: PEFT's prefix of this model acts in the decoder's self-attention alone, and "
                       "layer i reads the rows of layer 2 i mod ", config.decoder.layers));
  Made made{make_tuner("prefix",
                       {{"length", std::to_string(P)},
                        {"init", "random"},
                        {"sites", "decoder"},
                        {"compat", config.is_seq2seq() ? "peft" : ""}},
                       {.model = r.model, .initialize = false}),
            ""};
  const NamedParameter p = made.parameter("decoder.prefix");
  Tensor turned = Tensor::empty(p.value().shape(), DType::f32);  // [layers, 2, P, kv_heads, head_size]
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t t = 0; t < P; ++t)
      std::copy_n(rows.data<float>() + (t * blocks + b) * width, width, turned.data<float>() + (b * P + t) * width);
  r.plan.add_value(kRows, p, turned);
  r.plan.write();
  return std::move(made.tuner);
}

}  // namespace cambium::peft
