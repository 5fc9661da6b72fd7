// Loops over rows in parallel, and sums in a fixed order: what keeps results independent of the number of
// threads and of the width of the vector unit.
#pragma once

#include <cstdint>

namespace cambium::cpu {

// Calls body(n) for n in [0, count), each once, on any thread. An exception must not leave body.
template <class Body>
void parallel_rows(int64_t count, const Body& body) {
  if (count <= 1) {
    for (int64_t n = 0; n < count; ++n) body(n);
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < count; ++n) body(n);
}

// The same where calls differ in cost: threads take the next n when they are done.
template <class Body>
void parallel_tasks(int64_t count, const Body& body) {
#pragma omp parallel for schedule(dynamic, 1) if (count > 1)
  for (int64_t n = 0; n < count; ++n) body(n);
}

// f(0) + ... + f(count - 1): element n goes to lane n % 16, lanes are then added pairwise.
template <class F>
auto lane_sum(int64_t count, const F& f) {
  using Sum = decltype(f(int64_t(0)));
  Sum lane[16] = {};
  int64_t n = 0;
  for (; n + 16 <= count; n += 16)
    for (int l = 0; l < 16; ++l) lane[l] += f(n + l);
  for (int l = 0; n < count; ++n, ++l) lane[l] += f(n);
  for (int width = 8; width; width /= 2)
    for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
  return lane[0];
}

// The largest of f(0), ..., f(count - 1), at least `least`.
template <class F, class Value>
Value lane_max(int64_t count, Value least, const F& f) {
  Value lane[16];
  for (Value& v : lane) v = least;
  int64_t n = 0;
  for (; n + 16 <= count; n += 16)
    for (int l = 0; l < 16; ++l) lane[l] = f(n + l) > lane[l] ? f(n + l) : lane[l];
  for (int l = 0; n < count; ++n, ++l) lane[l] = f(n) > lane[l] ? f(n) : lane[l];
  for (int l = 1; l < 16; ++l) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
  return lane[0];
}

}  // namespace cambium::cpu
