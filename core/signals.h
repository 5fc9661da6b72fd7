// Stopping on request: SIGINT, SIGTERM and SIGUSR1 set a flag that long work looks at between steps.
#pragma once

namespace cambium {

inline constexpr int kStoppedExitCode = 75;  // stopped by a signal after saving: the job may be queued again

// From now on the signals only set the flag; a second SIGINT ends the process at once.
void catch_stop_signals();
// The signal that asked to stop, or 0.
int stop_signal();

}  // namespace cambium
