// What parameters are called by others: tables from Hugging Face's and GGUF's names to ours.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.h"
#include "models/config.h"

namespace cambium {

// How the numbers of a foreign tensor become ours.
enum class Relayout : uint8_t {
  same,
  transpose,      // GPT-2 stores products as [in, out]
  unpermute_rows  // GGUF's Llama: rows of a head's queries and keys are interleaved pairs
};

// Relayout::transpose, in both directions; x [rows, cols] float32.
Tensor transposed(const Tensor& x);

struct NameRule {
  std::string ours, foreign;
  Relayout relayout = Relayout::same;
  int64_t heads = 0;      // of unpermute_rows
  bool optional = false;  // zero where a file lacks it
};

// All parameters of a model with this configuration, by the names of transformers' model classes.
std::vector<NameRule> huggingface_names(const ModelConfig&);
// By GGUF's names; Llama and GPT-2.
std::vector<NameRule> gguf_names(const ModelConfig&);

// Other spellings of a Hugging Face name that files use: without the model's prefix, gamma and beta for norms, tied
// tables under another name. The first is the name itself.
std::vector<std::string> spellings(const std::string& family, const std::string& foreign);
// Tensors in files that are no parameters (masks, position ids, inverse frequencies) or repeat a tied one.
bool is_ignored(const ModelConfig&, const std::string& foreign);
// Takes out of `names`, tensors of a Hugging Face file that are no parameters, those that lie beside the model (a head
// for another task, a value head): they change nothing that it computes. One inside (an adapter, a bias, a layer too
// many) would.
std::vector<std::string> take_beside(const ModelConfig&, std::vector<std::string>& names);

}  // namespace cambium
