// Progress of long work on standard error: a bar that is redrawn on a terminal, a plain line every
// few seconds elsewhere, nothing when quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cambium {

class Progress {
 public:
  enum class Unit { bytes, items };

  // `total` of 0: not known. Nothing is shown in the first half second, so short work stays silent.
  Progress(std::string_view what, int64_t total, Unit unit = Unit::items);
  ~Progress();  // leaves the line as it is and goes to the next
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // So many are done. Looks at the clock and returns, most of the time: call it as often as you
  // like, from one thread.
  void update(int64_t done);
  void add(int64_t count) { update(done_ + count); }
  void set_total(int64_t total) { total_ = total; }
  // A few words after the numbers, like "loss 1.38".
  void note(std::string_view text) { note_ = text; }

  // For all of the process: --quiet.
  static void set_quiet(bool);

  // The line, `seconds` after the start; for tests.
  std::string line(double seconds) const;

 private:
  using Clock = std::chrono::steady_clock;
  void show(Clock::time_point now);

  std::string what_, note_;
  int64_t total_, done_ = 0;
  int64_t first_ = -1;  // done at the first update: what an interrupted run had
  Unit unit_;
  bool terminal_;
  size_t width_ = 0;  // of what stands on the terminal's line
  Clock::time_point start_, next_;
};

// 12.3 MB, 4.0 kB; powers of 1000.
std::string print_bytes(int64_t bytes);
// 7 s, 2:05, 3:25:00
std::string print_duration(double seconds);

}  // namespace cambium
