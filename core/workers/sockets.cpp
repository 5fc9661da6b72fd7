#include "core/workers/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "core/json.h"

namespace cambium {
namespace {

using nlohmann::json;
using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

constexpr uint32_t kMostFrame = 1 << 20;
constexpr char kHello = 'h', kAdmitted = 'a', kRefused = 'r';

Addresses addresses_of(const std::string& host, int port, std::string& why) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC, hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error) why = text(host, ": ", gai_strerror(error)), list = nullptr;
  return Addresses(list, freeaddrinfo);
}

std::string numeric(const sockaddr* address, socklen_t size) {
  char host[NI_MAXHOST];
  return ::getnameinfo(address, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST) == 0 ? host : "";
}

// Those of the interfaces that are up; loopback last, for workers on the same host.
std::vector<std::string> own_addresses(bool local) {
  std::vector<std::string> all;
  ifaddrs* list = nullptr;
  if (!local && ::getifaddrs(&list) == 0) {
    for (const ifaddrs* i = list; i; i = i->ifa_next) {
      if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
      const int family = i->ifa_addr->sa_family;
      const bool v4 = family == AF_INET;
      if (!v4 && family != AF_INET6) continue;
      const std::string address = numeric(i->ifa_addr, v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
      if (!address.empty() && address.find('%') == address.npos) all.push_back(address);  // %: of one link only
    }
    ::freeifaddrs(list);
  }
  all.push_back("127.0.0.1");
  return all;
}

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

// Connected, or closed with the reason.
Descriptor connected(const addrinfo& to, SteadyTime until, std::string& why) {
  Descriptor fd(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return why = system_reason(errno), Descriptor();
  int error = ::connect(fd.get(), to.ai_addr, to.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd wait{fd.get(), POLLOUT, 0};
    socklen_t size = sizeof error;
    if (::poll(&wait, 1, poll_time(until, 3000)) != 1) error = ETIMEDOUT;
    else ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error) return why = system_reason(error), Descriptor();
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// The first message of a connection; null where it is none of ours.
json hello_of(const Frame& frame, const std::string& key) {
  if (frame.kind != kHello) return nullptr;
  const json hello = json::parse(frame.bytes, nullptr, false);
  if (!hello.is_object() || !hello.contains("key") || hello["key"] != json(key) || !hello.contains("rank") ||
      !hello["rank"].is_number_integer())
    return nullptr;
  return hello;
}

std::string missing(const std::set<int>& ranks) {
  std::vector<std::string> names;
  for (const int r : ranks)
    if (names.size() < 8) names.push_back(std::to_string(r));
  return listed(names) + (ranks.size() > names.size() ? text(" and ", ranks.size() - names.size(), " more") : "");
}

}  // namespace

SteadyTime in_seconds(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
}

int poll_time(SteadyTime until, int most) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count() + 1;
  return int(std::clamp<int64_t>(left, 0, most));
}

std::string random_key() {
  std::random_device random;
  std::string key;
  for (int i = 0; i < 4; ++i) key += (i ? "." : "") + std::to_string(random());
  return key;
}

json to_json(const Endpoint& e) { return {{"addresses", e.addresses}, {"port", e.port}}; }

Endpoint endpoint_of(const json& j) {
  check_input(j.is_object(), "an endpoint is no object");
  return {get_strings(j, "addresses"), int(get_int(j, "port", 1, 65535))};
}

bool is_loopback(const std::string& host) {
  std::string why;
  const Addresses list = addresses_of(host, 1, why);
  for (const addrinfo* a = list.get(); a; a = a->ai_next) {
    const std::string address = numeric(a->ai_addr, a->ai_addrlen);
    if (address != "::1" && !address.starts_with("127.")) return false;
  }
  return bool(list);
}

Listener::Listener(int port, bool local) : local_(local) {
  const int on = 1, off = 0;
  int error = 0;
  for (const int family : {AF_INET6, AF_INET}) {  // IPv6's socket takes both, where there is IPv6
    if (local && family == AF_INET6) continue;
    fd_ = Descriptor(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd_) {
      error = errno;
      continue;
    }
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_storage at{};
    socklen_t size = sizeof(sockaddr_in);
    if (family == AF_INET6) {
      ::setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      auto& v6 = reinterpret_cast<sockaddr_in6&>(at);
      v6.sin6_family = AF_INET6, v6.sin6_port = htons(uint16_t(port)), v6.sin6_addr = in6addr_any;
      size = sizeof v6;
    } else {
      auto& v4 = reinterpret_cast<sockaddr_in&>(at);
      v4.sin_family = AF_INET, v4.sin_port = htons(uint16_t(port));
      v4.sin_addr.s_addr = htonl(local ? INADDR_LOOPBACK : INADDR_ANY);
    }
    error = ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), size) == 0 && ::listen(fd_.get(), SOMAXCONN) == 0
                ? 0
                : errno;
    if (error) continue;
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port
                                     : reinterpret_cast<sockaddr_in&>(at).sin_port);
    return;
  }
  throw Error(text("port ", port, " cannot be listened on for workers: ", system_reason(error),
                   port ? "\nAnother job may use it: give this one another MASTER_PORT" : ""));
}

Endpoint Listener::endpoint() const { return {own_addresses(local_), port_}; }

std::string packed(const Frame& frame) {
  CHECK(frame.bytes.size() <= kMostFrame, "a message of ", frame.bytes.size(), " bytes is too long");
  const uint32_t size = htonl(uint32_t(frame.bytes.size()));
  std::string all(1, frame.kind);
  all.append(reinterpret_cast<const char*>(&size), sizeof size);
  return all + frame.bytes;
}

