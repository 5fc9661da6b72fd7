// How sentences become a classifier's examples: where they are cut, and what stands around a mask.
#include <gtest/gtest.h>

#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/taken_positions.h"
#include "experiments/lib/task_data.h"
#include "tests/experiments/task_of.h"
#include "tests/support/golden.h"
#include "tuning/methods.h"

namespace cambium::testing {
namespace {

struct Films {
  Films() { put_file(folder / "train.csv", "text,label\n" + std::string(2000, 'x') + ",1\nshort,0\n"); }
  operator const Task&() const { return task; }
  std::vector<LabelledRow> labelled(Split split) const { return task.labelled(split); }

  const TemporaryDirectory folder;
  const Task task = task_of(R"({"name": "films", "format": "csv", "columns": {"text": "text", "label": "label"},
      "files": {"train": "train.csv"},
      "input": {"encoder": "{text}", "decoder": "sentence: {text}", "cloze": "{text} It was {mask}."},
      "labels": [{"value": "0", "name": "bad", "word": "the"}, {"value": "1", "name": "excellent", "word": "of"}],
      "metrics": "accuracy", "words": "film"})",
                            folder.path());
};

LabelledRow short_row() { return {{{{"text", {"short"}}, {"label", {"0"}}}, "here"}, 0, 0}; }

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
  EXPECT_EQ(setup.choice(short_row(), 0).ids, expected);
  EXPECT_NE(session.tokenizer->encode("short It was<mask> .", true), expected);
}

struct Pairs {
  Pairs() {
    put_file(folder / "train.tsv", "a\tb\tlabel\nA red house.\tA house.\tyes\n" + std::string(900, 'x') + "\t" +
                                       std::string(300, 'y') + "\tno\n");
  }
  const TemporaryDirectory folder;
  const Task task =
      task_of(R"({"name": "pairs", "format": "plain_tsv", "columns": {"a": "a", "b": "b", "label": "label"},
      "files": {"train": "train.tsv"},
      "input": {"encoder": ["{a}", "{b}"], "decoder": "a: {a} b: {b} answer:", "cloze": "{a}? {mask}, {b}"},
      "labels": [{"name": "no", "word": "bad"}, {"name": "yes", "word": "good"}], "metrics": ["accuracy", "f1"]})",
              folder.path());
};

// What transformers' tokenizer makes of two texts: [CLS] a [SEP] b [SEP], and the second one is segment 1.
TEST(ClassificationSetup, PairsHaveSegments) {
  Session session = open_smoke_session(kSmokeEncoder, {.device = "cpu", .dtype = "f32"});
  session.tokenizer = load_tokenizer(golden_path("tokenizers/bert_uncased"));
  ModelConfig config = session.model->config();
  config.family = "bert", config.token_types = 2, config.vocabulary = session.tokenizer->vocabulary_size();
  session.model = std::make_unique<Model>(config, DType::f32);
  const Pairs pairs;
  const ClassificationSetup setup(session, pairs.task, Decision::head, 0);
  const auto rows = pairs.task.labelled(Split::train);
  const Sequence s = setup.choice(rows[0], 0);
  const std::vector<int32_t> first = session.tokenizer->encode("A red house.", true),
                             second = session.tokenizer->encode("A house.", true);
  std::vector<int32_t> ids = first, types(first.size(), 0);
  ids.insert(ids.end(), second.begin() + 1, second.end());
  types.resize(ids.size(), 1);
  EXPECT_EQ(s.ids, ids);
  EXPECT_EQ(s.types, types);
  EXPECT_EQ(setup.cut(), 0);
}

