// Signatures of what learned factors of rows and columns need: scaling of rows, and sums of products for gradients.
#pragma once

#include "core/view.h"

namespace cambium {

// y[n,d] = factor[n] * x[n,d]; x and y [N, D] of one type, factor [N] in the accumulator type. y may be x.
using ScaleEachRow = void(Stream&, ConstView x, ConstView factor, View y);

// y[n] = sum_d a[n,d] * b[n,d]; a and b [N, D] of one type, y [N] in the accumulator type. The order of the sum depends
// on D alone.
using RowDots = void(Stream&, ConstView a, ConstView b, View y);

// y[d] = sum_n a[n,d] * (b[n,d] - centre[d]); a and b [N, D] of one type, centre [D] (or absent) and y [D] in the
// accumulator type. Rows are added as ColumnSum adds them.
using ColumnDots = void(Stream&, ConstView a, ConstView b, ConstView centre, View y);

// y[d] = a[d] / sqrt(square[d]); all [D] in the accumulator type. y may be a.
using DivideByRoot = void(Stream&, ConstView a, ConstView square, View y);

namespace cpu {
ScaleEachRow scale_rows;
RowDots row_dots;
ColumnDots column_dots;
DivideByRoot divide_by_root;
}  // namespace cpu

namespace gpu {
ScaleEachRow scale_rows;
RowDots row_dots;
ColumnDots column_dots;
DivideByRoot divide_by_root;
}  // namespace gpu

}  // namespace cambium
