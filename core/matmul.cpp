// The CPU side of matmul: oneDNN where the processor has AVX-512 for float32, and AVX-512 with bfloat16 products for
// bfloat16 (2.x and 3.x differ in how a product is described; that difference lives here); elsewhere core/cpu/gemm.cpp,
// because there the library's rows depend on their number, and its bfloat16 products are plain loops. float64: loops.
//
// A row's bits must not depend on how many rows there are. oneDNN keeps that with AVX-512 kernels, and with
// AMX kernels only where the inner dimension is short and the result has more than 256 elements (below that
// it takes another kernel; measured over M = 1 ... 640 and 120 shapes): so with AMX the inner dimension is
// cut into pieces of kAmxInner, and products of few rows are done with some more.
#include "core/kernels/matmul.h"

#include <cstring>
#include <dnnl.hpp>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <vector>

#include "core/cpu/gemm.h"
#include "core/kernels/elementwise.h"
#include "core/machine.h"
#include "core/tensor.h"

namespace cambium {

namespace {

using dnnl::memory;

constexpr int64_t kAmxInner = 768;
int64_t fewest_amx_rows(int64_t N) { return std::max<int64_t>(8, 256 / N + 1); }

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}
dnnl::stream& stream() {
  thread_local dnnl::stream s(engine());
  return s;
}

memory::data_type library_type(DType t) { return t == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32; }

// One product as the library sees it. Strides of (row, column) in elements; packed: the layout of b instead.
struct Problem {
  int64_t M, N, K;
  DType type, out_type;
  int64_t a_row, a_col, b_row, b_col, c_row;
  bool bias, accumulate;
  const memory::desc* packed = nullptr;

  memory::desc a() const { return {{M, K}, library_type(type), {a_row, a_col}}; }
  memory::desc b() const { return packed ? *packed : memory::desc({K, N}, library_type(type), {b_row, b_col}); }
  memory::desc c() const { return {{M, N}, library_type(out_type), {c_row, 1}}; }
  memory::desc bias_desc() const {
    return bias ? memory::desc({1, N}, memory::data_type::f32, memory::format_tag::ab) : memory::desc();
  }
};

using PrimitiveDescription = dnnl::matmul::primitive_desc;

PrimitiveDescription describe(const Problem& p, const memory::desc& b) try {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (p.accumulate) {
    dnnl::post_ops ops;
    ops.append_sum(1.f);
    attributes.set_post_ops(ops);
  }
#if DNNL_VERSION_MAJOR >= 3
  return p.bias ? PrimitiveDescription(engine(), p.a(), b, p.bias_desc(), p.c(), attributes)
                : PrimitiveDescription(engine(), p.a(), b, p.c(), attributes);
#else
  return p.bias ? PrimitiveDescription({p.a(), b, p.bias_desc(), p.c()}, attributes, engine())
                : PrimitiveDescription({p.a(), b, p.c()}, attributes, engine());
#endif
} catch (const dnnl::error& error) {
  throw Error(text("matmul: the library refuses [", p.M, ",", p.K, "] x [", p.K, ",", p.N, "] in ", name_of(p.type),
                   " to ", name_of(p.out_type), " with strides ", p.a_row, ",", p.a_col, " and ", p.b_row, ",", p.b_col,
                   " to ", p.c_row, p.accumulate ? " added" : "", ": ", error.what()));
}

// A product ready to run.
struct Plan {
  PrimitiveDescription description;
  dnnl::matmul primitive;
  explicit Plan(const Problem& p) : description(describe(p, p.b())), primitive(description) {}
};

// The most recently used plans: batches of all lengths come by, and each plan holds generated code.
class PlanCache {
 public:
  using Key = std::tuple<int64_t, int64_t, int64_t, DType, DType, int64_t, int64_t, int64_t, int64_t, int64_t, int,
                         const memory::desc*>;

  std::shared_ptr<const Plan> get(const Problem& p) {
    const Key key{
        p.M,     p.N, p.K, p.type, p.out_type, p.a_row, p.a_col, p.b_row, p.b_col, p.c_row, p.bias + 2 * p.accumulate,
        p.packed};
    {
      std::lock_guard lock(mutex_);
      if (const auto found = index_.find(key); found != index_.end()) {
        order_.splice(order_.begin(), order_, found->second);
        return found->second->second;
      }
    }
    auto plan = std::make_shared<const Plan>(p);
    std::lock_guard lock(mutex_);
    order_.emplace_front(key, plan);
    index_[key] = order_.begin();
    if (order_.size() > kCapacity) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
    return plan;
  }
  // Forgets plans for a packed matrix that is going away.
  void forget(const memory::desc* packed) {
    std::lock_guard lock(mutex_);
    for (auto it = order_.begin(); it != order_.end();)
      if (std::get<11>(it->first) == packed) index_.erase(it->first), it = order_.erase(it);
      else ++it;
  }

