// Tuners as files: cambium convert to PEFT and back.
#include "models/files/safetensors.h"
#include "tests/support/command.h"

namespace cambium::testing {
namespace {

class TunerCommand : public Command {
 protected:
  void SetUp() override { batch(); }
  // tuner.h5 of a short training on gpt2.
  std::string trained(const std::string& name, const std::string& method, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"train",     "--model", gpt2,        "--tuner",       method,   "--batches", folder / "batch.json",
                                       "--output",  folder / name, "--dtype", "f32",     "--quiet", "--steps",   "3",
                                       "--lr",      "0.05"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    good(arguments);
    return folder / name + "/tuner.h5";
  }
  std::vector<Array> logits(const std::string& tuner, const std::string& model = {}) const {
    std::vector<std::string> arguments{"forward", "--model", model.empty() ? gpt2 : model, "--input", folder / "batch.json",
                                       "--output", folder / "logits.h5", "--dtype", "f32"};
    if (!tuner.empty()) arguments.insert(arguments.end(), {"--tuner", tuner});
    good(arguments);
    const Hdf5File file(folder / "logits.h5");
    std::vector<Array> all;
    for (const std::string& name : file.datasets("/logits")) all.push_back(to_array(file.read(name)));
    return all;
  }
  void expect_same_logits(const std::vector<Array>& a, const std::vector<Array>& b, double tolerance) const {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) expect_close(a[i], b[i], tolerance, tolerance, text("sequence ", i));
  }
};

TEST_F(TunerCommand, GoesToPeftAndBack) {
  for (const std::string method : {"lora", "lora+bitfit", "prefix"}) {
    std::vector<std::string> more;
    if (method == "prefix") more = {"--option", "init=random"};
    const std::string tuner = trained("run-" + method, method, more), directory = folder / ("peft-" + method),
                      back = folder / (method + ".h5");
    const auto before = logits(tuner);
    good({"convert", tuner, directory, "--to", "peft", "--quiet"});
    expect_same_logits(logits(directory), before, 1e-5);
    good({"convert", directory, back, "--quiet"});  // it names its base
    expect_same_logits(logits(back), before, 1e-5);
    const auto checked = json_of(good({"inspect", back, "--check", "--json"}));
    EXPECT_EQ(checked.at("golden").at("status"), "good") << method;
  }
  // A head and a base that an adapter of PEFT names nowhere.
  const std::string adapter = golden_path("adapters/llama_head_saved"), base = golden_path("models/llama_own_head");
  bad({"convert", adapter, folder / "out.h5"}, {"adapter_config.json", "--model"});
  good({"convert", adapter, folder / "out.h5", "--model", base, "--quiet"});
  expect_same_logits(logits(folder / "out.h5", base), logits(adapter, base), 1e-6);
}

TEST_F(TunerCommand, ConvertRefusesWhatItCannotDo) {
  const std::string tuner = trained("run", "adapter"), adapter = golden_path("adapters/gpt2_lora");
  bad({"convert", tuner, folder / "out", "--to", "peft"}, {"adapter", "no such method"});
  bad({"convert", tuner, folder / "out", "--to", "onnx"}, {"--to onnx", "peft"});
  bad({"convert", gpt2, folder / "out", "--to", "peft"}, {gpt2});
  bad({"convert", adapter, folder / "out", "--to", "peft"}, {"PEFT already"});
  bad({"convert", adapter, folder / "out", "--model", gpt2}, {"FILE.h5"});
  bad({"convert", gpt2, folder / "out", "--model", gpt2}, {"--model", "PEFT"});
  bad({"convert", adapter, folder / "out.h5", "--model", llama}, {"target_modules", "another base"});
}

// What PEFT trained whole is what bfloat16 training starts from, not a rounded copy.
TEST_F(TunerCommand, TrainingGoesOnFromPeft) {
  const std::string adapter = golden_path("adapters/llama_norms_saved");
  for (const char* dtype : {"f32", "bf16"}) {
    const std::string run = folder / dtype;
    good({"train", "--model", llama, "--tuner-from", adapter, "--batches", folder / "batch.json", "--steps", "1", "--lr", "1e-30",
          "--output", run, "--dtype", dtype, "--quiet"});
    const Hdf5File file(run + "/tuner.h5");
    const SafetensorsFile stored(adapter + "/adapter_model.safetensors");
    EXPECT_EQ(to_array(file.read("/base/decoder/layers/0/self_attention_norm/weight")).values,
              to_array(stored.read("base_model.model.model.layers.0.input_layernorm.weight")).values);
  }
}

}  // namespace
}  // namespace cambium::testing
