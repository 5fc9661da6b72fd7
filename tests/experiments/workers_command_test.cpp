// cambium train as several workers: the bits of one process, whoever carries, and an end for all when one fails.
#include "tests/support/byte_model.h"
#include "tests/support/workers.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class WorkersTrain : public WorkersCommand {
 protected:
  void SetUp() override {
    batch();
    write_byte_model(folder / "bytes");
  }
  std::vector<std::string> lora(const std::string& output, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = train_arguments(output, {"--shards", "8", "--dropout", "0.1", "--batch-size", "3"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // One of every kind; two go on for longer, one has fewer shards.
  std::vector<std::string> runs(const std::string& prefix) const {
    json list = json::array();
    const auto add = [&](const char* method, json options, json more) {
      json run = {{"output", folder / prefix + "_" + method}, {"tuner", method}, {"options", std::move(options)},
                  {"batches", folder / "batch.json"},         {"shards", 8},     {"steps", 4}};
      run.update(more);
      list.push_back(std::move(run));
    };
    add("lora", {{"rank", 2}, {"dropout", 0.2}}, {{"dropout", "0.1"}});
    add("prompt", {{"length", 3}, {"init", "random"}}, {{"batch-size", 2}, {"shards", 4}});
    add("prefix", {{"length", 2}, {"init", "random"}}, {{"steps", 6}, {"optimizer", "adafactor"}});
    add("adapter", {{"bottleneck", 4}}, {{"batch-size", 3}, {"lr", 0.01}});
    put(prefix + ".json", json{{"runs", list}}.dump());
    return {"train", "--model", gpt2, "--runs", folder / prefix + ".json", "--dtype", "f32", "--quiet"};
  }
  std::vector<std::string> full(const std::string& output) const {
    return {"train",
            "--model",
            gpt2,
            "--tuner",
            "full",
            "--batches",
            folder / "batch.json",
            "--output",
            folder / output,
            "--dtype",
            "f32",
            "--quiet",
            "--shards",
            "4",
            "--steps",
            "4",
            "--batch-size",
            "4"};
  }
  void expect_same_runs(const std::string& seen, const std::string& expected) const {
    for (const char* method : {"lora", "prompt", "prefix", "adapter"})
      expect_same_run(seen + "_" + method, expected + "_" + method);
  }
};

TEST_F(WorkersTrain, HaveTheBitsOfOneProcess) {
  good(runs("one"));
  good(full("one_full"));
  for (const int size : {2, 4}) {
    const std::string name = std::to_string(size);
    good_job(size, runs(name));
    expect_same_runs(name, "one");
    good_job(size, full(name + "_full"));
    expect_same_run(name + "_full", "one_full");
  }
}

TEST_F(WorkersTrain, HaveThemByMpi) {
  if (const std::string why = no_mpi(); !why.empty()) GTEST_SKIP() << why;
  good(runs("one"));
  for (const int size : {2, 8}) {
    const std::string name = std::to_string(size);
    auto arguments = runs(name);
    if (size == 8) {  // as many as the longest run has shards, each with one; another has fewer
      const ProcessResult refused = mpirun(size, arguments);
      EXPECT_EQ(refused.code, 2) << refused.err;
      EXPECT_NE(refused.err.find("runs[1]: --shards 4 cannot be shared by 8 workers"), std::string::npos)
          << refused.err;
      continue;
    }
    const ProcessResult result = mpirun(size, arguments);
    EXPECT_EQ(result.code, 0) << said(arguments, result);
    expect_same_runs(name, "one");
  }
  good(lora("alone", {"--steps", "3"}));
  EXPECT_EQ(mpirun(8, lora("eight", {"--steps", "3"})).code, 0);
  expect_same_run("eight", "alone");
}

TEST_F(WorkersTrain, ShareTheDevLoss) {
  const auto task = [&](const std::string& output) {
    return std::vector<std::string>{"train",    "--model",  folder / "bytes", "--tuner", "lora",         "--task",
                                    "e2e",      "--output", folder / output,  "--dtype", "f32",          "--quiet",
                                    "--shards", "4",        "--steps",        "2",       "--eval-every", "1",
                                    "--limit",  "8"};
  };
  good(task("one"));
  good_job(4, task("four"));
  expect_same_run("four", "one");
  EXPECT_EQ(read_text_file(folder / "four/dev.jsonl"), read_text_file(folder / "one/dev.jsonl"));
  EXPECT_TRUE(read_text_file(folder / "four/best.h5") == read_text_file(folder / "one/best.h5"));
}

// Killed in the middle, continued by fewer, stopped by a signal to one of them, continued by one alone.
TEST_F(WorkersTrain, GoOnInAnyNumberAfterBeingKilledOrStopped) {
  const std::vector<std::string> more{"--steps", "200", "--save-every", "5"};
  good(lora("one", more));
  auto job = start(4, lora("many", more));
  wait_for("many/checkpoint.previous.h5");
  job.workers[2]->kill(SIGKILL);
  auto results = job.wait();
  EXPECT_EQ(results[0].code, 1);
  EXPECT_NE(results[0].err.find("worker 2 of 4 on "), std::string::npos) << results[0].err;
  EXPECT_NE(results[0].err.find("is gone: it was killed"), std::string::npos) << results[0].err;
  EXPECT_EQ(results[1].code, 1);
  EXPECT_EQ(results[1].err, "");

  std::filesystem::remove(folder / "many/checkpoint.previous.h5");
  const std::vector<std::string> again{"--steps", "200", "--save-every", "5", "--resume"};
  job = start(2, lora("many", again));
  wait_for("many/checkpoint.previous.h5");
  job.workers[1]->kill(SIGTERM);
  for (const ProcessResult& r : job.wait()) EXPECT_EQ(r.code, 75) << r.err;
  EXPECT_LT(log_of("many").size(), 200u);
  good(lora("many", again));
  expect_same_run("many", "one");
}

TEST_F(WorkersTrain, EndWhenOneIsStopped) {
  auto job = start(4, lora("run", {"--steps", "100000", "--save-every", "2"}), {}, 2);
  wait_for("run/checkpoint.previous.h5");
  job.workers[3]->kill(SIGSTOP);
  for (const int r : {0, 1, 2}) {
    const ProcessResult result = job.workers[size_t(r)]->wait();
    EXPECT_EQ(result.code, 1) << r;
    if (r > 0) continue;
    EXPECT_NE(result.err.find("worker 3 of 4 on "), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("gives no sign of life for 2 s: it is stopped"), std::string::npos) << result.err;
  }
  job.workers[3]->kill(SIGCONT);
  EXPECT_EQ(job.workers[3]->wait().code, 1);
  good({"inspect", folder / "run/checkpoint.h5", "--check", "--model", gpt2});
}

// What one worker alone runs into is all workers' end, with its name; nothing is left half-written.
TEST_F(WorkersTrain, EndWithTheErrorOfOne) {
  good(lora("whole", {"--steps", "2"}));
  const int64_t size = int64_t(read_text_file(folder / "whole/checkpoint.h5").size());
  auto results =
      start(2, lora("full_disk", {"--steps", "4", "--save-every", "2"}), {.rank = 0, .file_size = size / 2}).wait();
  for (const ProcessResult& r : results) EXPECT_EQ(r.code, 1) << r.err;
  EXPECT_NE(results[0].err.find("checkpoint.h5"), std::string::npos) << results[0].err;
  EXPECT_EQ(results[1].err, "");
  EXPECT_FALSE(file_exists(folder / "full_disk/checkpoint.h5"));
  good_job(2, lora("full_disk", {"--steps", "4", "--save-every", "2", "--resume"}));
  good(lora("four", {"--steps", "4", "--save-every", "2"}));
  expect_same_run("full_disk", "four");
}

TEST_F(WorkersTrain, RefuseWhatDoesNotFitTogether) {
  put("other.json", R"({"inputs": [[5,6,7]], "targets": [[5,6,7]]})");
  const std::vector<std::string> steps{"--steps", "3"};
  const auto with_data = [&](const std::string& name) {
    auto all = lora("run", steps);
    std::replace(all.begin(), all.end(), folder / "batch.json", folder / name);
    return all;
  };
  const auto other_data = with_data("other.json"), missing_data = with_data("missing.json");
  const auto before = files();
  for (const auto& [size, arguments, odd, part] :
       {std::tuple<int, std::vector<std::string>, Odd, std::string>{
            3, lora("run", steps), {}, "3 workers are no power of two"},
        {4, train_arguments("run", {"--shards", "2", "--steps", "3"}), {}, "--shards 2 cannot be shared by 4 workers"},
        {2, lora("run", steps), {1, lora("run", {"--steps", "4"})}, "worker 1 of 2 on "},
        {2, lora("run", steps), {1, lora("run", {"--steps", "4"})}, "options/steps is 4, but 3 at worker 0"},
        {2,
         lora("run", {"--steps", "3", "--save-every", "2"}),
         {1, lora("run", steps)},
         "options/save_every is 0, but 2 at worker 0"},
        {2, lora("run", steps), {1, other_data}, "options/data is "},
        {2, lora("run", steps), {1, missing_data}, "worker 1 of 2 on "},
        {2, lora("run", steps), {1, missing_data}, "missing.json"},
        {2, lora("run", {"--steps", "3", "--cuda-graphs"}), {}, "--cuda-graphs is for one process"}}) {
    const auto results = start(size, arguments, odd).wait();
    for (size_t r = 0; r < results.size(); ++r) {
      EXPECT_EQ(results[r].code, 2) << part << " worker " << r << ": " << results[r].err;
      if (r == 0) continue;
      EXPECT_EQ(results[r].err, "") << part << " worker " << r;
    }
    EXPECT_NE(results[0].err.find(part), std::string::npos) << results[0].err;
    EXPECT_EQ(std::count(results[0].err.begin(), results[0].err.end(), '\n') <= 3, true) << results[0].err;
    EXPECT_EQ(files(), before) << part;
  }
  for (const auto& [name, value] :
       {std::pair{"WORLD_SIZE", "many"}, {"WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_SIZE", "-1"}})
    bad(lora("run", steps), {name}, 2, {.environment = {{name, value}}});
}

}  // namespace
}  // namespace cambium::testing
