// Golden records: small, equal to their definition, and they notice another base, another tuner and another kernel.
#include "tuning/golden.h"

#include <cmath>
#include <set>

#include "core/hdf5.h"
#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

Tensor random_rows(int64_t rows, int64_t width) { return to_tensor(random_array({rows, width}, 7, 3.0), DType::f32); }

TEST(GoldenRecord, IsItsDefinition) {
  const Tensor logits = random_rows(64, 200);
  const GoldenRecord r = record_of(logits);
  ASSERT_EQ(r.top_ids.shape(), (Shape{64, 8}));
  double projected = 0, squares = 0;
  for (int64_t t = 0; t < 64; ++t) {
    const float* row = logits.data<float>() + t * 200;
    double sum = 0, square = 0;
    for (int i = 0; i < 200; ++i) sum += std::exp(double(row[i])), square += double(row[i]) * row[i];
    EXPECT_NEAR(r.log_sum.data<float>()[t], std::log(sum), 1e-6);
    std::vector<float> sorted(row, row + 200);
    std::sort(sorted.rbegin(), sorted.rend());
    EXPECT_EQ(r.least.data<float>()[t], sorted.back());
    for (int k = 0; k < 8; ++k) {
      EXPECT_EQ(r.top.data<float>()[t * 8 + k], sorted[size_t(k)]);
      EXPECT_EQ(row[r.top_ids.data<int32_t>()[t * 8 + k]], sorted[size_t(k)]);
    }
    squares += square / 200;
    for (int j = 0; j < 8; ++j) projected += std::pow(double(r.projections.data<float>()[t * 8 + j]), 2) / 8;
  }
  // 8 * 64 squares of projections: their mean is the mean square of the rows, to within a tenth.
  EXPECT_NEAR(projected / squares, 1, 0.1);
  // The eight rows of signs are different ones: no two projections of a row are equal.
  const auto first = r.projections.span<float>().subspan(0, 8);
  EXPECT_EQ(std::set<float>(first.begin(), first.end()).size(), 8u);
}

TEST(GoldenRecord, SeesEverySingleLogit) {
  const Tensor logits = random_rows(1, 300);
  const GoldenRecord r = record_of(logits);
  EXPECT_EQ(difference(r, logits), 0);
  for (int i = 0; i < 300; ++i) {
    Tensor other = logits.clone();
    other.data<float>()[i] += 0.1f;
    EXPECT_GT(difference(r, other), 0.1 / std::sqrt(300.0) * 0.999) << i;
    other.data<float>()[i] = std::nanf("");
    EXPECT_TRUE(std::isnan(difference(r, other))) << i;
  }
  Tensor broken = logits.clone();
  broken.data<float>()[7] = std::nanf("");
  EXPECT_TRUE(std::isnan(difference(record_of(broken), logits)));
}

TEST(GoldenRecord, RefusesLogitsOfAnotherSize) {
  const GoldenRecord r = record_of(random_rows(2, 30));
  expect_error<InputError>([&] { difference(r, random_rows(3, 30)); }, {"2 positions", "[3,30]"});
  expect_error<InputError>([&] { difference(r, random_rows(2, 6)); }, {"8 logits", "[2,6]"});
  expect_error<InputError>([&] { difference(r, random_rows(2, 9)); }, {"names logit", "of 9"});
}

TEST(GoldenRecord, IsSmallAndSurvivesTheFile) {
  const TemporaryDirectory folder;
  const auto model = golden_model("bart");
  const auto tuner = make_tuner("lora", {}, letters_context(*model));
  const Golden golden = compute_golden(*model, *tuner, random_batch(model->config(), {40, 40, 40, 40}));
  ASSERT_EQ(golden.sequences.size(), 3u);
  const std::string path = folder / "golden.h5";
  {
    Hdf5Writer writer(path);
    save_golden(writer, golden);
    writer.commit();
  }
  EXPECT_LT(read_text_file(path).size(), 20'000u);
  const Golden read = read_golden(Hdf5File(path));
  ASSERT_EQ(read.sequences.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read.sequences[i].ids, golden.sequences[i].ids);
    EXPECT_EQ(read.sequences[i].ids.size(), 16u);
    EXPECT_EQ(read.sequences[i].labels, golden.sequences[i].labels);
  }
  EXPECT_EQ(golden_difference(*model, *tuner, read), 0);
  EXPECT_EQ(read.scale(), golden.scale());
}

