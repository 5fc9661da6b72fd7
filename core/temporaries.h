// Temporary files and directories that vanish although a signal ends the process.
#pragma once

#include <string>

namespace cambium {

// Registers a path until it is forgotten. Removing what is there at a good end is up to its owner. At most 64 at a time
// are known, of at most 4,095 characters; others stay behind after a signal.
void register_temporary(const std::string& path);
void forget_temporary(const std::string& path);

// Removes all that are registered in this process (not those of the parent that it was forked from). For signal
// handlers: nothing but system calls.
void remove_temporaries() noexcept;

// For programs, before anything else. Signals that end the process remove its temporaries first. A file beyond the
// limit of the shell's `ulimit -f` is an error of writing, with a message, and no signal. What the caller has set to be
// ignored (nohup) stays ignored. catch_stop_signals (core/signals.h) takes some of them over.
void tidy_up_on_signals();

}  // namespace cambium
