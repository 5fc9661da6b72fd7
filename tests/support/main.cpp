// The main of every test program.
#include <gtest/gtest.h>

#include "core/memory.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // Fresh memory holds NaN: a kernel that reads what nothing wrote is found.
  cambium::Allocator::of(cambium::Device::cpu()).set_poison(true);
  return RUN_ALL_TESTS();
}
