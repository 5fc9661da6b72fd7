// Text of others (names in files, answers of servers) for a terminal: nothing in it can steer the terminal.
#pragma once

#include <string>
#include <string_view>

namespace cambium {

// Control characters but newline and tab, and bytes that are no UTF-8, become \x1b and the like; so do characters that
// reverse the direction of what follows.
std::string printable(std::string_view text);
// The same with newlines made visible too: a name inside a message stays in its line.
std::string in_one_line(std::string_view name);

// "error: ..." on standard error, whether quiet or not.
void print_error(std::string_view what);

}  // namespace cambium
