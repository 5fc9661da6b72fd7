// Dropout on the CPU. A row is one task.
#include "core/kernels/dropout.h"

#include <type_traits>

#include "core/cpu/dropout.h"
#include "core/cpu/parallel.h"

namespace cambium::cpu {

void dropout(Stream&, const DropoutConfig& config, ConstView x, ConstView token, ConstView residual, View y) {
  const int64_t D = x.cols();
  const uint32_t threshold = drop_threshold(config.probability);
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T> scale = 1 / (1 - Wide<T>(config.probability));
    parallel_rows(x.rows(), [&](int64_t n) {
      const T* xn = x.row<T>(n);
      T* yn = y.row<T>(n);
      const int32_t* id = token.row<int32_t>(n);
      for (int64_t begin = 0; begin < D; begin += 64) {
        uint32_t word[64];
        philox_block(config.key, uint32_t(begin / 64), uint32_t(id[1]), uint32_t(id[0]), 0, word);
        const auto apply = [&](auto count) {
          Wide<T> kept[64];
          for (int64_t i = 0; i < count; ++i) kept[i] = word[i] >= threshold ? wide(xn[begin + i]) * scale : 0;
          if (residual)
            for (int64_t i = 0; i < count; ++i) kept[i] += wide(residual.row<T>(n)[begin + i]);
          for (int64_t i = 0; i < count; ++i) yn[begin + i] = T(kept[i]);
        };
        if (D - begin >= 64) apply(std::integral_constant<int64_t, 64>());  // a loop without a rest
        else apply(D - begin);
      }
    });
  });
}

}  // namespace cambium::cpu