// RoBERTa's </s></s>; what does not fit is cut in the longer text alone.
TEST(ClassificationSetup, TheLongerTextOfAPairIsCut) {
  const auto tokenizer = load_tokenizer(golden_path("tokenizers/roberta"));
  ModelConfig config;
  config.family = "roberta", config.token_types = 1, config.encoder.layers = 1;
  ASSERT_TRUE(config.is_encoder());
  const DataRow row{{{"a", {"one two three four five six"}}, {"b", {"one two"}}}, "here"};
  const std::vector<Template> texts{Template("{a}"), Template("{b}")};
  const auto ids = [&](int64_t longest) { return fitted(texts, row, "", *tokenizer, config, longest); };
  const auto around = [&](const std::string& a, const std::string& b) {
    std::vector<int32_t> all = tokenizer->encode(a, true), more = tokenizer->encode(b, true);
    all.push_back(all.back());  // </s></s> between both
    all.insert(all.end(), more.begin() + 1, more.end());
    return all;
  };
  const FittedInput whole = ids(0);
  EXPECT_EQ(whole.ids, around("one two three four five six", "one two"));
  EXPECT_TRUE(whole.types.empty());
  EXPECT_FALSE(ids(int64_t(whole.ids.size())).cut);
  const FittedInput less = ids(int64_t(whole.ids.size()) - 3);
  EXPECT_TRUE(less.cut);
  std::vector<int32_t> expected = tokenizer->encode("one two three four five six", false);
  expected.resize(expected.size() - 3);
  expected.insert(expected.begin(), whole.ids.front());
  const auto tail = around("", "one two");
  expected.insert(expected.end(), tail.begin() + 1, tail.end());
  EXPECT_EQ(less.ids, expected);
}

// Words around the fields stay whatever the length: a decoder must see what it is asked.
TEST(ClassificationSetup, TheQuestionStaysWhereTextsAreCut) {
  Session decoder = open_smoke_session(kSmokeDecoder, {.device = "cpu", .dtype = "f32"});
  const Pairs pairs;
  const ClassificationSetup setup(decoder, pairs.task, Decision::text, 0);
  const Sequence s = setup.choice(pairs.task.labelled(Split::train)[1], 0);
  const std::string words = decoder.tokenizer->decode(s.ids, true);
  EXPECT_TRUE(words.starts_with("a: xxx")) << words;
  EXPECT_TRUE(words.ends_with("y answer:")) << words;
  EXPECT_NE(words.find(" b: yyy"), words.npos);
  EXPECT_EQ(setup.cut(), 1);
}

// Answers that begin alike are compared as wholes: the sum of their tokens' log probabilities, as transformers' logits
// would give them one by one.
TEST(ClassificationSetup, AnswersThatBeginAlikeAreComparedAsWholes) {
  const TemporaryDirectory folder;
  put_file(folder / "dev.csv", "text,label\nabc,0\nxyz,2\n");
  const Task task = task_of(R"({"name": "choices", "format": "csv", "columns": {"text": "text", "label": "label"},
      "files": {"dev": "dev.csv"}, "input": {"decoder": "{text}"}, "metrics": "accuracy",
      "labels": [{"value": "0", "name": "choice1"}, {"value": "1", "name": "choice2"}, {"value": "2", "name": "chosen"}]})",
                            folder.path());
  for (const char* kind : {kSmokeDecoder, kSmokeSeq2seq}) {
    Session s = open_smoke_session(kind, {.device = "cpu", .dtype = "f32"});
    const auto rows = task.labelled(Split::dev);
    const ClassificationSetup setup(s, task, Decision::text, 0);
    Batch batch{setup.choice(rows[0], 0), setup.choice(rows[1], 1)};
    Hooks none;
    const std::vector<int> chosen = setup.choose(none, batch, rows);
    for (size_t i = 0; i < rows.size(); ++i) {
      std::vector<double> losses;
      for (const std::string& name : task.labels()) {
        Pass pass(none);
        const Sequence whole = with_target(batch[i].ids, " " + name, *s.tokenizer, s.model->config(), 0);
        const Model::Loss loss = s.model->loss(pass, {whole}, {});
        losses.push_back(double(loss.sum.value.data<float>()[0]));
      }
      EXPECT_EQ(chosen[i], std::min_element(losses.begin(), losses.end()) - losses.begin()) << kind;
      Pass pass(none);
      Batch all;
      for (const std::string& name : task.labels())
        all.push_back(with_target(batch[i].ids, " " + name, *s.tokenizer, s.model->config(), 0));
      const auto together = s.model->sequence_losses(pass, all);
      for (size_t c = 0; c < losses.size(); ++c) EXPECT_NEAR(together[c], losses[c], 1e-4 * losses[c]);
    }
  }
}

}  // namespace
}  // namespace cambium::testing
