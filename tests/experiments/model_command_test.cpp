// cambium inspect, convert, merge, bench, fetch and --help.
#include "models/files/weights.h"
#include "models/load.h"
#include "tests/support/command.h"
#include "tuning/checkpoint.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class ModelCommand : public Command {
 protected:
  void SetUp() override { batch(); }
  // A trained checkpoint in the folder.
  std::string trained(const std::string& name, const std::string& model, const std::string& method,
                      const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"train",
                                       "--model",
                                       model,
                                       "--tuner",
                                       method,
                                       "--batches",
                                       folder / "batch.json",
                                       "--output",
                                       folder / name,
                                       "--dtype",
                                       "f32",
                                       "--quiet",
                                       "--steps",
                                       "3",
                                       "--lr",
                                       method == "full" ? "0.001" : "0.05"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    good(arguments);
    return folder / name + "/checkpoint.h5";
  }
  // A copy of a checkpoint of gpt2 that stores other logits.
  std::string with_golden(const std::string& file, const std::string& name, const Golden& golden) const {
    const auto base = load_model(*ModelSource::open(gpt2), DType::f32);
    const CheckpointInfo info = read_checkpoint_info(file);
    const auto tuner = load_tuner(file, *base, info.base, false);
    save_checkpoint(folder / name, *tuner, TrainedSet(*base, *tuner), nullptr, info.state, info.base, golden);
    return folder / name;
  }
  // Logits of the batch.
  std::vector<Tensor> logits(const std::string& model, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{
        "forward", "--model", model, "--input", folder / "batch.json", "--output", folder / "logits.h5",
        "--dtype", "f32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    good(arguments);
    const Hdf5File file(folder / "logits.h5");
    std::vector<Tensor> all;
    for (const std::string& name : file.datasets("/logits")) all.push_back(file.read(name));
    return all;
  }
  void expect_equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b, double tolerance,
                    const std::string& what) const {
    ASSERT_EQ(a.size(), b.size()) << what;
    for (size_t i = 0; i < a.size(); ++i) expect_close(to_array(a[i]), to_array(b[i]), tolerance, tolerance, what);
  }
};

