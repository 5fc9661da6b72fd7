// bench --kernels: each kernel by itself, with the bytes and operations it cannot do without, against the device's
// peaks.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/kernels/activation.h"
#include "core/kernels/attention.h"
#include "core/kernels/cross_entropy.h"
#include "core/kernels/dropout.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/generation.h"
#include "core/kernels/low_rank.h"
#include "core/kernels/matmul.h"
#include "core/kernels/norm.h"
#include "core/kernels/optimizer.h"
#include "core/kernels/rotary.h"
#include "core/kernels/rows.h"
#include "cuda/runtime.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/shapes.h"

namespace cambium {
namespace {

using Clock = std::chrono::steady_clock;

// Dense peaks from the vendors' data sheets: memory in bytes/s, bfloat16 products in FLOP/s, others in FLOP/s.
struct Peaks {
  const char* name;
  double memory, products, scalar;
};
constexpr Peaks kPeaks[] = {{"H200", 4.8e12, 989e12, 67e12},
                            {"H100 PCIe", 2.0e12, 756e12, 51e12},
                            {"H100", 3.35e12, 989e12, 67e12},
                            {"A100-SXM4-80GB", 2.039e12, 312e12, 19.5e12},
                            {"A100", 1.555e12, 312e12, 19.5e12}};

std::optional<Peaks> peaks_of(Device device) {
  if (!device.is_gpu()) return {};
  const std::string name = gpu::properties(device).name;
  for (const Peaks& p : kPeaks)
    if (name.find(p.name) != name.npos) return p;
  return {};
}

struct Measured {
  std::string kernel;
  double seconds = 0, bytes = 0, flops = 0;
  bool product = false;  // its operations can run on tensor cores
};

// Runs kernels on tensors of one model's sizes: N rows (sequences x tokens), in the type of the base.
class KernelBench {
 public:
  KernelBench(const ModelConfig& c, const BenchOptions& o, DType type, Device device)
      : config_(c), shape_(c.decoder.layers ? c.decoder : c.encoder), sequences_(o.batch), length_(o.length),
        N_(o.batch * o.length), D_(c.width), F_(shape_.inner), V_(c.vocabulary), type_(type), device_(device),
        stream_(current_stream(device)) {}

  std::vector<Measured> all() {
    rows();
    norms();
    activations();
    products();
    attention();
    logits();
    optimizers();
    return std::move(done_);
  }

 private:
  Tensor some(const Shape& shape, DType type) const { return Tensor::zeros(shape, type, device_); }
  Tensor some(const Shape& shape) const { return some(shape, type_); }
  Tensor wide(const Shape& shape) const { return some(shape, DType::f32); }
  Tensor counting(int64_t count, int64_t below) const {
    std::vector<int32_t> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(int32_t(i % below));
    return Tensor::of(values, device_);
  }
  double bytes(int64_t elements) const { return double(elements * size_of(type_)); }

  // Repeats until a tenth of a second has gone by.
  void measure(const char* kernel, double bytes, double flops, const std::function<void()>& run, bool product = false) {
    for (int i = 0; i < 2; ++i) run();
    synchronize(device_);
    int64_t count = 0;
    const auto start = Clock::now();
    double seconds = 0;
    for (int64_t next = 1; seconds < 0.1 && count < 10000; next *= 2) {
      for (int64_t i = 0; i < next; ++i) run();
      count += next;
      synchronize(device_);
      seconds = std::chrono::duration<double>(Clock::now() - start).count();
    }
    done_.push_back({kernel, seconds / double(count), bytes, flops, product});
  }

  // Of a kernel that tensor cores work for.
  void measure_product(const char* kernel, double bytes, double flops, const std::function<void()>& run) {
    measure(kernel, bytes, flops, run, true);
  }