// A change that moves any logit by `full` must show in the record, by what a single logit would show at least.
void expect_seen(double full, double seen, int64_t width, const std::string& what) {
  EXPECT_GE(seen, 0.9 * full / std::sqrt(double(width))) << what << ": logits moved by " << full;
}

TEST(GoldenRecord, NoticesAnotherBaseOrTuner) {
  for (const char* name : {"gpt2", "llama_gqa", "bert", "t5", "bart"})
    for (const char* method : {"lora", "prompt", "prefix", "adapter"}) {
      const auto model = golden_model(name);
      const auto tuner = make_tuner(method, {}, letters_context(*model));
      randomize(*tuner, 5);
      const Golden golden = compute_golden(*model, *tuner, random_batch(model->config(), {9, 5, 12}));
      const std::vector<Tensor> before = exact_logits(*model, *tuner, golden.sequences);
      EXPECT_EQ(golden_difference(*model, *tuner, golden), 0) << name << " " << method;
      int seen = 0;
      auto all = model->parameters();
      for (const NamedParameter& p : tuner->parameters()) all.push_back(p);
      for (const NamedParameter& p : all) {
        const Tensor value = p.value(), old = value.clone();
        float& changed = value.data<float>()[value.size() / 2];
        changed += 0.05f;
        const double full = largest_difference(exact_logits(*model, *tuner, golden.sequences), before);
        expect_seen(full, golden_difference(*model, *tuner, golden), before[0].cols(),
                    text(name, " ", method, " ", p.name));
        seen += full > 1e-3;
        value.copy_from(old);
      }
      EXPECT_GT(seen, int(all.size()) / 2) << name << " " << method << ": too few changes reach the logits";
    }
}

// The same weights through other arithmetic: what a wrong kernel would do.
TEST(GoldenRecord, NoticesAnotherKernel) {
  struct Change {
    const char *model, *what;
    void (*change)(ModelConfig&);
  };
  const Change changes[] = {
      {"gpt2", "GELU's other formula", [](ModelConfig& c) { c.activation = Activation::gelu; }},
      {"gpt2", "the norm's epsilon", [](ModelConfig& c) { c.epsilon *= 100; }},
      {"bert", "the norm's place", [](ModelConfig& c) { c.norm_first = true; }},
      {"llama_gqa", "the rotation's base", [](ModelConfig& c) { c.rotary_base *= 1.5; }},
      {"llama_gqa", "the scale of the scores", [](ModelConfig& c) { c.attention_scale = 0.3f; }},
      {"t5", "the buckets of the relative bias", [](ModelConfig& c) { c.relative_distance = 40; }},
  };
  for (const Change& c : changes) {
    const auto model = golden_model(c.model);
    const auto tuner = make_tuner("lora", {}, letters_context(*model));
    randomize(*tuner, 5);
    const Golden golden = compute_golden(*model, *tuner, random_batch(model->config(), {16, 14, 16}));
    ModelConfig config = model->config();
    c.change(config);
    Model other(config, DType::f32);
    for (const NamedParameter& p : other.parameters())
      for (const NamedParameter& q : model->parameters())
        if (p.name == q.name) p.value().copy_from(q.value());
    const auto same = make_tuner("lora", {}, letters_context(other));
    randomize(*same, 5);
    EXPECT_GT(golden_difference(other, *same, golden), 1e-4 * golden.scale()) << c.model << ": " << c.what;
  }
}

}  // namespace
}  // namespace cambium::testing
