// Workers that reach each other by TCP alone: worker 0 listens where MASTER_ADDR and MASTER_PORT say, all others come
// there and learn where the rest listens. Each is connected with the ranks that differ from its own in one bit.
#pragma once

#include <memory>

#include "core/workers/launch.h"

namespace cambium {

// deadline: worker_deadline(). Throws Error where the workers do not come together within twice of it.
std::unique_ptr<Communicator> join_by_tcp(const Launch&, double deadline);

}  // namespace cambium
