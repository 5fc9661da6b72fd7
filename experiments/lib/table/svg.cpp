#include "experiments/lib/table/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <limits>

#include "core/error.h"
#include "experiments/lib/table/report.h"

namespace cambium {
namespace {

constexpr double kWidth = 640, kHeight = 380, kLeft = 58, kRight = 16, kTop = 14, kBottom = 46;

std::string fixed(double v) { return format_number(v, 1); }

// 0.5, 12, 1k, 2.5M
std::string tick_label(double v) {
  const double size = std::abs(v);
  const auto [unit, letter] = size >= 1e9   ? std::pair{1e9, "G"}
                              : size >= 1e6 ? std::pair{1e6, "M"}
                              : size >= 1e4 ? std::pair{1e3, "k"}
                                            : std::pair{1.0, ""};
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4g%s", v / unit, letter);
  return buffer;
}

// From values to places on the sheet.
struct AxisScale {
  double low, high, from, to;
  bool log = false;

  double operator()(double v) const {
    const auto at = [&](double x) { return log ? std::log10(x) : x; };
    return from + (at(v) - at(low)) / (at(high) - at(low)) * (to - from);
  }
};

std::vector<double> powers_of_ten(double low, double high) {
  std::vector<double> ticks;
  for (int k = int(std::floor(std::log10(low))); k <= int(std::ceil(std::log10(high))); ++k)
    ticks.push_back(std::pow(10, k));
  return ticks;
}

// The sheet of a chart: axes, grid and their labels; x ticks may be left out where groups stand there.
class Sheet {
 public:
  Sheet(const ChartAxes& axes, std::vector<double> x_ticks, std::vector<double> y_ticks, double extra_right = 0)
      : right_(kWidth - kRight - extra_right), x{x_ticks.front(), x_ticks.back(), kLeft, right_, axes.log_x},
        y{y_ticks.front(), y_ticks.back(), kHeight - kBottom, kTop} {
    svg_ = text("<svg viewBox=\"0 0 ", kWidth, " ", kHeight, "\" role=\"img\" aria-label=\"",
                escape_html(axes.y + " against " + axes.x), "\">\n");
    for (const double t : y_ticks) {
      line(kLeft, y(t), right_, y(t), "grid");
      label(kLeft - 7, y(t) + 4, tick_label(t), "end");
    }
    if (!axes.x.empty()) label((kLeft + right_) / 2, kHeight - 8, axes.x, "middle");
    svg_ += text("<text class=\"ink\" text-anchor=\"middle\" transform=\"translate(14 ",
                 fixed((kTop + kHeight - kBottom) / 2), ") rotate(-90)\">", escape_html(axes.y), "</text>\n");
  }

  void x_axis(const std::vector<double>& ticks) {
    for (const double t : ticks) {
      line(x(t), kHeight - kBottom, x(t), kHeight - kBottom + 4, "axis");
      label(x(t), kHeight - kBottom + 18, tick_label(t), "middle");
    }
  }
  void line(double x1, double y1, double x2, double y2, const char* css) {
    svg_ += text("<line class=\"", css, "\" x1=\"", fixed(x1), "\" y1=\"", fixed(y1), "\" x2=\"", fixed(x2), "\" y2=\"",
                 fixed(y2), "\"/>\n");
  }
  void label(double at_x, double at_y, const std::string& words, const char* anchor) {
    svg_ += text("<text class=\"ink\" x=\"", fixed(at_x), "\" y=\"", fixed(at_y), "\" text-anchor=\"", anchor, "\">",
                 escape_html(words), "</text>\n");
  }
  void path(const std::vector<std::pair<double, double>>& points, size_t colour, double width, double opacity) {
    if (points.empty()) return;
    svg_ += text("<path fill=\"none\" stroke=\"", chart_colour(colour), "\" stroke-width=\"", width,
                 "\" stroke-opacity=\"", opacity, "\" stroke-linejoin=\"round\" d=\"");
    for (size_t i = 0; i < points.size(); ++i)
      svg_ += text(i ? "L" : "M", fixed(x(points[i].first)), " ", fixed(y(points[i].second)));
    svg_ += "\"/>\n";
  }
  void add(const std::string& element) { svg_ += element; }
  // A small square and a name for each series, in a row above the plot or down its right side.
  void legend_entry(double at_x, double at_y, const std::string& name, size_t colour) {
    svg_ += text("<rect x=\"", fixed(at_x), "\" y=\"", fixed(at_y - 9),
                 "\" width=\"11\" height=\"11\" rx=\"2\" fill=\"", chart_colour(colour), "\"/>\n");
    label(at_x + 17, at_y + 1, name, "start");
  }
  std::string finish() {
    line(kLeft, kHeight - kBottom, right_, kHeight - kBottom, "axis");
    return svg_ + "</svg>\n";
  }
  double right() const { return right_; }

