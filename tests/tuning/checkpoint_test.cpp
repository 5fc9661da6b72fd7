// Checkpoints: they continue a run bit for bit, standard tools read them, and damaged or foreign ones are refused.
#include "tuning/checkpoint.h"

#include "core/hdf5.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

struct Case {
  const char *name, *model, *method;
  OptionMap options;
  const char* optimizer;
  OptimizerOptions optimizer_options = {};
  DType dtype = DType::f32;
};

const std::vector<Case> kCases = {
    {"prompt", "gpt2", "prompt", {}, "adamw"},
    {"prompt_adafactor",
     "t5",
     "prompt",
     {{"where", "both"}},
     "adafactor",
     {.weight_decay = 1e-3, .initial_step = 1000}},
    {"prefix", "llama_gqa", "prefix", {}, "adamw"},
    {"prefix_network", "bart", "prefix", {{"reparametrize", "1"}, {"hidden", "20"}}, "adamw"},
    {"adapter", "bert", "adapter", {}, "adamw"},
    {"adapter_parallel", "t5_1_1", "adapter", {{"kind", "parallel"}}, "sgd", {.momentum = 0.9}},
    {"lora", "gpt2", "lora", {{"dropout", "0.1"}, {"alpha", "0.7000000000000001"}}, "adamw", {.weight_decay = 0.1}},
    {"lora_bf16", "llama_gqa", "lora", {}, "adamw", {}, DType::bf16},
    {"lora_plain_sgd", "llama_bias", "lora", {{"targets", "query_key_value,down"}}, "sgd"},
    {"top_layers",
     "llama_gqa",
     "top_layers",
     {{"layers", "1"}},
     "adafactor",
     {.factor_min_dim = 4, .scale_by_parameter = true}},
    {"lora_plus",
     "bart",
     "lora",
     {{"rslora", "1"}, {"plus_ratio", "4"}, {"rank_pattern", "value:3"}, {"alpha_pattern", "encoder:2"}},
     "adamw"},
    {"dora", "bert", "dora", {{"dropout", "0.1"}}, "adamw"},
    {"vera", "t5", "vera", {{"rank", "6"}, {"dropout", "0.1"}}, "adafactor"},
    {"ia3", "llama_gqa", "ia3", {}, "adamw"},
    {"lin", "bert", "adapter", {{"kind", "lin"}, {"bottleneck", "3"}, {"layers", "1"}}, "adamw"},
    {"p_tuning", "t5", "p_tuning", {{"length", "4"}, {"hidden", "5"}}, "adamw"},
    {"p_tuning_v2", "bert", "p_tuning_v2", {{"length", "4"}}, "adamw"},
    {"composed",
     "bart",
     "lora+adapter+layer_norm",
     {{"lora.rank", "3"}, {"lora.dropout", "0.1"}, {"lora.plus_ratio", "4"}, {"adapter.bottleneck", "4"}},
     "adamw"},
    {"mam", "gpt2", "mam", {{"prefix.length", "4"}, {"prefix.dropout", "0.2"}, {"adapter.bottleneck", "4"}}, "adamw"},
    {"bitfit", "bart", "bitfit", {}, "sgd", {.momentum = 0.9}},
    {"layer_norm_bf16", "t5", "layer_norm", {}, "adamw", {}, DType::bf16},
    {"full", "gpt2", "full", {}, "adamw"},
    {"full_bf16", "gpt2", "full", {}, "adamw", {}, DType::bf16},
};

struct TrainingRun {
  std::unique_ptr<Model> model;
  std::unique_ptr<Tuner> tuner;
  std::unique_ptr<TrainedSet> trained;
  std::unique_ptr<Trainer> trainer;
};

const BaseIdentity kBase{"a model", std::string(64, 'a'), "{}", "f32"};

