// What the command lines of all programs share: common options, parsing, how errors end. (For the files that know
// CLI11.)
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "experiments/lib/session.h"

namespace cambium {

// json: with --json, for commands that print one result.
void add_common(CLI::App& command, CommonOptions&, bool json = true);

// Parses, applies the common options and runs `action`; the exit code of the program.
int parse_and_run(CLI::App&, int argc, char** argv, const CommonOptions&, const std::function<int()>& action);

// What an error says to a user.
std::string explanation(const std::exception&);

// Runs `body` with the program's error handling: messages on standard error, exit codes 0, 1, 2, 75.
int guarded(const std::function<int()>& body);

}  // namespace cambium
