// Objectives under the trainer: random choices come back after a resume, streams equal lists, and names choose what
// trains.
#include "models/load.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tuning/denoising.h"
#include "tuning/methods.h"
#include "tuning/trainer.h"

namespace cambium::testing {
namespace {

std::unique_ptr<Model> golden_model(const std::string& name) {
  return load_model(*ModelSource::open(golden_path("models/" + name)), DType::f32);
}

class Silent : public TrainListener {
 public:
  void on_step(const StepReport& r) override { losses.push_back(r.loss); }
  std::vector<double> losses;
};

class Denoising : public ::testing::Test {
 protected:
  std::shared_ptr<const Objective> objective = std::make_shared<SpanCorruption>(
      SpanCorruption::Options{.first_sentinel = 89, .sentinels = 20, .framing = {{}, {1}}});
  std::vector<Sequence> texts = [] {
    std::vector<Sequence> all;
    for (int64_t i = 0; i < 10; ++i) {
      all.emplace_back();
      for (int64_t t = 0; t < 12 + i; ++t) all.back().ids.push_back(int32_t(2 + (i * 31 + t * 7) % 60));
    }
    return all;
  }();

  struct Run {
    std::unique_ptr<Model> model = golden_model("t5");
    std::unique_ptr<Tuner> tuner;
    std::unique_ptr<TrainedSet> trained;
    std::unique_ptr<Trainer> trainer;
    Silent silent;
  };
  Run start(Examples examples, int64_t steps) {
    Run run;
    run.tuner = make_tuner("full", {}, {.model = *run.model});
    run.trained = std::make_unique<TrainedSet>(*run.model, *run.tuner, nullptr, *objective);
    run.trainer = std::make_unique<Trainer>(*run.model, *run.tuner, *run.trained,
                                            TrainData{.examples = std::move(examples), .objective = objective},
                                            TrainOptions{.lr = 1e-2, .batch_size = 4, .steps = steps, .seed = 5});
    return run;
  }
  static void expect_same_model(Model& a, Model& b) {
    const auto x = a.parameters(), y = b.parameters();
    for (size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(same_bits(x[i].value(), y[i].value())) << x[i].name;
  }
};

TEST_F(Denoising, ResumedRunsSeeWhatWholeOnesSee) {
  const TemporaryDirectory folder;
  Run whole = start(texts, 8);
  whole.trainer->run(whole.silent);

  // Stopped after step 5, in the second epoch.
  class Stop : public Silent {
   public:
    void on_save(int64_t, bool) override { save(); }
    std::function<void()> save;
  } stop;
  Run first = start(texts, 8);
  Trainer five(*first.model, *first.tuner, *first.trained, {.examples = texts, .objective = objective},
               {.lr = 1e-2, .batch_size = 4, .steps = 5, .seed = 5});
  stop.save = [&] {
    save_checkpoint(folder / "c.h5", *first.tuner, *first.trained, &five.optimizer(), {.step = 5}, {},
                    compute_golden(*first.model, *first.tuner, five.first_examples(3)));
  };
  five.run(stop);

  Run second = start(texts, 8);
  const auto tuner = load_tuner(folder / "c.h5", *second.model, {}, false);
  load_training_state(folder / "c.h5", *second.trained, second.trainer->optimizer());
  second.trainer->resume_at(5);
  second.trainer->run(second.silent);
  expect_same_model(*whole.model, *second.model);
  EXPECT_EQ(second.silent.losses, std::vector<double>(whole.silent.losses.begin() + 5, whole.silent.losses.end()));
}

TEST_F(Denoising, StreamsAreLists) {
  Run list = start(texts, 6);
  int64_t asked = 0;
  Run stream = start(Examples(
                         int64_t(texts.size()), [&](int64_t n) { return ++asked, texts[size_t(n)]; }, "texts"),
                     6);
  list.trainer->run(list.silent);
  stream.trainer->run(stream.silent);
  expect_same_model(*list.model, *stream.model);
  EXPECT_EQ(asked, 4 + 4 + 2 + 4 + 4 + 2);  // nothing is read that is not used
}

TEST_F(Denoising, RefusesTextsThatTheObjectiveRefuses) {
  texts[7].ids[3] = 80;  // a sentinel
  expect_error<InputError>([&] { start(texts, 3); }, {"example 7", "token 3", "80 is a sentinel"});
}

TEST(Objectives, LeaveWhatTheyDoNotReadUntrained) {
  const auto model = golden_model("bert_old");  // with a head over the vocabulary
  const auto full = make_tuner("full", {}, {.model = *model});
  const TrainedSet trained(*model, *full);
  for (const auto& e : trained.entries()) EXPECT_FALSE(e.name.starts_with("pooler.")) << e.name;
}

TEST(FullTuner, TrainsChosenNamesAlone) {
  const auto model = golden_model("bert");
  const auto head = make_tuner("full", {{"only", "head.,encoder.layers.1."}}, {.model = *model});
  const TrainedSet trained(*model, *head);
  size_t of_head = 0, of_layer = 0;
  for (const auto& e : trained.entries()) {
    of_head += e.name.starts_with("head.");
    of_layer += e.name.starts_with("encoder.layers.1.");
  }
  EXPECT_EQ(of_head + of_layer, trained.entries().size());
  EXPECT_EQ(of_head, 5u);  // transform, norm, bias; the matrix is the embedding's
  EXPECT_EQ(of_layer, 16u);
  EXPECT_EQ(make_tuner("full", head->options(), {.model = *model})->options(), head->options());
  expect_error<InputError>(
      [&] {
        make_tuner("full", {{"only", "heads."}}, {.model = *model});
      },
      {"only=heads.", "no parameter"});
}

TEST(NewLanguageHead, IsTiedAndTrainsAlone) {
  const auto model = golden_model("bert_base");
  ASSERT_FALSE(model->head);
  EXPECT_EQ(model->add_language_head(1), std::vector<std::string>{"head."});
  const auto tuner = make_tuner("full", {{"only", "head."}}, {.model = *model});
  std::vector<Sequence> texts(8);
  for (size_t i = 0; i < texts.size(); ++i)
    for (int32_t t = 0; t < 10; ++t) texts[i].ids.push_back(5 + (int32_t(i) + t) % 8);
  const auto objective = std::make_shared<MaskedLm>(MaskedLm::Options{.rate = 0.3, .mask = 4, .vocabulary = 58});
  TrainedSet trained(*model, *tuner, nullptr, *objective);
  Trainer trainer(*model, *tuner, trained, {.examples = texts, .dev = texts, .objective = objective},
                  {.lr = 0.02, .batch_size = 4, .steps = 60});
  const double before = trainer.evaluate();
  EXPECT_EQ(trainer.evaluate(), before);  // what is evaluated is masked alike each time
  Silent silent;
  trainer.run(silent);
  EXPECT_LT(trainer.evaluate(), 0.7 * before);
  expect_error<InputError>([&] { model->add_language_head(1); }, {"already"});
  expect_error<InputError>([&] { golden_model("t5")->add_language_head(1); }, {"BERT and RoBERTa"});
}

}  // namespace
}  // namespace cambium::testing
