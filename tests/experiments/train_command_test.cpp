// cambium train: the run's directory, its log, how runs continue, and that no way to stop it loses more than the last
// steps.
#include <ctime>
#include <thread>

#include "core/processors.h"
#include "core/random.h"
#include "experiments/lib/train_run.h"
#include "tests/support/command.h"
#include "tuning/checkpoint.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class TrainCommand : public Command {
 protected:
  void SetUp() override { batch(); }

  std::vector<json> log(const std::string& run_name) const {
    std::vector<json> lines;
    std::istringstream in(read_text_file(folder / run_name + "/log.jsonl"));
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
  }
  // Records in all of a run's TensorBoard files: the version, then one a step.
  size_t events(const std::string& run_name) const {
    size_t count = 0;
    for (const std::string& name : list_directory(folder / run_name)) {
      if (name.find("tfevents") == name.npos) continue;
      const std::string all = bytes(run_name + "/" + name);
      for (size_t at = 0; at < all.size(); ++count) {
        uint64_t length = 0;
        std::memcpy(&length, all.data() + at, sizeof length);
        at += 8 + 4 + length + 4;  // length, its checksum, the event, its checksum
        EXPECT_LE(at, all.size()) << name;
      }
    }
    return count;
  }
  std::string bytes(const std::string& name) const { return read_text_file(folder / name); }
  int64_t step_of(const std::string& name) const { return read_checkpoint_info(folder / name).state.step; }
  // Waits until the process has written something, for at most a minute; polls every few milliseconds.
  bool wait_for(Process& process, const std::function<bool()>& happened) const {
    for (int i = 0; i < 6000 && !happened(); ++i) {
      if (!process.running()) return happened();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return happened();
  }
};

// What T5X trains prompts with, and groups of tensors: each flag arrives in the run's configuration.
TEST_F(TrainCommand, TakesAdafactorsOptionsAndGroups) {
  good(train_arguments("run", {"--steps",
                               "2",
                               "--optimizer",
                               "adafactor",
                               "--lr",
                               "0.3",
                               "--initial-step",
                               "1100000",
                               "--decay-rate",
                               "0.7",
                               "--update-clip",
                               "0.9",
                               "--factor-min-dim",
                               "64",
                               "--epsilon1",
                               "1e-29",
                               "--epsilon2",
                               "0.01",
                               "--scale-by-parameter",
                               "--decay-times-lr",
                               "--weight-decay",
                               "1e-5",
                               "--no-decay",
                               "bias,norm",
                               "--lr-factor",
                               "lora_b=16",
                               "--lr-factor",
                               "lora_a=0.5",
                               "--z-loss",
                               "0.0001"}));
  const json config = json::parse(bytes("run/config.json"));
  const json adafactor = {
      {"decay_rate", 0.7},       {"clip", 0.9},          {"epsilon1", 1e-29},          {"epsilon2", 0.01},
      {"initial_step", 1100000}, {"factor_min_dim", 64}, {"scale_by_parameter", true}, {"decay_times_lr", true}};
  EXPECT_EQ(config.at("adafactor"), adafactor);
  EXPECT_EQ(config.at("no_decay"), "bias,norm");
  EXPECT_EQ(config.at("lr_factors"), "lora_b=16,lora_a=0.5");
  EXPECT_EQ(config.at("z_loss").get<float>(), 1e-4f);
  bad(train_arguments("none", {"--lr-factor", "lora_b"}), {"--lr-factor lora_b", "lora_b=16"});
  bad(train_arguments("none", {"--lr-factor", "ia3=2"}), {"ia3", "lora_a"});
}