 private:
  std::string svg_;
  double right_;

 public:
  const AxisScale x, y;
};

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void see(double v) {
    if (std::isfinite(v)) low = std::min(low, v), high = std::max(high, v);
  }
  bool empty() const { return !(low <= high); }
};

std::vector<double> running_mean(const std::vector<double>& y) {
  const size_t window = std::max<size_t>(1, y.size() / 20);
  std::vector<double> means;
  double sum = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    sum += y[i];
    if (i >= window) sum -= y[i - window];
    means.push_back(sum / double(std::min(i + 1, window)));
  }
  return means;
}

std::vector<std::pair<double, double>> zipped(const std::vector<double>& x, const std::vector<double>& y) {
  std::vector<std::pair<double, double>> points;
  for (size_t i = 0; i < x.size(); ++i)
    if (std::isfinite(y[i])) points.emplace_back(x[i], y[i]);
  return points;
}

// The legend's column is as wide as its longest name.
double legend_width(const auto& series) {
  size_t longest = 0;
  for (const auto& s : series) longest = std::max(longest, s.name.size());
  return 30 + 7.0 * double(longest);
}

}  // namespace

const char* chart_colour(size_t number) {
  static constexpr const char* kColours[] = {"#4477AA", "#EE6677", "#228833", "#CCBB44",
                                             "#66CCEE", "#AA3377", "#999999"};
  return kColours[number % std::size(kColours)];
}

std::vector<double> axis_ticks(double low, double high, int count) {
  if (!(high > low)) high = low + (low == 0 ? 1 : std::abs(low) * 0.1);
  const double rough = (high - low) / count, power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double m : {1.0, 2.0, 2.5, 5.0, 10.0})
    if (step = m * power; step >= rough * 0.999) break;
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9) * step, last = std::ceil(high / step - 1e-9) * step;
  for (int i = 0; first + i * step <= last + step * 0.5; ++i)
    ticks.push_back(std::abs(first + i * step) < step * 1e-9 ? 0 : first + i * step);
  return ticks;
}

std::string line_chart(const ChartAxes& axes, const std::vector<ChartLine>& lines) {
  Range x, y;
  for (const ChartLine& l : lines) {
    for (const double v : l.x) x.see(v);
    for (const double v : l.y) y.see(v);
  }
  if (x.empty() || y.empty()) return "";
  ChartAxes own = axes;
  own.log_x = axes.log_x && x.low > 0;
  Sheet sheet(own, {x.low, x.high > x.low ? x.high : x.low + 1}, axis_ticks(std::min(0.0, y.low), y.high),
              legend_width(lines));
  std::vector<double> ticks = own.log_x ? lines.front().x : axis_ticks(x.low, x.high);
  std::erase_if(ticks, [&](double t) { return t < x.low || t > x.high; });
  sheet.x_axis(ticks);
  for (const ChartLine& l : lines) sheet.path(zipped(l.x, l.y), l.colour, 1, 0.25);
  for (const ChartLine& l : lines) sheet.path(zipped(l.x, running_mean(l.y)), l.colour, 2.2, 1);
  for (size_t i = 0; i < lines.size(); ++i)
    sheet.legend_entry(sheet.right() + 14, kTop + 12 + 20 * double(i), lines[i].name, lines[i].colour);
  return sheet.finish();
}

