// A batch of many tuners is as many batches of one: logits, gradients and texts, bit for bit.
#include "tests/support/mixture.h"

#include "tests/support/files.h"

namespace cambium::testing {
namespace {

constexpr const char* kModels[] = {"gpt2", "llama_gqa", "bert", "t5", "bart"};

TEST(Mixture, EqualsSingleRuns) {
  for (const char* name : kModels)
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Mixed m(name, dtype);
      check_mixture(m, true);
    }
}

TEST(Mixture, RecomputedLayersHaveTheSameBits) {
  for (const char* name : {"llama_gqa", "bart"}) {
    const Mixed m(name, DType::f32);
    const std::vector<Tuner*> all = m.all();
    Mixture mixture(all, *m.model);
    const auto gradients = [&](bool recompute) {
      Tape tape;
      Pass pass(mixture, tape);
      pass.recompute = recompute;
      for (Tuner* t : all)
        for (const NamedParameter& p : t->parameters()) pass.train(*p.parameter);
      const Var loss = m.model->loss(pass, m.batch(), {}).sum;
      tape.backward(loss, Tensor::of(std::vector<float>{1}));
      std::vector<Tensor> list;
      for (Tuner* t : all)
        for (const NamedParameter& p : t->parameters()) list.push_back(pass.gradient(*p.parameter));
      return list;
    };
    const auto plain = gradients(false), again = gradients(true);
    for (size_t i = 0; i < plain.size(); ++i) expect_same(again[i], plain[i], name);
  }
}

TEST(Mixture, WritesTheTextsOfSingleRuns) {
  for (const char* name : {"gpt2", "llama_gqa", "t5", "bart"}) {
    Mixed m(name, DType::f32);
    check_mixed_generation(m);
  }
}

// One tuner treats all, so nothing is cut; sequences without it are the base's.
TEST(Mixture, OfOneTunerOrNone) {
  const auto model = golden_model("gpt2");
  const auto tuner = make_tuner("prompt", {{"length", "3"}, {"init", "random"}}, {.model = *model});
  Tuner* const one[] = {tuner.get()};
  Mixture single(one, *model), empty({}, *model);
  Hooks none;
  Batch batch = random_batch(model->config(), {4, 7});
  const auto tuned = logits_of(*model, *tuner, batch), base = logits_of(*model, none, batch);
  EXPECT_TRUE(same_bits(logits_of(*model, single, batch)[1], tuned[1]));
  for (Sequence& s : batch) s.tuner = -1;
  for (Hooks* hooks : {static_cast<Hooks*>(&single), static_cast<Hooks*>(&empty)})
    EXPECT_TRUE(same_bits(logits_of(*model, *hooks, batch)[1], base[1]));
}

// Rows in front of a sequence, and places in the table of positions, are its own tuner's.
TEST(Mixture, CountsRowsAndPlacesBySequence) {
  const auto model = golden_model("gpt2");  // 40 positions
  const auto prompt = make_tuner("prompt", {{"length", "10"}, {"init", "random"}}, {.model = *model});
  const auto prefix = make_tuner("prefix", {{"length", "5"}, {"init", "random"}}, {.model = *model});
  Tuner* const both[] = {prompt.get(), prefix.get()};
  Mixture mixture(both, *model);
  for (const auto& [tuner, rows, shift] : {std::tuple{-1, 0, 0}, {0, 10, 10}, {1, 0, 5}}) {
    EXPECT_EQ(mixture.virtual_tokens(StackKind::decoder, tuner), rows);
    EXPECT_EQ(mixture.position_shift(StackKind::decoder, tuner), shift);
    Batch batch = random_batch(model->config(), {40 - shift});
    batch[0].tuner = tuner;
    model->check_positions(batch, mixture);
    if (shift == 0) continue;
    batch[0].ids.push_back(5);
    expect_error<InputError>([&] { model->check_positions(batch, mixture); }, {"sequence 0", text(shift)});
  }
}

TEST(Mixture, RefusesWhatCannotBeMixed) {
  const auto model = golden_model("bert");
  const auto lora = make_tuner("lora", {}, {.model = *model}), top = make_tuner("top_layers", {}, {.model = *model}),
             norms = make_tuner("adapter", {{"norms", "1"}}, {.model = *model});
  const auto mix = [&](std::vector<Tuner*> tuners) { return Mixture(tuners, *model); };
  expect_error<InputError>([&] { mix({lora.get(), top.get()}); }, {"tuner 1", "top_layers", "changes the base"});
  expect_error<InputError>([&] { mix({norms.get(), lora.get()}); }, {"tuner 0", "adapter", "changes the base"});
  Batch batch = random_batch(model->config(), {4, 7});
  mix({top.get()}).check(batch);
  batch[1].tuner = -1;
  expect_error<InputError>([&] { mix({top.get()}).check(batch); }, {"top_layers", "sequence 1", "without"});
  mix({lora.get()}).check(batch);
  batch[1].tuner = 1;
  expect_error<InputError>([&] { mix({lora.get()}).check(batch); }, {"sequence 1", "tuner 1", "1 tuners"});
}

TEST(Layout, PartsAndJoins) {
  const std::vector<std::vector<int32_t>> ids{{7, 8}, {9}, {5, 6, 4}};
  const std::vector<int64_t> index{4, 5, 6};
  const std::vector<int> tuner{1, 0, 0};
  Layout layout(ids, index, tuner);
  layout.read = {{0, 1}, {2, 0}, {2, 2}};
  const auto runs = layout.runs();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[1].begin, 1);
  EXPECT_EQ(runs[1].end, 3);
  EXPECT_EQ(runs[1].tuner, 0);
  std::vector<Layout> parts;
  for (const Layout::Run& r : runs) parts.push_back(layout.part(r.begin, r.end));
  EXPECT_EQ(parts[1].begin, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(parts[1].sequence_index, (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(parts[1].read_rows(), (std::vector<int32_t>{1, 3}));
  // With rows in front of the second part's sequences.
  std::vector<int32_t> source;
  parts[1] = parts[1].with_virtual_tokens(std::vector<int32_t>{2, 2}, source);
  const Layout joined = Layout::joined(parts);
  EXPECT_EQ(joined.begin, (std::vector<int32_t>{0, 2, 5}));
  EXPECT_EQ(joined.length, (std::vector<int32_t>{2, 3, 5}));
  EXPECT_EQ(joined.tuner, tuner);
  EXPECT_EQ(joined.read_rows(), (std::vector<int32_t>{1, 7, 9}));
  EXPECT_EQ(joined.rows[7].sequence, 2);
  EXPECT_EQ(joined.rows[7].position, 2);
  EXPECT_THROW(layout.part(1, 4), Error);
  parts[0].read.reset();
  EXPECT_THROW(Layout::joined(parts), Error);
}

}  // namespace
}  // namespace cambium::testing
