// What the papers' tuners count, by their formulas, beside what the papers print.
#pragma once

#include <cstdint>

#include "experiments/lib/table/report.h"

namespace cambium {

// A prompt: length x width.
constexpr int64_t prompt_parameters(int64_t length, int64_t width) { return length * width; }
// Keys and values of each layer (BART has three such sites a layer: `sites`).
constexpr int64_t prefix_parameters(int64_t length, int64_t width, int64_t layers, int64_t sites = 1) {
  return sites * layers * 2 * width * length;
}
// Through the network that makes them while training: a table, width to hidden, hidden to all keys and values.
constexpr int64_t prefix_network_parameters(int64_t length, int64_t width, int64_t layers, int64_t hidden) {
  return length * width + (width + 1) * hidden + (hidden + 1) * layers * 2 * width;
}
// Houlsby's module: down and up with their biases; two a layer.
constexpr int64_t adapter_parameters(int64_t bottleneck, int64_t width, int64_t layers, int64_t modules = 2) {
  return layers * modules * (2 * width * bottleneck + width + bottleneck);
}
// Square matrices of each layer: A [rank, width] and B [width, rank].
constexpr int64_t lora_parameters(int64_t rank, int64_t width, int64_t layers, int64_t matrices) {
  return layers * matrices * 2 * rank * width;
}

Report parameter_counts();

}  // namespace cambium