 private:
  static constexpr size_t kCapacity = 512;
  std::mutex mutex_;
  std::list<std::pair<Key, std::shared_ptr<const Plan>>> order_;
  std::map<Key, std::list<std::pair<Key, std::shared_ptr<const Plan>>>::iterator> index_;
};

PlanCache& plans() {
  static auto* cache = [] {
    dnnl::set_primitive_cache_capacity(0);  // ours is the only one
    return new PlanCache();
  }();
  return *cache;
}

bool uses_amx() {
  static const bool amx = [] {
    if (!cpu::multiplies_bf16()) return false;  // the library may refuse to describe such a product
    const Problem p{.M = 64,
                    .N = 64,
                    .K = 64,
                    .type = DType::bf16,
                    .out_type = DType::f32,
                    .a_row = 64,
                    .a_col = 1,
                    .b_row = 64,
                    .b_col = 1,
                    .c_row = 64,
                    .bias = false,
                    .accumulate = false};
    return std::strstr(describe(p, p.b()).impl_info_str(), "amx") != nullptr;
  }();
  return amx;
}

int64_t inner_piece(int64_t K, DType type) { return type == DType::bf16 && uses_amx() ? std::min(K, kAmxInner) : K; }

void run(const Problem& p, const void* a, const void* b, const void* bias, void* c) {
  const auto plan = plans().get(p);
  Scratch<char> scratch(current_stream(Device::cpu()), int64_t(plan->description.scratchpad_desc().get_size()));
  const auto bind = [](const memory::desc& desc, const void* data) {
    return memory(desc, engine(), const_cast<void*>(data));
  };
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, bind(p.a(), a)},
      {DNNL_ARG_WEIGHTS, bind(p.b(), b)},
      {DNNL_ARG_DST, bind(p.c(), c)},
      {DNNL_ARG_SCRATCHPAD, bind(plan->description.scratchpad_desc(), scratch.data())}};
  if (p.bias) arguments.emplace(DNNL_ARG_BIAS, bind(p.bias_desc(), bias));
  plan->primitive.execute(stream(), arguments);
  stream().wait();
}

// c = op(a) op(b) + bias in float64, k ascending.
void multiply_doubles(ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, View c) {
  const int64_t M = c.rows(), N = c.cols(), K = options.transpose_a ? a.rows() : a.cols();
  for (int64_t m = 0; m < M; ++m) {
    double* row = c.row<double>(m);
    if (!options.accumulate) std::fill_n(row, N, 0.0);
    if (bias)
      for (int64_t n = 0; n < N; ++n) row[n] += bias.data<double>()[n];
    for (int64_t k = 0; k < K; ++k) {
      const double factor = options.transpose_a ? a.row<double>(k)[m] : a.row<double>(m)[k];
      if (options.transpose_b)
        for (int64_t n = 0; n < N; ++n) row[n] += factor * b.row<double>(n)[k];
      else
        for (int64_t n = 0; n < N; ++n) row[n] += factor * b.row<double>(k)[n];
    }
  }
}

bool library_has(dnnl::cpu_isa isa) {  // a set of bits
  return (int(dnnl::get_effective_cpu_isa()) & int(isa)) == int(isa);
}

// The library is fast and its rows do not depend on each other.
bool library_serves(DType type) {
  static const bool f32 = library_has(dnnl::cpu_isa::avx512_core), bf16 = library_has(dnnl::cpu_isa::avx512_core_bf16);
  return type == DType::bf16 ? bf16 : f32;
}

// The product in our own loops, which sum in float32.
void multiply_here(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, bool round,
                   View c) {
  Tensor sum;
  if (c.dtype() != DType::f32) {
    sum = Tensor::empty({c.rows(), c.cols()}, DType::f32);
    if (options.accumulate) cpu::convert(stream, c, sum);
  }
  const View total = sum ? View(sum) : c;
  cpu::gemm(stream,
            {.M = c.rows(),
             .N = c.cols(),
             .K = options.transpose_a ? a.rows() : a.cols(),
             .a = {a.pointer, a.dtype(), options.transpose_a ? 1 : a.stride, options.transpose_a ? a.stride : 1},
             .b = {b.pointer, b.dtype(), options.transpose_b ? 1 : b.stride, options.transpose_b ? b.stride : 1},
             .round = round,
             .bias = bias.data<float>(),
             .accumulate = options.accumulate,
             .c = total.data<float>(),
             .c_row = total.stride});
  if (sum) cpu::convert(stream, sum, c);
}

