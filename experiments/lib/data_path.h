// Where the data files that belong to the program are: word lists, small tables.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace cambium {

// The first that exists of: $CAMBIUM_DATA/name; ../share/cambium/name beside the directory of this library;
// experiments/data/name of the source tree it was built from. An Error naming all three if there is none.
std::filesystem::path data_path(std::string_view name);

// The contents of an xz file, at most `limit` bytes of them (an Error beyond: the file is not what it should be).
std::string read_xz(const std::filesystem::path& path, size_t limit);

// The contents of any file, at most `limit` bytes.
std::string read_text_file(const std::filesystem::path& path, size_t limit);

}  // namespace cambium
