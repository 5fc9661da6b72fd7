// Loops over rows in parallel, and sums in a fixed order: what keeps results independent of the number of
// threads and of the width of the vector unit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/cpu/tiles.h"

namespace cambium {

// Calls call(context, n) for n in [0, count), each once, on any of threads() threads (core/threads.cpp); returns when
// all calls have. From within such a call, and while another thread's calls run: one after the other in this thread.
// Where a call throws, no more are begun, and the first exception is thrown here.
void run_parallel(int64_t count, void (*call)(const void* context, int64_t n), const void* context);

}  // namespace cambium

namespace cambium::cpu {

// Calls body(n) for n in [0, count), each once, on any thread; threads take the next n when they are done with one. An
// exception of body's ends the loop.
template <class Body>
void parallel_tasks(int64_t count, const Body& body, bool parallel = true) {
  if (count > 1 && parallel)
    return run_parallel(
        count, [](const void* b, int64_t n) { (*static_cast<const Body*>(b))(n); }, &body);
  for (int64_t n = 0; n < count; ++n) body(n);
}

// The same for calls that take little time: threads take several n at once.
template <class Body>
void parallel_rows(int64_t count, const Body& body) {
  constexpr int64_t kPieces = 64;
  const Parts pieces{count, std::min(count, kPieces)};
  parallel_tasks(pieces.parts, [&](int64_t piece) {
    const int64_t end = pieces.begin(piece + 1);
    for (int64_t n = pieces.begin(piece); n < end; ++n) body(n);
  });
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
