#include "experiments/lib/session.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "core/kernels/matmul.h"
#include "core/path_kind.h"
#include "core/processors.h"
#include "core/progress.h"
#include "core/threads.h"
#include "cuda/attention_library.h"
#include "cuda/graph.h"
#include "cuda/matmul.h"
#include "cuda/runtime.h"
#include "models/companions.h"
#include "models/fetch.h"
#include "models/files/gguf.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

// Sets the number of threads of CPU kernels; a warning where they are more than the processors that there are for them.
void choose_threads(int asked) {
  const DefaultThreads usable = usable_processors(allowed_processors(), processor_quota());
  const DefaultThreads chosen = asked ? DefaultThreads{asked, ""} : default_threads();
  set_threads(chosen.count);
  if (asked > usable.count)
    Progress::say(text("warning: --threads ", asked, ", but this process has ", usable.why, ": more than ",
                       usable.count, usable.count == 1 ? " thread" : " threads", " will wait for each other"));
}

std::unique_ptr<const Tokenizer> gguf_tokenizer(const std::string& path) {
  const auto vocabulary = read_gguf_vocabulary(GgufFile(path).values());
  return vocabulary ? reading(path, [&] { return make_gguf_tokenizer(*vocabulary); }) : nullptr;
}

// Stands for one that cannot be read: says why where it is needed, and not before.
class UnusableTokenizer : public Tokenizer {
 public:
  explicit UnusableTokenizer(std::string problem) : problem_(std::move(problem)) {}
  std::vector<int32_t> encode(std::string_view, bool) const override { refuse(); }
  Encoding encode_with_offsets(std::string_view, bool) const override { refuse(); }
  std::string decode(std::span<const int32_t>, bool) const override { refuse(); }
  int64_t vocabulary_size() const override { refuse(); }
  std::optional<int32_t> find_token(std::string_view) const override { refuse(); }
  const std::string& token(int32_t) const override { refuse(); }
  bool is_special(int32_t) const override { refuse(); }

 private:
  [[noreturn]] void refuse() const { throw InputError(problem_); }
  std::string problem_;
};

}  // namespace

void apply(const CommonOptions& common) {
  check_input(common.threads >= 0, "--threads ", common.threads, " is negative");
  check_input(common.attention == "own" || common.attention == "cudnn", "--attention ", common.attention,
              ": there are own and cudnn");
  gpu::use_graphs(common.graphs);
  Progress::set_quiet(common.quiet);
  choose_threads(common.threads);
  list_all_names(common.verbose);
}

Device device_of(const CommonOptions& common) {
  const std::string& name = common.device;
  if (name == "cpu" || (name == "auto" && !(gpu::is_real() && gpu::device_count() > 0))) return Device::cpu();
  int index = 0;
  if (name.starts_with("gpu:")) {
    check_input(name.size() <= 7 && name.find_first_not_of("0123456789", 4) == name.npos && name.size() > 4,
                "--device ", name, ": give cpu, gpu, gpu:1, or auto");
    index = std::stoi(name.substr(4));
  } else {
    check_input(name == "gpu" || name == "auto", "--device ", name, ": give cpu, gpu, gpu:1, or auto");
  }
  check_input(index < 128, "--device ", name, ": there is no such device");
  gpu::check_device(Device::gpu(index));
  return Device::gpu(index);
}

DType weight_type_of(const CommonOptions& common, Device device) {
  if (common.dtype == "f32") return DType::f32;
  if (common.dtype == "bf16") return DType::bf16;
  check_input(common.dtype.empty(), "--dtype ", common.dtype, ": there are f32 and bf16");
  return device.is_gpu() || cpu::multiplies_bf16() ? DType::bf16 : DType::f32;
}

