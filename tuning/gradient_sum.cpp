#include "tuning/gradient_sum.h"

#include <algorithm>
#include <functional>

#include "core/kernels/elementwise.h"

namespace cambium {
namespace {

constexpr int64_t kChunk = int64_t(1) << 18;  // scalars that travel at a time: the sum of one waits for no whole half

using Presence = std::vector<std::string>;  // of each worker: '1' or '0' a tensor

std::span<std::byte> bytes_of(const Tensor& t) {
  return {t ? static_cast<std::byte*>(t.raw()) : nullptr, size_t(t.bytes())};
}

// Workers speak from the host's memory: what is on a GPU goes there and back.
void exchange(Communicator& c, int partner, const Tensor& out, const Tensor& in) {
  const Tensor from = out && out.device().is_gpu() ? out.to(Device::cpu()) : out;
  const Tensor to = in && in.device().is_gpu() ? Tensor::empty(in.shape(), in.dtype()) : in;
  c.exchange(partner, bytes_of(from), bytes_of(to));
  if (in && in.device().is_gpu()) in.copy_from(to);
}

// Scalars [begin, end) of a vector; none where there are none.
Tensor part(const Tensor& vector, int64_t begin, int64_t end) {
  return begin < end ? vector.rows(begin, end) : Tensor();
}

// Where tensors lie in one vector.
struct Places {
  std::vector<int64_t> begin;  // and the end of the last
  std::vector<bool> present;   // at some worker: others take no room

