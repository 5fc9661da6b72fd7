// How many threads CPU kernels use.
#pragma once

namespace cambium {

// Threads of CPU kernels, of the whole process; at least 1. Results do not depend on it.
void set_threads(int count);
int threads();

}  // namespace cambium
