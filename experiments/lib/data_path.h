// Where the data that belong to the program are, files and directories: word lists, small tables, a data set.
#pragma once

#include <string>
#include <string_view>

namespace cambium {

// The first that exists of: $CAMBIUM_DATA/<name>; ../share/cambium/<name> beside the directory of this
// library; experiments/data/<name> of the source tree it was built from. An Error naming the places
// if there is none.
std::string data_path(std::string_view name);

}  // namespace cambium
