// Low-rank updates of several projections at once on the GPU. Every sum is a product of a wide and a narrow matrix
// over a third dimension:
//   u[n, j]  = scale * sum_k x[n, k] A[j, k]        wide: rows of x            narrow: the r columns of u
//   z[n, c]  = y[n, c] + sum_j B[c, j] u[n, j]      wide: columns of z         narrow: rows
//   dB[c, j] = sum_n dz[n, c] u[n, j]               wide: columns of dz        narrow: the r columns of u
// and the same with the roles of A and B exchanged. A block computes a tile of kWide x kNarrow values; all parts are
// done by one launch.
#include "core/kernels/low_rank.h"

#include <vector>

#include "core/memory.h"
#include "cuda/device.cuh"

namespace cambium::gpu {
namespace {

constexpr int kWide = 64, kNarrow = 16, kInner = 32;  // a tile, and how much of the sum is in shared memory at a time
constexpr int kSide = 4;                              // a thread computes kSide x kSide values ...
constexpr int kGroups = 4;                            // ... of every kGroups-th term; the groups are added in order
constexpr int kThreads = kWide / kSide * (kNarrow / kSide) * kGroups;
constexpr int64_t kRowBlock = 512;  // rows that are summed into one partial gradient
constexpr int kMostParts = 16;      // of a launch

template <class Item>
struct List {
  Item item[kMostParts];
  int count = 0;
};

// Calls store(w, n, sum over k of wide(k, w) * narrow(k, n)) for a tile's values. wide and narrow give 0 outside of
// their matrices. kWideAlongInner: neighbouring k of `wide` are neighbours in memory, else neighbouring w are; likewise
// narrow.
template <bool kWideAlongInner, bool kNarrowAlongInner, class Wide, class Narrow, class Store>
__device__ void multiply_tile(int64_t K, const Wide& wide, const Narrow& narrow, const Store& store) {
  alignas(16) __shared__ float w_tile[kInner][kWide + 4], n_tile[kInner][kNarrow + 4];
  __shared__ float of_group[kGroups - 1][kSide * kSide][kThreads / kGroups];
  const int thread = int(threadIdx.x), group = thread / (kThreads / kGroups), place = thread % (kThreads / kGroups);
  const int w = place % (kWide / kSide) * kSide, n = place / (kWide / kSide) * kSide;
  float sum[kSide][kSide] = {};
  for (int64_t begin = 0; begin < K; begin += kInner) {
    __syncthreads();
#pragma unroll
    for (int e = thread; e < kInner * kWide; e += kThreads) {
      const int k = kWideAlongInner ? e % kInner : e / kWide, i = kWideAlongInner ? e / kInner : e % kWide;
      w_tile[k][i] = begin + k < K ? wide(begin + k, i) : 0.f;
    }
#pragma unroll
    for (int e = thread; e < kInner * kNarrow; e += kThreads) {
      const int k = kNarrowAlongInner ? e % kInner : e / kNarrow, i = kNarrowAlongInner ? e / kInner : e % kNarrow;
      n_tile[k][i] = begin + k < K ? narrow(begin + k, i) : 0.f;
    }
    __syncthreads();
#pragma unroll
    for (int k = group; k < kInner; k += kGroups) {
      float a[kSide], b[kSide];
      load(&w_tile[k][w], a);
      load(&n_tile[k][n], b);
#pragma unroll
      for (int i = 0; i < kSide; ++i)
#pragma unroll
        for (int j = 0; j < kSide; ++j) sum[i][j] += a[i] * b[j];
    }
  }
  if (group > 0)
#pragma unroll
    for (int i = 0; i < kSide * kSide; ++i) of_group[group - 1][i][place] = sum[i / kSide][i % kSide];
  __syncthreads();
  if (group > 0) return;
#pragma unroll
  for (int i = 0; i < kSide * kSide; ++i) {
    float total = sum[i / kSide][i % kSide];
#pragma unroll
    for (int g = 0; g < kGroups - 1; ++g) total += of_group[g][i][place];
    store(w + i / kSide, n + i % kSide, total);
  }
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

template <class T, bool kTransposed>
__global__ void __launch_bounds__(kThreads) project_kernel(List<Projection<T>> list) {
  const Projection<T>& p = list.item[blockIdx.z];
  const int64_t row = int64_t(blockIdx.x) * kWide;
  const int column = int(blockIdx.y) * kNarrow;
  if (row >= p.rows || column >= p.r) return;
  multiply_tile<true, kTransposed>(
      p.K, [&](int64_t k, int i) { return row + i < p.rows ? float(p.x[row + i][k]) : 0.f; },
      [&](int64_t k, int j) {
        if (column + j >= p.r) return 0.f;
        return kTransposed ? p.factor[(column + j) * p.K + k] : p.factor[k * p.r + column + j];
      },
      [&](int i, int j, float sum) {
        if (row + i < p.rows && column + j < p.r) p.out[(row + i) * p.r + column + j] = p.scale * sum;
      });
}

template <class T, bool kTransposed>
void project_all(LaunchSite site, const std::vector<Projection<T>>& all) {
  for (size_t begin = 0; begin < all.size(); begin += kMostParts) {
    List<Projection<T>> list;
    int64_t rows = 0, r = 0;
    for (size_t i = begin; i < std::min(all.size(), begin + kMostParts); ++i) {
      list.item[list.count++] = all[i];
      rows = std::max(rows, all[i].rows), r = std::max<int64_t>(r, all[i].r);
    }
    const dim3 grid(unsigned(ceil_div(rows, kWide)), unsigned(ceil_div(r, kNarrow)), unsigned(list.count));
    launch(project_kernel<T, kTransposed>, grid, dim3(kThreads), 0, site, list);
  }
}

// ---- z = y + sum u B^T, dx = sum v A ----

struct Expansion {
  const float *u, *factor;  // [rows, r]; B [columns, r], or A [r, columns]
  int64_t row_begin, row_end, column, columns;
  int r;
};

// y may be absent. Parts are added in order, so a block does all parts of its tile.
template <class T, bool kTransposed>
__global__ void __launch_bounds__(kThreads)
    expand_kernel(List<Expansion> list, Rows<const T> y, Rows<T> z, int64_t N, int64_t D) {
  const int64_t column = int64_t(blockIdx.x) * kWide;
  for (int64_t row = int64_t(blockIdx.y) * kNarrow; row < N; row += int64_t(gridDim.y) * kNarrow) {
    __shared__ float total[kNarrow][kWide];
    __syncthreads();
    for (int e = int(threadIdx.x); e < kNarrow * kWide; e += kThreads) {
      const int64_t n = row + e / kWide, c = column + e % kWide;
      total[e / kWide][e % kWide] = y.data && n < N && c < D ? float(y[n][c]) : 0.f;
    }
    for (int i = 0; i < list.count; ++i) {
      const Expansion& p = list.item[i];
      if (p.row_end <= row || p.row_begin >= row + kNarrow || p.column >= column + kWide ||
          p.column + p.columns <= column)
        continue;  // all threads alike
      const auto inside = [&](int64_t n, int64_t c) {
        return n >= p.row_begin && n < p.row_end && c >= p.column && c < p.column + p.columns;
      };
      multiply_tile<!kTransposed, true>(
          p.r,
          [&](int64_t j, int w) {
            const int64_t c = column + w - p.column;
            if (c < 0 || c >= p.columns) return 0.f;
            return kTransposed ? p.factor[j * p.columns + c] : p.factor[c * p.r + j];
          },
          [&](int64_t j, int n) {
            return row + n >= p.row_begin && row + n < p.row_end ? p.u[(row + n - p.row_begin) * p.r + j] : 0.f;
          },
          [&](int w, int n, float sum) {
            if (inside(row + n, column + w)) total[n][w] += sum;
          });
    }
    __syncthreads();
    for (int e = int(threadIdx.x); e < kNarrow * kWide; e += kThreads) {
      const int64_t n = row + e / kWide, c = column + e % kWide;
      if (n < N && c < D) store_one(z[n] + c, total[e / kWide][e % kWide]);
    }
  }
}

template <class T, bool kTransposed>
void expand_all(LaunchSite site, const std::vector<Expansion>& all, ConstView y, View z) {
  if (z.size() == 0) return;
  size_t begin = 0;
  do {  // once at least: z = y where there are no parts
    List<Expansion> list;
    for (size_t i = begin; i < std::min(all.size(), begin + kMostParts); ++i) list.item[list.count++] = all[i];
    const dim3 grid(unsigned(ceil_div(z.cols(), kWide)),
                    unsigned(std::min<int64_t>(ceil_div(z.rows(), kNarrow), 65535)));
    launch(expand_kernel<T, kTransposed>, grid, dim3(kThreads), 0, site, list, rows_of<T>(y), rows_of<T>(z), z.rows(),
           z.cols());
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

template <class T, bool kTransposed>
__global__ void __launch_bounds__(kThreads) factor_gradient_kernel(List<FactorGradient<T>> list) {
  const FactorGradient<T>& p = list.item[blockIdx.z % list.count];
  const int64_t column = int64_t(blockIdx.x) * kWide, block = blockIdx.z / list.count, begin = block * kRowBlock;
  const int first = int(blockIdx.y) * kNarrow;
  if (column >= p.columns || first >= p.r || begin >= p.rows) return;
  multiply_tile<false, false>(
      min(p.rows - begin, kRowBlock),
      [&](int64_t k, int w) { return column + w < p.columns ? float(p.wide[begin + k][column + w]) : 0.f; },
      [&](int64_t k, int j) { return first + j < p.r ? p.narrow[(begin + k) * p.r + first + j] : 0.f; },
      [&](int w, int j, float sum) {
        const int64_t c = column + w, k = first + j;
        if (c < p.columns && k < p.r)
          p.partial[block * p.columns * p.r + (kTransposed ? k * p.columns + c : c * p.r + k)] = sum;
      });
}

// out[i] = the partial sums in order.
template <class T>
__global__ void add_row_blocks_kernel(List<FactorGradient<T>> list) {
  const FactorGradient<T>& p = list.item[blockIdx.y];
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, size = p.columns * p.r;
  if (i >= size) return;
  float sum = 0;
  for (int64_t begin = 0, block = 0; begin < p.rows; begin += kRowBlock, ++block) sum += p.partial[block * size + i];
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
  for (size_t begin = 0; begin < all.size(); begin += kMostParts) {
    List<FactorGradient<T>> list;
    int64_t columns = 0, rows = 0, r = 0, size = 0;
    for (size_t i = begin; i < std::min(all.size(), begin + kMostParts); ++i) {
      const auto& p = list.item[list.count++] = all[i];
      columns = std::max(columns, p.columns), rows = std::max(rows, p.rows), r = std::max<int64_t>(r, p.r);
      size = std::max(size, p.columns * p.r);
    }
    const dim3 tiles(unsigned(ceil_div(columns, kWide)), unsigned(ceil_div(r, kNarrow)),
                     unsigned(ceil_div(rows, kRowBlock) * list.count));
    launch(factor_gradient_kernel<T, kTransposed>, tiles, dim3(kThreads), 0, site, list);
    launch(add_row_blocks_kernel<T>, dim3(unsigned(ceil_div(size, 256)), unsigned(list.count)), dim3(256), 0, site,
           list);
  }
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
