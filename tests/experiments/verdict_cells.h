// The verdicts in a table as programs print it, apart from the notes below, which explain the same words.
#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace cambium::testing {

// The first cells of the rows of all verdict tables in a report's text.
inline std::vector<std::string> verdict_cells(const std::string& report) {
  std::vector<std::string> cells;
  std::istringstream lines(report);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("verdict ")) {  // the head; a rule and the rows follow, then the notes
      inside = bool(std::getline(lines, line));
      continue;
    }
    if (line.empty() || line.starts_with("holds: at least")) inside = false;
    if (inside) cells.push_back(line.substr(0, line.find("  ")));
  }
  return cells;
}

// A grid of one seed says of no claim that it holds or is reversed. Gives the number of claims that were tested.
inline size_t expect_open_verdicts(const std::string& report, size_t claims) {
  const std::vector<std::string> cells = verdict_cells(report);
  EXPECT_EQ(cells.size(), claims) << report;
  size_t tested = 0;
  for (const std::string& cell : cells) {
    EXPECT_TRUE(cell == "open (1 seed)" || cell == "not testable") << cell;
    tested += cell == "open (1 seed)";
  }
  return tested;
}

}  // namespace cambium::testing
