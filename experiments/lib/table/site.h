// Everything that tables left in a folder of results, as one site that needs nothing but itself.
#pragma once

#include <string>

namespace cambium {

// RESULTS/PROGRAM/PRESET/cells of any programs, to SITE: index.html with a row for each PROGRAM and PRESET, and for
// each a page PROGRAM.PRESET.html with all finished cells (means over seeds), the score against trained parameters and
// against memory, and the command that made them; where the program wrote its own report, a copy of it,
// PROGRAM.PRESET.report.html. Damaged cells are named on their page. Pages that are there are replaced, each whole or
// not at all. Throws InputError where RESULTS holds no result. Returns the number of pages with results.
int64_t write_site(const std::string& results, const std::string& site);

}  // namespace cambium
