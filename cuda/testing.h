// What tests may ask of the GPU side.
#pragma once

#include <string>

namespace cambium::gpu {

// Host build: the order in which the threads of a block run, 0 ascending, else random with this
// seed. A result that depends on it is a race. A real device ignores it.
void shuffle_threads(unsigned seed);

// What is said of a driver that is older than this build's runtime; versions as 13000 for 13.0, 0: no driver.
std::string driver_advice(int driver, int runtime);

}  // namespace cambium::gpu
