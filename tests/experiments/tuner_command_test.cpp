// Tuners as files: to PEFT and back, out of merged models, several as one.
#include "models/files/safetensors.h"
#include "tests/support/command.h"

namespace cambium::testing {
namespace {

class TunerCommand : public Command {
 protected:
  void SetUp() override { batch(); }
  // tuner.h5 of a short training on gpt2.
  std::string trained(const std::string& name, const std::string& method, const std::vector<std::string>& more = {}) const {
    return trained_on(gpt2, name, method, more);
  }
  std::string trained_on(const std::string& model, const std::string& name, const std::string& method,
                         const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"train",     "--model", model,       "--tuner",       method,   "--batches", folder / "batch.json",
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

TEST_F(TunerCommand, MergedIsTakenApart) {
  const std::string tuner = trained("run", "lora"), other = trained("other", "lora", {"--seed", "5", "--option", "rank=2"});
  EXPECT_NE(good({"merge", "--model", gpt2, "--tuner", tuner, "--output", folder / "merged"}).err.find("rounding explains"),
            std::string::npos);
  good({"merge", "--model", folder / "merged", "--tuner", tuner, "--undo", "--output", folder / "apart", "--quiet"});
  expect_same_logits(logits("", folder / "apart"), logits(""), 1e-5);
  // Another tuner was not merged into it: what it stores shows that.
  bad({"merge", "--model", folder / "merged", "--tuner", other, "--undo", "--output", folder / "wrong"},
      {"tuner stores", "rounding explains", "--force"}, 1);
  good({"merge", "--model", folder / "merged", "--tuner", other, "--undo", "--output", folder / "wrong", "--force", "--quiet"});
  const std::string dora = trained("dora", "dora");
  bad({"merge", "--model", folder / "merged", "--tuner", dora, "--undo", "--output", folder / "out"}, {"dora", "cannot be taken out"});
}

TEST_F(TunerCommand, JoinsLoras) {
  const std::string a = trained("a", "lora"), b = trained("b", "lora", {"--seed", "5"}), ia3 = trained("c", "ia3");
  for (const char* how : {"average", "cat", "svd", "ties", "dare"}) {
    const std::string out = folder / std::string(how) + ".h5";
    good({"merge", "--tuner", a, "--tuner", b, "--join", how, "--output", out, "--quiet"});
    EXPECT_EQ(json_of(good({"inspect", out, "--check", "--json"})).at("golden").at("status"), "good") << how;
  }
  // One of weight 1, one of weight 0: the first.
  good({"merge", "--tuner", a, "--tuner", b, "--join", "cat", "--weights", "1,0", "--output", folder / "first.h5", "--quiet"});
  expect_same_logits(logits(folder / "first.h5"), logits(a), 1e-5);
  bad({"merge", "--tuner", a, "--tuner", ia3, "--join", "cat", "--output", folder / "x.h5"}, {"ia3", "only loras"});
  bad({"merge", "--tuner", a, "--tuner", b, "--join", "cat", "--weights", "1,x", "--output", folder / "x.h5"}, {"--weights", "x"});
  bad({"merge", "--tuner", a, "--tuner", b, "--join", "sum", "--output", folder / "x.h5"}, {"--join sum", "average"});
  bad({"merge", "--tuner", a, "--tuner", b, "--model", gpt2, "--output", folder / "x"}, {"--join"});
  bad({"merge", "--tuner", a, "--join", "cat", "--output", folder / "x.h5"}, {"at least two"});
  bad({"merge", "--tuner", a, "--output", folder / "x"}, {"--model"});
  bad({"merge", "--tuner", a, "--tuner", trained_on(llama, "other", "lora"), "--join", "cat", "--output", folder / "x.h5"},
      {"another base"});
}

TEST_F(TunerCommand, InspectComparesTensors) {
  const std::string a = trained("a", "lora"), b = trained("b", "lora", {"--seed", "5"});
  const auto same = json_of(good({"inspect", "--diff", a, a, "--json"}));
  EXPECT_EQ(same.at("changed").size(), 0u);
  EXPECT_EQ(same.at("equal"), 8);
  const auto other = json_of(good({"inspect", "--diff", a, b, "--json"}));
  ASSERT_EQ(other.at("changed").size(), 8u);
  const auto& first = other.at("changed").at(0);
  const std::string name = first.at("name");
  std::string place = name;
  std::replace(place.begin(), place.end(), '.', '/');
  const Array x = to_array(Hdf5File(a).read("/tuner/0/" + place)), y = to_array(Hdf5File(b).read("/tuner/0/" + place));
  double square = 0, before = 0, largest = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    square += (y(i) - x(i)) * (y(i) - x(i)), before += x(i) * x(i);
    largest = std::max(largest, std::abs(y(i) - x(i)));
  }
  EXPECT_NEAR(first.at("norm"), std::sqrt(square), 1e-9);
  EXPECT_NEAR(first.at("nmse"), square / before, 1e-9);
  EXPECT_NEAR(first.at("largest"), largest, 1e-9);
  // Of adapters of PEFT and models: what is added, missing, of another shape.
  const auto adapters = json_of(good({"inspect", "--diff", golden_path("joins/a"), golden_path("joins/c"), "--json"}));
  EXPECT_EQ(adapters.at("reshaped").size(), 8u);
  const auto parts = json_of(good({"inspect", "--diff", golden_path("joins/a"), golden_path("joins/b"), "--json"}));
  EXPECT_EQ(parts.at("missing").size(), 4u);
  EXPECT_EQ(parts.at("added").size(), 4u);
  EXPECT_EQ(parts.at("changed").size(), 4u);
  good({"merge", "--model", gpt2, "--tuner", a, "--output", folder / "merged", "--quiet"});
  const auto models = json_of(good({"inspect", "--diff", gpt2, folder / "merged", "--json"}));
  EXPECT_EQ(models.at("changed").size(), 2u);
  EXPECT_NE(good({"inspect", "--diff", gpt2, folder / "merged"}).out.find("2 changed, 0 only in B"), std::string::npos);
  bad({"inspect", "--diff", a}, {"two files"});
  bad({"inspect", a, b}, {"--diff"});
  bad({"inspect", "--diff", a, folder / "nothing.h5"}, {"nothing.h5"});
}

TEST_F(TunerCommand, InspectSaysWhatNumbersAreLike) {
  const float nan = std::nanf("");
  write_safetensors(folder / "t.safetensors", {{"x", Tensor::of(std::vector<float>{0, -2, nan, 5, 0, 1.f / 0.f}).reshape({2, 3})},
                                               {"y", Tensor::of(std::vector<float>{3, 4})}});
  const auto j = json_of(good({"inspect", folder / "t.safetensors", "--json"}));
  const auto& x = j.at("tensors").at("x");
  EXPECT_EQ(x.at("min"), -2);
  EXPECT_EQ(x.at("max"), 5);
  EXPECT_EQ(x.at("zeros"), 2);
  EXPECT_EQ(x.at("nan"), 1);
  EXPECT_EQ(x.at("infinite"), 1);
  EXPECT_EQ(j.at("tensors").at("y").at("norm"), 5);
  EXPECT_EQ(j.at("parameters"), 8);
  const auto adapter = json_of(good({"inspect", golden_path("adapters/gpt2_lora"), "--json"}));
  EXPECT_EQ(adapter.at("config").at("peft_type"), "LORA");
  EXPECT_EQ(adapter.at("tensors").size(), 16u);
  EXPECT_NE(good({"inspect", golden_path("adapters/gpt2_lora")}).out.find("lora_A.weight [3,24]"), std::string::npos);
  const auto own = json_of(good({"inspect", trained("run", "lora"), "--json"}));
  EXPECT_EQ(own.at("statistics").size(), 8u);
}

// Before the first step, what trains; after the first ones, that it did.
TEST_F(TunerCommand, TrainingSaysWhatItTrains) {
  const auto result = good({"train", "--model", gpt2, "--tuner", "lora", "--batches", folder / "batch.json", "--steps", "3",
                            "--output", folder / "run", "--dtype", "f32"});
  for (const char* part : {"decoder.layers.*.self_attention.query.lora_a", "[8,24]", "x 2", "gradients ", "optimizer ",
                           "all tensors at most", "audit: after step 2", "all 8 tensors"})
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " is not in\n" << result.err;
}

}  // namespace
}  // namespace cambium::testing
