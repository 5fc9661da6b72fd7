#include "experiments/lib/commands/workers.h"

#include <algorithm>
#include <new>
#include <set>

#include "core/environment.h"
#include "core/processors.h"
#include "core/progress.h"
#include "core/threads.h"
#include "core/workers/launch.h"
#include "cuda/runtime.h"
#include "experiments/lib/commands/arguments.h"

namespace cambium {
namespace {

// Workers that the launcher bound to the same processors of a host divide them.
void share_processors(Communicator& workers, const CommonOptions& common) {
  const std::vector<std::string> all =
      workers.gather_to_all(workers.hosts()[size_t(workers.rank())] + " " + processor_mask());
  if (common.threads || environment("OMP_NUM_THREADS")) return;
  const auto sharing = std::count(all.begin(), all.end(), all[size_t(workers.rank())]);
  set_threads(std::max(1, default_threads().count / int(sharing)));
}

// A GPU for each worker of a host, in the order of ranks.
CommonOptions with_own_gpu(const Communicator& workers, CommonOptions common) {
  if (common.device != "gpu" && !(common.device == "auto" && gpu::is_real() && gpu::device_count() > 0)) return common;
  const std::string& host = workers.hosts()[size_t(workers.rank())];
  const auto here = std::count(workers.hosts().begin(), workers.hosts().end(), host);
  const int gpus = gpu::device_count();
  check_input(here <= gpus || gpus <= 1, here, " workers on ", host, ", which has ", gpus,
              " GPUs\nStart as many as there are GPUs, or give --device cpu");
  common.device =
      "gpu:" + std::to_string(gpus <= 1 ? 0 : workers.local_rank());  // 1: as the launcher shows each its own
  return common;
}

int carried_out(Communicator& workers, const CommonOptions& common,
                const std::function<int(Communicator&, const CommonOptions&)>& body) {
  if (!workers.is_first()) Progress::set_quiet(true);
  check_input(!common.graphs, "--cuda-graphs is for one process: leave it out among workers");
  const std::set<std::string> hosts(workers.hosts().begin(), workers.hosts().end());
  Progress::say(text(workers.size(), " workers on ", hosts.size(), hosts.size() == 1 ? " host" : " hosts", ", by ",
                     workers.description()));
  share_processors(workers, common);
  const int code = body(workers, with_own_gpu(workers, common));
  workers.barrier();
  return code;
}

}  // namespace

int with_workers(const CommonOptions& common, const std::function<int(Communicator&, const CommonOptions&)>& body) {
  Workers all;
  Communicator& workers = all.communicator();
  if (workers.size() == 1) return body(workers, common);
  try {
    return carried_out(workers, common, body);
  } catch (const WorkerFailed& failed) {
    if (workers.fail(failed.exit_code(), failed.what())) return failed.exit_code();
    throw;
  } catch (const std::exception& error) {
    const auto* known = dynamic_cast<const Error*>(&error);
    const int code = known ? known->exit_code() : 1;
    const std::string what = explanation(error);
    if (workers.fail(code, what)) return code;
    const std::string mine = workers.is_first() ? what : workers.name_of(workers.rank()) + ": " + what;
    if (code == 2) throw InputError(mine);
    throw Error(mine);
  }
}

}  // namespace cambium
