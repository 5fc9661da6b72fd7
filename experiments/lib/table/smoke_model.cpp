#include "experiments/lib/table/smoke_model.h"

#include "experiments/lib/shapes.h"
#include "models/tokenizers/byte_alphabet.h"

namespace cambium {
namespace {

constexpr int32_t kEnd = 256, kBegin = 257, kPad = 258, kVocabulary = 259;

// One id a byte, and three that stand for no text. Encoders see both ends of a text, sequence-to-sequence models the
// last.
std::unique_ptr<const Tokenizer> byte_tokenizer(const ModelConfig& config) {
  GgufVocabulary v{.model = "gpt2", .pre = "gpt-2"};
  for (int byte = 0; byte < kEnd; ++byte) v.tokens.push_back(spelling_of_byte(uint8_t(byte)));
  for (const char* special : {"<end>", "<begin>", "<pad>"}) v.tokens.push_back(special);
  v.token_type.assign(v.tokens.size(), 1);
  for (const int32_t special : {kEnd, kBegin, kPad}) v.token_type[size_t(special)] = 3;  // control
  v.bos_token_id = kBegin, v.eos_token_id = kEnd;
  v.add_bos_token = config.is_encoder(), v.add_eos_token = config.is_encoder() || config.is_seq2seq();
  return make_gguf_tokenizer(v);
}

ModelConfig smoke_config(const std::string& model) {
  if (model == kSmokeEncoder) return tiny_encoder(kVocabulary, kPad);
  if (model == kSmokeSeq2seq) return tiny_seq2seq(kVocabulary, kPad, kEnd);
  CHECK(model == kSmokeDecoder, "there is no smoke model ", model);
  ModelConfig config = tiny_decoder(kVocabulary);
  config.eos = {kEnd};
  return config;
}

// The values of a model in memory, as if they came from a file.
class MemorySource : public ModelSource {
 public:
  explicit MemorySource(const ModelConfig& config) : ModelSource("smoke", config), model_(config, DType::f32) {
    model_.randomize(1, 0.1f);
  }
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

bool is_smoke_model(const std::string& model) {
  return model == kSmokeDecoder || model == kSmokeEncoder || model == kSmokeSeq2seq;
}

Session open_smoke_session(const std::string& model, const CommonOptions& common) {
  const ModelConfig config = smoke_config(model);
  Session session;
  session.source = std::make_unique<MemorySource>(config);
  session.tokenizer = byte_tokenizer(config);
  const Device device = device_of(common);
  const DType dtype = weight_type_of(common, device);
  session.identity = {"smoke", "", to_json(config), std::string(name_of(dtype))};  // no hash: nothing to mistake it for
  session.kernels = choose_kernels(common, config, dtype, device);
  session.model = load_model(*session.source, dtype, device);
  return session;
}

}  // namespace cambium
