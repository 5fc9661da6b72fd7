// Few-shot prompts: which examples stand in front of an input, what is left out, and where an output ends.
#include "experiments/lib/demonstrations.h"

#include <gtest/gtest.h>

#include "experiments/lib/evaluation.h"
#include "experiments/lib/shapes.h"
#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/task_data.h"
#include "tests/experiments/task_of.h"

namespace cambium::testing {
namespace {

// Texts of one character a token for the smoke models.
struct Lines {
  Lines() {
    put_file(folder / "train.jsonl", R"({"in": "a ||", "out": "first"}
{"in": "b ||", "out": "second"}
{"in": "c ||", "out": "third"}
{"in": "d ||", "out": "fourth"}
)");
    put_file(folder / "test.jsonl", R"({"in": "x ||", "out": "one"}
{"in": "yy ||", "out": "two"}
)");
  }
  operator const Task&() const { return task; }
  std::vector<TextPair> examples(Split split) const { return task.examples(split); }

  const TemporaryDirectory folder;
  const Task task = task_of(R"({"name": "lines", "format": "jsonl", "columns": {"in": "in", "out": "out"},
      "files": {"train": "train.jsonl", "test": "test.jsonl"}, "input": {"decoder": "{in}"}, "target": "{out}",
      "metrics": "bleu", "words": "say"})",
                            folder.path());
};

CommonOptions on_cpu() {
  CommonOptions common;
  common.device = "cpu", common.dtype = "f32", common.quiet = true;
  return common;
}

std::string text_of(const Session& s, const std::vector<int32_t>& ids) { return s.tokenizer->decode(ids, false); }

TEST(Demonstrations, StandInFrontAsTheyAreTrainedOn) {
  const Session s = open_smoke_session(kSmokeDecoder, on_cpu());
  const Lines task;
  for (const uint64_t seed : {0, 1, 2}) {
    std::string expected;
    for (const TextPair& p : sample(task.examples(Split::train), 3, seed)) {
      if (expected.empty()) {  // a tuner with this seed is trained on it, too
        EXPECT_EQ(p.input, sample(task.examples(Split::train), 1, seed).front().input);
      }
      expected += p.input + p.target + "\n";
    }
    DemonstratedPrompts prompts({.count = 3, .seed = seed}, task, *s.tokenizer, s.model->config(), 10);
    EXPECT_EQ(text_of(s, prompts.prompt("x ||")), expected + "x ||");
    EXPECT_EQ(prompts.cut(), 0);
    EXPECT_EQ(prompts.fewest(), 3);
  }
  DemonstratedPrompts none({}, task, *s.tokenizer, s.model->config(), 10);
  EXPECT_EQ(text_of(s, none.prompt("x ||")), "x ||");
}

TEST(Demonstrations, OtherSeedsShowOtherExamples) {
  const Session s = open_smoke_session(kSmokeDecoder, on_cpu());
  const Lines task;
  std::set<std::string> all;
  for (uint64_t seed = 0; seed < 8; ++seed)
    all.insert(text_of(
        s, DemonstratedPrompts({.count = 1, .seed = seed}, task, *s.tokenizer, s.model->config(), 10).prompt("x ||")));
  EXPECT_GT(all.size(), 1u);
}

// Each is 11 to 12 characters with its line end, the input 4: what a model writes needs room, too.
TEST(Demonstrations, FewerWhereTheModelHasNoPositions) {
  const Session s = open_smoke_session(kSmokeDecoder, on_cpu());
  const Lines task;
  ModelConfig config = s.model->config();
  const auto shown = [&](int64_t positions, const std::string& input) {
    config.max_positions = positions;
    DemonstratedPrompts prompts({.count = 4, .seed = 0}, task, *s.tokenizer, config, 10);
    const std::string prompt = text_of(s, prompts.prompt(input));
    EXPECT_LE(int64_t(prompt.size()), positions - 10);
    EXPECT_TRUE(prompt.ends_with(input));
    const int64_t lines = std::count(prompt.begin(), prompt.end(), '\n');
    EXPECT_EQ(prompts.fewest(), lines);
    EXPECT_EQ(prompts.cut(), lines < 4);
    return lines;
  };
  EXPECT_EQ(shown(62, "x ||"), 4);
  EXPECT_EQ(shown(50, "x ||"), 3);
  EXPECT_EQ(shown(26, "x ||"), 1);
  EXPECT_EQ(shown(20, "x ||"), 0);
  EXPECT_EQ(shown(62, "long x ||"), 3);
}

TEST(Demonstrations, NoMoreThanThereAreExamples) {
  const Session s = open_smoke_session(kSmokeDecoder, on_cpu());
  expect_error<InputError>(
      [&] { DemonstratedPrompts({.count = 5, .seed = 0}, Lines(), *s.tokenizer, s.model->config(), 10); }, {"5", "4"});
}

TEST(Demonstrations, LineEndsAreTokensOfNothingElse) {
  const Session s = open_smoke_session(kSmokeDecoder, on_cpu());
  EXPECT_EQ(line_ends(*s.tokenizer), std::vector<int32_t>{10});
}

// A model that writes line ends as long as it may: behind demonstrations its outputs end with the first.
TEST(Demonstrations, OutputsEndWithTheirLine) {
  Session s = open_smoke_session(kSmokeDecoder, on_cpu());
  GenerationOptions options{.max_new_tokens = 7};
  for (int32_t id = 0; id < 259; ++id)
    if (id != '\n') options.forbidden.push_back({id});
  options.eos = std::vector<int32_t>();
  Hooks none;
  const Lines task;
  EXPECT_EQ(evaluate(s, none, task, Split::test, 0, options).new_tokens, 2 * 7);
  EXPECT_EQ(evaluate(s, none, task, Split::test, 0, options, {.count = 2, .seed = 0}).new_tokens, 2);
}

// An encoder with a head has no line that it could continue.
TEST(Demonstrations, OfClassesAreForModelsThatWrite) {
  const auto task = make_task("synthetic", "");
  Hooks none;
  Session encoder = open_smoke_session(kSmokeEncoder, on_cpu());
  ClassificationSetup(encoder, *task, Decision::head, 0);
  EXPECT_EQ(evaluate_task(encoder, none, *task, Decision::automatic, Split::dev, 4, {}).outputs.size(), 4u);
  expect_error<InputError>(
      [&] { evaluate_task(encoder, none, *task, Decision::automatic, Split::dev, 4, {}, {.count = 2, .seed = 0}); },
      {"demonstrations", "bert"});
}

}  // namespace
}  // namespace cambium::testing
