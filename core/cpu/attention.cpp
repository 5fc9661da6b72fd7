// Attention on the CPU. A task is one key/value head of one sequence: it gathers that head's keys and values
// (prefix rows first) into contiguous float buffers and works on blocks of queries with small products.
// Nothing depends on the other sequences of the batch.
#include "core/kernels/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/cpu/dropout.h"
#include "core/cpu/math.h"
#include "core/cpu/parallel.h"
#include "core/cpu/small_matmul.h"

namespace cambium::cpu {
namespace {

constexpr int64_t kQueryBlock = 32;

int32_t at(ConstView v, int64_t i) { return v.data<int32_t>()[i]; }

// What one task works on.
template <class T>
struct Task {
  using F = Wide<T>;

  const AttentionConfig& config;
  const AttentionInputs& in;
  int64_t sequence, kv_head;
  int64_t size = config.head_size, group = config.heads / config.kv_heads;
  int64_t query_begin = at(in.queries.begin, sequence), queries = at(in.queries.length, sequence);
  int64_t key_begin = at(in.keys.begin, sequence), keys = at(in.keys.length, sequence);
  int64_t prefix_begin = in.prefixes ? at(in.prefixes.begin, sequence) : 0;
  int64_t prefix = in.prefixes ? at(in.prefixes.length, sequence) : 0;
  int64_t all = prefix + keys;  // rows of this head's keys
  int64_t width = padded(all), depth = padded(size);

  const T* query(int64_t i, int64_t h) const { return in.q.row<T>(query_begin + i) + (kv_head * group + h) * size; }
  // Row j of keys or values: the prefix's first. Prefixes may have another type than the batch.
  template <class Use>
  void with_row(ConstView rows, ConstView prefix_rows, int64_t j, const Use& use) const {
    if (j >= prefix) return use(rows.row<T>(key_begin + j - prefix) + kv_head * size);
    visit(prefix_rows.dtype(), [&]<class P>(Type<P>) { use(prefix_rows.row<P>(prefix_begin + j) + kv_head * size); });
  }
  // Keys that query i sees: all before this number.
  int64_t visible(int64_t i) const {
    return config.causal ? std::clamp<int64_t>(prefix + i + keys - queries + 1, prefix, all) : all;
  }
  F bias(int64_t i, int64_t j, int64_t head) const {  // of a key that is no prefix row
    const int64_t range = in.bucket.size() / 2;
    const int64_t distance = std::clamp((j - prefix) - (i + keys - queries), -range, range);
    return in.bias.row<F>(at(in.bucket, distance + range))[head];
  }
};

// Contiguous float copies of a head's rows, [rows, depth], and their transpose, [depth, width].
template <class T, class Rows>
void gather(const Task<T>& t, const Rows& rows, ConstView from, ConstView prefix_from) {
  for (int64_t j = 0; j < t.all; ++j) t.with_row(from, prefix_from, j, [&](const auto* source) { rows(j, source); });
}

template <class T, class F = Wide<T>>
void gather_rows(const Task<T>& t, ConstView from, ConstView prefix_from, std::vector<F>& out) {
  out.assign(size_t(t.all * t.depth), F(0));
  gather(
      t,
      [&](int64_t j, const auto* source) {
        for (int64_t d = 0; d < t.size; ++d) out[size_t(j * t.depth + d)] = F(wide(source[d]));
      },
      from, prefix_from);
}

template <class T, class F = Wide<T>>
void gather_columns(const Task<T>& t, ConstView from, ConstView prefix_from, std::vector<F>& out) {
  out.assign(size_t(t.size * t.width), F(0));
  gather(
      t,
      [&](int64_t j, const auto* source) {
        for (int64_t d = 0; d < t.size; ++d) out[size_t(d * t.width + j)] = F(wide(source[d]));
      },
      from, prefix_from);
}

// Multiplies the probabilities of query i by 0 or 1 / (1 - p).
template <class T, class F>
void drop(const Task<T>& t, int64_t i, int64_t head, F* row, int64_t count) {
  const DropoutConfig& dropout = t.config.dropout;
  if (dropout.probability == 0) return;
  const int32_t* id = t.in.token.template row<int32_t>(t.query_begin + i);
  const uint32_t threshold = drop_threshold(dropout.probability);
  const F scale = 1 / (1 - F(dropout.probability));
  for (int64_t begin = 0; begin < count; begin += 64) {
    uint32_t word[64];
    philox_block(dropout.key, uint32_t(begin / 64), uint32_t(id[1]), uint32_t(id[0]), uint32_t(head), word);
    for (int64_t j = 0; j < std::min<int64_t>(64, count - begin); ++j)
      row[begin + j] = word[j] >= threshold ? row[begin + j] * scale : F(0);
  }
}

// One block of queries of one head: rows [count, ..] of the buffers below.
template <class T>
struct Block {
  using F = Wide<T>;
  const Task<T>& t;
  int64_t begin, count, head;
  int64_t end_key() const { return padded(t.visible(begin + count - 1)); }

