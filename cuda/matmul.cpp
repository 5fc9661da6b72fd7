// The GPU side of matmul: cuBLASLt.
//
// A row's bits must not depend on how many rows there are, so the library's algorithm is chosen for a nominal number of
// rows and is kept for all products of the same kind. Where K is long it may be cut into pieces, as many for every
// number of rows, whose sums are added in a second pass; without that a few tiles of the result would keep a few
// multiprocessors busy and the others idle. TF32 is not used.
//
// The fast algorithms need rows that begin at multiples of 16 bytes: others (an odd vocabulary) are copied to such.
#include "cuda/matmul.h"

#include <cublasLt.h>

#include <atomic>
#include <compare>
#include <map>
#include <mutex>
#include <optional>

#include "core/kernels/elementwise.h"
#include "core/tensor.h"
#include "cuda/alignment.h"
#include "cuda/check.h"

namespace cambium::gpu {
namespace {

constexpr int64_t kNominalRows = 512;
constexpr size_t kWorkspace = size_t(32) << 20;  // NVIDIA's advice for Hopper
constexpr int64_t kLongSum = 8192;               // a K of a product of rows that may be cut into pieces
constexpr int64_t kManyRows = 1024;              // that many rows of a weight's gradient may be
constexpr int64_t kTogether = 8;                 // columns that the fast algorithms write at a time ...
constexpr int64_t kWide = 1024;                  // ... and when it is worth a second product for the rest of them

void check_library(cublasStatus_t status, const char* call) {
  CHECK(status == CUBLAS_STATUS_SUCCESS, call, ": ", cublasLtGetStatusString(status));
}

cudaDataType_t library_type(DType t) { return t == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// What the library does to a product before it stores it. BIAS: adds `bias` to each row; BGRADB: sums op(a)'s rows into
// it (a bias's gradient). GELU: applies the tanh form, and with AUX keeps the sums in `aux`; DGELU: multiplies by its
// gradient at `aux`.
struct Epilogue {
  cublasLtEpilogue_t kind = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  ConstView aux = {};

  bool has_aux() const {
    return kind == CUBLASLT_EPILOGUE_GELU_AUX || kind == CUBLASLT_EPILOGUE_GELU_AUX_BIAS ||
           kind == CUBLASLT_EPILOGUE_DGELU;
  }
};

// The library counts by columns: what it sees are the transposed matrices, c^T [N, M] = op(b)^T
// op(a)^T.
struct Product {
  int64_t M, N, K;
  DType type, out_type;
  bool transpose_a, transpose_b;
  cublasLtEpilogue_t epilogue;
  int64_t a_stride, b_stride, c_stride;

  bool may_split() const { return K >= (transpose_a ? kManyRows : kLongSum); }
};

// What an algorithm is chosen by: all of a product but the number of tokens, which is M, or the K of a weight's
// gradient (transpose_a), of which the magnitude counts.
struct Kind {
  int device;
  int64_t M, N, K;
  DType type, out_type;
  bool transpose_a, transpose_b;
  cublasLtEpilogue_t epilogue;
  bool may_split;
  auto operator<=>(const Kind&) const = default;
};

int64_t magnitude(int64_t n) {
  int64_t power = 256;
  while (power < n) power *= 2;
  return power;
}

// Elements of a row that begins, and after which the next one begins, at a multiple of kAlignment.
int64_t aligned_columns(int64_t columns, DType type) {
  const int64_t together = kAlignment / size_of(type);
  return (columns + together - 1) / together * together;
}

// The library's descriptions of a product, on the stack.
struct Description {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c;

  Description(const Product& p, const Epilogue& epilogue) {
    check_library(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescInit");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue.kind);
    if (epilogue.kind != CUBLASLT_EPILOGUE_DEFAULT) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, epilogue.bias);
    if (epilogue.has_aux()) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, epilogue.aux.pointer);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, epilogue.aux.stride);
    }
    layout(a, p.type, p.transpose_a ? p.M : p.K, p.transpose_a ? p.K : p.M, p.a_stride);
    layout(b, p.type, p.transpose_b ? p.K : p.N, p.transpose_b ? p.N : p.K, p.b_stride);
    layout(c, p.out_type, p.N, p.M, p.c_stride);
  }

 private:
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    check_library(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof(value)),
                  "cublasLtMatmulDescSetAttribute");
  }
  static void layout(cublasLtMatrixLayoutOpaque_t& l, DType type, int64_t rows, int64_t cols, int64_t stride) {
    check_library(cublasLtMatrixLayoutInit(&l, library_type(type), uint64_t(rows), uint64_t(cols), stride),
                  "cublasLtMatrixLayoutInit");
  }
};

