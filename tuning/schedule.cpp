#include "tuning/schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"

namespace cambium {

Schedule schedule_named(const std::string& name) {
  if (name == "constant") return Schedule::constant;
  if (name == "linear") return Schedule::linear;
  if (name == "cosine") return Schedule::cosine;
  throw InputError(text("--schedule ", name, ": there are constant, linear and cosine"));
}

double schedule_factor(Schedule schedule, int64_t step, int64_t warmup, int64_t total) {
  const int64_t done = step - 1;  // updates before this one
  if (done < warmup) return double(done) / double(warmup);
  if (schedule == Schedule::constant) return 1;
  const double progress = double(done - warmup) / double(std::max<int64_t>(1, total - warmup));
  return schedule == Schedule::linear ? std::max(0.0, 1 - progress)
                                      : 0.5 * (1 + std::cos(M_PI * std::min(1.0, progress)));
}

int64_t warmup_steps(const std::string& option, int64_t total) {
  const bool percent = option.ends_with("%");
  const char *begin = option.data(), *end = begin + option.size() - percent;
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  check_input(error == std::errc() && stop == end && value >= 0 && value < 1e15 && (!percent || value <= 100) &&
                  (percent || value == std::floor(value)),
              "--warmup ", option, ": give steps (100) or a percentage of all (6%)");
  return percent ? int64_t(std::ceil(value / 100 * double(total) - 1e-9)) : int64_t(value);
}

}  // namespace cambium
