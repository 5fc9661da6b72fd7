// Sums over workers: the bits of one process that adds up all shards.
#include "tuning/gradient_sum.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"
#include "tests/support/array.h"
#include "tests/support/thread_workers.h"
#include "tuning/trained_set.h"

namespace cambium::testing {
namespace {

constexpr int64_t kShards = 8;

// Gradients of a shard; some tensors are absent in some shards, one in all, one is a scalar, one has a signed zero.
std::vector<Tensor> gradients_of(int64_t shard, const std::vector<Shape>& shapes) {
  std::vector<Tensor> all;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const bool absent = i == 2 || (i == 3 && shard != 5) || (i == 1 && shard % 3 == 0) || (i == 4 && shard < 4);
    if (absent) {
      all.emplace_back();
      continue;
    }
    std::vector<float> values(size_t(shapes[i].size()));
    for (size_t k = 0; k < values.size(); ++k) {
      const uint64_t r = mix_bits(uint64_t(shard) << 40 | uint64_t(i) << 32 | k);
      values[k] = std::ldexp(float(int32_t(r)), int(r >> 32) % 40 - 50);  // of very different sizes: order shows
    }
    values[0] = -0.0f;
    all.push_back(Tensor::of(std::span<const float>(values), shapes[i]));
  }
  return all;
}

std::vector<Tensor> tree_of(int64_t begin, int64_t end, const std::vector<Shape>& shapes) {
  GradientTree tree;
  for (int64_t s = begin; s < end; ++s) tree.add(gradients_of(s, shapes));
  return tree.total();
}

void expect_same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(bool(a[i]), bool(b[i])) << i;
    if (!a[i]) continue;
    ASSERT_EQ(a[i].shape(), b[i].shape()) << i;
    EXPECT_EQ(std::memcmp(a[i].raw(), b[i].raw(), size_t(a[i].bytes())), 0) << "tensor " << i;
  }
}

class GradientSum : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Workers, GradientSum, ::testing::Values(1, 2, 4, 8));

TEST_P(GradientSum, HasTheBitsOfOneProcess) {
  // The last is longer than what travels at a time.
  for (const std::vector<Shape>& shapes :
       {std::vector<Shape>{{3, 5}, {7}, {2, 2}, {1}, {11, 3}, {4, 1, 2}}, std::vector<Shape>{{1}},
        std::vector<Shape>{{(int64_t(5) << 17) + 7}, {13}}}) {
    const std::vector<Tensor> expected = tree_of(0, kShards, shapes);
    std::vector<Tensor> like;
    for (const Shape& s : shapes) like.push_back(Tensor::zeros(s, DType::f32));
    ThreadWorkers(GetParam()).run([&](Communicator& c) {
      const ShardRange own = shards_of(c, kShards);
      expect_same_bits(sum_over_workers(c, tree_of(own.begin, own.end, shapes), like), expected);
    });
  }
}

TEST_P(GradientSum, WhatIsAbsentEverywhereStaysAbsent) {
  ThreadWorkers(GetParam()).run([&](Communicator& c) {
    const std::vector<Tensor> like(3, Tensor::zeros({4}, DType::f64));
    for (const Tensor& t : sum_over_workers(c, std::vector<Tensor>(3), like)) EXPECT_FALSE(bool(t));
  });
}

TEST_P(GradientSum, RowsAreGatheredAndValuesBroadcast) {
  ThreadWorkers(GetParam()).run([&](Communicator& c) {
    const Tensor losses = Tensor::zeros({kShards}, DType::f64);
    const ShardRange own = shards_of(c, kShards);
    for (int64_t s = own.begin; s < own.end; ++s) losses.data<double>()[s] = 1.5 * double(s);
    gather_rows(c, losses);
    for (int64_t s = 0; s < kShards; ++s) EXPECT_EQ(losses.data<double>()[s], 1.5 * double(s));
    const Tensor value = Tensor::of(std::vector<float>{c.is_first() ? 2.5f : 0, 1});
    broadcast(c, value);
    EXPECT_EQ(value.data<float>()[0], 2.5f);
  });
}

TEST(GradientSum, RefusesWhatCannotBeShared) {
  const auto refusal = [](int workers, int64_t shards) {
    std::string said;
    try {
      ThreadWorkers(workers).run([&](Communicator& c) { check_shards(c, shards); });
    } catch (const InputError& error) {
      said = error.what();
    }
    return said;
  };
  EXPECT_EQ(refusal(4, 8), "");
  EXPECT_EQ(refusal(1, 1), "");
  EXPECT_EQ(refusal(3, 8), "3 workers are no power of two\nStart 1, 2, 4, 8, ... of them");
  EXPECT_EQ(refusal(4, 2), "--shards 2 cannot be shared by 4 workers: give a power of two that is at least 4");
}

}  // namespace
}  // namespace cambium::testing
