// What the sessions of a run that was interrupted took together: spent.json in the run's directory.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace cambium {

struct TrainResult;

struct Spent {
  int64_t steps = 0;  // that were timed: a killed session takes its clock along
  double seconds = 0, tokens = 0;
  std::map<std::string, double> peaks;  // in bytes, by name: the largest of all sessions

  // Nothing where there is no such file.
  static Spent read(const std::string& directory);
  void write(const std::string& directory) const;

  // With what the session took. Steps that it did again count once: then only its own are left.
  Spent with(const TrainResult&) const;
  // Of so many steps, at the pace of those that were timed; NaN without any.
  double seconds_of(int64_t all) const;
};

}  // namespace cambium
