// Calls a kernel on both sides and compares.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "cuda/runtime.h"
#include "cuda/testing.h"
#include "tests/support/array.h"

namespace cambium::testing {

// The device is an emulator, which environment variables make smaller or older.
inline bool is_emulated() {
  return gpu::is_real() && gpu::device_count() > 0 &&
         gpu::properties(Device::gpu()).name.find("emulator") != std::string::npos;
}

// Allowed error, as a share of the largest value of an output (or of 0.3).
struct Share {
  double f32 = 2e-6, bf16 = 1e-2;
  double of(DType t) const { return t == DType::bf16 ? bf16 : f32; }
};

// As to_array, for integers too.
inline Array values_of(const Tensor& t) {
  if (t.dtype() != DType::i32) return to_array(t);
  Array a(t.shape());
  const Tensor host = t.to(Device::cpu());
  for (int64_t i = 0; i < a.size(); ++i) a(i) = host.data<int32_t>()[i];
  return a;
}

// What a kernel is called with on one side: run(Stream&) makes its tensors there and returns the
// outputs.
using Call = std::function<std::vector<Tensor>(Stream&)>;

// The GPU's outputs are the CPU's but for rounding, and have the same bits whatever the order of
// its threads.
inline void expect_sides_agree(const Call& run, double share, const std::string& what) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  const auto cpu = run(current_stream(Device::cpu()));
  gpu::shuffle_threads(0);
  const auto gpu = run(current_stream(Device::gpu()));
  ASSERT_EQ(cpu.size(), gpu.size());
  for (size_t i = 0; i < cpu.size(); ++i) {
    const Array expected = values_of(cpu[i]), seen = values_of(gpu[i]);
    ASSERT_EQ(expected.size(), seen.size()) << what;
    const double allowed = share * std::max(expected.largest(), 0.3);
    for (int64_t e = 0; e < seen.size(); ++e) {
      if (seen(e) == expected(e)) continue;  // infinities too
      ASSERT_LE(std::abs(seen(e) - expected(e)), allowed) << what << ", output " << i << ", element " << e << ": "
                                                          << seen(e) << " on the GPU, " << expected(e) << " on the CPU";
    }
  }
  for (const unsigned seed : {1u, 7u}) {
    gpu::shuffle_threads(seed);
    const auto again = run(current_stream(Device::gpu()));
    gpu::shuffle_threads(0);
    for (size_t i = 0; i < gpu.size(); ++i)
      EXPECT_TRUE(same_bits(gpu[i], again[i])) << what << ", output " << i << ": depends on the order of threads";
  }
}

// Outputs with the same bits on both sides.
inline void expect_sides_equal(const Call& run, const std::string& what) { expect_sides_agree(run, 0, what); }

// A matrix inside a wider one, so that rows are strided and start where no vector does.
struct Strided {
  Tensor all;
  int64_t begin, end;
  View view() const { return all.view().columns(begin, end); }
  operator ConstView() const { return view(); }
  operator View() const { return view(); }
};

inline Strided strided(const Array& a, DType dtype, Device device, int64_t before, int64_t after) {
  Array wide({a.rows(), before + a.cols() + after});
  for (double& v : wide.values) v = 77;
  for (int64_t n = 0; n < a.rows(); ++n)
    for (int64_t d = 0; d < a.cols(); ++d) wide(n, before + d) = a(n, d);
  return {to_tensor(wide, dtype, device), before, before + a.cols()};
}

inline Tensor integers(const std::vector<int32_t>& values, Device device) { return Tensor::of(values).to(device); }

inline Tensor integers(const std::vector<int32_t>& values, const Shape& shape, Device device) {
  return Tensor::of(std::span<const int32_t>(values), shape).to(device);
}

}  // namespace cambium::testing