bool take_frame(std::string& read, Frame& frame) {
  if (read.size() < 5) return false;
  uint32_t size = 0;
  std::memcpy(&size, read.data() + 1, sizeof size);
  size = ntohl(size);
  check_input(size <= kMostFrame, "a message of ", size, " bytes is too long");
  if (read.size() - 5 < size) return false;
  frame = {read[0], read.substr(5, size)};
  read.erase(0, 5 + size);
  return true;
}

bool read_available(int fd, std::string& read) {
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) read.append(buffer, size_t(n));
    else if (n < 0 && errno == EINTR) continue;
    else return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (read.size() > 2 * kMostFrame) return true;  // enough for now
  }
}

bool send_all(int fd, std::string_view bytes, SteadyTime until) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) bytes.remove_prefix(size_t(n));
    if (n >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
    pollfd wait{fd, POLLOUT, 0};
    const int time = poll_time(until, 1000);
    if (time == 0) return false;
    ::poll(&wait, 1, time);
  }
  return true;
}

bool receive_frame(int fd, Frame& frame, SteadyTime until) {
  std::string read;
  size_t wanted = 5;  // kind and length
  while (!take_frame(read, frame)) {
    if (read.size() == wanted) {
      uint32_t size = 0;
      std::memcpy(&size, read.data() + 1, sizeof size);
      wanted += ntohl(size);  // take_frame has refused what is too long
    }
    std::string part(wanted - read.size(), 0);
    const ssize_t n = ::recv(fd, part.data(), part.size(), MSG_DONTWAIT);
    if (n > 0) read.append(part, 0, size_t(n));
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return false;
    pollfd wait{fd, POLLIN, 0};
    const int time = poll_time(until, 1000);
    if (time == 0) return false;
    ::poll(&wait, 1, time);
  }
  return true;
}

Descriptor join(const Endpoint& to, const json& hello, SteadyTime until, std::string* welcome) {
  std::string why = "no address is known";
  do {
    for (const std::string& host : to.addresses) {
      const Addresses list = addresses_of(host, to.port, why);
      for (const addrinfo* a = list.get(); a; a = a->ai_next) {
        Descriptor fd = connected(*a, until, why);
        if (!fd || !send_all(fd.get(), packed({kHello, hello.dump()}), until)) continue;
        Frame answer;
        try {
          if (!receive_frame(fd.get(), answer, until)) answer.kind = 0;
        } catch (const InputError&) {  // another program's answer
          answer.kind = 0;
        }
        if (answer.kind == kAdmitted && welcome) *welcome = answer.bytes;
        if (answer.kind == kAdmitted) return fd;
        if (answer.kind == kRefused) throw Error(answer.bytes);
        why = "it does not answer as a worker of this job";
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  } while (poll_time(until, 1) > 0);
  throw Error(text(to.addresses.empty() ? "?" : to.addresses.front(), " port ", to.port, " cannot be reached: ", why));
}

void admit(int fd, const std::string& welcome) { send_all(fd, packed({kAdmitted, welcome}), in_seconds(10)); }
void refuse(int fd, const std::string& reason) { send_all(fd, packed({kRefused, reason}), in_seconds(1)); }

std::map<int, Descriptor> accept_workers(const Listener& listener, const std::vector<int>& ranks, const std::string& key,
                                     SteadyTime until, bool at_once, const std::function<void(const json&)>& check) {
  struct Guest {
    Descriptor fd;
    std::string read;
  };
  std::vector<Guest> guests;
  std::map<int, Descriptor> joined;
  std::set<int> awaited(ranks.begin(), ranks.end());
  const auto refuse_all = [&](const std::string& reason) {
    for (const Guest& g : guests) refuse(g.fd.get(), reason);
    for (const auto& [rank, fd] : joined) refuse(fd.get(), reason);
    throw Error(reason);
  };
  const auto greet = [&](Guest& guest) {  // whether it is still a guest
    Frame frame;
    if (!read_available(guest.fd.get(), guest.read)) return false;
    try {
      if (!take_frame(guest.read, frame)) return true;
    } catch (const InputError&) {
      return false;
    }
    const json hello = hello_of(frame, key);
    if (hello.is_null()) return false;
    try {
      if (check) check(hello);
      const int64_t rank = hello["rank"].get<int64_t>();
      const bool expected = rank >= 0 && rank < 1 << 20 && awaited.erase(int(rank)) == 1;
      check_input(expected, "a worker calls itself ", rank, ", and so does another, or there is none of this number");
      if (at_once) admit(guest.fd.get());
      joined[int(rank)] = std::move(guest.fd);
    } catch (const InputError& error) {
      refuse_all(error.what());
    }
    return false;
  };
  while (!awaited.empty()) {
    std::vector<pollfd> wait{{listener.get(), POLLIN, 0}};
    for (const Guest& g : guests) wait.push_back({g.fd.get(), POLLIN, 0});
    const int time = poll_time(until, 1000);
    if (time == 0)
      refuse_all(text(awaited.size() == 1 ? "worker " : "workers ", missing(awaited), " did not come in time"));
    if (::poll(wait.data(), wait.size(), time) <= 0) continue;
    for (size_t i = guests.size(); i-- > 0;)
      if (wait[i + 1].revents && !greet(guests[i])) guests.erase(guests.begin() + std::ptrdiff_t(i));
    constexpr size_t kMostGuests = 8192;
    if (!wait[0].revents || guests.size() >= kMostGuests) continue;
    const int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    make_nonblocking(fd);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    guests.push_back({Descriptor(fd), {}});
  }
  return joined;
}

std::vector<int> all_but_first(int size) {
  std::vector<int> ranks(size_t(size - 1));
  std::iota(ranks.begin(), ranks.end(), 1);
  return ranks;
}

}  // namespace cambium
