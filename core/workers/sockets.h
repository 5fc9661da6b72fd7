// TCP between workers: where they listen, how they meet, and messages in frames.
//
// What comes from the network is hostile until a first message has shown the job's key: it may be cut off, too long, or
// of another program altogether, and is then left alone. Nothing is encrypted, as with MPI: for networks of one owner.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/files.h"

namespace cambium {

using SteadyTime = std::chrono::steady_clock::time_point;
SteadyTime in_seconds(double);  // from now
// Milliseconds until then for poll(2), at most `most`; 0 when it is over.
int poll_time(SteadyTime until, int most);

// Where a worker listens: numeric addresses, to be tried in this order.
struct Endpoint {
  std::vector<std::string> addresses;
  int port = 0;
};
nlohmann::json to_json(const Endpoint&);
Endpoint endpoint_of(const nlohmann::json&);  // InputError where it is none

class Listener {
 public:
  // port 0: any that is free. local: this host's processes alone reach it. Throws Error where it is taken.
  Listener(int port, bool local);

  int get() const { return fd_.get(); }
  bool is_local() const { return local_; }
  Endpoint endpoint() const;

 private:
  Descriptor fd_;
  bool local_;
  int port_;
};

// A key that nobody guesses.
std::string random_key();

// Whether the name stands for this host's own loopback.
bool is_loopback(const std::string& host);

// A message: its kind, its length in four bytes (at most 1 MiB), its bytes.
struct Frame {
  char kind = 0;
  std::string bytes;
};
std::string packed(const Frame&);
// Takes the first whole frame off what has been read; whether there was one. Throws InputError for one that is too
// long.
bool take_frame(std::string& read, Frame&);
// Reads what is there without waiting; false when the other side has closed.
bool read_available(int fd, std::string& read);
// Sends all of it; false where the other side closed, or does not read until then.
bool send_all(int fd, std::string_view, SteadyTime until);
// The next frame, and nothing behind it; false where the other side closed or sends none until then.
bool receive_frame(int fd, Frame&, SteadyTime until);

// Connects, trying all addresses again and again (the other side may listen later), shows `hello`, and returns when it
// was admitted, with the other side's welcome. Throws Error saying why it was not.
Descriptor join(const Endpoint&, const nlohmann::json& hello, SteadyTime until, std::string* welcome = nullptr);

// The connection of who joined with {"rank": r, "key": key, ...}, for each rank that is waited for. Those that are no
// workers of this job are sent away. check: throws InputError for a hello that does not fit, which ends the waiting for
// all. Throws Error where not all come, naming them. at_once: they are admitted as they come; else by the caller.
std::map<int, Descriptor> accept_workers(const Listener&, const std::vector<int>& ranks, const std::string& key,
                                     SteadyTime until, bool at_once,
                                     const std::function<void(const nlohmann::json&)>& check = {});
// What join waits for.
void admit(int fd, const std::string& welcome = {});
void refuse(int fd, const std::string& reason);
std::vector<int> all_but_first(int size);  // 1, 2, ... size - 1

}  // namespace cambium
