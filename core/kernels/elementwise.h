// Signatures of element-wise kernels and column sums.
#pragma once

#include "core/view.h"

namespace cambium {

// y = x in the type of y; both [N, D], any two floating-point types.
using Convert = void(Stream&, ConstView x, View y);

// y = a + scale * b; all [N, D] of one type, or b of another floating-point type. y may be a or b.
using AddScaled = void(Stream&, ConstView a, ConstView b, float scale, View y);

// y = scale * x; y may be x.
using Scale = void(Stream&, ConstView x, double scale, View y);

// y = factor[0] * x; factor [1] in the accumulator type, read where it lies. y may be x, which a factor of 1 leaves
// alone.
using ScaleBy = void(Stream&, ConstView x, ConstView factor, View y);

// y[n,d] = factor[d] * x[n,d] + (1 - factor[d]) * centre[d]; factor and centre [D] in the accumulator type, centre may be
// absent. y may be x. A factor of 1 leaves x alone.
using ScaleEachColumn = void(Stream&, ConstView x, ConstView factor, ConstView centre, View y);

// y[d] (+)= sum_n x[n,d] in the accumulator type. Rows are added in order within blocks of kRowsPerBlock, then
// the blocks in order: the same bits for any number of threads.
using ColumnSum = void(Stream&, ConstView x, bool accumulate, View y);
inline constexpr int kRowsPerBlock = 64;

namespace cpu {
Convert convert;
AddScaled add_scaled;
Scale scale;
ScaleBy scale_by;
ScaleEachColumn scale_columns;
ColumnSum column_sum;
}  // namespace cpu

namespace gpu {
Convert convert;
AddScaled add_scaled;
Scale scale;
ScaleBy scale_by;
ScaleEachColumn scale_columns;
ColumnSum column_sum;
}  // namespace gpu

}  // namespace cambium
