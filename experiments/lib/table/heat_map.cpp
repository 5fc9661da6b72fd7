// Fields of colour with their values.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "experiments/lib/table/report.h"
#include "experiments/lib/table/svg.h"

namespace cambium {
namespace {

constexpr double kField = 46, kHigh = 26, kName = 7;  // a field's size; a character of a name

// From nearly white to the first colour of charts; `share` in [0, 1].
std::string shade(double share) {
  const int from[3] = {0xee, 0xf3, 0xf8}, to[3] = {0x44, 0x77, 0xaa};
  std::string colour = "#";
  for (int k = 0; k < 3; ++k) {
    const int v = int(std::lround(from[k] + share * (to[k] - from[k])));
    colour += {"0123456789abcdef"[v / 16], "0123456789abcdef"[v % 16]};
  }
  return colour;
}

size_t longest(const std::vector<std::string>& names) {
  size_t n = 0;
  for (const std::string& name : names) n = std::max(n, name.size());
  return n;
}

}  // namespace

std::string heat_map(const ChartAxes& axes, const std::vector<std::string>& rows,
                     const std::vector<std::string>& columns, const std::vector<std::vector<double>>& values) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const auto& row : values)
    for (const double v : row)
      if (std::isfinite(v)) low = std::min(low, v), high = std::max(high, v);
  if (!(low <= high)) return "";
  const double left = 30 + kName * double(longest(rows)), top = 30 + kName * double(longest(columns)) * 0.75;
  const double width = left + kField * double(columns.size()) + 40, height = top + kHigh * double(rows.size()) + 10;
  std::string svg = text("<svg viewBox=\"0 0 ", width, " ", height, "\" role=\"img\" aria-label=\"",
                         escape_html(axes.y + " by " + axes.x), "\">\n");
  for (size_t c = 0; c < columns.size(); ++c)
    svg += text("<text class=\"ink\" transform=\"translate(", left + kField * (double(c) + 0.5), " ", top - 6,
                ") rotate(-45)\">", escape_html(columns[c]), "</text>\n");
  for (size_t r = 0; r < rows.size(); ++r) {
    const double y = top + kHigh * double(r);
    svg += text("<text class=\"ink\" x=\"", left - 8, "\" y=\"", y + kHigh * 0.65, "\" text-anchor=\"end\">",
                escape_html(rows[r]), "</text>\n");
    for (size_t c = 0; c < columns.size(); ++c) {
      const double v = values[r][c], x = left + kField * double(c);
      if (!std::isfinite(v)) continue;
      const double share = high > low ? (v - low) / (high - low) : 0.5;
      svg += text("<rect x=\"", x + 1, "\" y=\"", y + 1, "\" width=\"", kField - 2, "\" height=\"", kHigh - 2,
                  "\" rx=\"3\" fill=\"", shade(share), "\"/>\n<text x=\"", x + kField / 2, "\" y=\"", y + kHigh * 0.65,
                  "\" text-anchor=\"middle\" fill=\"", share > 0.6 ? "#ffffff" : "#1d2430", "\">",
                  format_number(v, std::abs(v) < 10 ? 2 : 1), "</text>\n");
    }
  }
  return svg + "</svg>\n";
}

}  // namespace cambium