std::string bar_chart(const ChartAxes& axes, const std::vector<std::string>& groups,
                      const std::vector<ChartBars>& series) {
  Range range;
  range.see(0);
  for (const ChartBars& s : series)
    for (size_t i = 0; i < s.values.size(); ++i)
      range.see(s.values[i] + (i < s.spread.size() && std::isfinite(s.spread[i]) ? s.spread[i] : 0));
  if (groups.empty() || series.empty()) return "";
  ChartAxes own = axes;
  own.log_x = false;
  Sheet sheet(own, {0, double(groups.size())}, axis_ticks(range.low, range.high), legend_width(series));
  const double slot = (sheet.right() - kLeft) / double(groups.size()),
               width = std::min(34.0, slot * 0.8 / double(series.size()));
  for (size_t g = 0; g < groups.size(); ++g) {
    const double centre = kLeft + slot * (double(g) + 0.5), begin = centre - width * double(series.size()) / 2;
    for (size_t s = 0; s < series.size(); ++s) {
      const double v = series[s].values[g], left = begin + width * double(s);
      if (!std::isfinite(v)) continue;
      const double top = std::min(sheet.y(v), sheet.y(0)), height = std::abs(sheet.y(v) - sheet.y(0));
      sheet.add(text("<rect x=\"", fixed(left + 1), "\" y=\"", fixed(top), "\" width=\"", fixed(width - 2),
                     "\" height=\"", fixed(height), "\" rx=\"2\" fill=\"", chart_colour(series[s].colour), "\"><title>",
                     escape_html(groups[g] + ", " + series[s].name), ": ", format_number(v, 2), "</title></rect>\n"));
      const double spread = g < series[s].spread.size() ? series[s].spread[g] : std::nan("");
      double label_at = sheet.y(v) - 5;
      if (std::isfinite(spread)) {
        sheet.line(left + width / 2, sheet.y(v - spread), left + width / 2, sheet.y(v + spread), "whisker");
        label_at = sheet.y(v + spread) - 5;
      }
      sheet.add(text("<text class=\"ink small\" x=\"", fixed(left + width / 2), "\" y=\"", fixed(label_at),
                     "\" text-anchor=\"middle\">", fixed(v), "</text>\n"));
    }
    sheet.label(centre, kHeight - kBottom + 18, groups[g], "middle");
  }
  for (size_t i = 0; i < series.size(); ++i)
    sheet.legend_entry(sheet.right() + 14, kTop + 12 + 20 * double(i), series[i].name, series[i].colour);
  return sheet.finish();
}

std::string scatter_chart(const ChartAxes& axes, const std::vector<ChartPoint>& points) {
  Range x, y;
  for (const ChartPoint& p : points) x.see(p.x), y.see(p.y);
  if (x.empty() || y.empty() || (axes.log_x && x.low <= 0)) return "";
  const std::vector<double> x_ticks =
      axes.log_x ? powers_of_ten(x.low, x.high == x.low ? x.low * 10 : x.high) : axis_ticks(x.low, x.high);
  const double margin = y.high > y.low ? (y.high - y.low) * 0.08 : std::max(1.0, std::abs(y.high) * 0.1);
  Sheet sheet(axes, x_ticks, axis_ticks(y.low - margin, y.high + margin));
  sheet.x_axis(x_ticks);
  std::vector<std::pair<double, double>> taken;  // places of names
  for (const ChartPoint& p : points) {
    if (!std::isfinite(p.x) || !std::isfinite(p.y)) continue;
    const double at_x = sheet.x(p.x), at_y = sheet.y(p.y);
    sheet.add(text("<circle cx=\"", fixed(at_x), "\" cy=\"", fixed(at_y), "\" r=\"6\" fill=\"", chart_colour(p.colour),
                   "\"/>\n"));
    const bool left = at_x > kWidth * 0.75;
    double name_y = at_y + 4;
    const auto stands_there = [&](const auto& other) {
      return std::abs(other.first - at_x) < 80 && std::abs(other.second - name_y) < 13;
    };
    while (std::any_of(taken.begin(), taken.end(), stands_there)) name_y += 14;  // lower until no other name is there
    taken.emplace_back(at_x, name_y);
    sheet.label(at_x + (left ? -11 : 11), name_y, p.name, left ? "end" : "start");
  }
  return sheet.finish();
}

}  // namespace cambium
