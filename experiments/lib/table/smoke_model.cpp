#include "experiments/lib/table/smoke_model.h"

#include "experiments/lib/shapes.h"
#include "models/tokenizers/byte_alphabet.h"

namespace cambium {
namespace {

constexpr int32_t kEnd = 256;

// One id a byte, and one for the end.
std::unique_ptr<const Tokenizer> byte_tokenizer() {
  GgufVocabulary v{.model = "gpt2", .pre = "gpt-2"};
  for (int byte = 0; byte < kEnd; ++byte) v.tokens.push_back(spelling_of_byte(uint8_t(byte)));
  v.tokens.push_back("<end>");
  v.token_type.assign(v.tokens.size(), 1);
  v.token_type[kEnd] = 3;  // control
  return make_gguf_tokenizer(v);
}

// The values of a model in memory, as if they came from a file.
class MemorySource : public ModelSource {
 public:
  explicit MemorySource(const ModelConfig& config) : ModelSource("smoke", config), model_(config, DType::f32) { model_.randomize(1, 0.1f); }
  Tensor read(const std::string& name) const override {
    for (const NamedParameter& p : model_.parameters())
      if (p.name == name) return p.value().clone();
    throw Error(text("the smoke model has no parameter ", name));
  }
  std::string foreign_name(const std::string&) const override { return ""; }

 protected:
  std::vector<std::string> files() const override { return {}; }

 private:
  mutable Model model_;  // listing parameters is not const
};

}  // namespace

Session open_smoke_session(const CommonOptions& common) {
  ModelConfig config = tiny_decoder(kEnd + 1);
  config.eos = {kEnd};
  Session session;
  session.source = std::make_unique<MemorySource>(config);
  session.tokenizer = byte_tokenizer();
  const Device device = device_of(common);
  const DType dtype = weight_type_of(common, device);
  session.identity = {"smoke", "", to_json(config), std::string(name_of(dtype))};  // no hash: nothing to mistake it for
  session.model = load_model(*session.source, dtype, device);
  return session;
}

}  // namespace cambium
