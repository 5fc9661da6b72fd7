// Several LoRAs as one, against PEFT's add_weighted_adapter; and the singular values behind one of the ways.
#include "tuning/join.h"

#include "core/svd.h"
#include "tests/support/files.h"
#include "tests/support/tuning.h"
#include "tuning/peft.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

Array product(const Array& b, const Array& a) {
  Array y({b.rows(), a.cols()});
  for (int64_t r = 0; r < b.rows(); ++r)
    for (int64_t c = 0; c < a.cols(); ++c)
      for (int64_t k = 0; k < b.cols(); ++k) y(r, c) += b(r, k) * a(k, c);
  return y;
}

Array turned(const Array& a) {
  Array t({a.cols(), a.rows()});
  for (int64_t r = 0; r < a.rows(); ++r)
    for (int64_t c = 0; c < a.cols(); ++c) t(c, r) = a(r, c);
  return t;
}

Array with_columns_times(const Array& u, const Array& s) {
  Array y = u;
  for (int64_t r = 0; r < u.rows(); ++r)
    for (int64_t c = 0; c < u.cols(); ++c) y(r, c) *= s(c);
  return y;
}

void expect_unit_columns(const Array& u) {
  const Array gram = product(turned(u), u);
  for (int64_t i = 0; i < gram.rows(); ++i)
    for (int64_t j = 0; j < gram.cols(); ++j) EXPECT_NEAR(gram(i, j), i == j ? 1 : 0, 1e-12);
}

TEST(Svd, GivesTheMatrixBack) {
  for (const Shape& shape : {Shape{7, 4}, {4, 7}, {5, 5}, {1, 6}, {6, 1}}) {
    const Array m = random_array(shape, 3);
    const Svd d = svd(to_tensor(m, DType::f64));
    const Array u = to_array(d.u), s = to_array(d.s), v = to_array(d.v);
    expect_unit_columns(u), expect_unit_columns(v);
    for (int64_t i = 0; i < s.size(); ++i) EXPECT_TRUE(s(i) >= 0 && (i == 0 || s(i) <= s(i - 1)));
    expect_close(product(with_columns_times(u, s), turned(v)), m, 1e-13, 1e-13, text(shape));
  }
  // [[3, 0], [4, 5]]: sqrt 45 and sqrt 5.
  const Array s = to_array(svd(Tensor::of(std::vector<double>{3, 0, 4, 5}).reshape({2, 2})).s);
  EXPECT_NEAR(s(0), std::sqrt(45), 1e-13);
  EXPECT_NEAR(s(1), std::sqrt(5), 1e-13);
}

TEST(Svd, OfAProductNeedsNotMakeIt) {
  for (const auto& [rows, rank, cols] : {std::array<int64_t, 3>{9, 3, 6}, {4, 6, 5}, {3, 8, 2}}) {
    const Array b = random_array({rows, rank}, 1), a = random_array({rank, cols}, 2), whole = product(b, a);
    const Svd d = svd_of_product(to_tensor(b, DType::f64), to_tensor(a, DType::f64));
    expect_close(product(with_columns_times(to_array(d.u), to_array(d.s)), turned(to_array(d.v))), whole, 1e-12, 1e-12, "");
    const Array s = to_array(svd(to_tensor(whole, DType::f64)).s);
    for (int64_t i = 0; i < std::min(s.size(), d.s.size()); ++i) EXPECT_NEAR(to_array(d.s)(i), s(i), 1e-12);
  }
  // Of dependent columns, too.
  const Array zero({5, 2});
  EXPECT_EQ(to_array(svd_of_product(to_tensor(zero, DType::f64), to_tensor(random_array({2, 4}, 1), DType::f64)).s).largest(), 0);
}

class Joins : public ::testing::Test {
 protected:
  const std::string directory = golden_path("joins/");
  const json cases = parse_json_file(directory + "cases.json");
  const std::unique_ptr<Model> model = golden_model(cases.at("base"), DType::f64);

  std::unique_ptr<Tuner> joined(const std::vector<std::string>& names, const JoinOptions& options) {
    std::vector<std::unique_ptr<Tuner>> tuners;
    std::vector<Tuner*> parts;
    for (const std::string& name : names) {
      tuners.push_back(load_peft_adapter(directory + name, *model));
      parts.push_back(tuners.back().get());
    }
    return join(parts, names, *model, options);
  }
};

