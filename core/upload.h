// Copies from the host to a GPU that the host does not wait for. Defined in cuda/.
#pragma once

#include <cstddef>
#include <memory>

#include "core/view.h"

namespace cambium {
class Buffer;
}  // namespace cambium

namespace cambium::gpu {

// src may change as soon as the call returns; dst has the bytes for all that the stream is given later.
void upload(Stream&, void* dst, const void* src, size_t bytes);

// A block that has these bytes for all that the device's compute queue is given later. The copy does not wait for what
// that queue was given before. Null where this is not done: for large ones, while a step is recorded, with exact
// memory, and on the host.
std::shared_ptr<Buffer> upload_beside(Device, const void* src, size_t bytes);

}  // namespace cambium::gpu
