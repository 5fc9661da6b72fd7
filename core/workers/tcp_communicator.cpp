#include "core/workers/tcp_communicator.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/workers/watch.h"

namespace cambium {
namespace {

using nlohmann::json;

class TcpCommunicator : public Communicator {
 public:
  TcpCommunicator(int rank, std::vector<std::string> hosts, std::map<int, Descriptor> star,
                  std::map<int, Descriptor> partners, double deadline)
      : Communicator(rank, hosts), partners_(std::move(partners)),
        watch_(rank, std::move(hosts), std::move(star), deadline) {}

  std::string description() const override { return "TCP"; }
  std::optional<WorkerFailure> failure() const override { return watch_.failure(); }
  bool fail(int exit_code, const std::string& what) override { return watch_.fail(exit_code, what); }

  void exchange(int partner, std::span<const std::byte> out, std::span<std::byte> in) override {
    const auto found = partners_.find(partner);
    CHECK(found != partners_.end(), "worker ", rank(), " has no connection with worker ", partner);
    const int fd = found->second.get();
    while (!out.empty() || !in.empty()) {
      const bool moved = moves(partner, ::send(fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT), out, false) |
                         moves(partner, ::recv(fd, in.data(), in.size(), MSG_DONTWAIT), in, true);
      if (moved) continue;
      pollfd wait{fd, short((out.empty() ? 0 : POLLOUT) | (in.empty() ? 0 : POLLIN)), 0};
      constexpr int kLook = 100;  // milliseconds after which the watch is asked
      if (::poll(&wait, 1, kLook) <= 0) check();
    }
  }

 private:
  // Takes what was sent or received off the rest; whether that was anything.
  template <class Byte>
  bool moves(int partner, ssize_t count, std::span<Byte>& rest, bool receives) {
    if (rest.empty()) return false;
    if (count > 0) return rest = rest.subspan(size_t(count)), true;
    const bool waits = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (!waits && (receives || count < 0)) watch_.lost(partner);
    return false;
  }

  std::map<int, Descriptor> partners_;
  Watch watch_;
};

// What worker 0 tells all that have come: where each listens and on which host it runs, and the key of this job.
struct Table {
  std::vector<std::string> hosts;
  std::vector<Endpoint> endpoints;
  std::string key;
};

json to_json(const Table& t) {
  json endpoints = json::array();
  for (const Endpoint& e : t.endpoints) endpoints.push_back(to_json(e));
  return {{"hosts", t.hosts}, {"endpoints", endpoints}, {"key", t.key}};
}

Table table_of(const std::string& welcome, int size) {
  const json j = parse_json(welcome, "what worker 0 says");
  Table t{.hosts = get_strings(j, "hosts"), .endpoints = {}, .key = get_string(j, "key")};
  for (const json& e : j.value("endpoints", json::array())) t.endpoints.push_back(endpoint_of(e));
  CHECK(int(t.hosts.size()) == size && int(t.endpoints.size()) == size, "worker 0 speaks of ", t.hosts.size(),
        " workers");
  return t;
}

// Worker 0 waits for all; gives the connections with them.
std::map<int, Descriptor> welcome_all(const Launch& launch, const Listener& listener, SteadyTime until, Table& table) {
  table.key = random_key();
  table.hosts.assign(size_t(launch.size), "");
  table.endpoints.assign(size_t(launch.size), {});
  table.hosts[0] = host_name(), table.endpoints[0] = listener.endpoint();
  const auto fits = [&](const json& hello) {
    const int64_t size = get_int(hello, "size"), rank = get_int(hello, "rank");
    check_input(size == launch.size, "worker ", rank, " was started as one of ", size, " workers, worker 0 as one of ",
                launch.size);
    check_input(rank > 0 && rank < size, "a worker has rank ", rank, " of ", size,
                rank == 0 ? ", as worker 0 has" : "");
    table.hosts[size_t(rank)] = get_string(hello, "host");
    table.endpoints[size_t(rank)] = endpoint_of(get_object(hello, "endpoint"));
  };
  auto joined = accept_workers(listener, all_but_first(launch.size), launch.job, until, false, fits);
  for (const auto& [rank, fd] : joined) admit(fd.get(), to_json(table).dump());
  return joined;
}

}  // namespace

std::unique_ptr<Communicator> join_by_tcp(const Launch& launch, double deadline) {
  const SteadyTime until = in_seconds(2 * deadline);
  const bool first = launch.rank == 0, local = is_loopback(launch.master);
  const Listener listener(first ? launch.port : 0, local);
  Table table;
  std::map<int, Descriptor> star;
  if (first) {
    star = welcome_all(launch, listener, until, table);
  } else {
    std::string welcome;
    const json hello = {{"key", launch.job},
                        {"rank", launch.rank},
                        {"size", launch.size},
                        {"host", host_name()},
                        {"endpoint", to_json(listener.endpoint())}};
    try {
      star.emplace(0, join({{launch.master}, launch.port}, hello, until, &welcome));
    } catch (const Error& error) {
      throw Error(text("worker ", launch.rank, " of ", launch.size, " on ", host_name(),
                       " cannot join worker 0: ", error.what()));
    }
    table = table_of(welcome, launch.size);
  }
  std::vector<int> higher, lower;  // ranks that differ in one bit
  for (int k = 1; k < launch.size; k *= 2)
    if (const int other = launch.rank ^ k; other < launch.size) (other > launch.rank ? higher : lower).push_back(other);
  std::map<int, Descriptor> partners;
  for (const int r : lower)
    partners.emplace(r, join(table.endpoints[size_t(r)], {{"key", table.key}, {"rank", launch.rank}}, until));
  // Whoever waits for its lower partners is admitted by each as soon as that one has been by its own: no circle.
  partners.merge(accept_workers(listener, higher, table.key, until, true));
  return std::make_unique<TcpCommunicator>(launch.rank, table.hosts, std::move(star), std::move(partners), deadline);
}

}  // namespace cambium
