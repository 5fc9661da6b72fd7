// A Slurm of our own with two nodes on this machine: its daemons run as long as the object lives.
#pragma once

#include <unistd.h>

#include <memory>

#include "tests/support/workers.h"

namespace cambium::testing {

class Slurm {
 public:
  // Why there can be none here; empty where there can.
  static std::string missing() {
    for (const char* program : {"/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/sbin/munged", "/usr/bin/sbatch"})
      if (!file_exists(program)) return text("there is no ", program, " here (packages slurm-wlm and munge)");
    return ::geteuid() == 0 ? "" : "its daemons need root";
  }

  explicit Slurm(const std::string& folder) : folder_(folder) {
    make_directories(folder_ + "/state");
    ::chmod(folder_.c_str(), 0755);
    put_file(folder_ + "/key", std::string(1024, 'k'));
    ::chmod((folder_ + "/key").c_str(), 0600);
    put_file(folder_ + "/slurm.conf", configuration());
    start({"/usr/sbin/munged", "-F", "--force", "--socket=" + folder_ + "/munge", "--key-file=" + folder_ + "/key",
           "--pid-file=" + folder_ + "/munge.pid", "--log-file=" + folder_ + "/munge.log",
           "--seed-file=" + folder_ + "/munge.seed"});
    start({"/usr/sbin/slurmctld", "-D"});
    for (const char* node : {"n1", "n2"}) start({"/usr/sbin/slurmd", "-D", "-N", node});
    wait_until([&] { return call({"/usr/bin/sinfo", "-h", "-N", "-o", "%t"}).out == "idle\nidle\n"; });
  }
  ~Slurm() {
    for (const auto& d : daemons_) d->kill(SIGTERM);
    for (const SteadyTime until = in_seconds(5); poll_time(until, 1) > 0;) {
      if (std::none_of(daemons_.begin(), daemons_.end(), [](const auto& d) { return d->running(); })) break;
      ::usleep(50000);
    }
  }

  ProcessResult call(const std::vector<std::string>& command, std::map<std::string, std::string> more = {}) const {
    more["SLURM_CONF"] = folder_ + "/slurm.conf";
    return run_process(command, {.environment = std::move(more)});
  }
  std::string state(const std::string& job) const { return call({"/usr/bin/scontrol", "show", "job", job}).out; }
  // Whether the job's description comes to say so within two minutes.
  bool comes_to(const std::string& job, const std::string& what) const {
    return wait_until([&] { return state(job).find(what) != std::string::npos; });
  }
  template <class F>
  static bool wait_until(const F& is_so) {
    for (const SteadyTime until = in_seconds(120); poll_time(until, 1) > 0; ::usleep(100000))
      if (is_so()) return true;
    return false;
  }

 private:
  std::string configuration() const {
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    const std::string name = std::string(host).substr(0, std::string(host).find('.'));
    std::string conf = text("ClusterName=test\nSlurmctldHost=", name, "(127.0.0.1)\nSlurmUser=root\n",
                            "AuthType=auth/munge\nCredType=cred/munge\nAuthInfo=socket=", folder_, "/munge\n",
                            "SlurmctldPort=", free_port(), "\nStateSaveLocation=", folder_, "/state\n",
                            "SlurmdSpoolDir=", folder_, "/spool-%n\nSlurmctldPidFile=", folder_, "/ctld.pid\n",
                            "SlurmdPidFile=", folder_, "/%n.pid\nSlurmctldDebug=error\nSlurmdDebug=error\n");
    conf +=
        "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\n"
        "SelectTypeParameters=CR_CPU\nSchedulerType=sched/builtin\nReturnToService=2\nMpiDefault=none\nJobRequeue=1\n"
        "SwitchType=switch/none\nKillWait=5\n";
    for (const char* node : {"n1", "n2"})
      conf += text("NodeName=", node, " NodeHostname=", name, " NodeAddr=127.0.0.1 Port=", free_port(),
                   " CPUs=1 State=UNKNOWN\n");
    return conf + "PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4\n";
  }
  static int free_port() { return Listener(0, true).endpoint().port; }
  void start(const std::vector<std::string>& command) {
    daemons_.push_back(std::make_unique<Process>(
        command, ProcessOptions{.environment = {{"SLURM_CONF", folder_ + "/slurm.conf"}}, .seconds = 600}));
  }

  std::string folder_;
  std::vector<std::unique_ptr<Process>> daemons_;
};

}  // namespace cambium::testing
