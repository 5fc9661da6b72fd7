// Filled templates as tokens that fit a model: what is too long is cut inside fields, never in the words around them.
#pragma once

#include <optional>

#include "experiments/lib/tasks/task.h"

namespace cambium {

struct FittedInput {
  std::vector<int32_t> ids;
  std::vector<int32_t> types;  // segment ids of a pair, where the model has segments
  bool cut = false;
};

// One text or two (a pair, joined as the model's tokenizer does it) with what stands around them, at most `longest`
// tokens (0: any number): the longest field loses its last token until they fit. `mask` stands at {mask}, without the
// blank in front of it, as RoBERTa's tokenizer takes it.
FittedInput fitted(const std::vector<Template>& texts, const DataRow&, const std::string& instruction, const Tokenizer&,
                   const ModelConfig&, int64_t longest, std::optional<int32_t> mask = std::nullopt);

}  // namespace cambium
