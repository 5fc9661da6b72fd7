// The scripts of tools/slurm on a real Slurm with two nodes on this machine.
#include "tests/support/slurm.h"

namespace cambium::testing {
namespace {

class SlurmJobs : public WorkersCommand {
 protected:
  std::vector<std::string> training(const std::string& output) const {
    return {"--model",      gpt2,
            "--tuner",      "lora",
            "--option",     "rank=2",
            "--batches",    folder / "batch.json",
            "--output",     folder / output,
            "--dtype",      "f32",
            "--shards",     "4",
            "--steps",      "300",
            "--save-every", "20"};
  }
};

// Two workers on two nodes; the job is told to stop, queued again, and ends with the bits of one process.
TEST_F(SlurmJobs, ATrainingOnTwoNodesGoesOnAfterItIsStoppedLong) {
  if (const std::string why = Slurm::missing(); !why.empty()) GTEST_SKIP() << why;
  batch();
  std::vector<std::string> alone = training("one");
  alone.insert(alone.begin(), "train");
  good(alone);
  const Slurm slurm(folder / "slurm");
  std::vector<std::string> sbatch{"/usr/bin/sbatch",
                                  "--parsable",
                                  "--nodes=2",
                                  "--ntasks-per-node=1",
                                  "--output=" + (folder / "job.out"),
                                  source_path("tools/slurm/train.sh")};
  for (const std::string& a : training("two")) sbatch.push_back(a);
  // The nodes' names are no hosts'.
  const ProcessResult given = slurm.call(sbatch, {{"CAMBIUM", program_path("cambium")}, {"MASTER_ADDR", "127.0.0.1"}});
  ASSERT_EQ(given.code, 0) << given.err;
  const std::string job = given.out.substr(0, given.out.find('\n'));
  wait_for("two/checkpoint.h5");
  EXPECT_EQ(slurm.call({"/usr/bin/scancel", "--batch", "--signal=USR1", job}).code, 0);
  ASSERT_TRUE(slurm.comes_to(job, "Restarts=1")) << slurm.state(job) << read_text_file(folder / "job.out");
  slurm.call({"/usr/bin/scontrol", "update", "JobId=" + job, "StartTime=now"});
  ASSERT_TRUE(slurm.comes_to(job, "JobState=COMPLETED")) << slurm.state(job) << read_text_file(folder / "job.out");
  EXPECT_NE(read_text_file(folder / "job.out").find("stopped after saving: queued again"), std::string::npos);
  expect_same_run("two", "one");
}

TEST_F(SlurmJobs, AnArrayRunsEachCellOnceLong) {
  if (const std::string why = Slurm::missing(); !why.empty()) GTEST_SKIP() << why;
  const Slurm slurm(folder / "slurm");
  const ProcessResult given =
      slurm.call({"/usr/bin/sbatch", "--wait", "--array=0-6", "--output=" + (folder / "cell-%a.out"),
                  source_path("tools/slurm/cells.sh"), program_path("lora_glue"), "--preset", "smoke", "--results",
                  folder / "results"});
  EXPECT_EQ(given.code, 0) << given.err;
  const ProcessResult plan =
      run_process({program_path("lora_glue"), "plan", "--preset", "smoke", "--results", folder / "results"});
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_EQ(plan.out.find("to do  "), std::string::npos) << plan.out;
}

}  // namespace
}  // namespace cambium::testing