// The library, the algorithms chosen so far, and a workspace for each stream.
class Library {
 public:
  static Library& instance() {
    static auto* library = new Library();  // never destroyed: the driver may be gone first
    return *library;
  }

  cublasLtHandle_t handle(Device device) {
    std::lock_guard lock(mutex_);
    cublasLtHandle_t& h = handles_[device.index];
    if (!h) check_library(cublasLtCreate(&h), "cublasLtCreate");
    return h;
  }

  void* workspace(const Stream& stream) {
    std::lock_guard lock(mutex_);
    auto& buffer = workspaces_[stream.handle];
    if (!buffer) buffer = std::make_unique<Buffer>(stream.device, int64_t(kWorkspace));
    return buffer->data();
  }

  // None: the library cannot do it (with this epilogue).
  std::optional<cublasLtMatmulAlgo_t> algorithm(Device device, const Product& p) {
    const Kind kind{device.index,  p.transpose_a ? p.M : kNominalRows,
                    p.N,           p.transpose_a ? magnitude(p.K) : p.K,
                    p.type,        p.out_type,
                    p.transpose_a, p.transpose_b,
                    p.epilogue,    p.may_split()};
    const cublasLtHandle_t library = handle(device);
    std::lock_guard lock(mutex_);
    const auto [found, is_new] = algorithms_.try_emplace(kind);
    if (is_new) {
      try {
        found->second = choose(library, kind);
      } catch (...) {
        algorithms_.erase(found);
        throw;
      }
    }
    return found->second;
  }

 private:
  static std::optional<cublasLtMatmulAlgo_t> choose(cublasLtHandle_t, const Kind&);

  std::mutex mutex_;
  std::map<int, cublasLtHandle_t> handles_;
  std::map<void*, std::unique_ptr<Buffer>> workspaces_;
  std::map<Kind, std::optional<cublasLtMatmulAlgo_t>> algorithms_;
};

