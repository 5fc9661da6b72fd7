// What an importer has to say about a file that it reads all the same.
#pragma once

#include <string>

namespace cambium {

// A line on standard error, unless --quiet; the same one once a process, however often a file is opened.
void note_once(const std::string& line);

}  // namespace cambium