TEST_F(ModelCommand, InspectSaysEverything) {
  const std::string file = trained("lora", gpt2, "lora", {"--option", "rank=3", "--option", "alpha=6", "--seed", "5"});
  const json j = json_of(good({"inspect", file, "--json"}));
  EXPECT_EQ(j.at("method"), "lora");
  EXPECT_EQ(j.at("options").at("rank"), "3");
  EXPECT_EQ(j.at("effective_scale"), 2);
  EXPECT_EQ(j.at("parameters"), 2 * 2 * 3 * (24 + 24));
  EXPECT_EQ(j.at("step"), 3);
  EXPECT_EQ(j.at("seed"), 5);
  EXPECT_EQ(j.at("base").at("source"), gpt2);
  EXPECT_EQ(j.at("base").at("hash").get<std::string>().size(), 64u);
  EXPECT_EQ(j.at("base").at("hash"), ModelSource::open(gpt2)->hash());
  EXPECT_EQ(j.at("sites").at("decoder.layers.*.self_attention.query.lora_a"), 2);
  EXPECT_EQ(j.at("tuner").at("decoder.layers.1.self_attention.value.lora_b"), (json{24, 3}));
  EXPECT_NEAR(j.at("share_of_model").get<double>(), 576.0 / j.at("base").at("parameters").get<double>(), 1e-12);
  EXPECT_GT(j.at("norm").get<double>(), 0);
  EXPECT_EQ(j.at("not_finite"), 0);
  EXPECT_EQ(j.at("golden").at("sequences"), 3);
  EXPECT_EQ(j.at("golden").at("status"), "not checked");
  const json checked = json_of(good({"inspect", file, "--json", "--check"}));
  EXPECT_EQ(checked.at("golden").at("status"), "good");
  EXPECT_LE(checked.at("golden").at("largest_difference").get<double>(), 1e-4);
  const std::string text = good({"inspect", file}).out;
  for (const char* part : {"lora", "rank=3", "[3,24]", "[24,3]", "step", "3 of 3", "seed 5", gpt2.c_str(),
                           j.at("base").at("hash").get_ref<const std::string&>().c_str(), "0 values not finite",
                           "3 sequences, not checked"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  // The base may be gone.
  const std::string copy = copied(gpt2);
  const std::string other = trained("gone", copy, "prompt", {"--option", "length=4"});
  std::filesystem::remove_all(copy);
  EXPECT_EQ(json_of(good({"inspect", other, "--json"})).at("tuner").at("decoder.prompt"), (json{4, 24}));
  bad({"inspect", other, "--check"}, {copy});
  EXPECT_EQ(json_of(good({"inspect", other, "--check", "--json", "--model", gpt2})).at("golden").at("status"),
            "good");  // the same numbers elsewhere
}

TEST_F(ModelCommand, InspectTellsWhatKindAModelIs) {
  const std::pair<std::string, const char*> models[] = {
      {gpt2, "decoder"}, {llama, "decoder"}, {bert, "encoder"}, {t5, "seq2seq"}, {bart, "seq2seq"}};
  for (const auto& [model, kind] : models) {
    const ProcessResult r = good({"inspect", model, "--json"});
    EXPECT_TRUE(r.out.starts_with(text("{\"kind\":\"", kind, "\","))) << r.out;  // as quickstart reads it
    EXPECT_GT(json_of(r).at("parameters").get<int64_t>(), 0);
  }
  make_directories(folder / "home/models");
  std::filesystem::copy(t5, folder / "home/models/flan-t5-small");
  EXPECT_TRUE(good({"inspect", "flan-t5-small", "--json"}).out.starts_with("{\"kind\":\"seq2seq\","))
      << "the name of a fetched model";
  bad({"inspect", gpt2, "--check"}, {gpt2, "--check"});
}

TEST_F(ModelCommand, AnotherBaseIsRefused) {
  const std::string file = trained("lora", gpt2, "lora"), copy = copied(gpt2);
  std::string weights = read_text_file(copy + "/model.safetensors");
  weights[weights.size() - 2] = char(weights[weights.size() - 2] ^ 1);
  put("model/model.safetensors", weights);
  const std::string hash = ModelSource::open(gpt2)->hash().substr(0, 12);
  const std::vector<std::string> forward{
      "forward",  "--model",       copy,      "--dtype", "f32", "--input", folder / "batch.json",
      "--output", folder / "x.h5", "--tuner", file};
  bad(forward, {"another base", hash, "--force-base"});
  bad({"merge", "--model", copy, "--tuner", file, "--output", folder / "merged"}, {"another base"});
  bad({"inspect", file, "--check", "--model", copy}, {"another base"});
  auto forced = forward;
  forced.push_back("--force-base");
  const std::string warned = good(forced).err;
  for (const std::string& part : {std::string("warning: "), file, hash, ModelSource::open(copy)->hash().substr(0, 12)})
    EXPECT_NE(warned.find(part), std::string::npos) << part << " is not in " << warned;
  EXPECT_EQ(std::count(warned.begin(), warned.end(), '\n'), 1) << warned;
  bad({"forward", "--model", llama, "--dtype", "f32", "--input", folder / "batch.json", "--output", folder / "y.h5",
       "--tuner", file, "--force-base"},
      {"[8,24]", "[8,32]"});
}

TEST_F(ModelCommand, MergedEqualsUnmerged) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> tuners = {
      {"lora", {"--option", "targets=query,key,value,output,up,down"}}, {"top_layers", {}}, {"full", {}}};
  for (const std::string& model : {gpt2, llama}) {
    const auto base = logits(model);
    for (const auto& [method, more] : tuners) {
      const std::string name = method + (model == gpt2 ? "-gpt2" : "-llama"), file = trained(name, model, method, more);
      const auto unmerged = logits(model, {"--tuner", file});
      EXPECT_FALSE(same_bits(unmerged[0], base[0])) << name;
      good({"merge", "--model", model, "--tuner", file, "--output", folder / name + "-merged", "--quiet"});
      good({"merge", "--model", model, "--tuner", file, "--output", folder / name + ".h5", "--quiet"});
      expect_equal(logits(folder / name + "-merged"), unmerged, 2e-5, name);
      expect_equal(logits(folder / name + ".h5"), unmerged, 2e-5, name);
    }
  }
  good(
      {"merge", "--model", gpt2, "--tuner", golden_path("adapters/gpt2_lora"), "--output", folder / "peft", "--quiet"});
  expect_equal(logits(folder / "peft"), logits(gpt2, {"--tuner", golden_path("adapters/gpt2_lora")}), 2e-5, "peft");
  for (const char* method : {"prompt", "prefix", "adapter"})
    bad({"merge", "--model", gpt2, "--tuner",
         trained(method, gpt2, method,
                 std::string(method) == "prefix" ? std::vector<std::string>{"--option", "init=random"}
                                                 : std::vector<std::string>{}),
         "--output", folder / "none"},
        {method, "cannot be merged"});
  std::filesystem::create_directory(folder / "taken");
  put("taken/file", "");
  bad({"merge", "--model", gpt2, "--tuner", folder / "lora-gpt2/checkpoint.h5", "--output", folder / "taken"},
      {"taken", "not empty"});
  // Before anything is read.
  bad({"merge", "--model", folder / "no-model", "--tuner", folder / "no-tuner", "--output", folder / "taken"},
      {"taken", "not empty"});
  bad({"convert", folder / "no-model", folder / "taken"}, {"taken", "not empty"});
}

TEST_F(ModelCommand, TunersOfEveryClassAreMerged) {
  for (const char* name : {"qwen2", "mistral", "llama_bias", "t5_own_head", "bart_bare", "gpt2_common"}) {
    const std::string model = golden_path(std::string("models/") + name), file = trained(name, model, "lora");
    const auto unmerged = logits(model, {"--tuner", file});
    good({"merge", "--model", model, "--tuner", file, "--output", folder / std::string(name) + "-merged", "--quiet"});
    expect_equal(logits(folder / std::string(name) + "-merged"), unmerged, 2e-5, name);
  }
}

TEST_F(ModelCommand, MergeComparesWithWhatWasStored) {
  const std::string file = trained("lora", gpt2, "lora");
  const auto merge = [&](const std::string& tuner, const std::vector<std::string>& more = {}) {
    std::vector<std::string> all{"merge", "--model", gpt2, "--tuner", tuner, "--output", folder / "merged"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  Golden golden = read_golden(file);
  golden.records[1].log_sum.data<float>()[0] += 1;
  const std::string changed = with_golden(file, "changed.h5", golden);
  bad(merge(changed), {"changed.h5", "differ from the stored ones by 1", "--force-base"}, 1);
  EXPECT_NE(good(merge(changed, {"--force-base"})).err.find("warning: "), std::string::npos);
  std::filesystem::remove_all(folder / "merged");
  // Of a base that trained in bfloat16.
  good({"train", "--model", gpt2, "--tuner", "full", "--batches", folder / "batch.json", "--output", folder / "half",
        "--dtype", "bf16", "--quiet", "--steps", "3", "--lr", "0.01"});
  good(merge(folder / "half/checkpoint.h5"));
  std::filesystem::remove_all(folder / "merged");

  const std::string without = with_golden(file, "without.h5", {});
  EXPECT_NE(good(merge(without)).err.find("stores no logits"), std::string::npos);
  std::filesystem::remove_all(folder / "merged");
  bad({"inspect", without, "--check"}, {"without.h5", "nothing could be checked", "--tuner-from"});

  // Nothing equals what is no number.
  std::filesystem::copy(golden_path("adapters/gpt2_lora"), folder / "nan");
  std::string weights = read_text_file(folder / "nan/adapter_model.safetensors");
  weights.replace(weights.size() - 4, 4, std::string("\0\0\xc0\x7f", 4));
  put("nan/adapter_model.safetensors", weights);
  bad(merge(folder / "nan"), {"merged and unmerged logits differ by nan"}, 1);
}

TEST_F(ModelCommand, ConvertsThereAndBack) {
  for (const std::string& name : list_directory(golden_path("models"))) {
    const std::string model = golden_path("models/" + name);
    if (!is_directory(model) || name == "llama_bf16") continue;
    good({"convert", model, folder / name + ".h5", "--quiet"});
    good({"convert", folder / name + ".h5", folder / name, "--quiet"});
    EXPECT_EQ(ModelSource::open(folder / name + ".h5")->hash(), ModelSource::open(model)->hash()) << name;
    EXPECT_EQ(ModelSource::open(folder / name)->hash(), ModelSource::open(model)->hash()) << name;
    EXPECT_EQ(to_json(ModelSource::open(folder / name)->config()),
              to_json(ModelSource::open(folder / name + ".h5")->config()))
        << name;
    const json j = json_of(good({"inspect", folder / name + ".h5", "--json"}));
    EXPECT_EQ(j.at("hash"), ModelSource::open(model)->hash());
  }
  bad({"convert", folder / "nothing", folder / "out.h5"}, {"nothing"});
  bad({"convert", gpt2, folder / "gpt2"}, {"not empty"});
}

TEST_F(ModelCommand, ConvertsToBfloat16) {
  for (const char* name : {"gpt2", "t5", "bart"}) {
    const std::string model = golden_path(std::string("models/") + name), half = folder / name + "-half";
    good({"convert", model, half, "--dtype", "bf16", "--quiet"});
    const auto from = ModelSource::open(model), to = ModelSource::open(half);
    Model shapes(from->config(), DType::f32, Device::cpu());
    for (const NamedParameter& p : shapes.parameters())
      EXPECT_TRUE(same_bits(to->read(p.name).to(DType::f32), from->read(p.name).to(DType::bf16).to(DType::f32)))
          << p.name;
    const auto file = open_weights(half);
    for (const auto& [tensor, entry] : file->entries()) EXPECT_EQ(entry.type, "BF16") << tensor;
    EXPECT_EQ(json::parse(read_text_file(half + "/config.json")).at("torch_dtype"), "bfloat16");
  }
  bad({"convert", gpt2, folder / "half.h5", "--dtype", "bf16"}, {"bf16", "float32"});
}

TEST_F(ModelCommand, BenchPrintsItsFigures) {
  const json step = json_of(good({"bench", "step", "--shape", "t5-small", "--tuner", "prompt", "--batch", "1",
                                  "--length", "4", "--steps", "1", "--json", "--dtype", "bf16"}));
  for (const char* field : {"step_s", "min_s", "cpu_s", "tok_s", "rss_mib", "flops", "peak_flops", "share"})
    EXPECT_GT(step.at(field).get<double>(), 0) << field;
  EXPECT_EQ(step.at("trainable"), 10 * 512);
  EXPECT_EQ(step.size(), 9u);
  // Half the layers and half the channels: the rows of the prompt are half as long.
  const json smaller =
      json_of(good({"bench", "step", "--shape", "t5-small", "--layers", "3", "--width", "256", "--tuner", "prompt",
                    "--batch", "1", "--length", "4", "--steps", "1", "--json", "--dtype", "bf16"}));
  EXPECT_EQ(smaller.at("trainable"), 10 * 256);
  EXPECT_LT(smaller.at("flops"), 0.5 * step.at("flops").get<double>());
  const json decoding = json_of(good({"bench", "generate", "--shape", "t5-small", "--tuner", "lora", "--batch", "1",
                                      "--length", "4", "--new-tokens", "2", "--steps", "1", "--json"}));
  EXPECT_GT(decoding.at("tok_s").get<double>(), 0);
  const json longer = json_of(good({"bench", "step", "--shape", "t5-small", "--tuner", "prompt", "--option", "length=3",
                                    "--batch", "1", "--length", "4", "--steps", "1", "--json"}));
  EXPECT_EQ(longer.at("trainable"), 3 * 512);
  const json peak = json_of(good({"bench", "peak", "--json"}));
  EXPECT_GT(peak.at("f32_flops").get<double>(), 1e8);
  EXPECT_GT(peak.at("read_bytes_s").get<double>(), 1e7);
  bad({"bench", "step", "--tuner", "prompt", "--option", "long=3"}, {"long"});
  bad({"bench", "jump"}, {"jump", "step, generate and peak"});
  bad({"bench", "step", "--shape", "gpt5"}, {"gpt5", "gpt2, gpt2-medium"});
  bad({"bench", "step", "--batch", "0"}, {"--batch"});
  bad({"bench", "step", "--layers", "-1"}, {"--layers"});
  bad({"bench", "step", "--layers", "1001"}, {"layers", "1001"});
  bad({"bench", "step", "--width", "100"}, {"--width 100", "heads of gpt2 (12 at a width of 768)"});
  bad({"bench", "step", "--shape", "gpt2", "--length", "1025"}, {"--length 1025", "gpt2 has 1024 positions"});
}

// A level below the processor's is another build of the kernels, which glibc's loader is told to take.
TEST_F(ModelCommand, TheEnvironmentChoosesALevelOfKernels) {
  const std::vector<std::string> peak{"bench", "peak", "--json"};
  const auto level = [](const std::string& name) {
    return ProcessOptions{.environment = {{"CAMBIUM_CPU_LEVEL", name}}};
  };
  EXPECT_EQ(json_of(good(peak, level("x86-64"))).at("level"), "x86-64");
  bad(peak, {"CAMBIUM_CPU_LEVEL=fast", "x86-64, avx2, avx512, avx512_bf16 and amx"}, 2, level("fast"));
  bad(peak, {"CAMBIUM_CPU_LEVEL=neon", "no Arm"}, 2, level("neon"));
  // The highest is either this processor's or too high for it.
  if (run(peak, level("amx")).code != 0) bad(peak, {"CAMBIUM_CPU_LEVEL=amx", "no more than"}, 2, level("amx"));
  else EXPECT_EQ(json_of(good(peak, level("amx"))).at("level"), "amx");
}

TEST_F(ModelCommand, FetchWithoutNetworkSaysWhatToDo) {
  // No proxy answers there, and pip asks no index.
  ProcessOptions offline;
  for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})
    offline.environment[name] = "http://127.0.0.1:9";
  offline.environment["PIP_NO_INDEX"] = "1";
  offline.environment["HF_ENDPOINT"] = "http://127.0.0.1:9";
  const ProcessResult result = run({"fetch", "smollm2-135m"}, offline);
  EXPECT_TRUE(result.code == 1 || result.code == 2) << result.err;
  const std::string error = result.err.substr(std::min(result.err.find("error: "), result.err.size()));  // behind the progress
  EXPECT_LE(std::count(error.begin(), error.end(), '\n'), 3) << result.err;
  EXPECT_NE(error.find("smollm2-135m"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(folder / "home"), std::string::npos) << result.err;  // where files go by hand
  const ProcessResult unknown = run({"fetch", "gtp2"}, offline);
  EXPECT_EQ(unknown.code, 2) << unknown.err;
  EXPECT_NE(unknown.err.find("gtp2"), std::string::npos) << unknown.err;
}

TEST_F(ModelCommand, HelpTeachesAndFits) {
  const std::vector<std::string> commands = {"fetch", "tokenize", "forward", "train", "generate", "evaluate",
                                             "score", "inspect",  "convert", "merge", "bench"};
  const std::string all = good({"--help"}).out;
  for (const std::string& command : commands) EXPECT_NE(all.find(command), std::string::npos) << command;
  for (const std::string& command : commands) {
    const std::string help = command.empty() ? all : good({command, "--help"}).out;
    std::istringstream in(help);
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("  ") && line.find("cambium ") != line.npos) continue;  // an example is one line
      EXPECT_LE(line.size(), 100u) << command << ": " << line;
    }
    EXPECT_NE(help.find("cambium " + command + " "), std::string::npos) << command << " has no example";
    EXPECT_NE(help.find("--threads"), std::string::npos) << command;
    EXPECT_EQ(help.find("TEXT:"), std::string::npos) << command;
  }
  for (const char* option : {"--tuner", "--option", "--warmup", "--clip", "--save-every", "--resume"})
    EXPECT_NE(good({"train", "--help"}).out.find(option), std::string::npos);
  EXPECT_FALSE(good({"--version"}).out.empty());
}

}  // namespace
}  // namespace cambium::testing
