#include "models/positions.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cambium {
namespace {

// Wave lengths beyond the old context are stretched by `factor`, short ones kept, in between both are blended.
double scaled_frequency(const RotaryScaling& s, double frequency) {
  if (s.factor == 1) return frequency;
  const double wave = 2 * M_PI / frequency, shortest = s.original_positions / s.high_frequency,
               longest = s.original_positions / s.low_frequency;
  if (wave < shortest) return frequency;
  if (wave > longest) return frequency / s.factor;
  const double blend = (s.original_positions / wave - s.low_frequency) / (s.high_frequency - s.low_frequency);
  return (1 - blend) * frequency / s.factor + blend * frequency;
}

}  // namespace

Tensor rotary_table(const ModelConfig& config, int64_t positions, DType dtype, Device device) {
  const int64_t half = config.rotary_size / 2;
  Tensor table = Tensor::empty({positions, config.rotary_size}, DType::f64);
  for (int64_t i = 0; i < half; ++i) {
    // Frequencies and angles are rounded to float32, as every implementation that trained such models does.
    const double exponent = double(2 * i) / double(config.rotary_size);
    const float frequency = float(scaled_frequency(config.rotary_scaling, 1 / std::pow(config.rotary_base, exponent)));
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = double(float(p) * frequency);
      table.data<double>()[p * config.rotary_size + i] = std::cos(angle);
      table.data<double>()[p * config.rotary_size + half + i] = std::sin(angle);
    }
  }
  return table.to(dtype).to(device);
}

Tensor relative_buckets(const ModelConfig& config, bool bidirectional, Device device) {
  const int range = int(config.relative_distance);
  const int buckets = int(config.relative_buckets) / (bidirectional ? 2 : 1), exact = buckets / 2;
  std::vector<int32_t> bucket;
  for (int distance = -range; distance <= range; ++distance) {
    const int first = bidirectional && distance > 0 ? buckets : 0;
    const int d = bidirectional ? std::abs(distance) : std::max(-distance, 0);
    int place = d;
    if (d >= exact) {
      // In float32, as the models were trained: at bucket borders the rounding decides.
      const float ratio = std::log(float(d) / float(exact)) / float(std::log(double(range) / exact));
      place = std::min(exact + int(ratio * float(buckets - exact)), buckets - 1);
    }
    bucket.push_back(first + place);
  }
  return Tensor::of(bucket, device);
}

}  // namespace cambium