  void rows() {
    const Tensor table = some({V_, D_}), x = some({N_, D_}), y = some({N_, D_}), gradient = wide({V_, D_}),
                 f = wide({N_, D_});
    const Tensor ids = counting(N_, V_), order = counting(N_, N_), begin = counting(N_ + 1, N_ + 1);
    const Tensor token = some({N_, 2}, DType::i32);
    const double one = bytes(N_ * D_);
    measure("gather_rows", 2 * one, 0, [&] { DISPATCH(gather_rows, stream_)(stream_, table, ids, 1, false, y); });
    measure("scatter_rows", 2 * one, 0, [&] { DISPATCH(scatter_rows, stream_)(stream_, x, order, y); });
    const int64_t targets = std::min(N_, V_);
    const RowGroups groups{order.view().columns(0, targets), begin.view().columns(0, targets + 1),
                           ids.view().columns(0, targets), targets};
    measure("sum_row_groups", bytes(targets * D_) + 8.0 * double(targets * D_), 0, [&] {
      DISPATCH(sum_row_groups, stream_)(stream_, x, groups, 1, gradient);
    });
    measure("convert", one + 4.0 * double(N_ * D_), 0, [&] { DISPATCH(convert, stream_)(stream_, x, f); });
    measure("add_scaled", 3 * one, 2.0 * double(N_ * D_), [&] { DISPATCH(add_scaled, stream_)(stream_, x, y, 1, y); });
    measure("dropout", 3 * one, 0, [&] { DISPATCH(dropout, stream_)(stream_, {0.1f, {}}, x, token, y, y); });
    const Tensor sum = wide({D_});
    measure("column_sum", one, double(N_ * D_), [&] { DISPATCH(column_sum, stream_)(stream_, x, false, sum); });
    if (config_.positions != PositionKind::rotary) return;
    const int64_t heads = shape_.heads + shape_.kv_heads;
    const Tensor qkv = some({N_, shape_.query_width() + 2 * shape_.kv_width()}),
                 angles = wide({length_, shape_.head_size}), place = counting(N_, length_);
    measure("rotary", 2 * bytes(N_ * heads * shape_.head_size), 3.0 * double(N_ * heads * shape_.head_size), [&] {
      DISPATCH(rotary, stream_)(stream_, {int(heads), int(shape_.head_size), false}, qkv, place, angles, qkv);
    });
  }

  void norms() {
    const Tensor x = some({N_, D_}), dy = some({N_, D_}), y = some({N_, D_}), weight = wide({D_}), bias = wide({D_}),
                 mean = wide({N_}), rstd = wide({N_});
    const double one = bytes(N_ * D_), elements = double(N_ * D_);
    if (config_.norm == NormKind::rms) {
      measure("rms_norm_forward", 2 * one, 4 * elements, [&] {
        DISPATCH(rms_norm_forward, stream_)(stream_, x, weight, 1e-5f, y, rstd);
      });
      measure("rms_norm_backward_input", 3 * one, 8 * elements, [&] {
        DISPATCH(rms_norm_backward_input, stream_)(stream_, dy, x, weight, rstd, y);
      });
      measure("rms_norm_backward_weight", 2 * one, 3 * elements, [&] {
        DISPATCH(rms_norm_backward_weight, stream_)(stream_, dy, x, rstd, weight);
      });
      return;
    }
    measure("layer_norm_forward", 2 * one, 8 * elements, [&] {
      DISPATCH(layer_norm_forward, stream_)(stream_, x, weight, bias, 1e-5f, y, mean, rstd);
    });
    measure("layer_norm_backward_input", 3 * one, 12 * elements, [&] {
      DISPATCH(layer_norm_backward_input, stream_)(stream_, dy, x, weight, mean, rstd, y);
    });
    measure("layer_norm_backward_weight", 2 * one, 4 * elements, [&] {
      DISPATCH(layer_norm_backward_weight, stream_)(stream_, dy, x, mean, rstd, weight);
    });
  }

  void activations() {
    const Activation kind = config_.activation;
    const Tensor x = some({N_, F_}), y = some({N_, F_}), pair = some({N_, 2 * F_}), dpair = some({N_, 2 * F_});
    const double one = bytes(N_ * F_);
    if (config_.gated) {
      measure("gated_forward", 3 * one, 0, [&] { DISPATCH(gated_forward, stream_)(stream_, kind, pair, {}, y); });
      measure("gated_backward", 5 * one, 0, [&] {
        DISPATCH(gated_backward, stream_)(stream_, kind, y, pair, {}, dpair);
      });
      return;
    }
    measure("activation_forward", 2 * one, 0, [&] { DISPATCH(activation_forward, stream_)(stream_, kind, x, {}, y); });
    measure("activation_backward", 3 * one, 0, [&] {
      DISPATCH(activation_backward, stream_)(stream_, kind, y, x, {}, y);
    });
  }