// x in bfloat16, contiguous.
Tensor rounded(ConstView x) {
  Tensor y = Tensor::empty({x.rows(), x.cols()}, DType::bf16);
  cpu::convert(current_stream(Device::cpu()), x, y);
  return y;
}

}  // namespace

std::string software_version() { return "cambium " CAMBIUM_VERSION; }

std::string instruction_set() {
  const dnnl::version_t* v = dnnl::version();
  return text(cpu::kernel_level(), ", oneDNN ", v->major, ".", v->minor, ".", v->patch, " level ",
              int(dnnl::get_effective_cpu_isa()), uses_amx() ? " (AMX)" : "");
}

// The inner dimension in pieces, each in the library's layout.
struct PackedMatrix {
  struct Piece {
    memory::desc layout;
    Tensor data;
  };
  struct Form {
    int64_t inner = 0;  // length of a piece
    std::vector<Piece> pieces;
  };
  DType type;
  Form transposed, plain;  // for b used transposed, and as it is

  const Form* form(bool is_transposed) const {
    const Form& f = is_transposed ? transposed : plain;
    return f.pieces.empty() ? nullptr : &f;
  }
  ~PackedMatrix() {
    for (const Form* f : {&transposed, &plain})
      for (const Piece& piece : f->pieces) plans().forget(&piece.layout);
  }
};

