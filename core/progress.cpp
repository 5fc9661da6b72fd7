// Progress of long work on standard error.
#include "core/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "core/error.h"
#include "core/printable.h"

namespace cambium {
namespace {

std::atomic<bool> quiet = false;

constexpr int kBarWidth = 20;

template <class... Numbers>
std::string format(const char* form, Numbers... numbers) {
  char buffer[128];
  std::snprintf(buffer, sizeof buffer, form, numbers...);
  return buffer;
}

std::string print_count(double count, Progress::Unit unit) {
  if (unit == Progress::Unit::bytes) return print_bytes(int64_t(count));
  return count < 10 && count != double(int64_t(count)) ? format("%.1f", count) : format("%.0f", count);
}

}  // namespace

std::string print_bytes(int64_t bytes) {
  if (bytes < 1000) return text(bytes, " B");
  constexpr const char* units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = double(bytes) / 1000;
  int unit = 0;
  for (; value >= 999.95 && unit < 5; ++unit) value /= 1000;
  return format("%.1f %s", value, units[unit]);
}

std::string print_duration(double seconds) {
  const int64_t s = int64_t(std::clamp(seconds, 0.0, 1e9) + 0.5);
  if (s < 60) return text(s, " s");
  if (s < 3600) return format("%d:%02d", int(s / 60), int(s % 60));
  return format("%d:%02d:%02d", int(s / 3600), int(s / 60 % 60), int(s % 60));
}

Progress::Progress(std::string_view what, int64_t total, Unit unit)
    : what_(what), total_(total), unit_(unit), terminal_(::isatty(STDERR_FILENO) == 1), start_(Clock::now()) {
  next_ = start_ + (terminal_ ? std::chrono::milliseconds(500) : std::chrono::milliseconds(5000));
}

Progress::~Progress() {
  if (width_ == 0) return;
  show(Clock::now());
  std::fputc('\n', stderr);
}

void Progress::set_quiet(bool on) { quiet = on; }

void Progress::say(std::string_view line) {
  if (!quiet) std::fprintf(stderr, "%s\n", printable(line).c_str());
}

void Progress::update(int64_t done) {
  if (first_ < 0) first_ = done;
  done_ = done;
  const auto now = Clock::now();
  if (now < next_) return;
  if (!quiet) show(now);
  next_ = now + (terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000));
}

std::string Progress::line(double seconds) const {
  std::string out = what_ + ": ";
  if (total_ > 0) {
    const double share = std::clamp(double(done_) / double(total_), 0.0, 1.0);
    if (terminal_) {
      const int full = int(share * kBarWidth);
      out += "[" + std::string(size_t(full), '#') + std::string(size_t(kBarWidth - full), '.') + "] ";
    }
    out += format("%3.0f%% ", 100 * share);
  }
  out += print_count(double(done_), unit_);
  if (total_ > 0) out += " of " + print_count(double(total_), unit_);
  const double fresh = double(done_ - std::max<int64_t>(first_, 0));
  if (fresh > 0 && seconds > 0) {
    out += ", " + print_count(fresh / seconds, unit_) + "/s";
    if (total_ > done_) out += ", " + print_duration(double(total_ - done_) * seconds / fresh) + " left";
  }
  if (!note_.empty()) out += ", " + note_;
  return out;
}

void Progress::show(Clock::time_point now) {
  std::string out = in_one_line(line(std::chrono::duration<double>(now - start_).count()));
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", out.c_str());
    return;
  }
  winsize window{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
    out.resize(std::min<size_t>(out.size(), window.ws_col - 1u));
  const size_t width = out.size();
  if (width < width_) out.append(width_ - width, ' ');  // over what stood there
  width_ = width;
  std::fprintf(stderr, "\r%s", out.c_str());
  std::fflush(stderr);
}

}  // namespace cambium
