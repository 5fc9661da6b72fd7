// Charts as SVG for the HTML report. Text, axes and grid take their colours from the page (classes `ink`, `grid`),
// series from a palette for colour-blind readers that is legible on light and dark.
#pragma once

#include <string>
#include <vector>

namespace cambium {

// Paul Tol's "bright" scheme; numbers beyond its end start over.
const char* chart_colour(size_t number);

struct ChartAxes {
  std::string x, y;  // what they show
  bool log_x = false;
};

// One series a name; x and y have the same number of elements.
struct ChartLine {
  std::string name;
  size_t colour = 0;
  std::vector<double> x, y;
};
// The values lie faintly under a running mean over a twentieth of each line.
std::string line_chart(const ChartAxes&, const std::vector<ChartLine>&);

// Bars of several series side by side in groups; NaN: no bar. spread: half the length of a whisker (NaN or empty:
// none).
struct ChartBars {
  std::string name;
  size_t colour = 0;
  std::vector<double> values, spread;
};
std::string bar_chart(const ChartAxes&, const std::vector<std::string>& groups, const std::vector<ChartBars>&);

struct ChartPoint {
  std::string name;
  size_t colour = 0;
  double x = 0, y = 0;
};
std::string scatter_chart(const ChartAxes&, const std::vector<ChartPoint>&);

// Fields coloured by their value, from the least to the largest, with the value in each; NaN: an empty field.
// values[row][column]; axes.x names the columns, axes.y the rows.
std::string heat_map(const ChartAxes&, const std::vector<std::string>& rows, const std::vector<std::string>& columns,
                     const std::vector<std::vector<double>>& values);

// Round numbers that cover [low, high], about `count` of them.
std::vector<double> axis_ticks(double low, double high, int count = 6);

}  // namespace cambium