namespace {

// Returns whose attention it is: own or cudnn.
std::string choose_attention(const CommonOptions& common, const ModelConfig& config, DType dtype, Device device) {
  if (common.attention == "own") {
    gpu::prefer_own_attention();
    return "own";
  }
  check_input(device.is_gpu(), "--attention cudnn needs a GPU: give --device gpu, or leave it out");
  check_input(gpu::knows_cudnn(),
              "--attention cudnn: this build has no cuDNN\nInstall the headers of cuDNN 9.8 or later and build again, "
              "or leave it out");
  const bool biased = config.positions == PositionKind::relative;
  if (dtype != DType::bf16 || biased) {
    gpu::prefer_own_attention();
    Progress::say(
        text("note: attention stays with our own kernels: cuDNN's has no ", biased ? "bias by distance" : "float32"));
    return "own";
  }
  std::vector<AttentionConfig> all;  // an encoder's graph has no causal mask
  for (const StackShape* shape : {&config.encoder, &config.decoder})
    if (shape->layers)
      all.push_back({.heads = int(shape->heads),
                     .kv_heads = int(shape->kv_heads),
                     .head_size = int(shape->head_size),
                     .scale = config.score_scale(*shape, 0),
                     .causal = shape == &config.decoder});
  return gpu::prefer_cudnn_attention(device, all) ? "cudnn" : "own";
}

}  // namespace

Kernels choose_kernels(const CommonOptions& common, const ModelConfig& config, DType dtype, Device device) {
  check_input(!common.fused_gelu || device.is_gpu(),
              "--fused-gelu is for products on a GPU: give --device gpu, or leave it out");
  gpu::use_gelu_epilogues(common.fused_gelu);
  return {.attention = choose_attention(common, config, dtype, device), .fused_gelu = common.fused_gelu};
}

void Kernels::describe(nlohmann::json& j) const {
  if (attention != "own") j["attention"] = attention;
  if (fused_gelu) j["fused_gelu"] = true;
}

const Tokenizer& Session::require_tokenizer() const {
  check_input(bool(tokenizer), source->path(),
              " has no tokenizer files: texts cannot be read; --batches takes token ids");
  return *tokenizer;
}

TunerContext Session::context(uint64_t seed) {
  TunerContext context{.model = *model, .seed = seed};
  if (!tokenizer) return context;
  context.tokenize = [t = tokenizer.get()](const std::string& words) { return t->encode(words, false); };
  if (!dynamic_cast<const UnusableTokenizer*>(tokenizer.get()))
    context.is_text = [t = tokenizer.get()](int32_t id) { return t->is_text(id); };
  return context;
}

std::unique_ptr<const Tokenizer> open_tokenizer(const std::string& path) {
  if (path.ends_with(".h5")) {
    const Companions companions = companions_of(path);
    if (companions.tokenizer.empty()) return nullptr;
    const TemporaryDirectory folder;  // the tokenizer's files, as they were, and what names its class
    for (const auto& [name, contents] : companions.tokenizer)
      if (name.find('/') == name.npos) write_file(folder / name, contents);
    if (const std::string config = companions.setting("config.json"); !config.empty())
      write_file(folder / "config.json", config);
    return load_tokenizer(folder.path());
  }
  if (!is_directory(path)) return is_gguf(path) ? gguf_tokenizer(path) : nullptr;
  for (const char* name : {"tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model"})
    if (file_exists(path + "/" + name)) return load_tokenizer(path);
  for (const std::string& name : list_directory(path))
    if (name.ends_with(".gguf")) return gguf_tokenizer(path + "/" + name);
  return nullptr;
}

Session open_session(const std::string& model, const CommonOptions& common, bool weights, bool hash) {
  Session session;
  const std::string path = find_model(model);
  session.source = ModelSource::open(path);
  try {
    session.tokenizer = open_tokenizer(path);
  } catch (const InputError& error) {  // token ids need none
    session.tokenizer = std::make_unique<UnusableTokenizer>(error.what());
  }
  const Device device = device_of(common);
  const DType dtype = weight_type_of(common, device);
  session.identity = {model, hash ? session.source->hash() : "", to_json(session.source->config()),
                      std::string(name_of(dtype))};
  if (weights) {
    session.kernels = choose_kernels(common, session.source->config(), dtype, device);
    session.model = load_model(*session.source, dtype, device);
  }
  return session;
}

std::unique_ptr<Tuner> open_tuner(const std::string& path, Session& session, bool force_base) {
  check_tuner(path);
  if (is_peft_adapter(path)) return load_peft_adapter(path, *session.model);
  return load_tuner(path, *session.model, session.identity, force_base);
}

}  // namespace cambium
