#include "core/threads.h"

#include <omp.h>

#include "core/error.h"

namespace cambium {

void set_threads(int count) {
  check_input(count >= 1 && count <= 4096, "--threads ", count, ": must be from 1 to 4096");
  omp_set_num_threads(count);
}

int threads() { return omp_get_max_threads(); }

}  // namespace cambium
