// Named tensors wherever they lie: checkpoints, models, safetensors files, directories of PEFT.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/tensor.h"

namespace cambium {

struct NamedTensors {
  std::string kind;  // "PEFT adapter"
  std::map<std::string, Shape> shapes;
  std::function<Tensor(const std::string&)> read;
};

// Of a checkpoint its tuner's parameters and those of the base that trained; of a model its parameters by our names; else
// by the names in the file. Throws InputError for what holds none.
NamedTensors open_tensors(const std::string& path);
// Whether it is a file of safetensors or a directory of PEFT: what has no reader of its own in inspect.
bool is_bare_tensors(const std::string& path);

// What the numbers of a tensor are like. Those that are not finite count nowhere else.
struct TensorStatistics {
  int64_t size = 0, zeros = 0, nan = 0, infinite = 0;
  double least = 0, most = 0, norm = 0;
};
TensorStatistics statistics_of(const Tensor&);

}  // namespace cambium
