// How sentences become a classifier's examples: where they are cut, and what stands around a mask.
#include <gtest/gtest.h>

#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/taken_positions.h"
#include "experiments/lib/task_data.h"
#include "tests/support/golden.h"
#include "tuning/methods.h"

namespace cambium::testing {
namespace {

class Films : public ClassificationTask {
 public:
  std::string name() const override { return "films"; }
  std::string words() const override { return "film"; }
  std::vector<std::string> labels() const override { return {"bad", "excellent"}; }
  std::vector<LabelledText> labelled(Split) const override { return {{std::string(2000, 'x'), 1}, {"short", 0}}; }
  Cloze cloze() const override { return {"It was", ".", {"the", "of"}}; }
};

// Of what the model has positions for a tuner takes what it inserts, and nothing else is left free.
TEST(ClassificationSetup, CutsToWhatTheTunerLeaves) {
  Session encoder = open_smoke_session(kSmokeEncoder, {.device = "cpu", .dtype = "f32"});
  const int64_t places = encoder.model->config().max_positions;
  ASSERT_EQ(places, 512);
  const Films task;
  const auto length = [&](const std::string& method, const OptionMap& options) {
    const TrainRun run{.method = method, .options = options};
    const TrainData data = train_data_of(encoder, task, {.taken = [&] { return taken_positions(encoder, run); }});
    EXPECT_EQ(data.examples[1].ids.size(), 5u + 2u);
    return int64_t(data.examples[0].ids.size());
  };
  EXPECT_EQ(length("lora", {}), places);
  EXPECT_EQ(length("full", {{"only", "classifier"}}), places);  // the head that the data add
  EXPECT_EQ(length("prefix", {{"length", "7"}, {"init", "random"}}), places) << "an encoder's positions stay";
  EXPECT_EQ(length("prompt", {{"length", "7"}, {"init", "random"}}), places - 7);
  EXPECT_EQ(length("prompt", {{"length", "200"}, {"init", "text"}}), places - 200);
}

TEST(ClassificationSetup, LeavesADecoderRoomToAnswer) {
  Session decoder = open_smoke_session(kSmokeDecoder, {.device = "cpu", .dtype = "f32"});
  decoder.tokenizer = load_tokenizer(golden_path("tokenizers/gpt2"));
  ModelConfig config = decoder.model->config();
  config.vocabulary = decoder.tokenizer->vocabulary_size();
  decoder.model = std::make_unique<Model>(config, DType::f32);
  const Films task;
  const auto answer = [&](const char* label) { return int64_t(decoder.tokenizer->encode(label, false).size()) + 1; };
  const int64_t own = answer(" excellent"), longest = std::max(own, answer(" bad"));
  for (const auto& [method, taken] : {std::pair{"lora", 0}, {"prefix", 9}, {"prompt", 9}}) {
    OptionMap options;
    if (taken) options = {{"length", "9"}, {"init", "random"}};
    const auto tuner = make_tuner(method, options, decoder.context(0));
    const ClassificationSetup setup(decoder, task, Decision::text, 0, [&] { return taken_positions(*tuner, config); });
    const std::vector<Sequence> examples = setup.examples(Split::train, 0, 0);
    EXPECT_EQ(int64_t(examples[0].ids.size()), config.max_positions - taken - longest + own) << method;
    EXPECT_EQ(int64_t(setup.choice(task.labelled(Split::train)[0], 0).ids.size()),
              config.max_positions - taken - longest);
    decoder.model->check_positions(examples, *tuner);
    Sequence longer = examples[0];
    for (int64_t i = 0; i <= longest - own; ++i) longer.ids.push_back(1), longer.labels.push_back(1);
    EXPECT_THROW(decoder.model->check_positions({longer}, *tuner), InputError) << method << ": not one more fits";
  }
}

// LM-BFF's "It was<mask>.": RoBERTa's full stop with a blank before it is another token.
TEST(ClassificationSetup, NoBlankStandsBehindTheMask) {
  Session session = open_smoke_session(kSmokeEncoder, {.device = "cpu", .dtype = "f32"});
  session.tokenizer = load_tokenizer(golden_path("tokenizers/roberta"));
  ModelConfig config = session.model->config();
  config.language_head = true, config.vocabulary = session.tokenizer->vocabulary_size();
  session.model = std::make_unique<Model>(config, DType::f32);
  const Films task;
  const ClassificationSetup setup(session, task, Decision::words, 0);
  const std::vector<int32_t> expected = session.tokenizer->encode("short It was<mask>.", true);
  EXPECT_EQ(setup.choice({"short", 0}, 0).ids, expected);
  EXPECT_NE(session.tokenizer->encode("short It was<mask> .", true), expected);
}

}  // namespace
}  // namespace cambium::testing
