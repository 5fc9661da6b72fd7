// Low-rank updates of several projections at once on the GPU. r is small, so that all three kinds of sums read the wide
// matrix once, at the speed of memory, and find the narrow one in caches:
//   u[n, j]  = scale * sum_k x[n, k] A[j, k]        a warp: some rows of x, its lanes along k
//   z[n, c]  = y[n, c] + sum_j B[c, j] u[n, j]      a thread: kPiece columns of kStrip rows
//   dB[c, j] = sum_n dz[n, c] u[n, j]               a thread: kColumns columns of kRowBlock rows
// and the same with the roles of A and B exchanged. kRank columns of u are done at a time; all parts by one launch.
#include "core/kernels/low_rank.h"

#include <type_traits>
#include <vector>

#include "core/memory.h"
#include "cuda/device.cuh"

namespace cambium::gpu {
namespace {

constexpr int kRank = 8;
constexpr int kPiece = 8;  // neighbours in a row that a thread moves
constexpr int kWarps = 4;  // of a block of projections and expansions
constexpr int kThreads = 32 * kWarps;
constexpr int kStrip = 8;            // rows of an expansion
constexpr int64_t kManyRows = 2048;  // a warp projects kRank * kProjected sums of so many rows, of fewer those of one
constexpr int kProjected = 4;
constexpr int kColumns = 4, kGradientThreads = 64;
constexpr int64_t kRowBlock = 64;  // rows that are summed into one partial gradient
constexpr int kMostParts = 16;     // of a launch

template <class Item>
struct List {
  Item item[kMostParts];
  int count = 0;
};

// v = the first `count` of p's kRank values, zeros after them. kWhole: p is aligned, and count is a multiple of 4.
template <bool kWhole>
__device__ void load_rank(const float* p, int count, float (&v)[kRank]) {
  if constexpr (!kWhole) {
    load_some(p, count, v);
  } else {
    float low[4], high[4];
    load(p, low);
    load(count > 4 ? p + 4 : p, high);  // no branch: loads of many rows are on their way at once
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = low[i], v[4 + i] = count > 4 ? high[i] : 0.f;
  }
}

// Rows that can be moved kPiece elements at a time, and columns of a factor or of u four.
template <class T>
bool in_pieces(const Rows<const T>& x, int64_t columns) {
  return vector_ready(kPiece, ConstView{x.data, 2, columns, x.stride, dtype_of<T>});
}
bool is_whole(const float* p, int64_t r) { return vector_ready(4, ConstView{p, 2, r, r}); }

// Calls f(first, last) for runs of at most kMostParts of n parts.
template <class F>
void for_lists(size_t n, const F& f) {
  for (size_t begin = 0; begin < n; begin += kMostParts) f(begin, std::min(n, begin + kMostParts));
}

// ---- u = scale * x A^T, v = scale * d B ----

template <class T>
struct Projection {
  Rows<const T> x;      // the part's rows and columns
  const float* factor;  // A [r, K], or B [K, r]
  float* out;           // [rows, r]
  int64_t rows, K;
  int r;
  float scale;
};

// A row's sums run in the same order for every kRows.
template <class T, bool kVector, bool kTransposed, int kRows>
__global__ void __launch_bounds__(kThreads) project_kernel(List<Projection<T>> list) {
  const Projection<T>& p = list.item[blockIdx.z];
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, first = int(blockIdx.y) * kRank;
  const int64_t row = (int64_t(blockIdx.x) * kWarps + warp) * kRows;
  if (row >= p.rows || first >= p.r) return;  // the whole warp
  const int count = min(p.r - first, kRank);
  float sum[kRows][kRank] = {};
  for (int64_t k = lane * kPiece; k < p.K; k += 32 * kPiece) {
    float x[kRows][kPiece];
#pragma unroll
    for (int i = 0; i < kRows; ++i) load<kVector>(p.x[min(row + i, p.rows - 1)] + k, p.K - k, x[i]);
    if constexpr (kTransposed) {
#pragma unroll
      for (int j = 0; j < kRank; ++j) {
        float a[kPiece];  // what lies beyond the rank is the last row again, and not stored
        load<kVector>(p.factor + (first + min(j, count - 1)) * p.K + k, p.K - k, a);
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
          for (int e = 0; e < kPiece; ++e) sum[i][j] += x[i][e] * a[e];
      }
    } else {
#pragma unroll
      for (int e = 0; e < kPiece; ++e) {
        if (!kVector && k + e >= p.K) break;
        float b[kRank];
        load_rank<kVector>(p.factor + (k + e) * p.r + first, count, b);
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
          for (int j = 0; j < kRank; ++j) sum[i][j] += x[i][e] * b[j];
      }
    }
  }
  float mine = 0;  // lane i * kRank + j: the sum of row i and column j
#pragma unroll
  for (int i = 0; i < kRows; ++i)
#pragma unroll
    for (int j = 0; j < kRank; ++j) {
      const float total = warp_sum(sum[i][j]);
      if (lane == i * kRank + j) mine = total;
    }
  const int i = lane / kRank, j = lane % kRank;
  if (i < kRows && row + i < p.rows && j < count) p.out[(row + i) * p.r + first + j] = p.scale * mine;
}

template <class T, bool kTransposed>
void project_all(LaunchSite site, const std::vector<Projection<T>>& all) {
  for_lists(all.size(), [&](size_t from, size_t to) {
    List<Projection<T>> list;
    int64_t rows = 0, r = 0;
    bool vector = true;
    for (size_t i = from; i < to; ++i) {
      const Projection<T>& p = list.item[list.count++] = all[i];
      rows = std::max(rows, p.rows), r = std::max<int64_t>(r, p.r);
      vector = vector && in_pieces(p.x, p.K) && is_whole(p.factor, kTransposed ? p.K : p.r);
    }
    const auto start = [&](auto is_vector, auto together) {
      const dim3 grid(unsigned(ceil_div(rows, kWarps * together)), unsigned(ceil_div(r, kRank)), unsigned(list.count));
      launch(project_kernel<T, is_vector, kTransposed, together>, grid, dim3(kThreads), 0, site, list);
    };
    using One = std::integral_constant<int, 1>;
    if (!vector) start(std::false_type(), One());
    else if (rows < kManyRows) start(std::true_type(), One());
    else start(std::true_type(), std::integral_constant<int, kProjected>());
  });
}

// ---- z = y + sum u B^T, dx = sum v A ----

struct Expansion {
  const float *u, *factor;  // [rows, r]; B [columns, r], or A [r, columns]
  int64_t row_begin, row_end, column, columns;
  int r;
};

// f[j][e] = the factor of u's column j in z's column c + e; it stays 0 outside of the part. kVector: of all kPiece
// columns or of none.
template <bool kVector, bool kTransposed>
__device__ void load_factor(const Expansion& p, int64_t c, int first, int count, float (&f)[kRank][kPiece]) {
  const int64_t at = c - p.column;
  if constexpr (kTransposed) {
#pragma unroll
    for (int j = 0; j < kRank; ++j) {
      if (j >= count) break;
      const float* row = p.factor + (first + j) * p.columns + at;
      if constexpr (kVector) load(row, f[j]);
      else
#pragma unroll
        for (int e = 0; e < kPiece; ++e)
          if (at + e >= 0 && at + e < p.columns) f[j][e] = row[e];
    }
  } else {
#pragma unroll
    for (int e = 0; e < kPiece; ++e) {
      if (!kVector && (at + e < 0 || at + e >= p.columns)) continue;
      float b[kRank];
      load_rank<kVector>(p.factor + (at + e) * p.r + first, count, b);
#pragma unroll
      for (int j = 0; j < kRank; ++j) f[j][e] = b[j];
    }
  }
}

// y may be absent. Parts are added in order.
template <class T, bool kVector, bool kTransposed>
__global__ void __launch_bounds__(kThreads)
    expand_kernel(List<Expansion> list, Rows<const T> y, Rows<T> z, int64_t N, int64_t D) {
  const int64_t c = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPiece;
  if (c >= D) return;
  for (int64_t row = int64_t(blockIdx.y) * kStrip; row < N; row += int64_t(gridDim.y) * kStrip) {
    float total[kStrip][kPiece] = {};
    if (y.data)
#pragma unroll
      for (int n = 0; n < kStrip; ++n)
        if (row + n < N) load<kVector>(y[row + n] + c, D - c, total[n]);
    for (int i = 0; i < list.count; ++i) {
      const Expansion& p = list.item[i];
      if (p.row_end <= row || p.row_begin >= row + kStrip || p.column >= c + kPiece || p.column + p.columns <= c)
        continue;
      for (int first = 0; first < p.r; first += kRank) {
        const int count = min(p.r - first, kRank);
        float f[kRank][kPiece] = {};
        load_factor<kVector, kTransposed>(p, c, first, count, f);
#pragma unroll
        for (int n = 0; n < kStrip; ++n) {
          if (row + n < p.row_begin || row + n >= p.row_end) continue;
          float u[kRank];
          load_rank<kVector>(p.u + (row + n - p.row_begin) * p.r + first, count, u);
#pragma unroll
          for (int j = 0; j < kRank; ++j)
#pragma unroll
            for (int e = 0; e < kPiece; ++e) total[n][e] += u[j] * f[j][e];
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kStrip; ++n)
      if (row + n < N) store<kVector>(z[row + n] + c, D - c, total[n]);
  }
}

template <class T, bool kTransposed>
void expand_all(LaunchSite site, const std::vector<Expansion>& all, ConstView y, View z) {
  if (z.size() == 0) return;
  size_t begin = 0;
  do {  // once at least: z = y where there are no parts
    List<Expansion> list;
    bool vector = vector_ready(kPiece, y, z);
    for (size_t i = begin; i < std::min(all.size(), begin + kMostParts); ++i) {
      const Expansion& p = list.item[list.count++] = all[i];
      vector = vector && p.column % kPiece == 0 && p.columns % kPiece == 0 && is_whole(p.u, p.r) &&
               is_whole(p.factor, kTransposed ? p.columns : p.r);
    }
    const dim3 grid(unsigned(ceil_div(z.cols(), kThreads * kPiece)),
                    unsigned(std::min<int64_t>(ceil_div(z.rows(), kStrip), 65535)));
    const auto start = [&](auto kernel) {
      launch(kernel, grid, dim3(kThreads), 0, site, list, rows_of<T>(y), rows_of<T>(z), z.rows(), z.cols());
    };
    if (vector) start(expand_kernel<T, true, kTransposed>);
    else start(expand_kernel<T, false, kTransposed>);
    y = z;
    begin += kMostParts;
  } while (begin < all.size());
}

// ---- dB = d^T u, dA = v^T x ----

template <class T>
struct FactorGradient {
  Rows<const T> wide;    // [rows, columns]
  const float* narrow;   // [rows, r]
  float *partial, *out;  // [blocks, columns * r], out in the layout of the factor
  int64_t rows, columns;
  int r;
};

template <class T, bool kVector, bool kTransposed>
__global__ void __launch_bounds__(kGradientThreads) factor_gradient_kernel(List<FactorGradient<T>> list) {
  const FactorGradient<T>& p = list.item[blockIdx.z % list.count];
  const int64_t column = (int64_t(blockIdx.x) * kGradientThreads + threadIdx.x) * kColumns;
  const int64_t block = blockIdx.z / list.count, begin = block * kRowBlock;
  const int first = int(blockIdx.y) * kRank;
  if (column >= p.columns || first >= p.r || begin >= p.rows) return;
  const int rows = int(min(p.rows - begin, kRowBlock)), count = min(p.r - first, kRank);
  float sum[kColumns][kRank] = {};
#pragma unroll 8
  for (int n = 0; n < rows; ++n) {
    float d[kColumns], u[kRank];
    load<kVector>(p.wide[begin + n] + column, p.columns - column, d);
    load_rank<kVector>(p.narrow + (begin + n) * p.r + first, count, u);
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
#pragma unroll
      for (int j = 0; j < kRank; ++j) sum[i][j] += d[i] * u[j];
  }
#pragma unroll
  for (int i = 0; i < kColumns; ++i)
#pragma unroll
    for (int j = 0; j < kRank; ++j) {
      const int64_t c = column + i, k = first + j;
      if (c < p.columns && j < count)
        p.partial[block * p.columns * p.r + (kTransposed ? k * p.columns + c : c * p.r + k)] = sum[i][j];
    }
}

constexpr int kAddWarps = 8;

// out[i] = the partial sums: a warp adds every kAddWarps-th block in order, then the warps are added in order.
template <class T>
__global__ void __launch_bounds__(32 * kAddWarps) add_row_blocks_kernel(List<FactorGradient<T>> list) {
  const FactorGradient<T>& p = list.item[blockIdx.y];
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const int64_t i = int64_t(blockIdx.x) * 32 + lane, size = p.columns * p.r,
                blocks = (p.rows + kRowBlock - 1) / kRowBlock;
  __shared__ float of_warp[kAddWarps][32];
  float sum = 0;
  if (i < size)
#pragma unroll 4
    for (int64_t block = warp; block < blocks; block += kAddWarps) sum += p.partial[block * size + i];
  of_warp[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || i >= size) return;
#pragma unroll
  for (int w = 1; w < kAddWarps; ++w) sum += of_warp[w][lane];
  p.out[i] = sum;
}

template <class T, bool kTransposed>
void factor_gradients(LaunchSite site, std::vector<FactorGradient<T>> all) {
  int64_t scratch = 0;
  const auto size_of_partial = [](const FactorGradient<T>& p) { return ceil_div(p.rows, kRowBlock) * p.columns * p.r; };
  for (const auto& p : all) scratch += size_of_partial(p);
  const Scratch<float> partial(site.stream, scratch);
  float* place = partial.data();
  for (auto& p : all) p.partial = place, place += size_of_partial(p);
  for_lists(all.size(), [&](size_t from, size_t to) {
    List<FactorGradient<T>> list;
    int64_t columns = 0, rows = 0, r = 0, size = 0;
    bool vector = true;
    for (size_t i = from; i < to; ++i) {
      const auto& p = list.item[list.count++] = all[i];
      columns = std::max(columns, p.columns), rows = std::max(rows, p.rows), r = std::max<int64_t>(r, p.r);
      size = std::max(size, p.columns * p.r);
      vector = vector && in_pieces(p.wide, p.columns) && is_whole(p.narrow, p.r);
    }
    const int64_t blocks = ceil_div(rows, kRowBlock) * list.count;
    CHECK(blocks <= 65535, "low rank: ", rows, " rows in ", list.count, " parts are more than a launch has blocks for");
    const dim3 tiles(unsigned(ceil_div(columns, kGradientThreads * kColumns)), unsigned(ceil_div(r, kRank)),
                     unsigned(blocks));
    const auto start = [&](auto kernel) { launch(kernel, tiles, dim3(kGradientThreads), 0, site, list); };
    if (vector) start(factor_gradient_kernel<T, true, kTransposed>);
    else start(factor_gradient_kernel<T, false, kTransposed>);
    launch(add_row_blocks_kernel<T>, dim3(unsigned(ceil_div(size, 32)), unsigned(list.count)), dim3(32 * kAddWarps), 0,
           site, list);
  });
}

template <class T>
Rows<const T> rows_of_part(ConstView x, const LowRankPart& p, int64_t column) {
  return {x.data<T>() + p.row_begin * x.stride + column, x.stride};
}

}  // namespace

void low_rank_forward(Stream& stream, ConstView x, std::span<const LowRankPart> parts, ConstView y, View z) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    std::vector<Projection<T>> down;
    std::vector<Expansion> up;
    for (const LowRankPart& p : parts) {
      down.push_back(
          {rows_of_part<T>(x, p, 0), p.a.data<float>(), p.u.data<float>(), p.rows(), x.cols(), int(p.rank), p.scale});
      up.push_back(
          {p.u.data<float>(), p.b.data<float>(), p.row_begin, p.row_end, p.column_begin, p.columns(), int(p.rank)});
    }
    project_all<T, true>(stream, down);
    expand_all<T, false>(stream, up, y, z);
  });
}