// A run of 20 steps with all that is random in it; continues from a checkpoint if one is given.
TrainingRun make_run(const Case& c, const std::string& from = "") {
  TrainingRun run;
  const auto source = ModelSource::open(golden_path(std::string("models/") + c.model));
  run.model = load_model(*source, c.dtype);
  run.tuner = from.empty() ? make_tuner(c.method, c.options, letters_context(*run.model))
                           : load_tuner(from, *run.model, kBase, false);
  run.trained =
      std::make_unique<TrainedSet>(*run.model, *run.tuner, [&](const std::string& name) { return source->read(name); });
  TrainOptions o{.optimizer = c.optimizer,
                 .optimizer_options = c.optimizer_options,
                 .lr = 1e-2,
                 .schedule = "cosine",
                 .warmup = "3",
                 .batch_size = 3,
                 .steps = 20,
                 .shards = 2,
                 .dropout = {0.1f, 0.1f, 0.1f, 0.1f},
                 .seed = 11};
  run.trainer =
      std::make_unique<Trainer>(*run.model, *run.tuner, *run.trained,
                                TrainData{random_batch(run.model->config(), {6, 9, 4, 11, 5, 7, 8, 3}), {}}, o);
  if (!from.empty()) {
    load_training_state(from, *run.trained, run.trainer->optimizer());
    run.trainer->resume_at(read_checkpoint_info(from).state.step);
  }
  return run;
}

void save(TrainingRun& run, const std::string& path, bool to_continue = true) {
  const TrainingState state{
      .step = run.trainer->step(), .steps = 20, .shards = 2, .seed = 11, .run_config = "{}", .instruction_set = "any"};
  save_checkpoint(path, *run.tuner, *run.trained, to_continue ? &run.trainer->optimizer() : nullptr, state, kBase,
                  compute_golden(*run.model, *run.tuner, run.trainer->data().examples.range(0, 8)));
}

// Stops after some steps by an exception, as a killed process would.
struct Killed {};
struct StopAfter : TrainListener {
  int64_t last;
  std::function<void()> then;
  void on_step(const StepReport& r) override {
    if (r.step != last) return;
    then();
    throw Killed();
  }
};

TEST(Checkpoint, TenAndTenStepsAreTwenty) {
  for (const Case& c : kCases) {
    const TemporaryDirectory folder;
    TrainingRun whole = make_run(c);
    Record record;
    whole.trainer->run(record);
    save(whole, folder / "whole.h5");

    TrainingRun half = make_run(c);
    StopAfter stop;
    stop.last = 10, stop.then = [&] { save(half, folder / "half.h5"); };
    EXPECT_THROW(half.trainer->run(stop), Killed);
    TrainingRun rest = make_run(c, folder / "half.h5");
    Record continued;
    rest.trainer->run(continued);
    save(rest, folder / "rest.h5");

    ASSERT_EQ(continued.steps.size(), 10u) << c.name;
    for (size_t i = 0; i < 10; ++i)
      EXPECT_EQ(continued.steps[i].loss, record.steps[10 + i].loss) << c.name << " step " << 11 + i;
    EXPECT_TRUE(read_text_file(folder / "rest.h5") == read_text_file(folder / "whole.h5")) << c.name;
    EXPECT_FALSE(read_text_file(folder / "half.h5") == read_text_file(folder / "whole.h5")) << c.name;
  }
}

class SavedLora : public ::testing::Test {
 protected:
  const TemporaryDirectory folder{memory_folder()};
  const std::string path = folder / "lora.h5";
  TrainingRun run = make_run({"", "gpt2", "lora", {}, "adamw"});

  void SetUp() override {
    randomize(*run.tuner, 1);
    save(run, path);
  }
};