TEST_F(TrainCommand, WritesItsRun) {
  const json summary =
      json_of(good(train_arguments("run", {"--epochs", "4", "--batch-size", "2", "--lr", "0.01", "--json"})));
  EXPECT_EQ(summary.at("steps"), 12);  // five sequences in batches of two: 2, 2, 1
  EXPECT_EQ(summary.at("trainable"), 2 * 2 * 2 * (24 + 24));
  const auto lines = log("run");
  ASSERT_EQ(lines.size(), 12u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].size(), 5u);
    EXPECT_EQ(lines[i].at("step"), i + 1);
    EXPECT_EQ(lines[i].at("lr"), 0.01);
    for (const char* field : {"loss", "grad_norm", "tok_s"}) EXPECT_GT(lines[i].at(field).get<double>(), 0) << field;
  }
  EXPECT_LT(lines.back().at("loss").get<double>(), lines[2].at("loss").get<double>());
  EXPECT_EQ(step_of("run/checkpoint.h5"), 12);
  EXPECT_EQ(json::parse(bytes("run/config.json")).at("method"), "lora");
  EXPECT_EQ(events("run"), 1 + 12);
}

TEST_F(TrainCommand, TunerFileIsForUse) {
  const json summary = json_of(good(train_arguments("run", {"--steps", "3", "--lr", "0.01", "--json"})));
  EXPECT_EQ(summary.at("tuner"), folder / "run/tuner.h5");
  EXPECT_EQ(step_of("run/tuner.h5"), 3);
  EXPECT_LE(bytes("run/tuner.h5").size(), 4 * summary.at("trainable").get<size_t>() + (128 << 10));
  EXPECT_LT(bytes("run/tuner.h5").size(), bytes("run/checkpoint.h5").size());
  const auto logits = [&](const std::string& name) {
    good({"forward", "--model", gpt2, "--tuner", folder / ("run/" + name), "--input", folder / "batch.json", "--output",
          folder / (name + ".out.h5")});
    return bytes(name + ".out.h5");
  };
  EXPECT_TRUE(logits("tuner.h5") == logits("checkpoint.h5"));
  EXPECT_EQ(json_of(good({"inspect", folder / "run/tuner.h5", "--check", "--model", gpt2, "--json"}))
                .at("golden")
                .at("status"),
            "good");
  // It is no state to continue from.
  std::filesystem::remove(folder / "run/checkpoint.h5");
  good(train_arguments("run", {"--steps", "3", "--lr", "0.01", "--resume"}));
  EXPECT_EQ(log("run").size(), 3u);
  EXPECT_EQ(step_of("run/checkpoint.h5"), 3);
}

// Losses and rates of the log are PyTorch's.
TEST_F(TrainCommand, LogsPyTorchsLosses) {
  const std::string golden = golden_path("training/gpt2_full");
  const json expected = parse_json_file(golden + "/case.json");
  good({"train",
        "--model",
        gpt2,
        "--tuner",
        "full",
        "--batches",
        golden + "/batch.json",
        "--output",
        folder / "full",
        "--dtype",
        "f32",
        "--quiet",
        "--lr",
        "0.001",
        "--clip",
        "0",
        "--batch-size",
        "3",
        "--steps",
        "10"});
  const auto lines = log("full");
  ASSERT_EQ(lines.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(lines[i].at("loss").get<double>(), expected.at("loss")[i].get<double>(), 3e-5);
    EXPECT_NEAR(lines[i].at("grad_norm").get<double>(), expected.at("grad_norm")[i].get<double>(), 1e-3);
  }
  // A PEFT adapter to start from.
  const std::string fused = golden_path("training/gpt2_lora_fused");
  good({"train",
        "--model",
        gpt2,
        "--tuner-from",
        fused + "/initial",
        "--batches",
        fused + "/batch.json",
        "--output",
        folder / "peft",
        "--dtype",
        "f32",
        "--quiet",
        "--lr",
        "0.01",
        "--weight-decay",
        "0.1",
        "--schedule",
        "linear",
        "--warmup",
        "3",
        "--batch-size",
        "3",
        "--steps",
        "10"});
  const json peft = parse_json_file(fused + "/case.json");
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(log("peft")[i].at("loss").get<double>(), peft.at("loss")[i].get<double>(), 3e-5);
    EXPECT_NEAR(log("peft")[i].at("lr").get<double>(), peft.at("lr")[i].get<double>(), 1e-12);
  }
}

