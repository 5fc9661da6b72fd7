// The last layer computes only rows that are read: they and all gradients are those of a run over all rows.
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

const std::map<std::string, OptionMap> kTuners = {
    {"full", {}},
    {"prompt", {{"length", "3"}}},
    {"prefix", {{"length", "2"}, {"init", "random"}}},
    {"adapter", {{"kind", "parallel"}, {"bottleneck", "4"}}},
    {"lora", {{"targets", "query,value,output,up,down"}, {"rank", "2"}, {"dropout", "0.2"}}},
};

constexpr const char* kModels[] = {"gpt2", "llama_gqa", "bert", "roberta", "t5", "bart"};

// None of the first sequence, the last of the second, two of the third.
const std::vector<TokenPlace> kRead = {{1, 3}, {2, 0}, {2, 2}};

struct Result {
  Tensor rows;  // of kRead
  std::vector<Tensor> gradients;
};

// all: every token's rows are computed to the end, and kRead's are taken from them.
Result run(Model& model, Tuner& tuner, const Batch& batch, bool all, bool recompute) {
  Tape tape;
  Pass pass(tuner, tape);
  const TrainedSet trained(model, tuner);
  trained.enter(pass);
  pass.set_dropout({.attention = 0.1f, .residual = 0.2f}, 5, 1);
  pass.recompute = recompute;
  Var rows;
  if (all) {
    const Model::Hidden h = model.hidden(pass, batch);
    std::vector<int32_t> read;
    for (const TokenPlace& p : kRead) read.push_back(int32_t(h.begin[size_t(p.sequence)]) + p.token);
    const auto map = std::make_shared<RowMap>(read, h.rows.value.rows(), model.device());
    rows = apply(TakeRows{map, 1, h.rows.value.dtype()}, h.rows, Var());
  } else {
    rows = model.hidden(pass, batch, kRead);
  }
  tape.backward(rows, to_tensor(random_array(rows.value.shape(), 9), rows.value.dtype()));
  return {rows.value, trained.gradients(pass)};
}

class ReadRows : public ::testing::TestWithParam<std::tuple<const char*, std::string>> {};

TEST_P(ReadRows, AreAsAmongAllRows) {
  const auto& [name, kind] = GetParam();
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto model = golden_model(name, dtype);
    Batch batch = random_batch(model->config(), {5, 8, 6});
    batch[0].tuner = kind == "full" ? 0 : -1;
    const auto tuner = make_tuner(kind, kTuners.at(kind), {.model = *model, .seed = 2});
    if (kind != "full") randomize(*tuner, 3);
    const Result expected = run(*model, *tuner, batch, true, false);
    for (const bool recompute : {false, true}) {
      const Result read = run(*model, *tuner, batch, false, recompute);
      // Cross-attention of one or two queries sums in another order.
      const double rows = !model->config().is_seq2seq() ? 0 : dtype == DType::f64 ? 1e-13 : 1e-5;
      const Array reference_rows = to_array(expected.rows);
      expect_close(to_array(read.rows), reference_rows, rows, 0, text(name, " ", kind, " rows"));
      ASSERT_EQ(read.gradients.size(), expected.gradients.size());
      for (size_t i = 0; i < read.gradients.size(); ++i) {
        ASSERT_EQ(bool(read.gradients[i]), bool(expected.gradients[i])) << name << " " << kind << " " << i;
        if (!read.gradients[i]) continue;
        const Array reference = to_array(expected.gradients[i]);
        expect_close(to_array(read.gradients[i]), reference, dtype == DType::f64 ? 1e-12 : 1e-5,
                     dtype == DType::f64 ? 1e-13 : 1e-5, text(name, " ", kind, " ", i));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tuners, ReadRows,
                         ::testing::Combine(::testing::ValuesIn(kModels),
                                            ::testing::Values("full", "prompt", "prefix", "adapter", "lora")),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

TEST(ReadRowsAlone, MayBeNone) {
  for (const char* name : kModels) {
    const auto model = golden_model(name);
    Hooks none;
    Pass pass(none);
    EXPECT_EQ(model->hidden(pass, random_batch(model->config(), {4, 1}), {}).value.shape(),
              (Shape{0, model->config().width}))
        << name;
  }
}

TEST(ReadRowsAlone, ComeInOrderAndOnce) {
  const auto model = golden_model("gpt2");
  Hooks none;
  Pass pass(none);
  const Batch batch = random_batch(model->config(), {4, 3});
  EXPECT_THROW(model->hidden(pass, batch, {{1, 0}, {0, 1}}), Error);
  EXPECT_THROW(model->hidden(pass, batch, {{0, 1}, {0, 1}}), Error);
  EXPECT_THROW(model->hidden(pass, batch, {{0, 5}}), Error);
  EXPECT_THROW(model->hidden(pass, batch, {{0, -1}}), Error);
  EXPECT_THROW(model->hidden(pass, batch, {{2, 0}}), Error);
  EXPECT_THROW(model->hidden(pass, random_batch(model->config(), {1, 1}), {{1, 0}, {0, 0}}), Error);
}

}  // namespace
}  // namespace cambium::testing
