// cambium forward: logits, loss and gradients of transformers, as files.
#include <map>

#include "models/load.h"
#include "tests/support/command.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class ForwardCommand : public Command {};

TEST_F(ForwardCommand, GivesTransformersNumbers) {
  for (const std::string& name : list_directory(golden_path("models"))) {
    const std::string model = golden_path("models/" + name);
    if (!is_directory(model)) continue;
    const json batch = parse_json_file(model + "/cases.json");
    const SafetensorsFile expected(model + "/expected.safetensors");
    std::vector<std::string> arguments{"forward",  "--model",         model,     "--input", model + "/cases.json",
                                       "--output", folder / "out.h5", "--dtype", "f32"};
    if (expected.has("loss")) arguments.push_back("--gradients");
    EXPECT_EQ(good(arguments).out, "");
    const Hdf5File out(folder / "out.h5");
    for (size_t s = 0; s < batch.at("inputs").size(); ++s) {
      const bool head = expected.has(text("logits.", s));
      const Tensor logits = out.read(text(head ? "/logits/" : "/hidden/", s));
      EXPECT_EQ(out.dtype(text(head ? "/logits/" : "/hidden/", s)), DType::f32);
      const Tensor reference = expected.read(text(head ? "logits." : "hidden.", s));
      EXPECT_EQ(logits.shape(), reference.shape()) << name;
      expect_close(to_array(logits), to_array(reference), 2e-5, 1e-6, text(name, " logits ", s));
    }
    EXPECT_EQ(out.is_dataset("/loss"), expected.has("loss")) << name;
    if (!expected.has("loss")) continue;
    EXPECT_EQ(out.shape("/loss").rank(), 0u) << name;
    EXPECT_NEAR(to_array(out.read("/loss").reshape({1}))(0), to_array(expected.read("loss").reshape({1}))(0), 3e-6)
        << name;

    double largest = 0;
    std::map<std::string, std::string> reference;  // in the present spelling
    const auto source = ModelSource::open(model);
    for (const NameRule& rule : huggingface_names(source->config()))
      for (const std::string& spelling : spellings(source->config().family, rule.foreign))
        if (expected.has("gradients." + spelling)) reference[rule.foreign] = "gradients." + spelling;
    for (const auto& [_, tensor] : reference) largest = std::max(largest, to_array(expected.read(tensor)).largest());
    size_t compared = 0, all = 0;
    for (const std::string& path : out.datasets("/gradients")) {
      ++all;
      if (!out.has_attribute(path, "foreign_name")) continue;
      const std::string foreign = out.attribute<std::string>(path, "foreign_name");
      if (!reference.count(foreign)) {  // transformers gives none to what the loss does not read
        EXPECT_EQ(to_array(out.read(path)).largest(), 0) << name << " " << path << " " << foreign;
        ++compared;
        continue;
      }
      const Tensor gradient = out.read(path), from = expected.read(reference.at(foreign));
      EXPECT_EQ(gradient.shape(), from.shape()) << name << " " << foreign;
      expect_close(to_array(gradient), to_array(from), 1e-5, 1e-6 * largest, name + " " + foreign);
      ++compared;
    }
    // Only what transformers stores transposed or split has no name there.
    EXPECT_EQ(compared + (source->config().family == "gpt2" ? 4 * size_t(source->config().decoder.layers) : 0), all)
        << name;
  }
}

// A row a text; with an adapter of PEFT's, which brings its head along.
TEST_F(ForwardCommand, ScoresOfAClassifier) {
  const std::string model = golden_path("classification/bert"), tuner = golden_path("classification/bert_peft");
  const json inputs{{"inputs", parse_json_file(model + "/cases.json").at("inputs")}};
  for (const std::string& of : {model, tuner}) {
    std::vector<std::string> arguments{
        "forward",  "--model",       model,     "--input", put("texts.json", inputs.dump()),
        "--output", folder / "o.h5", "--dtype", "f32"};
    if (of == tuner) arguments.insert(arguments.end(), {"--tuner", tuner});
    good(arguments);
    const Hdf5File out(folder / "o.h5");
    const Tensor expected = SafetensorsFile(of + "/expected.safetensors").read("scores");
    for (int64_t s = 0; s < expected.rows(); ++s)
      expect_close(to_array(out.read(text("/logits/", s))), to_array(expected.rows(s, s + 1)), 1e-5, 1e-5, of);
  }
}