TEST_F(TrainCommand, SaysHowManyThreadsAndWarnsOfTooMany) {
  const auto said = [&](const std::string& threads) {
    return good({"train", "--model", gpt2, "--tuner", "lora", "--batches", folder / "batch.json", "--output",
                 folder / "run", "--overwrite", "--dtype", "f32", "--steps", "1", "--threads", threads})
        .err;
  };
  const std::string one = said("1"), many = said(std::to_string(allowed_processors() + 1));
  EXPECT_NE(one.find("training with 1 thread of "), one.npos) << one;
  EXPECT_EQ(one.find("warning"), one.npos) << one;
  EXPECT_NE(many.find("but this process has "), many.npos) << many;
}

// What trained in bfloat16 goes on from its float32 values, not from the base's: a step of no size changes nothing.
TEST_F(TrainCommand, StartsFromTrainedBaseValues) {
  const auto train = [&](const char* name, const std::vector<std::string>& more) {
    std::vector<std::string> all{"train",    "--model",      gpt2,      "--batches", folder / "batch.json",
                                 "--output", folder / name,  "--dtype", "bf16",      "--optimizer",
                                 "sgd",      "--batch-size", "5",       "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    good(all);
  };
  for (const char* method : {"full", "top_layers"}) {
    train("first", {"--tuner", method, "--lr", "0.1", "--steps", "5", "--overwrite"});
    train("second", {"--tuner-from", folder / "first/checkpoint.h5", "--lr", "1e-30", "--steps", "1", "--overwrite"});
    const Hdf5File first(folder / "first/checkpoint.h5"), second(folder / "second/checkpoint.h5");
    ASSERT_EQ(second.datasets("/base"), first.datasets("/base"));
    for (const std::string& path : first.datasets("/base"))
      EXPECT_TRUE(same_bits(second.read(path), first.read(path))) << method << path;
  }
}

TEST_F(TrainCommand, FullTrainsOnlyWhatItsHelpSays) {
  good({"train", "--model", gpt2, "--tuner", "full", "--option", "only=decoder.layers.1.,decoder.final_norm.",
        "--batches", folder / "batch.json", "--output", folder / "run", "--dtype", "f32", "--quiet", "--steps", "1"});
  const auto trained = read_checkpoint_info(folder / "run/checkpoint.h5").trained_base;
  EXPECT_TRUE(trained.count("decoder.final_norm.weight"));
  for (const auto& [name, _] : trained)
    EXPECT_TRUE(name.starts_with("decoder.layers.1.") || name.starts_with("decoder.final_norm.")) << name;
  const std::string help = good({"train", "--help"}).out;
  EXPECT_NE(help.find("only="), std::string::npos);
  EXPECT_NE(help.find("of full: beginnings of the names"), std::string::npos);
}

TEST_F(TrainCommand, SameBitsWithAnyNumberOfThreads) {
  for (const char* threads : {"1", "2", "3"})
    good(train_arguments(threads, {"--steps", "6", "--dropout", "0.1", "--shards", "2", "--threads", threads}));
  EXPECT_TRUE(bytes("1/checkpoint.h5") == bytes("2/checkpoint.h5"));
  EXPECT_TRUE(bytes("1/checkpoint.h5") == bytes("3/checkpoint.h5"));
}

TEST_F(TrainCommand, RefusesWhatIsThere) {
  good(train_arguments("run", {"--steps", "2"}));
  const std::string before = bytes("run/checkpoint.h5");
  bad(train_arguments("run", {"--steps", "2"}), {"run", "not empty", "--resume", "--overwrite"});
  // A bad option costs the old run nothing, even with --overwrite.
  bad(train_arguments("run", {"--steps", "2", "--overwrite", "--optimizer", "lion"}), {"lion"});
  bad(train_arguments("run", {"--steps", "2", "--overwrite", "--option", "targets=gate"}), {"targets=gate"});
  bad(train_arguments("run", {"--steps", "2", "--overwrite", "--lr", "nan"}), {"nan"});
  EXPECT_TRUE(bytes("run/checkpoint.h5") == before);
  put("run/notes.txt", "mine");
  good(train_arguments("run", {"--steps", "3", "--overwrite"}));
  EXPECT_EQ(step_of("run/checkpoint.h5"), 3);
  EXPECT_EQ(log("run").size(), 3u);
  EXPECT_EQ(bytes("run/notes.txt"), "mine");  // only what is ours goes
  put("file", "");
  bad(train_arguments("file"), {"file", "directory"});
  // A bad option in a new place leaves nothing there.
  bad(train_arguments("new/place", {"--schedule", "zigzag"}), {"zigzag"});
}

TEST_F(TrainCommand, ResumeNamesWhatChanged) {
  good(train_arguments("run", {"--steps", "4"}));
  const auto changed = [&](const std::vector<std::string>& more, const char* field) {
    std::vector<std::string> all{"--resume"};
    all.insert(all.end(), more.begin(), more.end());
    bad(train_arguments("run", all), {"another configuration", field});
  };
  changed({"--steps", "5"}, "steps: 4 then, 5 now");
  changed({"--steps", "4", "--seed", "1"}, "seed: 0 then, 1 now");
  changed({"--steps", "4", "--lr", "0.5"}, "lr");
  changed({"--steps", "4", "--option", "alpha=3"}, "options");
  changed({"--steps", "4", "--shards", "2"}, "shards");
  changed({"--steps", "4", "--dropout", "0.1"}, "dropout");
  auto other = train_arguments("run", {"--steps", "4", "--resume"});
  std::replace(other.begin(), other.end(), std::string("f32"), std::string("bf16"));
  bad(other, {"another configuration", "dtype"});
  std::replace(other.begin(), other.end(), std::string("bf16"), std::string("f32"));
  std::replace(other.begin(), other.end(), gpt2, golden_path("models/gpt2_inner"));
  bad(other, {"another configuration", "base_hash"});
  put("batch.json", R"({"inputs": [[5,6,7]], "targets": [[5,6,7]]})");
  changed({"--steps", "4"}, "data");
  batch();
  const std::string before = bytes("run/checkpoint.h5");
  good(train_arguments("run", {"--steps", "4", "--resume"}));  // it was complete
  EXPECT_TRUE(bytes("run/checkpoint.h5") == before);
  EXPECT_EQ(log("run").size(), 4u);
}

TEST_F(TrainCommand, ResumeWithoutACheckpointStartsAnew) {
  good(train_arguments("whole", {"--steps", "6", "--save-every", "2"}));
  good(train_arguments("new", {"--steps", "6", "--save-every", "2", "--resume"}));
  EXPECT_TRUE(bytes("new/checkpoint.h5") == bytes("whole/checkpoint.h5"));
  // A damaged one gives way to the one before, two damaged ones to none.
  put("new/checkpoint.h5", bytes("new/checkpoint.h5").substr(0, 3000));
  good(train_arguments("new", {"--steps", "6", "--save-every", "2", "--resume"}));
  EXPECT_TRUE(bytes("new/checkpoint.h5") == bytes("whole/checkpoint.h5"));
  put("new/checkpoint.h5", "x"), put("new/checkpoint.previous.h5", "");
  put("new/.checkpoint.h5.tmp", "half");
  good(train_arguments("new", {"--steps", "6", "--save-every", "2", "--resume"}));
  EXPECT_TRUE(bytes("new/checkpoint.h5") == bytes("whole/checkpoint.h5"));
  EXPECT_FALSE(file_exists(folder / "new/.checkpoint.h5.tmp"));
  EXPECT_EQ(log("new").size(), 6u);
}

TEST_F(TrainCommand, ResumesOnlyRuns) {
  const std::string model = copied(gpt2), config = bytes("model/config.json");
  bad(train_arguments("model", {"--steps", "2", "--resume"}), {model, "no run", "new directory"});
  bad(train_arguments("model", {"--steps", "2", "--overwrite"}), {model, "no run", "new directory"});
  EXPECT_EQ(bytes("model/config.json"), config);
  std::filesystem::create_directory(folder / "notes");
  put("notes/notes.txt", "mine");
  bad(train_arguments("notes", {"--steps", "2", "--resume"}), {"notes", "no run"});
  put("model/config.json", "no JSON");
  bad(train_arguments("model", {"--steps", "2", "--resume"}), {model, "no run"});
  // A process that was killed before its first checkpoint, or before it wrote anything of use.
  std::filesystem::create_directory(folder / "early");
  put("early/.lock", ""), put("early/.config.json.tmp", "{");
  good(train_arguments("early", {"--steps", "2", "--resume"}));
  std::filesystem::remove(folder / "early/checkpoint.h5");
  good(train_arguments("early", {"--steps", "2", "--resume"}));
}

TEST_F(TrainCommand, CutsTheLogAtTheCheckpoint) {
  good(train_arguments("whole", {"--steps", "9", "--save-every", "3"}));
  std::filesystem::copy(folder / "whole", folder / "cut");
  std::filesystem::rename(folder / "cut/checkpoint.previous.h5", folder / "cut/checkpoint.h5");  // step 6
  put("cut/log.jsonl", bytes("cut/log.jsonl") + "{\"step\": 10, \"lo");
  good(train_arguments("cut", {"--steps", "9", "--save-every", "3", "--resume"}));
  const auto lines = log("cut"), whole = log("whole");
  ASSERT_EQ(lines.size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(lines[i].at("step"), i + 1);
    EXPECT_EQ(lines[i].at("loss"), whole[i].at("loss"));
  }
  EXPECT_TRUE(bytes("cut/checkpoint.h5") == bytes("whole/checkpoint.h5"));
}

TEST_F(TrainCommand, SignalsSaveAndEndWith75) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    const std::string name = std::to_string(signal);
    Process process(command(train_arguments(name, {"--steps", "1000000"})), options());
    ASSERT_TRUE(wait_for(
        process, [&] { return file_exists(folder / name + "/log.jsonl") && !bytes(name + "/log.jsonl").empty(); }));
    process.kill(signal);
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.code, 75) << result.err;
    const int64_t steps = step_of(name + "/checkpoint.h5");
    EXPECT_EQ(int64_t(log(name).size()), steps);
    EXPECT_GT(steps, 0);
  }
}

