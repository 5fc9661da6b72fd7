// Unusable arguments and files of every kind: code 2 (or 1), at most three lines that say what and where, nothing
// half-written.
#include "tests/support/command.h"
#include "tests/support/paths.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class BadInput : public Command {
 protected:
  std::vector<std::string> forward(const std::string& model, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"forward", "--model", model, "--input", cases(gpt2), "--output", folder / "out.h5"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

TEST_F(BadInput, Arguments) {
  bad({}, {"command", "--help"});
  bad({"trian"}, {"no command trian", "did you mean train?"});
  bad({"--modle"}, {"no option --modle"});
  bad({"forward"}, {"forward", "--model", "required"});
  bad(forward(gpt2, {"--gradeints"}), {"forward has no option --gradeints", "did you mean --gradients?"});
  bad(forward(gpt2, {"--outptu=x"}), {"no option --outptu", "did you mean --output?"});
  bad(forward(gpt2, {"--xyzzy"}), {"no option --xyzzy", "--help"});
  bad(forward(gpt2, {"stray"}), {"stray"});
  bad(forward(gpt2, {"--tuner"}), {"--tuner"});
  for (const char* threads : {"-1", "1e9", "1000000000", "99999999999999", "two", ""})
    bad(forward(gpt2, {"--threads", threads}), {"--threads"});
  bad(forward(gpt2, {"--threads", "0"}), {"--threads", "0"});
  bad(forward(gpt2, {"--dtype", "f16"}), {"--dtype f16", "f32 and bf16"});
  bad(forward(gpt2, {"--device", "tpu"}), {"--device tpu", "cpu"});
  bad(forward(gpt2, {"--device", "gpu:99"}), {"gpu:99"});
  bad(forward(gpt2, {"--attention", "flash"}), {"--attention flash", "own and cudnn"});
  bad(forward(gpt2, {"--device", "cpu", "--attention", "cudnn"}), {"--attention cudnn", "--device gpu"});
  bad(forward(gpt2, {"--device", "cpu", "--fused-gelu"}), {"--fused-gelu", "--device gpu"});
  bad(forward(gpt2, {"--device", "gpu:99999999999"}), {"gpu:99999999999"});
  bad(forward(gpt2, {"--seed", "-1"}), {"--seed"});
  bad({"train", "--model", gpt2, "--output", folder / "r"}, {"--task", "--batches"});
  batch();
  bad({"train", "--model", gpt2, "--output", folder / "r", "--batches", folder / "batch.json"}, {"--tuner"});
  bad({"train", "--model", gpt2, "--output", folder / "r", "--batches", folder / "batch.json", "--tuner", "lroa"},
      {"lroa", "lora"});
  bad(train_arguments("r", {"--option", "rank"}), {"--option rank", "name=value"});
  bad(train_arguments("r", {"--option", "rank=3"}), {"rank", "twice"});
  bad(train_arguments("r", {"--option", "rnak=3"}), {"rnak", "rank"});
  bad(train_arguments("r", {"--dropout", "1"}), {"--dropout 1"});
  bad(train_arguments("r", {"--dropout", "nan"}), {"--dropout nan"});
  for (const char* lr : {"nan", "inf", "-1", "0", "x"}) bad(train_arguments("r", {"--lr", lr}), {"--lr"});
  for (const char* clip : {"nan", "-1"}) bad(train_arguments("r", {"--clip", clip}), {"--clip"});
  for (const char* warmup : {"nan", "-1", "200%"}) bad(train_arguments("r", {"--warmup", warmup}), {"--warmup"});
  for (const char* option : {"--batch-size", "--epochs"})
    for (const char* count : {"-1", "0", "9223372036854775807"}) bad(train_arguments("r", {option, count}), {option});
  bad(train_arguments("r", {"--shards", "3"}), {"--shards 3"});
  bad(train_arguments("r", {"--beta2", "1"}), {"--beta2"});
  bad(train_arguments("r", {"--limit", "3"}), {"--limit", "--batches"});
  bad(train_arguments("r", {"--data", folder.path()}), {"--data", "--batches"});
  bad(train_arguments("r", {"--decision", "head"}), {"--decision", "--batches"});
  bad({"train", "--model", gpt2, "--tuner-from", golden_path("adapters/gpt2_lora"), "--option", "rank=4", "--batches",
       folder / "batch.json", "--output", folder / "r"},
      {"--option rank=4", "gpt2_lora", "keeps its own"});
  bad({"train", "--model", gpt2, "--tuner", "lora", "--task", "e3e", "--output", folder / "r"}, {"e3e", "e2e"});
  bad({"score", "--metric", "belu", "--references", cases(gpt2), "--outputs", cases(gpt2)}, {"belu", "bleu"});
}

TEST_F(BadInput, ArgumentsAreUtf8) {
  batch();
  const char* latin = "caf\xe9";
  bad(train_arguments(latin), {"argument", "caf\xef\xbf\xbd", "not UTF-8", "link"});
  bad(train_arguments("r", {"--option", std::string("targets=") + latin}), {"targets=caf", "not UTF-8"});
  bad({"generate", "--model", std::string(latin)}, {"argument 3", "not UTF-8"});
  const ProcessResult table =
      run_process({program_path("prefix_table_to_text"), "plan", "--model", latin}, options());
  EXPECT_EQ(table.code, 2) << table.err;
  EXPECT_NE(table.err.find("not UTF-8"), std::string::npos) << table.err;
  const ProcessResult home =
      run_process({program_path("cambium"), "fetch", "--json"}, {.environment = {{"CAMBIUM_HOME", latin}}});
  EXPECT_EQ(home.code, 2) << home.err;
  EXPECT_NE(home.err.find("CAMBIUM_HOME, caf\xef\xbf\xbd, is not UTF-8"), std::string::npos) << home.err;
  good(train_arguments("caf\xc3\xa9", {"--steps", "1"}));
}

TEST_F(BadInput, MissingFilesAndDirectories) {
  const std::string none = folder / "none";
  bad(forward(none), {none});
  bad(forward(folder.path()), {folder.path()});  // a directory without a model
  bad({"forward", "--model", gpt2, "--input", none, "--output", folder / "o.h5"}, {none});
  bad({"forward", "--model", gpt2, "--input", folder.path(), "--output", folder / "o.h5"},
      {folder.path(), "directory"});
  bad(forward(gpt2, {"--tuner", none}), {none});
  bad(forward(gpt2, {"--tuner", gpt2}), {gpt2});
  bad({"inspect", none}, {none});
  bad({"inspect", folder.path()}, {folder.path()});
  bad({"inspect", put("empty.h5", "")}, {"empty.h5"});
  bad({"score", "--metric", "bleu", "--references", none, "--outputs", cases(gpt2)}, {none});
  bad({"train", "--model", gpt2, "--tuner-from", none, "--batches", batch(), "--output", folder / "r"}, {none});
  // Places that cannot be written.
  bad({"forward", "--model", gpt2, "--input", cases(gpt2), "--output", folder / "no/such/place.h5"}, {"no/such"});
  bad({"forward", "--model", gpt2, "--input", cases(gpt2), "--output", folder.path()}, {folder.path()});
  bad({"forward", "--model", gpt2, "--input", cases(gpt2), "--output", "/proc/none.h5"}, {"/proc/none.h5"});
  bad(train_arguments("../../../../proc/run"), {"/proc/run"});
}

TEST_F(BadInput, NoPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "SKIPPED: root may do everything";
  std::filesystem::create_directory(folder / "locked");
  std::filesystem::permissions(folder / "locked", std::filesystem::perms::none);
  bad({"forward", "--model", gpt2, "--input", cases(gpt2), "--output", folder / "locked/o.h5"}, {"locked"});
  std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_all);
}