TEST_F(ForwardCommand, WithoutTargets) {
  const std::string input = put("in.json", R"({"inputs": [[5,6,7],[8,9]]})");
  good({"forward", "--model", gpt2, "--input", input, "--output", folder / "out.h5"});
  EXPECT_EQ(Hdf5File(folder / "out.h5").datasets("/"), (std::vector<std::string>{"/logits/0", "/logits/1"}));
  good({"forward", "--model", t5, "--input", input, "--output", folder / "t5.h5"});
  EXPECT_EQ(Hdf5File(folder / "t5.h5").shape("/logits/0"), (Shape{1, 90}));  // the first step of the decoder
  bad({"forward", "--model", gpt2, "--input", input, "--output", folder / "none.h5", "--gradients"},
      {"--gradients", "targets", "in.json"});
  bad({"forward", "--model", golden_path("models/bert_base"), "--input", cases(golden_path("models/bert_base")),
       "--output", folder / "none.h5", "--gradients"},
      {"--gradients"});
}

// Each sequence has the tuner that "tuners" names; the gradients are those of the tuners.
TEST_F(ForwardCommand, MixesTuners) {
  batch();
  good(train_arguments("a", {"--steps", "2", "--lr", "0.1"}));
  good({"train", "--model", gpt2, "--tuner", "prompt", "--option", "length=3", "--batches", folder / "batch.json",
        "--output", folder / "b", "--dtype", "f32", "--steps", "2", "--quiet"});
  const std::string a = folder / "a/checkpoint.h5", b = folder / "b/checkpoint.h5",
                    peft = golden_path("adapters/gpt2_lora");
  const std::string sequences =
      R"("inputs": [[5,6,7],[8,9,4,3],[7,7],[11,12,13]], "targets": [[5,6,7],[8,9,4,3],[7,7],[11,12,13]])";
  const std::string mixed = put("mixed.json", "{" + sequences + R"(, "tuners": [1, 0, -1, 2]})"),
                    plain = put("plain.json", "{" + sequences + "}");
  const auto forward = [&](const std::string& input, const std::string& output, std::vector<std::string> more) {
    std::vector<std::string> arguments{"forward",  "--model",       gpt2,      "--input", input,
                                       "--output", folder / output, "--dtype", "f32",     "--gradients"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    good(arguments);
    return Hdf5File(folder / output);
  };
  const Hdf5File out = forward(mixed, "mixed.h5", {"--tuner", a, "--tuner", b, "--tuner", peft});
  const Hdf5File alone[] = {forward(plain, "a.h5", {"--tuner", a}), forward(plain, "b.h5", {"--tuner", b}),
                            forward(plain, "c.h5", {"--tuner", peft}), forward(plain, "base.h5", {})};
  const int who[] = {1, 0, 3, 2};
  for (int s = 0; s < 4; ++s)
    for (int t = 0; t < 4; ++t)
      EXPECT_EQ(same_bits(out.read(text("/logits/", s)), alone[t].read(text("/logits/", s))), t == who[s])
          << s << " " << t;
  EXPECT_TRUE(out.is_dataset("/gradients/0/decoder/layers/0/self_attention/query/lora_a"));
  EXPECT_EQ(out.shape("/gradients/1/decoder/prompt"), (Shape{3, 24}));
  EXPECT_TRUE(out.is_group("/gradients/2"));
  // A tuner's gradients are those of its sequences alone, as shares of the whole batch's scored tokens: 2, 3, 1 and 2.
  const char* const alone_batches[] = {"[8,9,4,3]", "[5,6,7]", "[11,12,13]"};
  const double scored[] = {3, 2, 2};
  for (int t = 0; t < 3; ++t) {
    const std::string ids = alone_batches[t], name = text("single", t);
    const Hdf5File single =
        forward(put(name + ".json", "{\"inputs\": [" + ids + "], \"targets\": [" + ids + "]}"), name + ".h5",
                {"--tuner", t == 0   ? a
                            : t == 1 ? b
                                     : peft});
    const auto datasets = single.datasets("/gradients/0");
    ASSERT_FALSE(datasets.empty());
    double largest = 0;
    for (const std::string& path : datasets) largest = std::max(largest, to_array(single.read(path)).largest());
    EXPECT_GT(largest, 0);
    for (const std::string& path : datasets) {
      Array share = to_array(single.read(path));
      for (double& x : share.values) x *= scored[t] / 8;
      const std::string mixed_path = text("/gradients/", t, path.substr(std::string("/gradients/0").size()));
      expect_close(to_array(out.read(mixed_path)), share, 1e-5, 1e-6 * largest, mixed_path);
    }
    EXPECT_EQ(out.datasets(text("/gradients/", t)).size(), datasets.size());
  }
  EXPECT_TRUE(alone[0].is_dataset("/gradients/0/decoder/layers/0/self_attention/query/lora_b"));
  EXPECT_TRUE(alone[3].is_dataset("/gradients/decoder/position/weight"));

  // Tuners may be called by their names.
  put("named.json", "{" + sequences + R"(, "tuners": ["b", 0, -1, "peft"]})");
  forward(folder / "named.json", "named.h5", {"--tuner", a, "--tuner", "b=" + b, "--tuner", "peft=" + peft});
  EXPECT_TRUE(read_text_file(folder / "named.h5") == read_text_file(folder / "mixed.h5"));
  bad({"forward", "--model", gpt2, "--dtype", "f32", "--input", folder / "named.json", "--output", folder / "none.h5",
       "--tuner", a, "--tuner", b, "--tuner", peft},
      {"named.json", "tuners[0]", "\"b\"", "no --tuner has that name"});

  // What changes the base itself cannot be mixed.
  good({"train", "--model", gpt2, "--tuner", "top_layers", "--batches", folder / "batch.json", "--output",
        folder / "top", "--dtype", "f32", "--steps", "1", "--quiet"});
  const std::string top = folder / "top/checkpoint.h5";
  bad({"forward", "--model", gpt2, "--dtype", "f32", "--input", mixed, "--output", folder / "none.h5", "--tuner", a,
       "--tuner", top, "--tuner", b},
      {"changes the base", "top/checkpoint.h5"});
  put("left.json", "{" + sequences + R"(, "tuners": [0, 0, -1, 0]})");
  bad({"forward", "--model", gpt2, "--dtype", "f32", "--input", folder / "left.json", "--output", folder / "none.h5",
       "--tuner", top},
      {"changes the base", "sequence 2"});
  bad({"forward", "--model", gpt2, "--dtype", "f32", "--input", mixed, "--output", folder / "none.h5", "--tuner", a},
      {"mixed.json", "tuners[0]", "1"});
}

// A checkpoint's dropout plays no part.
TEST_F(ForwardCommand, DropoutIsOff) {
  batch();
  good(train_arguments("dropped", {"--steps", "2", "--option", "dropout=0.5"}));
  for (const char* seed : {"1", "2"})
    good({"forward", "--model", gpt2, "--dtype", "f32", "--input", folder / "batch.json", "--output", folder / seed,
          "--gradients", "--tuner", folder / "dropped/checkpoint.h5", "--seed", seed});
  EXPECT_TRUE(read_text_file(folder / "1") == read_text_file(folder / "2"));
}

TEST_F(ForwardCommand, BadBatches) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> files = {
      {"", {"bad.json"}},
      {"{", {"bad.json", "1"}},
      {"[1]", {"bad.json", "inputs"}},
      {R"({"inputs": []})", {"bad.json", "empty"}},
      {R"({"inputs": [[1],[]]})", {"bad.json", "sequence 1", "empty"}},
      {R"({"inputs": [[1, 80]]})", {"bad.json", "sequence 0", "token 1", "80"}},
      {R"({"inputs": [[-1]]})", {"bad.json", "-1"}},
      {R"({"inputs": [[1.5]]})", {"bad.json", "inputs[0]", "1.5"}},
      {R"({"inputs": [["a"]]})", {"bad.json", "inputs[0]"}},
      {R"({"inputs": [[99999999999]]})", {"bad.json", "99999999999"}},
      {R"({"inputs": [[1,18446744073709551615]]})", {"bad.json", "inputs[0]", "18446744073709551615"}},
      {R"({"inputs": [[1,2]], "targets": [[1,18446744073709551516]]})", {"bad.json", "targets[0]"}},
      {R"({"inputs": [[1,2]], "tuners": [18446744073709551615]})", {"bad.json", "tuners[0]"}},
      {R"({"inputs": [[1,2]], "targets": [[1]]})", {"bad.json", "2 tokens", "1 targets"}},
      {R"({"inputs": [[1,2]], "targets": [[1,2],[3]]})", {"bad.json", "targets", "1 inputs"}},
      {R"({"inputs": [[1,2]], "targets": [[1,-7]]})", {"bad.json", "target 1", "-7"}},
      {R"({"inputs": [[1,2]], "labels": [[1,2]]})", {"bad.json", "labels"}},
      {R"({"inputs": [[1,2]], "inputs": [[1,2]]})", {"bad.json", "inputs"}},
      {R"({"inputs": [[1,2]], "targets": [[-100,-100]]})", {"no token to score"}},
      {R"({"inputs": [[1,2]], "tuners": [0]})", {"bad.json", "tuners[0]", "0 tuners"}}};
  std::string longest = R"({"inputs": [[1)";
  for (int i = 0; i < 40; ++i) longest += ",1";
  auto all = files;
  all.push_back({longest + "]]}", {"bad.json", "41", "40"}});
  for (const auto& [contents, parts] : all) {
    const std::string input = put("bad.json", contents);
    const std::vector<std::string> arguments{"forward",  "--model",        gpt2, "--input", input,
                                             "--output", folder / "out.h5"};
    bad(arguments, {parts[0]});
    const ProcessResult result = run(arguments);
    for (const std::string& part : parts)
      EXPECT_NE(result.err.find(part), std::string::npos) << contents << "\n" << result.err;
  }
}

}  // namespace
}  // namespace cambium::testing
