// What tests of files need: expected errors, a disk that is full, damaged copies.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <typeinfo>

#include "core/error.h"
#include "core/random.h"

namespace cambium::testing {

// f throws exactly an E whose text has at most three lines and all the parts.
template <class E, class F>
void expect_error(const F& f, std::initializer_list<std::string_view> parts) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with \"" << *parts.begin() << '"';
  } catch (const Error& e) {
    const std::string what = e.what();
    EXPECT_TRUE(typeid(e) == typeid(E)) << what;
    for (const std::string_view part : parts)
      EXPECT_NE(what.find(part), what.npos) << "\"" << part << "\" is not in: " << what;
    EXPECT_LE(std::count(what.begin(), what.end(), '\n'), 2) << what;
  }
}

// Writes a file at once, without waiting for the disk.
inline void put_file(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
}

// A folder in memory where the system has one: thousands of damaged copies in no time.
inline std::string memory_folder() { return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""; }

// While it lives no file grows beyond `bytes`: what a full disk looks like to a program.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

// A copy with damage number `seed`: one byte set, a few bits flipped, a length changed, or the end
// cut off.
inline std::string damaged(std::string bytes, uint32_t seed) {
  const RandomWords r = philox(random_key(20240607, "damage"), seed, 0, 0, 0);
  const size_t at = r.word[0] % bytes.size();
  switch (r.word[1] % 6) {
    case 0: bytes[at] = char(r.word[2]); break;
    case 1: bytes[at] = char(uint8_t(bytes[at]) ^ (1u << (r.word[2] % 8))); break;
    case 2: bytes[at] = char(0xff); break;
    case 3: bytes[at] = 0; break;
    case 4:
      for (size_t i = at; i < std::min(bytes.size(), at + 8); ++i)
        bytes[i] = char(r.word[2] & 1 ? 0xff : r.word[3] >> i % 4 * 8);
      break;
    default: bytes.resize(at); break;
  }
  return bytes;
}

}  // namespace cambium::testing
