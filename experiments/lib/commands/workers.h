// Commands that several processes carry out together.
#pragma once

#include <functional>

#include "core/communicator.h"
#include "experiments/lib/session.h"

namespace cambium {

// Joins the workers that the launcher started (core/workers/launch.h), gives this one its share of its host's
// processors and its own GPU, runs `body` and returns its exit code. Worker 0 alone speaks: of an error that one of
// them ends with, too, which ends all of them.
int with_workers(const CommonOptions&, const std::function<int(Communicator&, const CommonOptions&)>& body);

}  // namespace cambium
