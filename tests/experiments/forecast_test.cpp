// What a table's cells are expected to take: operations by shape, time by speed, and the rows that show the progress.
#include "experiments/lib/table/forecast.h"

#include <gtest/gtest.h>

#include "experiments/lib/shapes.h"
#include "experiments/lib/table/growing_table.h"
#include "models/model.h"

namespace cambium::testing {
namespace {

// Values of all matrices of stacks, from the parameters that a model really has.
double matrix_values(const ModelConfig& config, const std::string& stack) {
  Model model(config, DType::f32, Device::cpu(), Model::Storage::none);
  double values = 0;
  for (const NamedParameter& p : model.parameters())
    if (p.name.starts_with(stack + ".layers.") && p.name.ends_with(".weight") && p.value().shape().rank() == 2)
      values += double(p.value().shape()[0] * p.value().shape()[1]);
  return values;
}

TEST(Forecast, ForwardMultipliesEveryRowByEveryMatrix) {
  for (const std::string& name : published_shapes()) {
    ModelConfig config = published_shape(name);
    const double layers = double(config.encoder.layers + config.decoder.layers);
    const double query = double(std::max(config.encoder.query_width(), config.decoder.query_width()));
    // One token in, one out: the decoder of a plain decoder sees both, each other row is one.
    double expected = 2 * matrix_values(config, "encoder"), scores = 0;
    if (config.is_encoder()) scores = layers * 4 * query;
    else if (config.is_seq2seq()) scores = layers / 2 * 4 * query * (1 + 0.5 + 1);
    else scores = layers * 4 * query * 2 * 1;
    expected += (config.is_seq2seq() ? 2 : 4) * matrix_values(config, "decoder");
    expected += 2 * double(config.width * config.vocabulary) + scores;
    EXPECT_DOUBLE_EQ(forward_operations(config, {.text = {1, 1}}), expected) << name;
  }
}

TEST(Forecast, WhatStandsInFrontCosts) {
  const ModelConfig config = published_shape("smollm2-135m");
  const auto of = [&](const ForwardShape& shape) { return forward_operations(config, shape); };
  const ForwardShape plain{.text = {50, 30}};
  EXPECT_DOUBLE_EQ(of({.text = {50, 30}, .virtual_tokens = 20}), of({.text = {70, 30}}));
  // 80 rows look at 10 keys more: 4 operations a channel of the queries, in 30 layers.
  EXPECT_DOUBLE_EQ(of({.text = {50, 30}, .prefix = 10}) - of(plain), 30. * 4 * 576 * 80 * 10);
  EXPECT_DOUBLE_EQ(of({.text = {50, 30}, .extra = 1000}) - of(plain), 30. * 2 * 1000 * 80);
}

TEST(Forecast, WritingReadsTheWeightsOnceAToken) {
  const ModelConfig config = published_shape("gpt2");
  // A token alone is a forward pass of a row, and one look at itself.
  EXPECT_DOUBLE_EQ(writing_operations(config, 0, 0), forward_operations(config, {.text = {0, 1}}) - 12. * 4 * 768 / 2);
  EXPECT_DOUBLE_EQ(writing_operations(config, 101, 0) - writing_operations(config, 1, 0), 12. * 4 * 768 * 100);
  EXPECT_EQ(writing_operations(published_shape("roberta-base"), 0, 0), 0);
}

TEST(Forecast, CellsCostWhatTheyDo) {
  const ModelConfig config = published_shape("smollm2-135m");
  const CellCounts n{.text = {40, 30}, .examples = 320, .inputs = 50, .new_tokens = 80, .beams = 1};
  const auto work = [&](const CellSpec& m) { return cell_work(config, m, n); };
  const double pass = forward_operations(config, {.text = {40, 30}});
  const CellWork none = work({.method = "zero-shot"}), lora = work({.method = "lora", .tuner = "lora"});
  EXPECT_EQ(none.training, 0);
  EXPECT_DOUBLE_EQ(lora.training, 320 * 2 * pass);
  EXPECT_DOUBLE_EQ(work({.method = "full", .tuner = "full"}).training, 320 * 3 * pass);
  EXPECT_DOUBLE_EQ(work({.method = "top_layers", .tuner = "top_layers", .options = {{"layers", "3"}}}).training,
                   320 * 1.2 * pass);
  EXPECT_DOUBLE_EQ(work({.method = "prompt", .tuner = "prompt", .options = {{"length", "60"}}}).training,
                   320 * 2 * forward_operations(config, {.text = {100, 30}}));
  EXPECT_GT(work({.method = "adapter", .tuner = "adapter"}).training, lora.training);
  // Behind three demonstrations an input has 40 + 3 (40 + 30) tokens; with what to stop at, outputs are like targets.
  const CellWork few = work({.method = "few-shot", .demonstrations = 3});
  EXPECT_DOUBLE_EQ(none.reading, 50 * forward_operations(config, {.text = {40, 0}}));
  EXPECT_DOUBLE_EQ(few.reading, 50 * forward_operations(config, {.text = {250, 0}}));
  EXPECT_DOUBLE_EQ(none.writing, 50. * 80 * writing_operations(config, 40 + 40, 0));
  EXPECT_DOUBLE_EQ(few.writing, 50. * 30 * writing_operations(config, 250 + 15, 0));
  CellCounts beams = n;
  beams.beams = 5;
  EXPECT_DOUBLE_EQ(cell_work(config, {.method = "few-shot", .demonstrations = 3}, beams).writing, 5 * few.writing);
  CellCounts classes = n;
  classes.text.target = 0;
  EXPECT_EQ(cell_work(config, {.method = "lora", .tuner = "lora"}, classes).writing, 0);
}

TEST(Forecast, TimeIsWorkOverSpeed) {
  EXPECT_DOUBLE_EQ(seconds_of({.training = 6e11, .reading = 2e11, .writing = 1e11}, {.rows = 1e11, .writing = 5e10}),
                   10);
  EXPECT_EQ(seconds_of({.training = 6e11, .writing = 1e11}, {.rows = 1e11}), -1);
  EXPECT_EQ(seconds_of({.reading = 1}, {.writing = 1}), -1);
  EXPECT_DOUBLE_EQ(seconds_of({.reading = 1e11}, {.rows = 1e11}), 1);
}

TEST(Forecast, WhatIsLeftFollowsWhatWasMeasured) {
  EXPECT_DOUBLE_EQ(seconds_left(100, 0, 0), 100);
  EXPECT_DOUBLE_EQ(seconds_left(100, 50, 75), 150);
  EXPECT_DOUBLE_EQ(seconds_left(100, 50, 25), 50);
  EXPECT_DOUBLE_EQ(seconds_left(100, 1, 1000), 1000);  // one short cell says little: at most ten times
  EXPECT_DOUBLE_EQ(seconds_left(-1, 50, 50), 0);
}

TEST(Forecast, CalibrationStaysSmall) {
  for (const std::string& name : published_shapes()) {
    const ModelConfig config = published_shape(name);
    const TextShape text{200, 40};
    const CalibrationShape s = calibration_shape(config, text, 16, 250);
    EXPECT_GE(s.layers, 1) << name;
    EXPECT_GE(s.examples, 1) << name;
    EXPECT_LE(s.texts, 64) << name;
    const ModelConfig less = shallow(config, s.layers);
    EXPECT_TRUE(s.examples == 1 || 2 * double(s.examples) * forward_operations(less, {text}) <= 4e10) << name;
    EXPECT_LE(double(s.texts) * writing_operations(less, 0, 0), 4e9) << name;
  }
  const CalibrationShape tiny = calibration_shape(tiny_decoder(259), {20, 10}, 4, 6);
  EXPECT_EQ(tiny.layers, 2);
  EXPECT_EQ(tiny.examples, 4);
  EXPECT_EQ(tiny.texts, 6);
}

TEST(Forecast, EveryKindOfModelHasASpeed) {
  CommonOptions common;
  common.device = "cpu";
  const Speeds decoder = measure_speeds(tiny_decoder(259), {20, 10}, 4, 6, common);
  EXPECT_GT(decoder.rows, 0);
  EXPECT_GT(decoder.writing, 0);
  const Speeds both = measure_speeds(tiny_seq2seq(259, 258, 256), {20, 10}, 4, 6, common);
  EXPECT_GT(both.rows, 0);
  EXPECT_GT(both.writing, 0);
  const Speeds encoder = measure_speeds(tiny_encoder(259, 258), {20, 0}, 4, 6, common);
  EXPECT_GT(encoder.rows, 0);
  EXPECT_EQ(encoder.writing, 0);
}

TEST(GrowingTable, GrowsByARow) {
  GrowingTable table({{"BLEU"}, {"trained"}});
  table.add("zero-shot", {"0.00", "0"});
  EXPECT_EQ(table.rendered("1 of 2 cells done"),
            "\n1 of 2 cells done\n\n"
            "method     BLEU  trained\n"
            "------------------------\n"
            "zero-shot  0.00        0\n");
  table.add("lora", {"64.21", "460,800"});
  EXPECT_EQ(table.rendered("2 of 2"),
            "\n2 of 2\n\n"
            "method      BLEU  trained\n"
            "-------------------------\n"
            "zero-shot   0.00        0\n"
            "lora       64.21  460,800\n");
  for (int i = 0; i < 20; ++i) table.add(text("seed ", i), {"1.00", "1"});
  const std::string last = table.rendered("22 of 60");
  EXPECT_EQ(std::count(last.begin(), last.end(), '\n'), 5 + 12);
  EXPECT_NE(last.find("seed 19"), last.npos);
  EXPECT_EQ(last.find("lora"), last.npos);
}

TEST(GrowingTable, LabelsSayWhatDiffers) {
  const std::vector<Cell> cells = {
      {"m", "lora", "samsum", 0, ""}, {"m", "lora", "samsum", 1, ""}, {"m", "lora", "xsum", 0, ""}};
  EXPECT_EQ(cell_labels(cells),
            (std::vector<std::string>{"lora, samsum, seed 0", "lora, samsum, seed 1", "lora, xsum, seed 0"}));
  EXPECT_EQ(cell_labels({{"a", "lora", "e2e", 3, "", "rank 4"}, {"a", "lora", "e2e", 3, "", "rank 8"}}),
            (std::vector<std::string>{"lora, rank 4", "lora, rank 8"}));
  EXPECT_EQ(cell_labels({{"a", "lora", "e2e", 3, ""}, {"b", "lora", "e2e", 3, ""}}),
            (std::vector<std::string>{"lora, a", "lora, b"}));
}

}  // namespace
}  // namespace cambium::testing
