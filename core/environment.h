// What the environment says: one rule for each directory that it names. A variable that is empty counts as unset.
#pragma once

#include <optional>
#include <string>

namespace cambium {

std::optional<std::string> environment(const char* name);

// Where fetched models and remembered hashes are kept: $CAMBIUM_HOME, else $XDG_CACHE_HOME/cambium, else
// $HOME/.cache/cambium; none where nothing is set. Of the last two only absolute paths count, as the XDG Base Directory
// Specification says.
std::optional<std::string> find_cambium_home();
// The same; InputError where there is none.
std::string cambium_home();

// $TMPDIR, else /tmp.
std::string temporary_place();

}  // namespace cambium
