// Copies from the host to a GPU that the host does not wait for.
#pragma once

#include <cstddef>

#include "core/view.h"

namespace cambium::gpu {

// src may change as soon as the call returns; dst has the bytes for all that the stream is given later. Defined in cuda/.
void upload(Stream&, void* dst, const void* src, size_t bytes);

}  // namespace cambium::gpu