TEST_F(Joins, EqualPefts) {
  const SafetensorsFile expected(directory + "expected.safetensors");
  for (const auto& [name, c] : cases.at("cases").items()) {
    const auto tuner = joined(c.at("parts"), {c.at("how"), c.at("weights"), c.value("density", 0.5), c.value("seed", uint64_t(0))});
    std::map<std::string, Array> values;
    for (const NamedParameter& p : tuner->parameters()) values[p.name] = to_array(p.value());
    size_t compared = 0, there = 0;
    for (const auto& [parameter, a] : values) {
      if (!parameter.ends_with(".lora_a")) continue;
      const std::string module = parameter.substr(0, parameter.size() - 7);
      const Array& b = values.at(module + ".lora_b");
      if (const std::string whole = name + "." + module; expected.has(whole)) {
        expect_close(product(b, a), to_array(expected.read(whole)), 1e-6, 1e-7, whole);
        ++compared;
      } else {
        expect_close(a, to_array(expected.read(whole + ".lora_a")), 1e-6, 1e-7, whole);
        expect_close(b, to_array(expected.read(whole + ".lora_b")), 1e-6, 1e-7, whole);
        compared += 2;
      }
    }
    for (const std::string& n : expected.names()) there += n.starts_with(name + ".");
    EXPECT_EQ(compared, there) << name;
    EXPECT_EQ(tuner->effective_scale(), 1);
  }
}

// cat has the sum of the ranks, svd the largest.
TEST_F(Joins, RanksAddUp) {
  const auto tuner = joined({"a", "c"}, {"cat", {1, 1}});
  for (const NamedParameter& p : tuner->parameters())
    if (p.name.ends_with("query.lora_a")) {
      EXPECT_EQ(p.value().rows(), 5) << p.name;
    }
  const auto best = joined({"a", "c"}, {"svd", {1, 1}});
  for (const NamedParameter& p : best->parameters())
    if (p.name.ends_with("query.lora_a")) {
      EXPECT_EQ(p.value().rows(), 3) << p.name;
    }
}

TEST_F(Joins, WhatDoesNotFitIsNamed) {
  const auto refused = [&](const std::vector<std::string>& names, const JoinOptions& options,
                           std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { joined(names, options); }, parts);
  };
  refused({"a", "c"}, {"average"}, {"average", "rank 3 in a and 2 in c", "cat and svd"});
  refused({"a", "b"}, {"mean"}, {"mean", "average"});
  refused({"a", "b"}, {"cat", {1}}, {"1 weights for 2 tuners"});
  refused({"a", "b"}, {"ties", {}, 0}, {"density 0"});
  const auto dora = make_tuner("dora", {}, {.model = *model}), lora = make_tuner("lora", {}, {.model = *model});
  expect_error<InputError>([&] { join({lora.get(), dora.get()}, {"one", "two"}, *model, {}); }, {"two is a dora"});
}

// Merged and taken out again, the base is what it was but for rounding.
TEST(Unmerging, GivesTheBaseBack) {
  for (const std::string method : {"lora", "vera", "ia3", "lora+ia3"}) {
    const auto model = golden_model("bart"), untouched = golden_model("bart");
    const auto tuner = make_tuner(method, {}, {.model = *model});
    randomize(*tuner, 5, 0.5);
    ASSERT_TRUE(tuner->merge_into(*model)) << method;
    ASSERT_TRUE(tuner->unmerge_from(*model)) << method;
    const auto before = untouched->parameters(), after = model->parameters();
    for (size_t i = 0; i < after.size(); ++i)
      expect_close(to_array(after[i].value()), to_array(before[i].value()), 1e-5, 1e-6, method + " " + after[i].name);
  }
  const auto model = golden_model("bart");
  EXPECT_FALSE(make_tuner("dora", {}, {.model = *model})->unmerge_from(*model));
  EXPECT_FALSE(make_tuner("bitfit", {}, {.model = *model})->unmerge_from(*model));
  const auto zero = make_tuner("ia3", {}, {.model = *model, .initialize = false});
  EXPECT_FALSE(zero->unmerge_from(*model));
}

}  // namespace
}  // namespace cambium::testing