TEST_F(SavedLora, SaysWhatItIs) {
  const CheckpointInfo info = read_checkpoint_info(path);
  EXPECT_EQ(info.format_version, 2);
  EXPECT_EQ(info.tuner().method, "lora");
  EXPECT_EQ(info.tuner().options, run.tuner->options());
  EXPECT_EQ(info.base.hash, kBase.hash);
  EXPECT_EQ(info.state.seed, 11u);
  EXPECT_EQ(info.tuner().effective_scale, 2);
  EXPECT_TRUE(info.has_optimizer);
  EXPECT_EQ(info.tuner().parameters.size(), run.tuner->parameters().size());
  EXPECT_TRUE(info.trained_base.empty());
  EXPECT_LT(read_text_file(path).size(), 200'000u);
}

TEST_F(SavedLora, GoldenRecordsNoticeEveryChange) {
  const Golden golden = read_golden(path);
  ASSERT_EQ(golden.sequences.size(), 3u);
  for (const Sequence& s : golden.sequences) EXPECT_LE(s.ids.size(), 16u);
  const auto tuner = load_tuner(path, *run.model, kBase, false);
  EXPECT_EQ(golden_difference(*run.model, *tuner, golden), 0);
  float& value = tuner->parameters()[1].value().data<float>()[3];
  value += 0.1f;
  EXPECT_GT(golden_difference(*run.model, *tuner, golden), 1e-4);
  value = std::nanf("");
  EXPECT_TRUE(std::isnan(golden_difference(*run.model, *tuner, golden)));
  // In bfloat16 the base differs by its rounding, but the arithmetic of the comparison does not.
  Golden wrong = golden;
  wrong.records[0] = record_of(Tensor::zeros({1, 2}, DType::f32));
  expect_error<InputError>([&] { golden_difference(*run.model, *run.tuner, wrong); }, {"1 positions and 2 logits"});
}

TEST_F(SavedLora, BelongsToItsBase) {
  BaseIdentity other = kBase;
  other.hash = std::string(64, 'b');
  expect_error<InputError>([&] { load_tuner(path, *run.model, other, false); },
                           {"another base", "aaaaaaaaaaaa", "bbbbbbbbbbbb", "--force-base"});
  EXPECT_TRUE(load_tuner(path, *run.model, other, true));
  const auto llama = golden_model("llama_gqa");  // other shapes: no force helps
  expect_error<InputError>([&] { load_tuner(path, *llama, other, true); }, {path, "[8,24]", "[8,32]"});
  const auto bert = golden_model("bert");
  const auto load = [&] { load_tuner(path, *bert, other, true); };
  expect_error<InputError>(load, {path, "8 parameters too many: decoder.layers.0.self_attention.query.lora_a, ",
                                  " and 5 more\n8 missing: encoder.layers.0.", "\n0 of another shape"});
  list_all_names(true);
  expect_error<InputError>(load, {"decoder.layers.1.self_attention.value.lora_b\n8 missing"});
  list_all_names(false);
}

TEST_F(SavedLora, FilesOfOthersAreRefused) {
  expect_error<InputError>([&] { read_checkpoint_info(folder / "none.h5"); }, {"none.h5"});
  expect_error<InputError>([&] { read_checkpoint_info(folder.path()); }, {folder.path(), "directory"});
  put_file(folder / "text.h5", "not HDF5 at all");
  expect_error<InputError>([&] { read_checkpoint_info(folder / "text.h5"); }, {"text.h5"});
  put_file(folder / "empty.h5", "");
  expect_error<InputError>([&] { read_checkpoint_info(folder / "empty.h5"); }, {"empty.h5"});
  {
    Hdf5Writer writer(folder / "other.h5");
    writer.write("/x", Tensor::of(std::vector<float>{1}));
    writer.commit();
  }
  expect_error<InputError>([&] { read_checkpoint_info(folder / "other.h5"); }, {"other.h5", "neither a checkpoint"});
}

TEST_F(SavedLora, AListOfTunersHasSeveral) {
  const std::string two = folder / "two.h5";
  {
    Hdf5Writer writer(two);
    for (const char* group : {"/tuner/0", "/tuner/1", "/base", "/state"}) writer.group(group);
    writer.attribute("/", "format_version", int64_t(2));
    for (const char* name : {"software_version", "base_source", "base_hash", "base_config", "base_dtype"})
      writer.attribute("/", name, std::string("x"));
    for (const char* name : {"step", "steps", "shards"}) writer.attribute("/state", name, int64_t(1));
    for (const char* name : {"seed", "run_config", "instruction_set"})
      writer.attribute("/state", name, std::string("1"));
    for (const char* group : {"/tuner/0", "/tuner/1"}) {
      writer.attribute(group, "method", std::string(group[7] == '0' ? "lora" : "adapter"));
      writer.attribute(group, "options", std::vector<std::string>{"rank=8"});
      writer.attribute(group, "effective_scale", 2.0);
    }
    writer.commit();
  }
  const CheckpointInfo info = read_checkpoint_info(two);
  ASSERT_EQ(info.tuners.size(), 2u);
  EXPECT_EQ(info.tuners[1].method, "adapter");
  expect_error<InputError>([&] { load_tuner(two, *run.model, kBase, true); }, {"two.h5", "2 tuners"});
}

TEST_F(SavedLora, FormatOfTheFutureIsRefused) {
  {
    Hdf5Writer writer(folder / "future.h5");
    writer.attribute("/", "format_version", int64_t(3));
    writer.attribute("/", "base_hash", std::string("x"));
    writer.commit();
  }
  expect_error<InputError>([&] { read_checkpoint_info(folder / "future.h5"); }, {"format version 3", "1 to 2"});
}

// Steps that a tensor had no gradient in are not its own, after a pause neither.
TEST(Checkpoint, KeepsTheStepsOfEachTensor) {
  const TemporaryDirectory folder;
  TrainingRun run = make_run(kCases[0]), again = make_run(kCases[0]);
  run.trainer->optimizer().missed[0] = 5;
  save(run, folder / "missed.h5");
  load_training_state(folder / "missed.h5", *again.trained, again.trainer->optimizer());
  EXPECT_EQ(again.trainer->optimizer().missed, run.trainer->optimizer().missed);
}

// Without what only continuing needs, a file is its parameters and at most 128 KiB, however deep the model.
TEST(CheckpointForUse, IsSmall) {
  ModelConfig config = golden_model("gpt2")->config();
  config.decoder.layers = 24;
  config.width = 64, config.decoder.head_size = config.width / config.decoder.heads;
  config.vocabulary = 50'000, config.max_positions = 128;
  for (const char* method : {"prompt", "prefix", "adapter", "lora"}) {
    const TemporaryDirectory folder;
    TrainingRun run;
    run.model = std::make_unique<Model>(config, DType::f32);
    for (const NamedParameter& p : run.model->parameters())
      p.value().copy_from(to_tensor(random_array(p.value().shape(), 3, 0.1), DType::f32));
    run.tuner = make_tuner(method, {}, letters_context(*run.model));
    run.trained = std::make_unique<TrainedSet>(*run.model, *run.tuner);
    run.trainer = std::make_unique<Trainer>(*run.model, *run.tuner, *run.trained,
                                            TrainData{random_batch(config, {40, 40, 40, 40}), {}}, TrainOptions{});
    save(run, folder / "tuner.h5", false);
    int64_t bytes = 0;
    for (const NamedParameter& p : run.tuner->parameters()) bytes += 4 * p.value().size();
    EXPECT_LE(int64_t(read_text_file(folder / "tuner.h5").size()), bytes + (128 << 10)) << method;
    EXPECT_FALSE(read_checkpoint_info(folder / "tuner.h5").has_optimizer);
    const auto loaded = load_tuner(folder / "tuner.h5", *run.model, kBase, false);
    EXPECT_EQ(golden_difference(*run.model, *loaded, read_golden(folder / "tuner.h5")), 0) << method;
  }
}

// tests/tuning/data/format1.h5: cambium 0.1 of format 1, LoRA of rank 2 after 3 AdamW steps on
// tests/golden/models/gpt2.
TEST(CheckpointFormat1, IsStillRead) {
  const std::string path = source_path("tests/tuning/data/format1.h5");
  const CheckpointInfo info = read_checkpoint_info(path);
  EXPECT_EQ(info.format_version, 1);
  EXPECT_EQ(info.tuner().method, "lora");
  EXPECT_EQ(info.tuner().options.at("rank"), "2");
  EXPECT_EQ(info.tuner().effective_scale, 4);
  EXPECT_EQ(info.state.step, 3);
  EXPECT_TRUE(info.has_optimizer);
  const auto source = ModelSource::open(golden_path("models/gpt2"));
  const auto model = load_model(*source, DType::f32);
  const auto tuner = load_tuner(path, *model, {.source = {}, .hash = source->hash(), .config = {}, .dtype = {}}, false);
  const Golden golden = read_golden(path);
  ASSERT_EQ(golden.sequences.size(), 2u);
  EXPECT_LT(golden_difference(*model, *tuner, golden), 1e-5);
  Tensor b = read_tuner_parameter(path, "decoder.layers.0.self_attention.query.lora_b");
  EXPECT_GT(std::abs(b.data<float>()[0]), 1e-4);
  tuner->parameters()[1].value().data<float>()[0] += 0.1f;
  EXPECT_GT(golden_difference(*model, *tuner, golden), 1e-4);
  TrainedSet trained(*model, *tuner);
  const auto optimizer = make_optimizer("adamw", {}, trained.for_optimizer());
  load_training_state(path, trained, *optimizer);
  EXPECT_EQ(golden_difference(*model, *tuner, golden) < 1e-5, true);
}

// Every byte counts: a damaged copy is refused, or (a file without the sum of ours) says nothing wrong.
void expect_damage_is_seen(const std::string& bytes, const std::string& copy, size_t first, size_t stride) {
  for (size_t at = first; at < bytes.size(); at += stride) {
    std::string damaged = bytes;
    damaged[at] = char(damaged[at] ^ 0x41);
    put_file(copy, damaged);
    EXPECT_THROW(read_checkpoint_info(copy), InputError) << "byte " << at;
  }
  for (const size_t length : {bytes.size() - 1, bytes.size() / 2, size_t(513), size_t(512), size_t(100), size_t(1)}) {
    put_file(copy, bytes.substr(0, length));
    EXPECT_THROW(read_checkpoint_info(copy), InputError) << "cut to " << length;
  }
}

TEST_F(SavedLora, DamageIsSeen) { expect_damage_is_seen(read_text_file(path), folder / "damaged.h5", 520, 997); }
TEST_F(SavedLora, DamageIsSeenLong) { expect_damage_is_seen(read_text_file(path), folder / "damaged.h5", 512, 1); }

TEST_F(SavedLora, FullDiskLeavesTheOldFile) {
  const std::string before = read_text_file(path);
  randomize(*run.tuner, 2);
  for (const rlim_t limit : {1, 600, 5000, 30000}) {
    const FileSizeLimit full(limit);
    EXPECT_THROW(save(run, path), Error) << limit;
    EXPECT_TRUE(read_text_file(path) == before) << limit;
    EXPECT_EQ(list_directory(folder.path()), std::vector<std::string>{"lora.h5"}) << limit;
  }
}

// The numbers that h5dump prints for a dataset of floats.
std::vector<float> dumped(const std::string& path, const std::string& dataset) {
  const auto result = run_process({"/usr/bin/h5dump", "-d", dataset, "-m", "%.9g", "-y", "-w", "1", path});
  EXPECT_EQ(result.code, 0) << result.err;
  std::vector<float> values;
  const size_t begin = result.out.find("DATA {");
  std::istringstream in(result.out.substr(begin == std::string::npos ? result.out.size() : begin + 6));
  for (std::string word; in >> word && word != "}";) values.push_back(std::stof(word));
  return values;
}

TEST(CheckpointTools, StandardToolsReadEveryCheckpoint) {
  if (!file_exists("/usr/bin/h5dump") || !file_exists("/usr/bin/h5ls"))
    GTEST_SKIP() << "SKIPPED: h5dump and h5ls are missing (package hdf5-tools)";
  for (const Case& c : kCases) {
    const TemporaryDirectory folder;
    TrainingRun run = make_run(c);
    save(run, folder / "c.h5");
    const auto list = run_process({"/usr/bin/h5ls", "-r", folder / "c.h5"});
    EXPECT_EQ(list.code, 0) << list.err;
    for (const char* name : {"/base", "/golden/0/ids", "/golden/0/log_sum", "/optimizer", "/state", "/tuner/0"})
      EXPECT_NE(list.out.find(name), std::string::npos) << c.name << name;
    const auto header = run_process({"/usr/bin/h5dump", "-A", folder / "c.h5"});
    EXPECT_EQ(header.code, 0) << header.err;
    for (const char* name : {"format_version", "base_hash", "effective_scale", "seed"})
      EXPECT_NE(header.out.find(name), std::string::npos) << c.name << name;
    for (const TrainedSet::Entry& e : run.trained->entries()) {
      std::string path = (e.of_base ? "/base/" : "/tuner/0/") + e.name;
      std::replace(path.begin(), path.end(), '.', '/');
      const std::vector<float> values = dumped(folder / "c.h5", path);
      const Tensor expected = e.value.to(DType::f32);
      ASSERT_EQ(int64_t(values.size()), expected.size()) << c.name << " " << path;
      for (int64_t i = 0; i < expected.size(); ++i)
        ASSERT_EQ(values[size_t(i)], expected.data<float>()[i]) << c.name << " " << path << " " << i;
      if (e.of_base && &e - run.trained->entries().data() > 3) break;  // a few of a whole model
    }
  }
}

}  // namespace
}  // namespace cambium::testing
