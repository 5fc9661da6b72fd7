// The loaders, each given one input.
#include "tests/fuzz/targets.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/csv.h"
#include "core/files.h"
#include "experiments/lib/batch_file.h"
#include "models/files/gguf.h"
#include "models/files/onnx.h"
#include "models/files/safetensors.h"
#include "models/files/torch_tensor.h"
#include "models/import/config.h"
#include "models/load.h"
#include "models/tokenizers/tokenizer.h"
#include "tests/support/files.h"
#include "tests/support/hdf5_body.h"
#include "tests/support/paths.h"
#include "tests/support/zip_archive.h"
#include "tuning/peft.h"

namespace cambium::testing {
namespace {

const TemporaryDirectory& folder() {
  static const TemporaryDirectory one(memory_folder());
  return one;
}

std::string put(const std::string& name, std::string_view bytes) {
  put_file(folder() / name, bytes);
  return folder() / name;
}

void empty_folder() {
  for (const std::string& name : list_directory(folder().path())) std::remove((folder() / name).c_str());
}

// A directory with the files of an input: each stands behind a line "=== NAME", NAME being one of `names`.
std::string put_directory(std::string_view input, const std::vector<std::string>& names) {
  empty_folder();
  constexpr std::string_view mark = "=== ";
  for (size_t at = input.starts_with(mark) ? 0 : input.npos; at != input.npos;) {
    const size_t line = input.find('\n', at);
    if (line == input.npos) break;
    const std::string name(input.substr(at + mark.size(), line - at - mark.size()));
    const size_t next = input.find("\n=== ", line);
    if (std::find(names.begin(), names.end(), name) != names.end())
      put(name, input.substr(line + 1, next == input.npos ? input.npos : next - line - 1));
    at = next == input.npos ? next : next + 1;
  }
  return folder().path();
}

void use(const Tokenizer& tokenizer) {
  for (const char* text : {"abab x \u00e9 aaab 12 line <mask>[MASK] user", "c a\u0301 \r\n\n  \u4e2d", "", "\xff\xc3 a",
                           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}) {
    const Encoding encoding = tokenizer.encode_with_offsets(text, true);
    for (const ByteRange span : encoding.spans)
      CHECK(span.begin <= span.end && span.end <= std::string_view(text).size(), "a span outside the text");
    for (const int32_t id : encoding.ids) (void)tokenizer.token(id);
    tokenizer.decode(encoding.ids, false);
  }
  std::vector<int32_t> ids(size_t(std::min<int64_t>(tokenizer.vocabulary_size(), 300)));
  std::iota(ids.begin(), ids.end(), 0);
  tokenizer.decode(ids, true);
  tokenizer.decode(ids, false);
}

void tokenizer_from(std::string_view input, const char* name) {
  empty_folder();
  put(name, input);
  use(*load_tokenizer(folder().path()));
}

void read_all(const WeightFile& file) {
  for (const std::string& name : file.names()) file.read(name);
}

void read_gguf(std::string_view input) {
  const GgufFile file(put("a.gguf", input));
  for (const std::string& key : file.values().keys()) file.values().print(key);
  const auto each = [](const auto& f) {
    try {
      f();
    } catch (const InputError&) {
    }
  };
  each([&] { read_all(file); });
  each([&] { read_gguf_config(file); });
  const auto vocabulary = read_gguf_vocabulary(file.values());
  each([&] { use(*make_gguf_tokenizer(vocabulary.value_or(GgufVocabulary()))); });
  each([&] { gguf_tokenizer_json(vocabulary.value_or(GgufVocabulary())); });
}

// Weights that have no tensor.
struct NoWeights : WeightFile {
  NoWeights() : WeightFile("none") {}
  Tensor read(std::string_view) const override { throw InputError("none"); }
};

void read_config(std::string_view input) {
  read_huggingface_config(put_directory(input, {"config.json", "generation_config.json"}), NoWeights());
}

// The body of a file of ours, with a sum that fits.
void read_hdf5(std::string_view body) {
  put_with_sum(folder() / "ours.h5", body);
  read_everything(folder() / "ours.h5");
}

Model& small_model() {
  static const std::unique_ptr<Model> model =
      load_model(*ModelSource::open(source_path("tests/golden/models/llama_gqa")), DType::f32);
  return *model;
}

void read_table_file(std::string_view input) {
  for (const TableFormat& format : {TableFormat::csv(), TableFormat::plain_tsv()}) {
    try {
      parse_table(input, "table", format);
    } catch (const InputError&) {
    }
  }
  read_table(put("table.csv", input));
}

}  // namespace

const std::vector<FuzzTarget>& fuzz_targets() {
  static const std::vector<FuzzTarget> all = {
      {"TokenizerJson", "tokenizer_json", [](std::string_view input) { tokenizer_from(input, "tokenizer.json"); }},
      {"TokenizerSpiece", "tokenizer_spiece", [](std::string_view input) { tokenizer_from(input, "spiece.model"); }},
      {"TokenizerFiles", "tokenizer_files",
       [](std::string_view input) {
         use(*load_tokenizer(put_directory(input, {"vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json",
                                                   "special_tokens_map.json", "added_tokens.json"})));
       }},
      {"Safetensors", "safetensors",
       [](std::string_view input) { read_all(SafetensorsFile(put("a.safetensors", input))); }},
      {"Gguf", "gguf", read_gguf},
      {"Onnx", "onnx", [](std::string_view input) { read_all(OnnxFile(put("a.onnx", input))); }},
      {"Torch", "torch",
       [](std::string_view input) {  // the pickle: an archive's sums would keep damage from it
         read_torch_tensor(put("p.pt", zip_archive({{"p/data.pkl", std::string(input)}, {"p/data/0", "12345678"}})));
       }},
      {"Config", "config", read_config},
      {"Hdf5", "hdf5", read_hdf5},
      {"Hdf5Foreign", "hdf5", [](std::string_view input) { read_everything(put("theirs.h5", input)); }},
      {"Batch", "batch", [](std::string_view input) { read_batch_file(put("batch.json", input), small_model(), std::array<std::string, 2>{"a", "b"}); }},
      {"Peft", "peft",
       [](std::string_view input) {
         load_peft_adapter(put_directory(input, {"adapter_config.json", "adapter_model.safetensors"}), small_model());
       }},
      {"Table", "table", read_table_file}};
  return all;
}

}  // namespace cambium::testing