  void products() {
    const Tensor x = some({N_, D_}), weight = some({F_, D_}), up = some({N_, F_}), dweight = wide({F_, D_});
    const double flops = 2.0 * double(N_ * D_ * F_), moved = bytes(N_ * D_ + F_ * D_ + N_ * F_);
    measure_product("matmul forward", moved, flops, [&] {
      DISPATCH(matmul, stream_)(stream_, x, weight, {}, {.transpose_b = true}, up);
    });
    measure_product("matmul gradient of x", moved, flops, [&] {
      DISPATCH(matmul, stream_)(stream_, up, weight, {}, {}, x);
    });
    measure_product("matmul gradient of W", bytes(N_ * (D_ + F_)) + 4.0 * double(F_ * D_), flops, [&] {
      DISPATCH(matmul, stream_)(stream_, up, x, {}, {.transpose_a = true}, dweight);
    });
    if (!config_.gated) {  // with --fused-gelu inside the product, else after it
      const Tensor hidden = some({N_, F_}), down = some({D_, F_});
      const Activation kind = config_.activation;
      measure_product("matmul and activation", moved + bytes(N_ * F_), flops,
                      [&] { matmul_activation(stream_, x, weight, {}, {.transpose_b = true}, kind, up, hidden); });
      measure_product("the same, gradient", moved + bytes(N_ * F_), flops,
                      [&] { matmul_activation_gradient(stream_, x, down, {}, kind, up, hidden); });
    }

    constexpr int64_t kRank = 8;  // query and value of a fused product
    const int64_t out = 3 * D_;
    const Tensor y = some({N_, out}), z = some({N_, out}), a = wide({kRank, D_}), b = wide({D_, kRank}),
                 u = wide({N_, kRank}), u2 = wide({N_, kRank});
    const Tensor da = wide({kRank, D_}), db = wide({D_, kRank});
    std::vector<LowRankPart> parts = {
        {.a = a, .b = b, .u = u, .rank = kRank, .row_end = N_, .column_begin = 0, .column_end = D_},
        {.a = a, .b = b, .u = u2, .rank = kRank, .row_end = N_, .column_begin = 2 * D_, .column_end = 3 * D_}};
    const std::vector<LowRankGradient> gradients = {{da, db}, {da, db}};
    const double each = 2.0 * double(N_ * D_ * kRank);
    measure("low_rank_forward", bytes(N_ * (D_ + 2 * out)), 4 * each, [&] {
      DISPATCH(low_rank_forward, stream_)(stream_, x, parts, y, z);
    });
    measure("low_rank_backward", bytes(N_ * (2 * D_ + 2 * D_)), 8 * each, [&] {
      DISPATCH(low_rank_backward, stream_)(stream_, x, parts, z, gradients, x);
    });
  }

  Segments segments(const Tensor& begin, const Tensor& length, int64_t longest) const {
    return {begin, length, sequences_, longest};
  }

  void attention() {
    const AttentionConfig config{.heads = int(shape_.heads),
                                 .kv_heads = int(shape_.kv_heads),
                                 .head_size = int(shape_.head_size),
                                 .scale = 1,
                                 .causal = bool(config_.decoder.layers),
                                 .dropout = {}};
    const int64_t q = shape_.query_width(), kv = shape_.kv_width();
    std::vector<int32_t> first, last;
    for (int64_t s = 0; s < sequences_; ++s) first.push_back(int32_t(s * length_)), last.push_back(int32_t(s));
    const Tensor begin = Tensor::of(first, device_),
                 length = Tensor::of(std::vector<int32_t>(first.size(), int32_t(length_)), device_);
    const Tensor one_begin = Tensor::of(last, device_),
                 one = Tensor::of(std::vector<int32_t>(first.size(), 1), device_);
    const Tensor qkv = some({N_, q + 2 * kv}), out = some({N_, q}), dqkv = some({N_, q + 2 * kv}),
                 lse = wide({N_, shape_.heads});
    AttentionInputs in{.q = qkv.view().columns(0, q),
                       .k = qkv.view().columns(q, q + kv),
                       .v = qkv.view().columns(q + kv, q + 2 * kv),
                       .queries = segments(begin, length, length_),
                       .keys = segments(begin, length, length_),
                       .prefix_k = {},
                       .prefix_v = {},
                       .prefixes = {},
                       .bias = {},
                       .bucket = {},
                       .token = {}};
    const double pairs = double(sequences_) * double(length_) * double(length_) * (config.causal ? 0.5 : 1);
    const double flops = 4 * pairs * double(q), rows = bytes(N_ * (2 * q + 2 * kv));
    measure_product("attention_forward", rows, flops, [&] {
      DISPATCH(attention_forward, stream_)(stream_, config, in, out, lse);
    });
    const AttentionGradients gradients{.dq = dqkv.view().columns(0, q),
                                       .dk = dqkv.view().columns(q, q + kv),
                                       .dv = dqkv.view().columns(q + kv, q + 2 * kv),
                                       .dprefix_k = {},
                                       .dprefix_v = {},
                                       .dbias = {}};
    measure_product("attention_backward", 2 * rows, 2.5 * flops, [&] {
      DISPATCH(attention_backward, stream_)(stream_, config, in, out, out, lse, gradients);
    });
    in.queries = segments(one_begin, one, 1);
    in.q = in.q.row_range(0, sequences_);
    const View one_out = out.view().row_range(0, sequences_), one_lse = lse.view().row_range(0, sequences_);
    measure("attention_forward, decoding", bytes(N_ * 2 * kv), 4.0 * double(N_ * q), [&] {
      DISPATCH(attention_forward, stream_)(stream_, config, in, one_out, one_lse);
    });
  }