// A model's directory with one file changed.
class BadModel : public BadInput {
 protected:
  void changed(const std::string& file, const std::string& contents, std::initializer_list<std::string_view> parts) {
    std::filesystem::remove_all(folder / "model");
    const std::string model = copied(gpt2);
    put("model/" + file, contents);
    bad(forward(model), parts);
  }
  void config(const char* field, const json& value, std::initializer_list<std::string_view> parts) {
    json j = parse_json_file(gpt2 + "/config.json");
    j[field] = value;
    changed("config.json", j.dump(), parts);
  }
  const std::string weights = read_text_file(gpt2 + "/model.safetensors");
};

TEST_F(BadModel, Weights) {
  for (const size_t size : {size_t(0), size_t(7), size_t(8), size_t(100), weights.size() / 2, weights.size() - 1})
    changed("model.safetensors", weights.substr(0, size), {"model.safetensors"});
  changed("model.safetensors", weights + "x", {"model.safetensors"});
  std::string huge = weights;
  huge.replace(0, 8, std::string(8, char(0x7f)));  // a header of 9 * 10^18 bytes
  changed("model.safetensors", huge, {"model.safetensors"});
  std::string header = weights;
  header[8] = '[';
  changed("model.safetensors", header, {"model.safetensors"});
  std::string renamed = weights;
  renamed.replace(renamed.find("transformer.h.0.ln_1.weight"), 15, "transformer.X.0");
  changed("model.safetensors", renamed,
          {"1 names too many", "transformer.X.0", "1 missing", "transformer.h.0.ln_1.weight"});
  std::filesystem::remove_all(folder / "model");
  copied(gpt2);
  std::filesystem::remove(folder / "model/model.safetensors");
  bad(forward(folder / "model"), {"model"});
}

