// What tests may ask of the GPU side.
#pragma once

namespace cambium::gpu {

// Host build: the order in which the threads of a block run, 0 ascending, else random with this
// seed. A result that depends on it is a race. A real device ignores it.
void shuffle_threads(unsigned seed);

}  // namespace cambium::gpu
