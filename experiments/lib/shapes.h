// Published shapes of models, for benchmarks on random weights and for tests.
#pragma once

#include <string>
#include <vector>

#include "models/config.h"

namespace cambium {

// gpt2, gpt2-medium, smollm2-135m, roberta-base, t5-small, bart-base; with the dropout of their configurations.
ModelConfig published_shape(const std::string& name);
std::vector<std::string> published_shapes();
// The same with other numbers of layers (in each stack) and channels; heads keep their size, what else depends on the
// width its proportion. 0: as it was. Throws InputError where that does not come out even.
ModelConfig resized(ModelConfig, int64_t layers, int64_t width);

// Models of a few thousand parameters, for smoke tests: Llama's form; BERT's, without a head; T5 1.1's, whose pad token
// starts the decoder.
ModelConfig tiny_decoder(int64_t vocabulary);
ModelConfig tiny_encoder(int64_t vocabulary, int32_t pad);
ModelConfig tiny_seq2seq(int64_t vocabulary, int32_t pad, int32_t end);

}  // namespace cambium