// A run that is killed at `kills` random places and resumed each time ends with the bits of one that is not.
void kill_and_resume(int kills, uint64_t seed, const std::vector<std::string>& whole,
                     const std::vector<std::string>& killed, const ProcessOptions& options) {
  ASSERT_EQ(run_process(whole, options).code, 0);
  double whole_seconds = 0;
  {
    timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    std::vector<std::string> again = whole;
    again.push_back("--overwrite");
    ASSERT_EQ(run_process(again, options).code, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    whole_seconds = double(end.tv_sec - begin.tv_sec) + 1e-9 * double(end.tv_nsec - begin.tv_nsec);
  }
  for (int k = 0; k < kills; ++k) {  // early at first: a run that once finished cannot be killed any more
    Process process(killed, options);
    const double share = double(unit_float(philox(random_key(seed, "kill"), uint32_t(k), 0, 0, 0).word[0]));
    std::this_thread::sleep_for(std::chrono::duration<double>(share * whole_seconds * (k + 1) / kills));
    process.kill(SIGKILL);
    process.wait();
  }
  const ProcessResult last = run_process(killed, options);
  EXPECT_EQ(last.code, 0) << last.err;
}

TEST_F(TrainCommand, KilledAndResumedHasTheSameBits) {
  const std::vector<std::string> more{"--steps", "300", "--save-every", "7", "--dropout", "0.1", "--shards", "2"};
  auto resumed = more;
  resumed.push_back("--resume");
  kill_and_resume(6, 1, command(train_arguments("whole", more)), command(train_arguments("killed", resumed)),
                  options());
  for (const char* name : {"/checkpoint.h5", "/checkpoint.previous.h5"})
    EXPECT_TRUE(bytes(std::string("killed") + name) == bytes(std::string("whole") + name)) << name;
  EXPECT_EQ(log("killed").size(), 300u);
}

TEST_F(TrainCommand, KilledHundredsOfTimesLong) {
  for (int round = 0; round < 10; ++round) {
    const std::vector<std::string> more{"--steps",   "200", "--save-every", "3",
                                        "--dropout", "0.1", "--seed",       std::to_string(round)};
    auto resumed = more;
    resumed.push_back("--resume");
    const std::string whole = text("whole", round), killed = text("killed", round);
    kill_and_resume(30, uint64_t(100 + round), command(train_arguments(whole, more)),
                    command(train_arguments(killed, resumed)), options());
    EXPECT_TRUE(bytes(killed + "/checkpoint.h5") == bytes(whole + "/checkpoint.h5"));
    EXPECT_EQ(log(killed).size(), 200u);
  }
}

TEST_F(TrainCommand, FullDiskKeepsTheLastCheckpoint) {
  good(train_arguments("run", {"--steps", "4", "--save-every", "2"}));
  const int64_t size = int64_t(bytes("run/checkpoint.h5").size());
  for (const int64_t limit : {size / 2, size - 1}) {
    const std::string name = text("full", limit);
    // Two steps, stopped there; then a longer run of the same configuration on a full disk.
    std::filesystem::copy(folder / "run", folder / name);
    std::filesystem::rename(folder / name + "/checkpoint.previous.h5", folder / name + "/checkpoint.h5");
    const std::string before = bytes(name + "/checkpoint.h5");
    const ProcessResult result =
        run(train_arguments(name, {"--steps", "4", "--save-every", "2", "--resume"}), {.file_size = limit});
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 3) << result.err;
    EXPECT_TRUE(bytes(name + "/checkpoint.h5") == before);
    for (const std::string& file : list_directory(folder / name)) EXPECT_FALSE(file.ends_with(".tmp")) << file;
    good(train_arguments(name, {"--steps", "4", "--save-every", "2", "--resume"}));
    EXPECT_TRUE(bytes(name + "/checkpoint.h5") == bytes("run/checkpoint.h5"));
  }
}