// The first of the library's proposals, for kNominalRows rows or the very weight, that adds in a fixed order.
std::optional<cublasLtMatmulAlgo_t> Library::choose(cublasLtHandle_t library, const Kind& k) {
  const Product p{.M = k.M,
                  .N = k.N,
                  .K = k.K,
                  .type = k.type,
                  .out_type = k.out_type,
                  .transpose_a = k.transpose_a,
                  .transpose_b = k.transpose_b,
                  .epilogue = k.epilogue,
                  .a_stride = aligned_columns(k.transpose_a ? k.M : k.K, k.type),
                  .b_stride = aligned_columns(k.transpose_b ? k.K : k.N, k.type),
                  .c_stride = aligned_columns(k.N, k.out_type)};
  Epilogue epilogue{k.epilogue};
  epilogue.aux.stride = aligned_columns(k.N, DType::bf16);
  Description d(p, epilogue);
  cublasLtMatmulPreferenceOpaque_t preference;
  check_library(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check_library(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)),
                  "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(kWorkspace));
  // Pieces' sums in the workspace, added in order; never by atomics in the result.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         uint32_t(k.may_split ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE));
  for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    prefer(attribute, uint32_t(kAlignment));
  cublasLtMatmulHeuristicResult_t proposals[16];
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(library, &d.operation, &d.b, &d.a, &d.c, &d.c, &preference, 16, proposals, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
  check_library(status, "cublasLtMatmulAlgoGetHeuristic");
  for (int i = 0; i < count; ++i) {
    int32_t pieces = 1;
    size_t written = 0;
    cublasLtMatmulAlgoConfigGetAttribute(&proposals[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &pieces, sizeof(pieces),
                                         &written);
    if (proposals[i].state == CUBLAS_STATUS_SUCCESS && (pieces <= 1 || k.may_split)) return proposals[i].algo;
  }
  return std::nullopt;
}

// A matrix [rows, cols] with aligned rows, in `keep`.
View aligned(int64_t rows, int64_t cols, DType type, Device device, Tensor& keep) {
  keep = Tensor::empty({rows, aligned_columns(cols, type)}, type, device);
  return keep.view().columns(0, cols);
}

// x in a type, with aligned rows; the tensor keeps it alive where x is not so itself.
ConstView prepared(Stream& stream, ConstView x, DType type, Tensor& keep) {
  if (x.dtype() == type && is_aligned(x)) return x;
  const View y = aligned(x.rows(), x.cols(), type, stream.device, keep);
  convert(stream, x, y);
  return y;
}

void fill_zero(Stream& stream, View c) {
  if (c.contiguous()) return fill(stream, c.row<char>(0), 0, size_t(c.size() * size_of(c.dtype())));
  for (int64_t m = 0; m < c.rows(); ++m)
    fill(stream, c.row<char>(m * size_of(c.dtype())), 0, size_t(c.cols() * size_of(c.dtype())));
}

// One call of the library.
void multiply_rows(Stream& stream, const cublasLtMatmulAlgo_t& algorithm, const Product& p, const Epilogue& epilogue,
                   const void* a, const void* b, float kept, void* c) {
  Library& library = Library::instance();
  Description d(p, epilogue);
  const float one = 1;
  CUDA_CHECK(cudaSetDevice(stream.device.index));
  const cublasStatus_t status =
      cublasLtMatmul(library.handle(stream.device), &d.operation, &one, b, &d.b, a, &d.a, &kept, c, &d.c, c, &d.c,
                     &algorithm, library.workspace(stream), kWorkspace, static_cast<cudaStream_t>(stream.handle));
  CHECK(status == CUBLAS_STATUS_SUCCESS, "cublasLtMatmul of [", p.M, ",", p.K, "] ",
        p.transpose_a ? "(transposed) " : "", "and [", p.K, ",", p.N, "]", p.transpose_b ? " (transposed)" : "", " in ",
        name_of(p.type), " to ", name_of(p.out_type), ", epilogue ", int(p.epilogue), ": ",
        cublasLtGetStatusString(status));
}

// The product of operands, none of them empty, in `type`. False: the library has no algorithm for it.
bool multiply(Stream& stream, ConstView a, ConstView b, DType type, const Epilogue& epilogue,
              const MatmulOptions& options, View c) {
  Product p{.M = c.rows(),
            .N = c.cols(),
            .K = options.transpose_a ? a.rows() : a.cols(),
            .type = type,
            .out_type = c.dtype(),
            .transpose_a = options.transpose_a,
            .transpose_b = options.transpose_b,
            .epilogue = epilogue.kind};
  const std::optional<cublasLtMatmulAlgo_t> algorithm = Library::instance().algorithm(stream.device, p);
  if (!algorithm) return false;
  Tensor keep_a, keep_b, keep_c;
  a = prepared(stream, a, type, keep_a), b = prepared(stream, b, type, keep_b);
  const View out = is_aligned(c) ? c : aligned(p.M, p.N, c.dtype(), stream.device, keep_c);
  if (keep_c && options.accumulate) convert(stream, c, out);
  // A single row's stride may be anything.
  p.a_stride = std::max(a.stride, aligned_columns(a.cols(), type));
  p.b_stride = std::max(b.stride, aligned_columns(b.cols(), type));
  p.c_stride = std::max(out.stride, aligned_columns(p.N, p.out_type));
  // The workspace was counted for kNominalRows rows.
  const int64_t rows = p.may_split() && !p.transpose_a ? kNominalRows : p.M;
  for (int64_t begin = 0; begin < c.rows(); begin += rows) {
    p.M = std::min(rows, c.rows() - begin);
    multiply_rows(stream, *algorithm, p, epilogue, p.transpose_a ? a.pointer : a.row_range(begin, begin + p.M).pointer,
                  b.pointer, options.accumulate ? 1 : 0, const_cast<void*>(out.row_range(begin, begin + p.M).pointer));
  }
  if (keep_c) convert(stream, out, c);
  return true;
}

std::atomic<bool> gelu_epilogues = false;

// c = act(op(a) op(b) + bias) with the sums in aux, or with DGELU c = (op(a) op(b)) * act'(aux), where it is switched
// on and the library can: it has GELU's tanh form alone, biases of c's type, and wants rows of aux to begin at
// multiples of 16 bytes. False: nothing was done.
bool multiply_with_gelu(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options,
                        Activation activation, cublasLtEpilogue_t epilogue, ConstView aux, View c) {
  const bool low = in_bfloat16(a, b, options), low_c = c.dtype() == DType::bf16;
  const bool aux_suits = !aux || (aux.dtype() == c.dtype() && aux.stride % 8 == 0 && is_aligned(aux));
  if (!gelu_epilogues || activation != Activation::gelu_tanh || options.accumulate || (low_c && !low) || !aux_suits ||
      a.size() == 0 || c.size() == 0)
    return false;
  if (options.transpose_a || (options.transpose_b ? b.cols() : b.rows()) >= kLongSum) return false;  // in one call
  Tensor bias_low;
  if (bias && low_c) bias = prepared(stream, bias, DType::bf16, bias_low);
  return multiply(stream, a, b, low ? DType::bf16 : DType::f32, {epilogue, bias.pointer, aux}, options, c);
}

// The library has no float32 product that ends in bfloat16.
void multiply_and_round(Stream& stream, ConstView a, ConstView b, ConstView bias, MatmulOptions options, View c) {
  const Tensor sum = Tensor::empty({c.rows(), c.cols()}, DType::f32, stream.device);
  if (options.accumulate) convert(stream, c, sum);
  matmul(stream, a, b, bias, options, sum);
  convert(stream, sum, c);
}

}  // namespace

void matmul(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, View c) {
  const auto [M, N, K] = ProductSizes(a, b, bias, options, c);
  if (M == 0 || N == 0) return;
  if (K == 0) {  // an empty sum
    if (!options.accumulate) fill_zero(stream, c);
    if (bias) add_bias(stream, bias, c);
    return;
  }
  if (const int64_t rest = N % kTogether; rest && N >= kWide) {
    const auto columns = [&](int64_t begin, int64_t end) {
      matmul(stream, a, options.transpose_b ? b.row_range(begin, end) : b.columns(begin, end),
             bias ? bias.columns(begin, end) : bias, options, c.columns(begin, end));
    };
    columns(0, N - rest);
    return columns(N - rest, N);
  }
  const bool low = in_bfloat16(a, b, options);
  if (!low && c.dtype() == DType::bf16) return multiply_and_round(stream, a, b, bias, options, c);
  CHECK(a.dtype() != DType::f64 && b.dtype() != DType::f64 && c.dtype() != DType::f64,
        "matmul on the GPU: ", name_of(a.dtype()), " times ", name_of(b.dtype()), " gives ", name_of(c.dtype()));
  // The library adds only bfloat16 biases to a bfloat16 result, which a bias that trains must not
  // be.
  const bool library_adds_bias = bias && c.dtype() == DType::f32;
  const Epilogue epilogue = library_adds_bias ? Epilogue{CUBLASLT_EPILOGUE_BIAS, bias.pointer} : Epilogue{};
  const DType type = low ? DType::bf16 : DType::f32;
  CHECK(multiply(stream, a, b, type, epilogue, options, c), "cublasLt has no algorithm for a product with N = ", N,
        ", K = ", K, " in ", name_of(type), " that adds in a fixed order");
  if (bias && !library_adds_bias) add_bias(stream, bias, c);
}

void weight_and_bias_gradient(Stream& stream, ConstView dy, ConstView x, bool round_to_bf16, View dweight, View dbias) {
  const MatmulOptions options{.transpose_a = true, .round_to_bf16 = round_to_bf16};
  ProductSizes(dy, x, {}, options, dweight);
  // Operands that are rounded first would give the sums of rounded values.
  const bool as_they_are = dy.dtype() == x.dtype() && in_bfloat16(dy, x, options) == (dy.dtype() == DType::bf16);
  if (as_they_are && dy.size() > 0 && x.size() > 0 &&
      multiply(stream, dy, x, dy.dtype(), {CUBLASLT_EPILOGUE_BGRADB, dbias.pointer}, options, dweight))
    return;
  column_sum(stream, dy, false, dbias);
  matmul(stream, dy, x, {}, options, dweight);
}

void use_gelu_epilogues(bool on) { gelu_epilogues = on; }

bool library_matmul_activation(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options,
                               Activation kind, View sum, View y) {
  ProductSizes(a, b, bias, options, y);
  const cublasLtEpilogue_t epilogue = sum    ? bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX
                                      : bias ? CUBLASLT_EPILOGUE_GELU_BIAS
                                             : CUBLASLT_EPILOGUE_GELU;
  return multiply_with_gelu(stream, a, b, bias, options, kind, epilogue, sum, y);
}

bool library_matmul_activation_gradient(Stream& stream, ConstView a, ConstView b, const MatmulOptions& options,
                                        Activation kind, ConstView sum, View c) {
  ProductSizes(a, b, {}, options, c);
  return multiply_with_gelu(stream, a, b, {}, options, kind, CUBLASLT_EPILOGUE_DGELU, sum, c);
}

}  // namespace cambium::gpu
