#include "core/workers/launch.h"

#include <unistd.h>

#include <charconv>

#include "core/environment.h"
#include "core/workers/mpi_communicator.h"
#include "core/workers/tcp_communicator.h"

namespace cambium {
namespace {

constexpr int kMostWorkers = 4096;

std::optional<int> number_in(const char* name, int least, int most) {
  const auto value = environment(name);
  if (!value) return {};
  int number = 0;
  const char* end = value->data() + value->size();
  const auto [stop, error] = std::from_chars(value->data(), end, number);
  check_input(error == std::errc() && stop == end && number >= least && number <= most, "the environment's ", name, "=",
              *value, " is no number from ", least, " to ", most, ", as a launcher of workers sets it");
  return number;
}

// The rank, which must be there where the size says that there are several.
int rank_in(const char* name, const char* size_name, int size) {
  const auto rank = number_in(name, 0, size - 1);
  check_input(rank.has_value(), "the environment's ", size_name, " says that there are ", size,
              " workers, but there is no ", name, "\nSet it, or unset ", size_name, " for one process");
  return *rank;
}

std::optional<Launch> by_mpi() {
  const bool slurm = environment("PMIX_RANK") || environment("PMI_RANK");
  for (const auto& [size_name, rank_name] : {std::pair{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                             {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},
                                             {"PMI_SIZE", "PMI_RANK"}}) {
    if (std::string_view(size_name).starts_with("SLURM") && !slurm) continue;  // srun without --mpi: processes alone
    const auto size = number_in(size_name, 1, kMostWorkers);
    if (!size) continue;
    if (*size == 1) return Launch{};
    return Launch{.by = Launch::By::mpi, .rank = rank_in(rank_name, size_name, *size), .size = *size};
  }
  return {};
}

}  // namespace

Launch launched() {
  if (auto mpi = by_mpi()) return *mpi;
  const auto size = number_in("WORLD_SIZE", 1, kMostWorkers);
  if (!size || *size == 1) return {};
  Launch launch{.by = Launch::By::tcp, .rank = rank_in("RANK", "WORLD_SIZE", *size), .size = *size};
  const auto master = environment("MASTER_ADDR");
  const auto port = number_in("MASTER_PORT", 1, 65535);
  check_input(master && port, "the environment's WORLD_SIZE says that there are ", *size, " workers, but there is no ",
              master ? "MASTER_PORT" : "MASTER_ADDR",
              "\nSet MASTER_ADDR and MASTER_PORT to where worker 0 listens, or unset WORLD_SIZE for one process");
  launch.master = *master, launch.port = *port;
  // torchrun's own store listens there in its process, which leaves us the next one.
  if (environment("TORCHELASTIC_USE_AGENT_STORE") == "True") launch.port = launch.port % 65535 + 1;
  launch.job = environment("SLURM_JOB_ID").value_or(environment("TORCHELASTIC_RUN_ID").value_or(""));
  return launch;
}

double worker_deadline() { return number_in("CAMBIUM_WORKER_DEADLINE", 1, 3600).value_or(30); }

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return *name ? name : "a host without a name";
}

Workers::Workers(const Launch& launch) {
  if (launch.by == Launch::By::mpi) own_ = join_by_mpi(launch, worker_deadline());
  if (launch.by == Launch::By::tcp) own_ = join_by_tcp(launch, worker_deadline());
}

Workers::~Workers() = default;

}  // namespace cambium
