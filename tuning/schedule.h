// How a learning rate changes over a run.
#pragma once

#include <cstdint>
#include <string>

namespace cambium {

// The learning rate's factor at step 1, 2, ... of `total`: rises linearly over `warmup` steps, then stays (constant),
// falls linearly to 0 at the end (linear), or as half a cosine (cosine).
enum class Schedule : uint8_t { constant, linear, cosine };
// Throws InputError for a name that is none of them.
Schedule schedule_named(const std::string&);
double schedule_factor(Schedule, int64_t step, int64_t warmup, int64_t total);

// "100" is 100 steps, "6%" that share of `total`, rounded up as transformers does. Throws InputError for anything else.
int64_t warmup_steps(const std::string& option, int64_t total);

}  // namespace cambium