  Places(const std::vector<Tensor>& like, const Presence& presence) : begin{0}, present(like.size()) {
    for (size_t i = 0; i < like.size(); ++i) {
      for (const std::string& worker : presence) present[i] = present[i] || worker[i] == '1';
      begin.push_back(begin.back() + (present[i] ? like[i].size() : 0));
    }
  }
  int64_t size() const { return begin.back(); }
  // Calls f(tensor, begin, end) for all pieces of tensors in the range.
  void each_in(int64_t from, int64_t to, const std::function<void(size_t, int64_t, int64_t)>& f) const {
    auto i = size_t(std::upper_bound(begin.begin(), begin.end(), from) - begin.begin()) - 1;
    for (; i < present.size() && begin[i] < to; ++i)
      if (const int64_t a = std::max(from, begin[i]), b = std::min(to, begin[i + 1]); a < b) f(i, a, b);
  }
};

// Whether tensor i is there in the sum over the block of `count` workers that `rank` is in.
bool in_block(const Presence& presence, int rank, int count, size_t i) {
  const int first = rank / count * count;
  for (int r = first; r < first + count; ++r)
    if (presence[size_t(r)][i] == '1') return true;
  return false;
}

struct Stretch {
  int64_t begin, end;
  int64_t middle() const { return begin + (end - begin) / 2; }
  // The half that this worker keeps in the round of distance k, or its partner.
  Stretch half(int rank, int k) const { return rank & k ? Stretch{middle(), end} : Stretch{begin, middle()}; }
};

// Adds the partner's sums to the half that is kept: theirs come in pieces.
void add_half(Communicator& c, int k, const Places& places, const Presence& presence, const Tensor& sum, Stretch kept,
              Stretch given) {
  const int partner = c.rank() ^ k;
  const int64_t most = std::max(kept.end - kept.begin, given.end - given.begin);
  const Tensor room = Tensor::empty({std::max<int64_t>(1, std::min(most, kChunk))}, sum.dtype(), sum.device());
  for (int64_t done = 0; done < most; done += kChunk) {
    const int64_t begin = std::min(kept.begin + done, kept.end), end = std::min(begin + kChunk, kept.end);
    const int64_t gives = std::min(given.begin + done, given.end);
    exchange(c, partner, part(sum, gives, std::min(gives + kChunk, given.end)), part(room, 0, end - begin));
    places.each_in(begin, end, [&](size_t i, int64_t a, int64_t b) {
      const Tensor mine = sum.rows(a, b), theirs = room.rows(a - begin, b - begin);
      if (!in_block(presence, partner, k, i)) return;
      if (!in_block(presence, c.rank(), k, i)) mine.copy_from(theirs);
      else DISPATCH(add_scaled, sum.stream())(sum.stream(), mine, theirs, 1, mine);
    });
  }
}

void check_power(const Communicator& c) {
  CHECK((c.size() & (c.size() - 1)) == 0, c.size(), " workers are no power of two");
}

}  // namespace

std::vector<Tensor> sum_over_workers(Communicator& c, std::vector<Tensor> own, const std::vector<Tensor>& like) {
  if (c.size() == 1) return own;
  check_power(c);
  CHECK(own.size() == like.size(), own.size(), " gradients for ", like.size(), " tensors");
  std::string here;
  for (const Tensor& t : own) here += t ? '1' : '0';
  const Presence presence = c.gather_to_all(here);
  for (const std::string& other : presence) CHECK(other.size() == like.size(), "workers train different tensors");
  const Places places(like, presence);
  if (places.size() == 0) return own;
  const Tensor sum = Tensor::zeros({places.size()}, like.front().dtype(), like.front().device());
  for (size_t i = 0; i < own.size(); ++i) {
    if (!own[i]) continue;
    CHECK(own[i].size() == like[i].size() && own[i].dtype() == sum.dtype(), "gradient ", own[i].shape(), " of ",
          like[i].shape());
    if (own[i].size() > 0) sum.rows(places.begin[i], places.begin[i + 1]).copy_from(own[i].reshape({own[i].size()}));
    own[i] = {};
  }
  std::vector<Stretch> held{{0, places.size()}};  // in each round
  for (int k = 1; k < c.size(); k *= 2) {
    const Stretch kept = held.back().half(c.rank(), k), given = held.back().half(c.rank() ^ k, k);
    add_half(c, k, places, presence, sum, kept, given);
    held.push_back(kept);
  }
  for (int k = c.size() / 2; k >= 1; k /= 2) {
    held.pop_back();
    const Stretch kept = held.back().half(c.rank(), k), given = held.back().half(c.rank() ^ k, k);
    exchange(c, c.rank() ^ k, part(sum, kept.begin, kept.end), part(sum, given.begin, given.end));
  }
  std::vector<Tensor> total(like.size());
  for (size_t i = 0; i < like.size(); ++i)
    if (places.present[i]) total[i] = sum.rows(places.begin[i], places.begin[i + 1]).reshape(like[i].shape());
  return total;
}

void gather_rows(Communicator& c, const Tensor& all) {
  check_power(c);
  const int64_t each = all.shape()[0] / c.size();
  CHECK(each * c.size() == all.shape()[0], all.shape()[0], " rows for ", c.size(), " workers");
  for (int k = 1; k < c.size(); k *= 2) {
    const auto block = [&](int rank) { return all.rows(rank / k * k * each, (rank / k * k + k) * each); };
    exchange(c, c.rank() ^ k, block(c.rank()), block(c.rank() ^ k));
  }
}

void broadcast(Communicator& c, const Tensor& t) {
  if (c.size() == 1 || t.size() == 0) return;
  const Tensor host = t.to(Device::cpu());
  c.broadcast(bytes_of(host));
  if (t.device().is_gpu()) t.copy_from(host);
}

ShardRange shards_of(const Communicator& c, int64_t shards) {
  return {c.rank() * shards / c.size(), (c.rank() + 1) * shards / c.size()};
}

void check_shards(const Communicator& c, int64_t shards) {
  check_input((c.size() & (c.size() - 1)) == 0, c.size(),
              " workers are no power of two\nStart 1, 2, 4, 8, ... of them");
  check_input(shards % c.size() == 0, "--shards ", shards, " cannot be shared by ", c.size(),
              " workers: give a power of two that is at least ", c.size());
}

}  // namespace cambium
