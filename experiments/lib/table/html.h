// The HTML form of a report: one page without scripts, fonts or pictures from elsewhere; light and dark, screen and
// paper.
#pragma once

#include <string>

namespace cambium {

struct Report;

std::string render_html(const Report&);

}  // namespace cambium
