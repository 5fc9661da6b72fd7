// Published shapes of models, for benchmarks on random weights and for tests.
#pragma once

#include <string>
#include <vector>

#include "models/config.h"

namespace cambium {

// gpt2, gpt2-medium, smollm2-135m, roberta-base, t5-small, bart-base; with the dropout of their configurations.
ModelConfig published_shape(const std::string& name);
std::vector<std::string> published_shapes();

// A decoder of a few thousand parameters, for smoke tests.
ModelConfig tiny_decoder(int64_t vocabulary);

}  // namespace cambium