namespace cpu {

void matmul(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, View c) {
  const int64_t M = c.rows(), N = c.cols(), K = options.transpose_a ? a.rows() : a.cols();
  const int64_t a_rows = options.transpose_a ? a.cols() : a.rows(), b_cols = options.transpose_b ? b.rows() : b.cols();
  CHECK(a_rows == M && b_cols == N && (options.transpose_b ? b.cols() : b.rows()) == K, "matmul: a [", a.rows(), ",",
        a.cols(), "]", options.transpose_a ? "^T" : "", ", b [", b.rows(), ",", b.cols(), "]",
        options.transpose_b ? "^T" : "", ", c [", M, ",", N, "]");
  if (M == 0 || N == 0) return;
  if (c.dtype() == DType::f64) return multiply_doubles(a, b, bias, options, c);
  if (K == 0) {  // an empty sum
    visit(c.dtype(), [&]<class T>(Type<T>) {
      for (int64_t m = 0; m < M; ++m)
        for (int64_t n = 0; n < N; ++n)
          c.row<T>(m)[n] = T((options.accumulate ? float(c.row<T>(m)[n]) : 0.f) + (bias ? bias.data<float>()[n] : 0.f));
    });
    return;
  }

  const bool low = a.dtype() == DType::bf16 || b.dtype() == DType::bf16 || options.round_to_bf16;
  const DType type = low ? DType::bf16 : DType::f32;
  if (!library_serves(type)) return multiply_here(stream, a, b, bias, options, low, c);
  Tensor a_low, b_low, few_a, few_c;
  const PackedMatrix* packed = b.packed && b.packed->type == type ? b.packed : nullptr;
  if (low && a.dtype() != DType::bf16) a = a_low = rounded(a);
  if (low && b.dtype() != DType::bf16) b = b_low = rounded(b);
  const int64_t rows = low && uses_amx() ? std::max(M, fewest_amx_rows(N)) : M;
  const bool few = rows > M;
  if (few) {
    few_a = Tensor::zeros(options.transpose_a ? Shape{K, rows} : Shape{rows, K}, DType::bf16);
    convert(stream, a, options.transpose_a ? few_a.view().columns(0, M) : few_a.view().row_range(0, M));
    few_c = Tensor::empty({rows, N}, DType::f32);
    if (options.accumulate) few_c.fill_zero(), convert(stream, c, few_c.view().row_range(0, M));
    a = few_a;
  }
  const View out = few ? View(few_c) : c;

  const PackedMatrix::Form* form = packed ? packed->form(options.transpose_b) : nullptr;
  const int64_t inner = form ? form->inner : inner_piece(K, type);
  // Pieces are added in float32, and the library has no float32 product that ends in bfloat16.
  Tensor sum;
  if ((inner < K || type == DType::f32) && out.dtype() != DType::f32) {
    sum = Tensor::empty({out.rows(), N}, DType::f32);
    if (options.accumulate) convert(stream, out, sum);
  }
  const View total = sum ? View(sum) : out;
  for (int64_t k = 0, piece = 0; k < K; k += inner, ++piece) {
    const int64_t length = std::min(inner, K - k);
    const Problem p{.M = out.rows(),
                    .N = N,
                    .K = length,
                    .type = type,
                    .out_type = total.dtype(),
                    .a_row = options.transpose_a ? 1 : a.stride,
                    .a_col = options.transpose_a ? a.stride : 1,
                    .b_row = options.transpose_b ? 1 : b.stride,
                    .b_col = options.transpose_b ? b.stride : 1,
                    .c_row = total.stride,
                    .bias = bias && k == 0,
                    .accumulate = options.accumulate || k > 0,
                    .packed = form ? &form->pieces[size_t(piece)].layout : nullptr};
    const auto offset = [&](ConstView v, int64_t stride) {
      return static_cast<const char*>(v.pointer) + k * stride * size_of(type);
    };
    run(p, offset(a, p.a_col), form ? form->pieces[size_t(piece)].data.raw() : offset(b, p.b_row), bias.pointer,
        const_cast<void*>(total.pointer));
  }
  if (sum) convert(stream, sum, out);
  if (few) convert(stream, few_c.view().row_range(0, M), c);
}

void weight_and_bias_gradient(Stream& stream, ConstView dy, ConstView x, bool round_to_bf16, View dweight, View dbias) {
  column_sum(stream, dy, false, dbias);
  matmul(stream, dy, x, {}, {.transpose_a = true, .round_to_bf16 = round_to_bf16}, dweight);
}

std::shared_ptr<const PackedMatrix> pack_matrix(ConstView b, bool transposed, bool plain) {
  if (b.dtype() == DType::f64 || b.size() == 0 || !library_serves(b.dtype())) return nullptr;
  auto packed = std::make_shared<PackedMatrix>();
  packed->type = b.dtype();
  const auto fill = [&](PackedMatrix::Form& form, bool is_transposed) {
    const int64_t N = is_transposed ? b.rows() : b.cols(), K = is_transposed ? b.cols() : b.rows();
    // Plain rows a multiple of a page apart fall into the same cache sets: GPT-2's wide FFN, by a half.
    const bool aliases = !is_transposed && b.stride * size_of(b.dtype()) % 4096 == 0;
    if (!aliases && !(b.dtype() == DType::bf16 && uses_amx())) return;
    form.inner = inner_piece(K, b.dtype());
    for (int64_t k = 0; k < K; k += form.inner) {
      const Problem p{.M = 256,
                      .N = N,
                      .K = std::min(form.inner, K - k),
                      .type = b.dtype(),
                      .out_type = DType::f32,
                      .a_row = K,
                      .a_col = 1,
                      .b_row = is_transposed ? 1 : b.stride,
                      .b_col = is_transposed ? b.stride : 1,
                      .c_row = N,
                      .bias = false,
                      .accumulate = k > 0};
      const memory::desc any({p.K, N}, library_type(p.type), memory::format_tag::any);
      const memory::desc layout = describe(p, any).weights_desc();
      Tensor data = Tensor::empty({int64_t(layout.get_size() + 3) / 4}, DType::i32);
      memory from(p.b(), engine(), static_cast<char*>(const_cast<void*>(b.pointer)) + k * p.b_row * size_of(p.type));
      memory to(layout, engine(), data.raw());
      dnnl::reorder(from, to).execute(stream(), from, to);
      stream().wait();
      form.pieces.push_back({layout, data});
    }
  };
  if (transposed) fill(packed->transposed, true);
  if (plain) fill(packed->plain, false);
  return packed->transposed.pieces.empty() && packed->plain.pieces.empty() ? nullptr : packed;
}

bool multiplies_bf16() { return library_serves(DType::bf16); }

int64_t packed_bytes(const PackedMatrix& packed) {
  int64_t bytes = 0;
  for (const auto* form : {&packed.transposed, &packed.plain})
    for (const auto& piece : form->pieces) bytes += piece.data.bytes();
  return bytes;
}

}  // namespace cpu

void matmul_activation(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options,
                       Activation kind, View sum, View y) {
  if (stream.device.is_gpu() && gpu::library_matmul_activation(stream, a, b, bias, options, kind, sum, y)) return;
  if (!sum) sum = y;
  DISPATCH(matmul, stream)(stream, a, b, bias, options, sum);
  DISPATCH(activation_forward, stream)(stream, kind, sum, {}, y);
}

void matmul_activation_gradient(Stream& stream, ConstView a, ConstView b, const MatmulOptions& options, Activation kind,
                                ConstView sum, View c) {
  if (stream.device.is_gpu() && gpu::library_matmul_activation_gradient(stream, a, b, options, kind, sum, c)) return;
  DISPATCH(matmul, stream)(stream, a, b, {}, options, c);
  DISPATCH(activation_backward, stream)(stream, kind, c, sum, {}, c);
}

}  // namespace cambium
