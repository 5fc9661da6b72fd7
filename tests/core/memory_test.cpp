// The caching allocator: what is freed is handed out again, and does not pile up.
#include "core/memory.h"

#include <gtest/gtest.h>

#include "tests/support/files.h"

namespace cambium::testing {
namespace {

constexpr int64_t kMiB = 1 << 20;

Allocator& allocator() { return Allocator::of(Device::cpu()); }

TEST(Memory, AFreedBlockServesRequestsOfHalfItsSizeAndMore) {
  allocator().release(allocator().allocate(64 * kMiB));  // then ten stay in the cache, whatever ran before
  allocator().trim();
  void* block = allocator().allocate(10 * kMiB);
  allocator().release(block);
  EXPECT_EQ(allocator().counters().cached, 10 * kMiB);
  void* same = allocator().allocate(5 * kMiB);
  EXPECT_EQ(same, block);
  EXPECT_EQ(allocator().counters().cached, 0);
  allocator().release(same);
  void* smaller = allocator().allocate(4 * kMiB);
  EXPECT_NE(smaller, block);
  EXPECT_EQ(allocator().counters().cached, 10 * kMiB);
  allocator().release(smaller);
  allocator().trim();
  EXPECT_EQ(allocator().counters().cached, 0);
}

TEST(Memory, BlocksAreAlignedAndCounted) {
  const auto before = allocator().counters();
  for (const int64_t bytes : {0, 1, 63, 64, 65, 513, 100000}) {
    void* block = allocator().allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u) << bytes;
    EXPECT_GE(allocator().counters().live, before.live + bytes);
    allocator().release(block);
    EXPECT_EQ(allocator().counters().live, before.live);
  }
  EXPECT_EQ(allocator().counters().requests, before.requests + 7);
  expect_error<Error>([] { allocator().allocate(-1); }, {"negative"});
}

// Batches of many lengths: every step asks for 16 blocks of a size of its own.
TEST(Memory, BlocksOfManySizesDoNotPileUp) {
  allocator().trim();
  const auto step = [](int64_t bytes) {
    std::vector<void*> blocks;
    for (int i = 0; i < 16; ++i) blocks.push_back(allocator().allocate(bytes));
    for (void* block : blocks) allocator().release(block);
  };
  step(16 * kMiB);
  for (int64_t n = 0; n < 40; ++n) {
    step((4 + n * 7 % 13) * kMiB);
    const auto now = allocator().counters();
    EXPECT_LE(now.cached, 16 * 16 * kMiB / 8 * 9) << "step " << n;
  }
  allocator().trim();
}

}  // namespace
}  // namespace cambium::testing