  // score[i, j] for all keys that any query of the block sees; hidden ones are -inf.
  void scores(const std::vector<F>& columns, std::vector<F>& query, std::vector<F>& score) const {
    const int64_t width = t.width, head_in_group = head - t.kv_head * t.group;
    query.assign(size_t(count * t.depth), F(0));
    for (int64_t i = 0; i < count; ++i) {
      const T* q = t.query(begin + i, head_in_group);
      for (int64_t d = 0; d < t.size; ++d) query[size_t(i * t.depth + d)] = F(wide(q[d]));
    }
    small_matmul(count, end_key(), t.size, query.data(), t.depth, 1, columns.data(), width, score.data(), width, false);
    for (int64_t i = 0; i < count; ++i) {
      F* row = &score[size_t(i * width)];
      const int64_t seen = t.visible(begin + i);
      for (int64_t j = 0; j < seen; ++j) row[j] *= F(t.config.scale);
      if (t.in.bias)
        for (int64_t j = t.prefix; j < seen; ++j) row[j] += t.bias(begin + i, j, head);
      std::fill(row + seen, row + end_key(), -std::numeric_limits<F>::infinity());
    }
  }
};

// Few queries (decoding): no copies of keys and values are worth making.
template <class T, class F = Wide<T>>
void forward_direct(const Task<T>& t, View out, View lse) {
  thread_local std::vector<F> row, sum;
  row.resize(size_t(t.width));
  sum.resize(size_t(t.size));
  for (int64_t i = 0; i < t.queries; ++i)
    for (int64_t h = 0; h < t.group; ++h) {
      const int64_t head = t.kv_head * t.group + h, seen = t.visible(i);
      const T* q = t.query(i, h);
      for (int64_t j = 0; j < seen; ++j)
        t.with_row(t.in.k, t.in.prefix_k, j, [&](const auto* k) {
          row[size_t(j)] =
              lane_sum(t.size, [&](int64_t d) { return F(wide(q[d])) * F(wide(k[d])); }) * F(t.config.scale);
        });
      if (t.in.bias)
        for (int64_t j = t.prefix; j < seen; ++j) row[size_t(j)] += t.bias(i, j, head);
      const F most = lane_max(seen, -std::numeric_limits<F>::infinity(), [&](int64_t j) { return row[size_t(j)]; });
      for (int64_t j = 0; j < seen; ++j) row[size_t(j)] = exp(row[size_t(j)] - most);
      const F total = lane_sum(seen, [&](int64_t j) { return row[size_t(j)]; });
      lse.row<F>(t.query_begin + i)[head] = seen ? most + std::log(total) : -std::numeric_limits<F>::infinity();
      drop(t, i, head, row.data(), seen);
      std::fill(sum.begin(), sum.end(), F(0));
      for (int64_t j = 0; j < seen; ++j)
        t.with_row(t.in.v, t.in.prefix_v, j, [&](const auto* v) {
          const F p = row[size_t(j)];
          for (int64_t d = 0; d < t.size; ++d) sum[size_t(d)] = multiply_add(p, F(wide(v[d])), sum[size_t(d)]);
        });
      T* y = out.row<T>(t.query_begin + i) + head * t.size;
      for (int64_t d = 0; d < t.size; ++d) y[d] = T(seen ? sum[size_t(d)] / total : F(0));
    }
}

template <class T, class F = Wide<T>>
void forward(const Task<T>& t, View out, View lse) {
  if (t.queries <= 2 || t.all == 0) return forward_direct(t, out, lse);
  thread_local std::vector<F> columns, values, query, score, sum;
  gather_columns(t, t.in.k, t.in.prefix_k, columns);
  gather_rows(t, t.in.v, t.in.prefix_v, values);
  score.resize(size_t(kQueryBlock * t.width));
  sum.resize(size_t(kQueryBlock * t.depth));
  for (int64_t head = t.kv_head * t.group; head < (t.kv_head + 1) * t.group; ++head)
    for (int64_t begin = 0; begin < t.queries; begin += kQueryBlock) {
      const Block<T> block{t, begin, std::min(kQueryBlock, t.queries - begin), head};
      block.scores(columns, query, score);
      const int64_t end = block.end_key();
      F total[kQueryBlock];
      for (int64_t i = 0; i < block.count; ++i) {
        F* row = &score[size_t(i * t.width)];
        const F most = lane_max(end, -std::numeric_limits<F>::infinity(), [&](int64_t j) { return row[j]; });
        const bool seen = t.visible(begin + i) > 0;  // not by the scores: a row of NaN must stay one
        for (int64_t j = 0; j < end; ++j) row[j] = seen ? exp(row[j] - most) : F(0);
        total[i] = seen ? lane_sum(end, [&](int64_t j) { return row[j]; }) : F(1);
        lse.row<F>(t.query_begin + begin + i)[head] = seen ? most + std::log(total[i]) : most;
        drop(t, begin + i, head, row, end);
      }
      small_matmul(block.count, t.depth, std::min(end, t.all), score.data(), t.width, 1, values.data(), t.depth,
                   sum.data(), t.depth, false);
      for (int64_t i = 0; i < block.count; ++i) {
        T* y = out.row<T>(t.query_begin + begin + i) + head * t.size;
        for (int64_t d = 0; d < t.size; ++d) y[d] = T(sum[size_t(i * t.depth + d)] / total[i]);
      }
    }
}

// Where a task's gradients of its prefix rows and of the bias go before they are added up over sequences.
template <class F>
struct Partial {
  F *prefix_k, *prefix_v, *bias;  // [P, kv_heads * size] twice, [buckets, heads]; null where not wanted
};

template <class T, class F = Wide<T>>
void backward(const Task<T>& t, ConstView dout, ConstView out, ConstView lse, const AttentionGradients& g,
              const Partial<F>& partial) {
  thread_local std::vector<F> key_columns, value_columns, keys, query, score, dscore, dy, sum, dk, dv;
  const bool wants_k = g.dk || partial.prefix_k, wants_v = g.dv || partial.prefix_v;
  gather_columns(t, t.in.k, t.in.prefix_k, key_columns);
  gather_columns(t, t.in.v, t.in.prefix_v, value_columns);
  if (g.dq) gather_rows(t, t.in.k, t.in.prefix_k, keys);
  score.resize(size_t(kQueryBlock * t.width));
  dscore.resize(size_t(kQueryBlock * t.width));
  sum.resize(size_t(kQueryBlock * t.depth));
  dk.assign(size_t(t.all * t.depth), F(0));
  dv.assign(size_t(t.all * t.depth), F(0));

  for (int64_t head = t.kv_head * t.group; head < (t.kv_head + 1) * t.group; ++head)
    for (int64_t begin = 0; begin < t.queries; begin += kQueryBlock) {
      const Block<T> block{t, begin, std::min(kQueryBlock, t.queries - begin), head};
      const int64_t end = block.end_key(), rows = std::min(end, t.all), count = block.count;
      block.scores(key_columns, query, score);
      dy.assign(size_t(count * t.depth), F(0));
      for (int64_t i = 0; i < count; ++i) {
        const T* source = dout.row<T>(t.query_begin + begin + i) + head * t.size;
        for (int64_t d = 0; d < t.size; ++d) dy[size_t(i * t.depth + d)] = wide(source[d]);
      }
      // dP = dy V^T, then dS = P (dropout(dP) - delta), delta = dy . out
      small_matmul(count, end, t.size, dy.data(), t.depth, 1, value_columns.data(), t.width, dscore.data(), t.width,
                   false);
      for (int64_t i = 0; i < count; ++i) {
        F *p = &score[size_t(i * t.width)], *dp = &dscore[size_t(i * t.width)];
        const F log_total = lse.row<F>(t.query_begin + begin + i)[head];
        const bool seen = log_total != -std::numeric_limits<F>::infinity();
        for (int64_t j = 0; j < end; ++j) p[j] = seen ? exp(p[j] - log_total) : F(0);
        const T* y = out.row<T>(t.query_begin + begin + i) + head * t.size;
        const F delta = lane_sum(t.size, [&](int64_t d) { return dy[size_t(i * t.depth + d)] * wide(y[d]); });
        drop(t, begin + i, head, dp, end);
        for (int64_t j = 0; j < end; ++j) dp[j] = p[j] * (dp[j] - delta);
        drop(t, begin + i, head, p, end);
        if (partial.bias)
          for (int64_t j = t.prefix; j < t.visible(begin + i); ++j) {
            const int64_t range = t.in.bucket.size() / 2;
            const int64_t distance = std::clamp((j - t.prefix) - (begin + i + t.keys - t.queries), -range, range);
            partial.bias[at(t.in.bucket, distance + range) * t.config.heads + head] += dp[j];
          }
        for (int64_t j = 0; j < end; ++j) dp[j] *= F(t.config.scale);
      }
      if (wants_v)
        small_matmul(rows, t.depth, count, score.data(), 1, t.width, dy.data(), t.depth, dv.data(), t.depth, true);
      if (wants_k)
        small_matmul(rows, t.depth, count, dscore.data(), 1, t.width, query.data(), t.depth, dk.data(), t.depth, true);
      if (!g.dq) continue;
      small_matmul(count, t.depth, rows, dscore.data(), t.width, 1, keys.data(), t.depth, sum.data(), t.depth, false);
      for (int64_t i = 0; i < count; ++i) {
        T* dq = g.dq.row<T>(t.query_begin + begin + i) + head * t.size;
        for (int64_t d = 0; d < t.size; ++d) dq[d] = T(sum[size_t(i * t.depth + d)]);
      }
    }

  const auto write = [&](const std::vector<F>& from, View to, F* to_prefix) {
    for (int64_t j = 0; j < t.all; ++j) {
      const F* source = &from[size_t(j * t.depth)];
      if (j >= t.prefix && to) {
        T* row = to.row<T>(t.key_begin + j - t.prefix) + t.kv_head * t.size;
        for (int64_t d = 0; d < t.size; ++d) row[d] = T(source[d]);
      } else if (j < t.prefix && to_prefix) {
        std::copy_n(source, t.size, to_prefix + (j * t.config.kv_heads + t.kv_head) * t.size);
      }
    }
  };
  write(dk, g.dk, partial.prefix_k);
  write(dv, g.dv, partial.prefix_v);
}

void fill_zero(View v) {
  if (!v) return;
  parallel_rows(v.rows(), [&](int64_t n) {
    std::fill_n(v.row<char>(n * size_of(v.dtype())), v.cols() * size_of(v.dtype()), char(0));
  });
}

int64_t total_length(const Segments& s) {
  int64_t total = 0;
  for (int64_t i = 0; i < s.count; ++i) total += at(s.length, i);
  return total;
}

}  // namespace

void attention_forward(Stream&, const AttentionConfig& config, const AttentionInputs& in, View out, View lse) {
  visit(in.q.dtype(), [&]<class T>(Type<T>) {
    if (total_length(in.queries) < out.rows()) fill_zero(out), fill_zero(lse);
    parallel_tasks(in.queries.count * config.kv_heads, [&](int64_t i) {
      forward(Task<T>{config, in, i / config.kv_heads, i % config.kv_heads}, out, lse);
    });
  });
}

void attention_backward(Stream&, const AttentionConfig& config, const AttentionInputs& in, ConstView dout,
                        ConstView out, ConstView lse, const AttentionGradients& g) {
  const int64_t S = in.queries.count, longest = in.prefixes ? in.prefixes.longest : 0;
  visit(in.q.dtype(), [&]<class T>(Type<T>) {
    using F = Wide<T>;
    if (total_length(in.queries) < in.q.rows()) fill_zero(g.dq);
    if (total_length(in.keys) < in.k.rows()) fill_zero(g.dk), fill_zero(g.dv);
    const int64_t row = config.kv_heads * config.head_size;
    std::vector<F> prefix_k(g.dprefix_k ? size_t(S * longest * row) : 0);
    std::vector<F> prefix_v(g.dprefix_v ? size_t(S * longest * row) : 0),
        bias(g.dbias ? size_t(S * g.dbias.size()) : 0);
    const auto part = [](std::vector<F>& all, int64_t s, int64_t size) {
      return all.empty() ? nullptr : &all[size_t(s * size)];
    };
    parallel_tasks(S * config.kv_heads, [&](int64_t i) {
      const int64_t s = i / config.kv_heads;
      backward(Task<T>{config, in, s, i % config.kv_heads}, dout, out, lse, g,
               Partial<F>{part(prefix_k, s, longest * row), part(prefix_v, s, longest * row),
                          part(bias, s, g.dbias.size())});
    });
    const auto add_up = [&](const std::vector<F>& all, View to) {
      if (!to) return;
      fill_zero(to);
      for (int64_t s = 0; s < S; ++s)
        for (int64_t j = 0; j < at(in.prefixes.length, s); ++j) {
          F* sum = to.row<F>(at(in.prefixes.begin, s) + j);
          for (int64_t d = 0; d < row; ++d) sum[d] += all[size_t((s * longest + j) * row + d)];
        }
    };
    add_up(prefix_k, g.dprefix_k);
    add_up(prefix_v, g.dprefix_v);
    if (g.dbias) {
      fill_zero(g.dbias);
      for (int64_t s = 0; s < S; ++s)
        for (int64_t i = 0; i < g.dbias.size(); ++i) g.dbias.data<F>()[i] += bias[size_t(s * g.dbias.size() + i)];
    }
  });
}

}  // namespace cambium::cpu
