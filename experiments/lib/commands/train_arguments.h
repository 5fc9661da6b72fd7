// What a training run may be told: as options of `cambium train`, or as an entry of runs.json. (For the files that know
// CLI11.)
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "experiments/lib/commands/commands.h"

namespace cambium {

// The options that belong to one run; those that many share (the model, --resume) are the command's.
void add_run_options(CLI::App&, TrainCommandOptions&);

// --task and --data; the option of the task.
CLI::Option* add_task(CLI::App&, std::string& task, std::string& data);
// --list-tasks, which ends the program.
void add_task_list(CLI::App&);

}  // namespace cambium
