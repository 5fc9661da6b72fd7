// Stopping on request: SIGINT, SIGTERM, SIGHUP and SIGUSR1 set a flag that long work looks at between steps.
#pragma once

#include "core/error.h"

namespace cambium {

inline constexpr int kStoppedExitCode = 75;  // stopped by a signal after saving: the job may be queued again

// From now on they only set the flag (SIGHUP unless it is ignored: nohup); a second SIGINT ends the process at once.
void catch_stop_signals();
// The signal that asked to stop, or 0.
int stop_signal();

// Work was given up because of such a signal, and what was done is saved.
class Stopped : public Error {
 public:
  using Error::Error;
  int exit_code() const override { return kStoppedExitCode; }
};

}  // namespace cambium
