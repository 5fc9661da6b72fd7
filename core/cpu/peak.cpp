// Loops that measure a processor's limits. Compiled with -ffp-contract=fast: a multiply-add is one instruction.
#include "core/cpu/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "core/cpu/gemm_kernel.h"
#include "core/cpu/parallel.h"
#include "core/threads.h"

namespace cambium::cpu {
namespace {

std::atomic<int64_t> flops{0};

// The highest rate of task(), which returns the work it has done: rounds of a few tasks a thread until time is over.
template <class Task>
double best_rate(double seconds, const Task& task) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const auto begin = Clock::now();
  double best = 0;
  do {
    const auto start = Clock::now();
    std::atomic<int64_t> work{0};
    parallel_tasks(4 * threads(), [&](int64_t n) { work += task(n); });
    best = std::max(best, double(work) / since(start));
  } while (since(begin) < seconds);
  return best;
}

int64_t multiply_add_loop() {
  constexpr int kChains = 12;
  constexpr int64_t kRounds = 1 << 20;
  Vector<float> sum[kChains], factor = Vector<float>{} + 0.999f, term = Vector<float>{} + 0.001f;
  for (int i = 0; i < kChains; ++i) sum[i] = Vector<float>{} + float(i);
  __asm__ volatile("" : "+m"(factor), "+m"(term));  // not known to the compiler
  for (int64_t r = 0; r < kRounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * factor + term;
  }
  for (Vector<float>& s : sum) __asm__ volatile("" : "+m"(s));
  return kRounds * kChains * kVector<float> * 2;
}

int64_t tile_loop(const Microkernel& kernel) {
  constexpr int64_t kRounds = 1 << 12, kLength = 64;
  std::vector<float> a(size_t(kernel.rows * kLength)), b(size_t(kernel.columns * kLength)),
      c(size_t(kernel.rows * kernel.columns));
  if (kernel.begin) kernel.begin();
  for (int64_t r = 0; r < kRounds; ++r)
    kernel.multiply(kernel.rows, kLength, a.data(), b.data(), c.data(), kernel.columns, true);
  if (kernel.end) kernel.end();
  return kRounds * kernel.rows * kernel.columns * kLength * 2;
}

}  // namespace

double measure_float_flops(double seconds) {
  return best_rate(seconds, [](int64_t) { return multiply_add_loop(); });
}

double measure_pairs_flops(double seconds) {
  const Microkernel& kernel = kernel_for(true);
  return kernel.pairs ? best_rate(seconds, [&](int64_t) { return tile_loop(kernel); }) : 0;
}

double measure_read_bandwidth(double seconds) {
  constexpr int64_t kWords = int64_t(1) << 25;  // 256 MiB: more than caches hold
  const int64_t parts = 4 * threads();
  const std::vector<uint64_t> memory(size_t(kWords), 1);
  std::atomic<uint64_t> total{0};
  const double rate = best_rate(seconds, [&](int64_t n) {
    const Parts cut{kWords, parts};
    uint64_t sum = 0;
    for (int64_t i = cut.begin(n); i < cut.begin(n + 1); ++i) sum += memory[size_t(i)];
    total += sum;
    return cut.size(n) * 8;
  });
  return total > 0 ? rate : 0;
}

double counted_flops() { return double(flops.load(std::memory_order_relaxed)); }
void count_flops(double more) {
  if (more < 0x1p62) flops.fetch_add(int64_t(more), std::memory_order_relaxed);
}

}  // namespace cambium::cpu
