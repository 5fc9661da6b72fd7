#include "core/communicator.h"

#include <algorithm>
#include <cstring>

namespace cambium {
namespace {

constexpr uint64_t kMostBytes = uint64_t(1) << 30;

class Solo : public Communicator {
 public:
  Solo() : Communicator(0, {"this host"}) {}
  std::string description() const override { return "one process"; }
  void exchange(int, std::span<const std::byte>, std::span<std::byte>) override {
    throw Error("there is no other worker");
  }
  std::optional<WorkerFailure> failure() const override { return {}; }
  bool fail(int, const std::string&) override { return false; }
};

std::span<std::byte> bytes_of(std::string& s) { return std::as_writable_bytes(std::span(s)); }
std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }

// A text behind its length. Its length comes from a worker of the same job; a damaged one must not take all memory.
void send(Communicator& c, int partner, const std::string& s) {
  const uint64_t size = s.size();
  CHECK(size <= kMostBytes, size, " bytes for another worker are too many");
  c.exchange(partner, std::as_bytes(std::span(&size, 1)), {});
  c.exchange(partner, bytes_of(s), {});
}
std::string receive(Communicator& c, int partner) {
  uint64_t size = 0;
  c.exchange(partner, {}, std::as_writable_bytes(std::span(&size, 1)));
  CHECK(size <= kMostBytes, c.name_of(partner), " sends ", size, " bytes: too many");
  std::string s(size, 0);
  c.exchange(partner, {}, bytes_of(s));
  return s;
}

void append(std::string& all, const std::string& part) {
  const uint64_t size = part.size();
  all.append(reinterpret_cast<const char*>(&size), sizeof size);
  all += part;
}
std::vector<std::string> split(const std::string& all, size_t count) {
  std::vector<std::string> parts;
  size_t place = 0;
  for (uint64_t size; parts.size() < count; place += size) {
    CHECK(all.size() - place >= sizeof size, "what workers gave is cut off");
    std::memcpy(&size, all.data() + place, sizeof size);
    place += sizeof size;
    CHECK(all.size() - place >= size, "what workers gave is cut off");
    parts.push_back(all.substr(place, size));
  }
  return parts;
}

}  // namespace

Communicator& solo() {
  static Solo one;
  return one;
}

int Communicator::local_rank() const {
  return int(std::count(hosts_.begin(), hosts_.begin() + rank_, hosts_[size_t(rank_)]));
}

std::string worker_name(int rank, const std::vector<std::string>& hosts) {
  return text("worker ", rank, " of ", hosts.size(), " on ", hosts[size_t(rank)]);
}

void Communicator::check() const {
  if (const auto failed = failure()) throw WorkerFailed(*failed);
}

// Worker r hears from r - k and then tells r + k, r + 2k, ...: a binomial tree with worker 0 as its root.
void Communicator::broadcast(std::span<std::byte> bytes) {
  for (int k = 1; k < size(); k *= 2) {
    if (rank_ < k && rank_ + k < size()) exchange(rank_ + k, bytes, {});
    else if (rank_ >= k && rank_ < 2 * k) exchange(rank_ - k, {}, bytes);
  }
}

void Communicator::broadcast(std::string& s) {
  uint64_t length = s.size();
  broadcast(std::as_writable_bytes(std::span(&length, 1)));
  CHECK(length <= kMostBytes, "worker 0 sends ", length, " bytes: too many");
  s.resize(length);
  broadcast(bytes_of(s));
}

// The same tree the other way; parts travel with their ranks, as they come in an order of their own.
std::vector<std::string> Communicator::gather(const std::string& own) {
  std::vector<std::pair<int, std::string>> parts{{rank_, own}};
  int k = 1;
  while (k < size()) k *= 2;
  for (k /= 2; k >= 1; k /= 2) {
    if (rank_ >= k && rank_ < 2 * k) {
      std::string ranks, all;
      for (const auto& [rank, part] : parts) {
        append(ranks, std::to_string(rank));
        append(all, part);
      }
      send(*this, rank_ - k, std::to_string(parts.size()));
      send(*this, rank_ - k, ranks);
      send(*this, rank_ - k, all);
      return {};
    }
    if (rank_ >= k || rank_ + k >= size()) continue;
    const size_t count = size_t(std::atoi(receive(*this, rank_ + k).c_str()));
    const std::vector<std::string> ranks = split(receive(*this, rank_ + k), count);
    std::vector<std::string> theirs = split(receive(*this, rank_ + k), count);
    for (size_t i = 0; i < count; ++i) parts.emplace_back(std::atoi(ranks[i].c_str()), std::move(theirs[i]));
  }
  std::sort(parts.begin(), parts.end());
  std::vector<std::string> all;
  for (auto& [rank, part] : parts) all.push_back(std::move(part));
  return all;
}

std::vector<std::string> Communicator::gather_to_all(const std::string& own) {
  if (size() == 1) return {own};
  std::string packed;
  for (const std::string& part : gather(own)) append(packed, part);
  broadcast(packed);
  return split(packed, size_t(size()));
}

bool Communicator::any(bool here) {
  if (size() == 1) return here;
  const std::vector<std::string> all = gather(here ? "1" : "0");
  auto some = std::byte(std::find(all.begin(), all.end(), "1") != all.end());
  broadcast(std::span(&some, 1));
  return some != std::byte(0);
}

void Communicator::barrier() { any(false); }

}  // namespace cambium