  void logits() {
    constexpr int64_t kRows = 128;
    const Tensor x = wide({kRows, V_}), label = counting(kRows, V_), loss = wide({kRows});
    const double one = 4.0 * double(kRows * V_);
    measure("cross_entropy_rows", 3 * one, 0, [&] {
      DISPATCH(cross_entropy_rows, stream_)(stream_, {}, x, label, loss);
    });
    measure("log_softmax", 3 * one, 0, [&] { DISPATCH(log_softmax, stream_)(stream_, x, x); });
    const Tensor value = wide({kRows, 8}), index = some({kRows, 8}, DType::i32), token = some({kRows, 1}, DType::i32),
                 uniform = wide({kRows});
    measure("top_k, 8", one, 0, [&] { DISPATCH(top_k, stream_)(stream_, x, 8, value, index); });
    measure("sample_tokens", one, 0, [&] {
      DISPATCH(sample_tokens, stream_)(stream_, {1, 0.9f, 50}, x, uniform, token);
    });
  }

  void optimizers() {
    const int64_t size = F_ * D_;
    const Tensor p = wide({F_, D_}), g = wide({F_, D_}), m = wide({F_, D_}), v = wide({F_, D_}), row = wide({F_}),
                 column = wide({D_});
    const auto flat = [&](const Tensor& t) { return View(t.reshape({t.size()})); };
    const std::vector<OptimizerTensor> one = {{flat(p), flat(g), flat(m), flat(v), {}}};
    const std::vector<AdafactorTensor> factored = {{{p, g, row, column, {}}}};
    const std::vector<ConstView> views = {flat(g)};
    const Tensor sum = some({1}, DType::f64);
    measure("adamw", 28.0 * double(size), 0, [&] { DISPATCH(adamw, stream_)(stream_, {}, one); });
    measure("sgd", 20.0 * double(size), 0, [&] { DISPATCH(sgd, stream_)(stream_, {.momentum = 0.9}, one); });
    measure("adafactor", 24.0 * double(size), 0, [&] { DISPATCH(adafactor, stream_)(stream_, {}, factored); });
    measure("square_sums", 4.0 * double(size), 0, [&] { DISPATCH(square_sums, stream_)(stream_, views, sum); });
  }

  const ModelConfig& config_;
  const StackShape& shape_;
  int64_t sequences_, length_, N_, D_, F_, V_;
  DType type_;
  Device device_;
  Stream& stream_;
  std::vector<Measured> done_;
};

void print(const std::vector<Measured>& all, const std::optional<Peaks>& peaks) {
  std::printf("%-28s %10s %10s %8s %10s %8s\n", "kernel", "us", "GB/s", "of peak", "TFLOP/s", "of peak");
  for (const Measured& m : all) {
    const double moved = m.bytes / m.seconds, done = m.flops / m.seconds;
    std::printf("%-28s %10.1f %10.1f", m.kernel.c_str(), m.seconds * 1e6, moved / 1e9);
    if (peaks) std::printf(" %6.1f %%", 100 * moved / peaks->memory);
    else std::printf(" %8s", "");
    if (m.flops > 0) std::printf(" %10.3f", done / 1e12);
    if (m.flops > 0 && peaks) std::printf(" %6.1f %%", 100 * done / (m.product ? peaks->products : peaks->scalar));
    std::printf("\n");
  }
}

}  // namespace

int run_kernel_bench(const CommonOptions& common, const BenchOptions& options) {
  const Device device = device_of(common);
  const ModelConfig config = published_shape(options.shape);
  const DType type = weight_type_of(common, device);
  choose_kernels(common, config, type, device);
  const std::vector<Measured> all = KernelBench(config, options, type, device).all();
  const std::optional<Peaks> peaks = peaks_of(device);
  if (!common.json) {
    std::printf("%s: %lld sequences of %lld tokens, %s, on %s\n", options.shape.c_str(),
                static_cast<long long>(options.batch), static_cast<long long>(options.length),
                std::string(name_of(type)).c_str(), device.is_gpu() ? gpu::properties(device).name.c_str() : "the CPU");
    print(all, peaks);
    return 0;
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Measured& m : all) {
    nlohmann::ordered_json j{{"kernel", m.kernel}, {"seconds", m.seconds}, {"bytes", m.bytes}, {"flops", m.flops}};
    if (peaks) {
      j["memory_share"] = m.bytes / m.seconds / peaks->memory;
      j["compute_share"] = m.flops / m.seconds / (m.product ? peaks->products : peaks->scalar);
    }
    list.push_back(std::move(j));
  }
  std::cout << list.dump() << "\n";
  return 0;
}

}  // namespace cambium
