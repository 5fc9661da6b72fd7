// Choosing among classes: heads against transformers, label words against the logits of the whole vocabulary, and that
// a new head trains with every tuner and comes back from checkpoints.
#include "tuning/classification.h"

#include <cmath>

#include "models/load.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/tuning.h"
#include "tuning/methods.h"
#include "tuning/peft.h"
#include "tuning/trainer.h"

namespace cambium::testing {
namespace {

class Everything : public Hooks {
 public:
  bool trains(std::string_view) const override { return true; }
  bool reaches_inside(const Site&) const override { return false; }
};

std::unique_ptr<Model> golden_model(const std::string& name, DType dtype = DType::f32) {
  return load_model(*ModelSource::open(golden_path("models/" + name)), dtype);
}

Sequence labelled(std::vector<int32_t> ids, int32_t label, int64_t index = 0) {
  Sequence s;
  s.ids = std::move(ids), s.labels = {label}, s.index = index;
  return s;
}

class GoldenHead : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenHead, EqualsTransformers) {
  const std::string folder = golden_path(std::string("classification/") + GetParam());
  const auto cases = parse_json_file(folder + "/cases.json");
  const SafetensorsFile expected(folder + "/expected.safetensors");
  const auto source = ModelSource::open(folder);
  for (const DType dtype : {DType::f64, DType::f32}) {
    const auto model = load_model(*source, dtype);
    const ClassificationHead head(*model, model->config().classes, 0);
    Batch batch = golden_batch(cases);
    for (size_t s = 0; s < batch.size(); ++s) batch[s].labels = {cases.at("classes").at(s).get<int32_t>()};
    head.check(*model, batch);
    Everything hooks;
    Tape tape;
    Pass inference(hooks), pass(hooks, tape);
    expect_close(to_array(head.scores(*model, inference, batch)), to_array(expected.read("scores")), 1e-5, 1e-6,
                 "scores");
    for (const NamedParameter& p : model->parameters()) pass.train(*p.parameter);
    const Model::Loss loss = head.loss(*model, pass, batch, {.gradient_scale = 1 / float(batch.size())});
    EXPECT_NEAR(to_array(loss.sum.value)(0), to_array(expected.read("loss"))(0), 2e-6);
    tape.backward(loss.sum, Tensor::of(std::vector<double>{1}).to(loss.sum.value.dtype()));
    double largest = 0;
    for (const std::string& name : expected.names())
      if (name.starts_with("gradients.")) largest = std::max(largest, to_array(expected.read(name)).largest());
    size_t compared = 0;
    for (const NamedParameter& p : model->parameters()) {
      const Tensor gradient = pass.gradient(*p.parameter);
      ASSERT_TRUE(gradient) << p.name;
      const std::string name = "gradients." + source->foreign_name(p.name);
      ASSERT_TRUE(expected.has(name)) << name;
      expect_close(to_array(gradient.rows(p.begin, p.end)), to_array(expected.read(name)), 1e-5, 1e-6 * largest,
                   p.name);
      ++compared;
    }
    EXPECT_EQ(compared, expected.names().size() - 2);
  }
}

// Two segments in a sequence: BERT adds another embedding to the second.
TEST(GoldenHead, OfPairsEqualsTransformers) {
  const std::string folder = golden_path("classification/bert");
  const auto model = load_model(*ModelSource::open(folder), DType::f64);
  const ClassificationHead head(*model, model->config().classes, 0);
  Batch batch = golden_batch(parse_json_file(folder + "/cases.json"));
  const auto types = parse_json_file(folder + "/pairs.json").at("types");
  for (size_t s = 0; s < batch.size(); ++s) batch[s].types = types.at(s).get<std::vector<int32_t>>();
  for (Sequence& s : batch) s.labels = {0};
  head.check(*model, batch);
  Hooks none;
  Pass pass(none);
  const SafetensorsFile expected(folder + "/pairs.safetensors");
  expect_close(to_array(head.scores(*model, pass, batch)), to_array(expected.read("scores")), 1e-5, 1e-6, "scores");
  batch[0].types.back() = 2;
  expect_error<InputError>([&] { head.check(*model, batch); }, {"sequence 0", "segment id 2", "2 segments"});
  batch[0].types.pop_back();
  expect_error<InputError>([&] { head.check(*model, batch); }, {"6 tokens and 5 segment ids"});
}

// An adapter that PEFT saved for a classifier brings its head along.
TEST_P(GoldenHead, OfAPeftAdapterEqualsPefts) {
  const std::string folder = golden_path(std::string("classification/") + GetParam()), adapter = folder + "_peft";
  const SafetensorsFile expected(adapter + "/expected.safetensors");
  const auto model = load_model(*ModelSource::open(folder), DType::f32);
  const auto tuner = load_peft_adapter(adapter, *model);
  const ClassificationHead head(*model, model->config().classes, 0);
  const Batch batch = golden_batch(parse_json_file(folder + "/cases.json"));
  Pass pass(*tuner);
  expect_close(to_array(head.scores(*model, pass, batch)), to_array(expected.read("scores")), 1e-5, 1e-5, "scores");
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenHead, ::testing::Values("bert", "roberta"),
                         [](const auto& info) { return std::string(info.param); });

TEST(ClassificationHead, RefusesWhatDoesNotFit) {
  const auto decoder = golden_model("llama_gqa");
  expect_error<InputError>([&] { ClassificationHead(*decoder, 2, 0); }, {"needs an encoder"});
  const auto bert = golden_model("bert");
  expect_error<InputError>([&] { ClassificationHead(*bert, 1, 0); }, {"1 classes"});
  const ClassificationHead head(*bert, 2, 0);
  expect_error<InputError>([&] { ClassificationHead(*bert, 3, 0); }, {"has 2 classes, the task 3"});
  head.check(*bert, {labelled({5, 6}, 1)});
  expect_error<InputError>(
      [&] {
        head.check(*bert, {labelled({5}, 0), labelled({5, 6}, 2)});
      },
      {"sequence 1", "class 2"});
  Sequence several = labelled({5, 6}, 1);
  several.labels = {0, 1};
  expect_error<InputError>([&] { head.check(*bert, {several}); }, {"sequence 0", "2 labels"});
  expect_error<InputError>([&] { head.check(*bert, {labelled({75}, 0)}); }, {"outside the vocabulary"});
  expect_error<InputError>([&] { head.check(*bert, {labelled(std::vector<int32_t>(33, 5), 0)}); },
                           {"33 tokens", "32 positions"});
}

// A head that is new, under any tuner: it is trained, saved and loaded, and the base stays.
class NewHead : public ::testing::TestWithParam<const char*> {};

TEST_P(NewHead, TrainsWithEveryTunerAndComesBack) {
  const TemporaryDirectory folder;
  const std::string path = folder / "checkpoint.h5";
  const auto model = golden_model("bert");
  Batch examples;
  for (int64_t i = 0; i < 12; ++i)
    examples.push_back(labelled({int32_t(4 + i), int32_t(70 - i), int32_t(i % 2 ? 9 : 20)}, int32_t(i % 2), i));
  const auto head = std::make_shared<ClassificationHead>(*model, 2, 3);
  const OptionMap options = GetParam() == std::string("prefix") ? OptionMap{{"init", "random"}} : OptionMap();
  const auto tuner = make_tuner(GetParam(), options, {.model = *model, .seed = 3});
  TrainedSet trained(*model, *tuner, {}, *head);
  size_t of_head = 0;
  for (const auto& e : trained.entries()) {
    of_head += e.name.starts_with("classifier.");
    EXPECT_FALSE(e.name.starts_with("head.")) << "the vocabulary's head is not read";
  }
  EXPECT_EQ(of_head, 2u);
  Trainer trainer(*model, *tuner, trained, {.examples = examples, .objective = head},
                  {.lr = 0.02, .batch_size = 4, .epochs = 8});
  Record record;
  EXPECT_EQ(trainer.run(record), TrainEnd::finished);
  EXPECT_LT(record.losses().back(), 0.8 * record.losses().front());
  save_checkpoint(path, *tuner, trained, &trainer.optimizer(), {.step = trainer.step()}, {},
                  compute_golden(*model, *tuner, examples));
  Pass pass(*tuner);
  const Tensor scores = head->scores(*model, pass, examples);

  const auto again = golden_model("bert");
  const auto loaded = load_tuner(path, *again, {}, false);
  ASSERT_TRUE(again->classifier);
  EXPECT_EQ(again->config().classes, 2);
  const ClassificationHead same(*again, 2, 99);  // takes the head that is there
  Pass other(*loaded);
  EXPECT_TRUE(same_bits(same.scores(*again, other, examples), scores));
  EXPECT_LT(golden_difference(*again, *loaded, read_golden(path)), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Tuners, NewHead, ::testing::Values("prompt", "prefix", "adapter", "lora", "full"),
                         [](const auto& info) { return std::string(info.param); });

// Label words ---------------------------------------------------------------------------------------

class Words : public ::testing::TestWithParam<const char*> {};

TEST_P(Words, AreTheLogitsOfTheWholeVocabularyAtThePosition) {
  const auto model = golden_model(GetParam(), DType::f64);
  const std::vector<int32_t> words{9, 30, 12};
  const int32_t mask = 7;
  const bool encoder = model->config().is_encoder(), seq2seq = model->config().is_seq2seq();
  const LabelWords objective(words, encoder ? std::optional(mask) : std::nullopt, *model);
  const Batch batch{labelled({5, mask, 20, 6}, 2, 0), labelled({mask}, 0, 1), labelled({33, 21, mask}, 1, 2)};
  objective.check(*model, batch);
  Everything hooks;
  Pass pass(hooks);
  const Array scores = to_array(objective.scores(*model, pass, batch));
  ASSERT_EQ(scores.shape, (Shape{3, 3}));
  double loss = 0;
  for (size_t s = 0; s < batch.size(); ++s) {
    Sequence one = batch[s];
    one.labels.clear();
    if (const auto forced = model->config().forced_bos; seq2seq && forced) one.labels.push_back(*forced);
    if (seq2seq) one.labels.push_back(1);
    const Model::Hidden h = model->hidden(pass, {one});
    const size_t place = encoder   ? size_t(std::find(one.ids.begin(), one.ids.end(), mask) - one.ids.begin())
                         : seq2seq ? one.labels.size() - 1
                                   : one.ids.size() - 1;
    const Array logits =
        to_array(model->logits(pass, h.rows.value.rows(h.begin[0] + int64_t(place), h.begin[0] + int64_t(place) + 1)));
    double sum = 0;
    for (size_t c = 0; c < words.size(); ++c) {
      EXPECT_NEAR(scores(int64_t(s), int64_t(c)), logits(words[c]), 1e-6 * logits.largest());
      sum += std::exp(logits(words[c]));
    }
    loss += std::log(sum) - logits(words[size_t(batch[s].labels[0])]);
  }
  const Model::Loss l = objective.loss(*model, pass, batch, {.gradient_scale = 0.5f, .gradient = false});
  EXPECT_EQ(l.scored, 3);
  EXPECT_NEAR(to_array(l.sum.value)(0), 0.5 * loss, 1e-9);
}

TEST_P(Words, HaveTheGradientOfTheLoss) {
  const auto model = golden_model(GetParam(), DType::f64);
  const bool encoder = model->config().is_encoder();
  const LabelWords objective({9, 30}, encoder ? std::optional(7) : std::nullopt, *model);
  const Batch batch{labelled({5, 7, 20, 6}, 1, 0), labelled({7, 8}, 0, 1)};
  Everything hooks;
  Tape tape;
  Pass pass(hooks, tape);
  for (const NamedParameter& p : model->parameters()) pass.train(*p.parameter);
  const Model::Loss l = objective.loss(*model, pass, batch, {});
  tape.backward(l.sum, Tensor::of(std::vector<double>{1}));
  const auto at = [&] {
    Pass plain(hooks);
    return to_array(objective.loss(*model, plain, batch, {.gradient = false}).sum.value)(0);
  };
  for (const NamedParameter& p : model->parameters()) {
    const bool head_part = p.name == "embedding.weight" || p.name.starts_with("head.");
    if (!head_part || p.parameter->buffer) continue;
    const Array gradient = to_array(pass.gradient(*p.parameter));
    int64_t k = 0;  // the largest slope
    for (int64_t i = 0; i < gradient.size(); ++i)
      if (std::abs(gradient(i)) > std::abs(gradient(k))) k = i;
    double* value = p.parameter->value.data<double>() + k;
    const double before = *value, step = 1e-5;
    *value = before + step;
    const double up = at();
    *value = before - step;
    const double down = at();
    *value = before;
    EXPECT_NEAR((up - down) / (2 * step), gradient(k), 1e-6 * std::max(1.0, std::abs(gradient(k)))) << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Words, ::testing::Values("bert", "roberta", "llama_gqa", "t5", "t5_1_1", "bart"),
                         [](const auto& info) { return std::string(info.param); });

TEST(LabelWords, RefuseWhatTheyCannotChooseFrom) {
  const auto bert = golden_model("bert"), base = golden_model("bert_base");
  expect_error<InputError>([&] { LabelWords({4}, 7, *bert); }, {"1 words"});
  expect_error<InputError>([&] { LabelWords({4, 5}, 7, *base); }, {"no head"});
  expect_error<InputError>([&] { LabelWords({4, 5}, std::nullopt, *bert); }, {"mask"});
  expect_error<InputError>([&] { LabelWords({4, 5, 4}, 7, *bert); }, {"same token"});
  expect_error<InputError>([&] { LabelWords({4, 75}, 7, *bert); }, {"75", "outside the vocabulary of 75"});
  const LabelWords words({4, 5}, 7, *bert);
  expect_error<InputError>(
      [&] {
        words.check(*bert, {labelled({6, 6}, 0)});
      },
      {"sequence 0", "mask token 7", "0 times"});
  expect_error<InputError>(
      [&] {
        words.check(*bert, {labelled({6, 7}, 0), labelled({7, 7}, 0)});
      },
      {"sequence 1", "2 times"});
}

}  // namespace
}  // namespace cambium::testing
