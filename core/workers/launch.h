// How this process was started, as the launcher's environment says it: alone, or as one of several workers.
#pragma once

#include <memory>
#include <string>

#include "core/communicator.h"

namespace cambium {

struct Launch {
  enum class By { itself, mpi, tcp };  // mpi: mpirun or srun --mpi; tcp: WORLD_SIZE and its like, as torchrun sets them
  By by = By::itself;
  int rank = 0, size = 1;
  std::string master;  // tcp: where worker 0 listens
  int port = 0;
  std::string job;  // of the scheduler, so that two jobs do not meet; may be empty
};

// Throws InputError for values that no launcher sets, naming the variable. Several workers are told by
// OMPI_COMM_WORLD_SIZE (Open MPI's mpirun), PMIX_RANK or PMI_RANK with SLURM_STEP_NUM_TASKS or PMI_SIZE (srun --mpi),
// or WORLD_SIZE with RANK, MASTER_ADDR and MASTER_PORT; without any of them, or with sizes of 1, a process is alone.
Launch launched();

// CAMBIUM_WORKER_DEADLINE, seconds (1 to 3600, 30 by default): a worker that gives no sign of life for so long has
// failed; at the start all must come within twice of it.
double worker_deadline();

// This machine's name in the network.
std::string host_name();

// What connects this process with the others; solo() where it is alone. Throws Error where they do not come, and
// InputError where the program cannot speak as its launcher does.
class Workers {
 public:
  Workers() : Workers(launched()) {}
  explicit Workers(const Launch&);
  ~Workers();

  Communicator& communicator() { return own_ ? *own_ : solo(); }

 private:
  std::unique_ptr<Communicator> own_;
};

}  // namespace cambium
