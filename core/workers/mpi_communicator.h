// Workers that mpirun or srun --mpi started: their data goes by MPI, the watch over them by TCP.
#pragma once

#include <memory>

#include "core/workers/launch.h"

namespace cambium {

// Throws InputError where this build has no MPI, or another one than its launcher's.
std::unique_ptr<Communicator> join_by_mpi(const Launch&, double deadline);

}  // namespace cambium
