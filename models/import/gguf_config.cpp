// The metadata of GGUF files as a configuration.
#include <algorithm>
#include <limits>

#include "core/json.h"
#include "models/import/config.h"
#include "models/import/notes.h"

namespace cambium {
namespace {

constexpr int64_t kLargestField = int64_t(1) << 31;

// Settings of the architecture that nothing here reads.
void name_unused(const GgufValues& values, const std::string& architecture, const std::string& path) {
  constexpr std::string_view kKnown[] = {"context_length",
                                         "embedding_length",
                                         "block_count",
                                         "feed_forward_length",
                                         "vocab_size",
                                         "attention.head_count",
                                         "attention.head_count_kv",
                                         "attention.key_length",
                                         "attention.value_length",
                                         "attention.layer_norm_epsilon",
                                         "attention.layer_norm_rms_epsilon",
                                         "attention.sliding_window",
                                         "rope.dimension_count",
                                         "rope.freq_base",
                                         "rope.scale_linear",
                                         "rope.scaling.type"};
  std::vector<std::string> unused;
  for (const std::string& key : values.keys())
    if (key.starts_with(architecture + ".") &&
        std::find(std::begin(kKnown), std::end(kKnown), std::string_view(key).substr(architecture.size() + 1)) ==
            std::end(kKnown))
      unused.push_back(text(key.substr(0, 100), " = ", values.print(key).substr(0, 60)));
  if (!unused.empty()) note_once(text("warning: ", path, ": not used: ", listed(unused)));
}

void read_llama(const GgufFile& file, ModelConfig& c) {
  const GgufValues& v = file.values();
  const auto key = [](const char* name) { return std::string("llama.") + name; };
  c.norm = NormKind::rms, c.epsilon = float(v.get_number(key("attention.layer_norm_rms_epsilon"), 0, 1));
  c.positions = PositionKind::rotary;
  c.rotary_base = v.find_number(key("rope.freq_base")).value_or(10000);
  c.rotary_size = v.find_int(key("rope.dimension_count"), 2, kLargestField).value_or(c.decoder.head_size);
  check_input(c.rotary_size == c.decoder.head_size && c.rotary_size % 2 == 0, key("rope.dimension_count"), " is ",
              c.rotary_size, ", a head has ", c.decoder.head_size,
              " numbers: rotating a part of them, or an odd "
              "number, is not supported in GGUF files");
  c.activation = Activation::silu, c.gated = true;
  c.attention_bias = file.has("blk.0.attn_q.bias");
  c.output_bias = file.has("blk.0.attn_output.bias"), c.feed_forward_bias = false;
  const auto scaling = v.find_string(key("rope.scaling.type"));
  check_input(!scaling || *scaling == "none", "rotary scaling in GGUF files is not supported");
  for (const char* name : {"rope.scale_linear", "rope.scaling.factor"})  // without a type both are linear
    check_input(scaling || v.find_number(key(name)).value_or(1) == 1, "rotary scaling (", name,
                ") in GGUF files is not supported");
  // Sequences no longer than the window know nothing of it.
  if (const auto window = v.find_int(key("attention.sliding_window"), 0, kLargestField); window.value_or(0) > 0)
    c.max_positions = std::min(c.max_positions, *window);
  if (file.has("rope_freqs.weight")) {  // Llama 3.1's scaling: what each frequency is divided by
    const Tensor divisors = file.read("rope_freqs.weight").to(DType::f32);
    check_input(std::ranges::all_of(divisors.span<float>(), [](float x) { return x == 1; }),
                "rope_freqs.weight scales rotations, which is not supported in GGUF files; convert the model from "
                "its Hugging Face directory");
  }
}

}  // namespace

ModelConfig read_gguf_config(const GgufFile& file) {
  return reading(file.path(), [&] {
    const GgufValues& v = file.values();
    const std::string architecture = v.get_string("general.architecture");
    check_input(architecture == "llama" || architecture == "gpt2", "the architecture \"", architecture,
                "\" is not supported; llama and gpt2 are");
    const auto key = [&](const char* name) { return architecture + "." + name; };
    ModelConfig c;
    c.family = architecture;
    check_input(file.has("token_embd.weight") && file.shape("token_embd.weight").rank() == 2,
                "there is no matrix token_embd.weight");
    c.vocabulary = file.shape("token_embd.weight")[0];
    c.width = v.get_int(key("embedding_length"), 1, kLargestField);
    const int64_t heads = v.get_int(key("attention.head_count"), 1, kLargestField);
    c.decoder = {v.get_int(key("block_count"), 1, kLargestField), heads,
                 v.find_int(key("attention.head_count_kv"), 1, kLargestField).value_or(heads), 0,
                 v.get_int(key("feed_forward_length"), 1, kLargestField)};
    c.decoder.head_size = v.find_int(key("attention.key_length"), 1, kLargestField).value_or(0);
    if (!c.decoder.head_size)
      c.decoder.head_size = quotient(c.width, "embedding_length", heads, "attention.head_count");
    c.max_positions = v.get_int(key("context_length"), 1, kLargestField);
    c.tied_head = !file.has("output.weight");
    if (architecture == "gpt2") {
      c.fused_attention = true, c.activation = Activation::gelu_tanh;
      c.epsilon = float(v.get_number(key("attention.layer_norm_epsilon"), 0, 1));
    } else {
      read_llama(file, c);
    }
    const auto special = [&](const char* name) -> std::optional<int32_t> {
      constexpr int64_t kLargest = std::numeric_limits<uint32_t>::max();  // -1 of who has none
      const auto found = v.find_int(std::string("tokenizer.ggml.") + name, -1, kLargest);
      return found ? std::optional(int32_t(*found)) : std::nullopt;
    };
    c.bos = special("bos_token_id"), c.pad = special("padding_token_id");
    if (const auto eos = special("eos_token_id")) c.eos = {*eos};
    name_unused(v, architecture, file.path());
    c.check();
    note_ids_outside(c, file.path());
    return c;
  });
}

}  // namespace cambium