void low_rank_backward(Stream& stream, ConstView x, std::span<const LowRankPart> parts, ConstView dz,
                       std::span<const LowRankGradient> gradients, View dx) {
  visit_gpu(dz.dtype(), [&]<class T>(Type<T>) {
    std::vector<Projection<T>> to_v;
    std::vector<Expansion> to_dx;
    std::vector<FactorGradient<T>> to_da, to_db;
    int64_t size = 0;
    for (const LowRankPart& p : parts) size += p.rows() * p.rank;
    const Scratch<float> all_v(stream, size);
    float* v = all_v.data();
    for (size_t i = 0; i < parts.size(); ++i) {
      const LowRankPart& p = parts[i];
      const int64_t rows = p.rows(), columns = p.columns();
      const int r = int(p.rank);
      const auto& [da, db] = gradients[i];
      if (db)
        to_db.push_back(
            {rows_of_part<T>(dz, p, p.column_begin), p.u.data<float>(), nullptr, db.data<float>(), rows, columns, r});
      if (da) to_da.push_back({rows_of_part<T>(x, p, 0), v, nullptr, da.data<float>(), rows, x.cols(), r});
      if (dx) to_dx.push_back({v, p.a.data<float>(), p.row_begin, p.row_end, 0, dx.cols(), r});
      if (da || dx)
        to_v.push_back({rows_of_part<T>(dz, p, p.column_begin), p.b.data<float>(), v, rows, columns, r, p.scale});
      v += rows * r;
    }
    factor_gradients<T, false>(stream, to_db);
    project_all<T, false>(stream, to_v);
    factor_gradients<T, true>(stream, to_da);
    if (dx) expand_all<T, true>(stream, to_dx, ConstView(), dx);
  });
}

}  // namespace cambium::gpu
