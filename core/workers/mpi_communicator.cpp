#include "core/workers/mpi_communicator.h"

#include <dlfcn.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/json.h"
#include "core/mpi/mpi_table.h"
#include "core/workers/watch.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr const char* kLibrary = "libcambium_mpi.so";
constexpr size_t kMostBytes = size_t(1) << 28;  // of one message

// Beside the library that this code is in.
std::string library_path() {
  Dl_info own{};
  const std::string path = ::dladdr(reinterpret_cast<const void*>(&join_by_mpi), &own) ? own.dli_fname : "";
  return path.substr(0, path.rfind('/') + 1) + kLibrary;
}

const MpiTable& mpi_table(const Launch& launch) {
  // Open MPI's own plug-ins look for its names among those of the program.
  void* library = ::dlopen(library_path().c_str(), RTLD_NOW | RTLD_GLOBAL);
  const char* why = library ? "" : ::dlerror();
  check_input(library, "an MPI launcher started this as one of ", launch.size,
              " workers, but the program's part for MPI is not here (", why,
              ")\nInstall libopenmpi-dev and build again, or start one process alone");
  const auto table = reinterpret_cast<const MpiTable* (*)()>(::dlsym(library, "cambium_mpi_table"));
  CHECK(table, kLibrary, " is of another program");
  return *table();
}

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(const MpiTable& mpi, int rank, int size, SteadyTime limit)
      : Communicator(rank, std::vector<std::string>(size_t(size), "a host")), mpi_(mpi), limit_(limit) {}

  // In a job that failed MPI may wait for ever: the launcher ends what is left of it.
  ~MpiCommunicator() override {
    if (!failed_ && !failure()) mpi_.finish();
  }

  std::string description() const override { return mpi_.version(); }
  std::optional<WorkerFailure> failure() const override { return watch_ ? watch_->failure() : std::nullopt; }
  bool fail(int exit_code, const std::string& what) override {
    failed_ = true;
    return watch_ && watch_->fail(exit_code, what);
  }
  // Learns the hosts' names and begins the watch.
  void begin(double deadline);

  void exchange(int partner, std::span<const std::byte> out, std::span<std::byte> in) override {
    while (!out.empty() || !in.empty()) {
      const auto send = out.first(std::min(out.size(), kMostBytes));
      const auto receive = in.first(std::min(in.size(), kMostBytes));
      std::vector<int> requests;
      if (!receive.empty())
        good(mpi_.receive(receive.data(), receive.size(), partner, &requests.emplace_back()), partner);
      if (!send.empty()) good(mpi_.send(send.data(), send.size(), partner, &requests.emplace_back()), partner);
      wait(partner, std::move(requests));
      out = out.subspan(send.size()), in = in.subspan(receive.size());
    }
  }

 private:
  void good(int error, int partner) {
    if (!error) return;
    char why[1024];
    mpi_.explain(error, why, sizeof why);
    if (watch_ && partner != rank()) watch_->lost(partner);
    throw Error(text(name_of(rank()), ": MPI failed: ", why));
  }

  // Looks again and again, at first at once and then ever more seldom: other workers may share this processor.
  void wait(int partner, std::vector<int> requests) {
    for (int64_t looks = 0; !requests.empty(); ++looks) {
      std::erase_if(requests, [&](int request) {
        int done = 0;
        good(mpi_.test(request, &done), partner);
        return done != 0;
      });
      if (requests.empty()) return;
      if (looks < 100) {
        ::sched_yield();
        continue;
      }
      check();
      CHECK(watch_ || poll_time(limit_, 1) > 0, name_of(partner), " did not come in time");
      std::this_thread::sleep_for(std::chrono::microseconds(std::min<int64_t>(looks, 1000)));
    }
  }

  const MpiTable& mpi_;
  const SteadyTime limit_;  // of waiting, until there is a watch
  std::unique_ptr<Watch> watch_;
  bool failed_ = false;
};

// The watch's connections: worker 0 tells by MPI where it listens.
std::map<int, Descriptor> star_of(Communicator& c, SteadyTime until) {
  const bool local = std::all_of(c.hosts().begin(), c.hosts().end(), [&](const auto& h) { return h == c.hosts()[0]; });
  std::optional<Listener> listener;
  std::string address;
  if (c.is_first()) {
    listener.emplace(0, local);
    json j = to_json(listener->endpoint());
    j["key"] = random_key();
    address = j.dump();
  }
  c.broadcast(address);
  const json j = parse_json(address, "worker 0's address");
  const std::string key = get_string(j, "key");
  if (c.is_first()) return accept_workers(*listener, all_but_first(c.size()), key, until, true);
  std::map<int, Descriptor> star;
  star.emplace(0, join(endpoint_of(j), {{"key", key}, {"rank", c.rank()}}, until));
  return star;
}

void MpiCommunicator::begin(double deadline) {
  set_hosts(gather_to_all(host_name()));
  watch_ = std::make_unique<Watch>(rank(), hosts(), star_of(*this, limit_), deadline);
}

}  // namespace

std::unique_ptr<Communicator> join_by_mpi(const Launch& launch, double deadline) {
  const SteadyTime until = in_seconds(2 * deadline);
  const MpiTable& mpi = mpi_table(launch);
  int rank = 0, size = 0;
  const int error = mpi.start(&rank, &size);
  CHECK(!error, "MPI cannot start (error ", error, ")");
  if (size != launch.size) {
    mpi.finish();
    throw InputError(text("the launcher started ", launch.size, " workers, but ", mpi.version(), " knows of ", size,
                          ": it belongs to another MPI\nStart the program by the mpirun of the MPI that it was built "
                          "with, or by srun --mpi=pmix"));
  }
  auto workers = std::make_unique<MpiCommunicator>(mpi, rank, size, until);
  workers->begin(deadline);
  return workers;
}

}  // namespace cambium
