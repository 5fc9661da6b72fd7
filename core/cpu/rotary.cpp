// Rotary position embedding on the CPU. A token is one task.
#include "core/kernels/rotary.h"

#include <algorithm>

#include "core/cpu/parallel.h"

namespace cambium::cpu {

void rotary(Stream&, const RotaryConfig& config, ConstView x, ConstView position, ConstView table, View y) {
  const int64_t half = table.cols() / 2, heads = config.heads, size = config.head_size;
  const int32_t* place = position.data<int32_t>();
  visit(x.dtype(), [&]<class T>(Type<T>) {
    parallel_rows(x.rows(), [&](int64_t n) {
      const T* xn = x.row<T>(n);
      T* yn = y.row<T>(n);
      if (xn != yn) std::copy_n(xn, x.cols(), yn);
      if (place[n] < 0) return;
      const Wide<T>* cosine = table.row<Wide<T>>(place[n]);
      const Wide<T>* sine = cosine + half;
      const Wide<T> sign = config.inverse ? -1 : 1;
      for (int64_t h = 0; h < heads; ++h) {
        T* head = yn + h * size;
        for (int64_t i = 0; i < half; ++i) {
          const Wide<T> a = wide(head[i]), b = wide(head[half + i]), s = sign * sine[i];
          head[i] = T(a * cosine[i] - b * s);
          head[half + i] = T(b * cosine[i] + a * s);
        }
      }
    });
  });
}

}  // namespace cambium::cpu
