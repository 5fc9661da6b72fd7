// Signatures of kernels that move whole rows: embedding look-up and its gradient, selection of labelled
// rows, insertion of prompts, the decoding cache.
#pragma once

#include "core/view.h"

namespace cambium {

// y[n] (+)= scale * table[index[n]]; an index below 0 stands for a row of zeros. index int32 [N]; table [R, D]
// and y [N, D] of any two floating-point types. Indices are below R: callers check on the host.
using GatherRows = void(Stream&, ConstView table, ConstView index, float scale, bool accumulate, View y);

// y[index[n]] = x[n]; rows with an index below 0 are skipped. Indices are distinct.
using ScatterRows = void(Stream&, ConstView x, ConstView index, View y);

// Rows of a batch grouped by the row of a table that they came from, in ascending order of both: group g
// sums the rows row[begin[g]] ... row[begin[g+1]-1] into the table's row target[g].
struct RowGroups {
  ConstView row, begin, target;  // int32 [N], [groups + 1], [groups]
  int64_t count = 0;             // groups
};

// table[target[g]] += scale * (sum of the group's rows of dy, in order), in the accumulator type.
using SumRowGroups = void(Stream&, ConstView dy, const RowGroups&, float scale, View table);

namespace cpu {
GatherRows gather_rows;
ScatterRows scatter_rows;
SumRowGroups sum_row_groups;
}  // namespace cpu

namespace gpu {
GatherRows gather_rows;
ScatterRows scatter_rows;
SumRowGroups sum_row_groups;
}  // namespace gpu

}  // namespace cambium