TEST_F(TrainCommand, NotFiniteStops) {
  good(train_arguments("run", {"--steps", "2", "--save-every", "1"}));
  const ProcessResult result = run(train_arguments(
      "wild", {"--optimizer", "sgd", "--lr", "1e29", "--clip", "0", "--steps", "50", "--save-every", "1"}));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("step "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("not finite"), std::string::npos) << result.err;
  EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 3) << result.err;
  if (file_exists(folder / "wild/checkpoint.h5")) {
    EXPECT_EQ(json_of(good({"inspect", folder / "wild/checkpoint.h5", "--json"})).at("not_finite"), 0);
  }
}

TEST_F(TrainCommand, OneProcessARun) {
  Process first(command(train_arguments("run", {"--steps", "1000000"})), options());
  ASSERT_TRUE(
      wait_for(first, [&] { return file_exists(folder / "run/log.jsonl") && !bytes("run/log.jsonl").empty(); }));
  const ProcessResult second = run(train_arguments("run", {"--steps", "1000000", "--resume"}));
  EXPECT_EQ(second.code, 2) << second.err;
  EXPECT_NE(second.err.find("another process"), std::string::npos) << second.err;
  EXPECT_TRUE(first.running());
}

// Libraries round and sum in another order than our kernels, so a run that goes on must not change who computes what.
TEST(RunConfiguration, NamesKernelsThatAreNotOurs) {
  Session session;
  const json own = json::parse(run_config(session, {}, {}));
  session.kernels = {.attention = "cudnn", .fused_gelu = true};
  json chosen = json::parse(run_config(session, {}, {}));
  EXPECT_EQ(chosen.at("attention"), "cudnn");
  EXPECT_EQ(chosen.at("fused_gelu"), true);
  chosen.erase("attention"), chosen.erase("fused_gelu");
  EXPECT_EQ(chosen, own);  // runs from before there was a choice go on
}

}  // namespace
}  // namespace cambium::testing
