// A tensor as PyTorch's torch.save writes it, read without running what the file says.
#pragma once

#include <string>

#include "core/tensor.h"

namespace cambium {

// The file is a zip archive of PyTorch 1.6 or later with one pickled tensor of float32, contiguous, of at most 256 MiB.
// A pickle is a program of a stack machine that may call anything; of its instructions only those are known here that
// such a tensor takes, and of functions only the two that make it, which are recognised and never called. Whatever else
// a file holds is an InputError.
Tensor read_torch_tensor(const std::string& path);

}  // namespace cambium