TEST_F(BadModel, Configuration) {
  changed("config.json", "", {"config.json"});
  changed("config.json", "{\"model_type\": \"gpt2\"", {"config.json"});
  changed("config.json", "[]", {"config.json"});
  config("model_type", "gpt9", {"gpt9"});
  config("n_embd", 25, {"n_embd"});  // not a multiple of the heads
  config("n_embd", 48, {"of another shape"});
  config("n_layer", 3, {"missing"});
  config("n_layer", -1, {"n_layer", "-1"});
  config("n_layer", 1e12, {"n_layer"});
  config("n_head", 0, {"n_head", "0"});
  config("vocab_size", 81, {"of another shape"});
  config("vocab_size", "many", {"vocab_size"});
  config("layer_norm_epsilon", -1, {"layer_norm_epsilon"});
  config("activation_function", "cube", {"cube"});
}

// A checkpoint cut or flipped at many places: refused, never a crash.
TEST_F(BadInput, DamagedCheckpoints) {
  batch();
  good(train_arguments("run", {"--steps", "1"}));
  const std::string bytes = read_text_file(folder / "run/checkpoint.h5");
  for (uint32_t seed = 0; seed < 12; ++seed) {
    std::string changed = damaged(bytes, seed);
    if (changed == bytes) continue;
    const std::string file = put("damaged.h5", changed);
    const ProcessResult result = run({"inspect", file});
    EXPECT_TRUE(result.code == 2) << seed << "\n" << result.err;
    EXPECT_NE(result.err.find("damaged.h5"), std::string::npos) << result.err;
    EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 3) << result.err;
  }
  bad(forward(gpt2, {"--tuner", put("cut.h5", bytes.substr(0, bytes.size() - 1))}), {"cut.h5"});
  bad(forward(gpt2, {"--tuner", put("other.txt", "hello")}), {"other.txt"});
}

TEST_F(BadInput, FullDisk) {
  batch();
  const std::string output = put("out.h5", "the old file");
  const ProcessResult result = run(forward(gpt2), {.file_size = 2000});
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 3) << result.err;
  EXPECT_EQ(read_text_file(output), "the old file");
  EXPECT_EQ(files(), (std::vector<std::string>{folder / "batch.json", folder / "out.h5"}));
}

TEST_F(BadInput, TooLongForTheTuner) {
  batch();
  good(train_arguments("lora", {"--steps", "1"}));
  good({"train", "--model", gpt2, "--tuner", "prompt", "--option", "length=30", "--batches", folder / "batch.json",
        "--output", folder / "prompt", "--dtype", "f32", "--quiet", "--steps", "1"});
  std::string ids = "1";
  for (int i = 0; i < 10; ++i) ids += ",1";
  const std::string input = put("eleven.json", "{\"inputs\": [[" + ids + "]]}");
  bad({"forward", "--model", gpt2, "--dtype", "f32", "--tuner", folder / "prompt/checkpoint.h5", "--input", input,
       "--output", folder / "o.h5"},
      {"eleven.json", "11", "30", "40"});
}

}  // namespace
}  // namespace cambium::testing
