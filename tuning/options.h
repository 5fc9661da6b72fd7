// Reading a tuner's options into its plain struct, strictly.
#pragma once

#include <string>
#include <vector>

#include "tuning/tuner.h"

namespace cambium {

// "a,b,c" -> {"a", "b", "c"}
std::vector<std::string> split(const std::string& list, char separator = ',');

// The shortest text that reads back as the same number.
std::string print_number(double);

class OptionReader {
 public:
  OptionReader(std::string method, const OptionMap& given) : method_(std::move(method)), given_(given) {}

  int64_t integer(const std::string& name, int64_t fallback, int64_t least, int64_t most);
  double number(const std::string& name, double fallback, double least, double most);
  std::string word(const std::string& name, const std::string& fallback);
  // One of `allowed`.
  std::string choice(const std::string& name, const std::string& fallback, const std::vector<std::string>& allowed);
  // Throws InputError if an option was given that nobody asked for.
  void finish() const;
  // All that was asked for, with the values that were given and else their defaults.
  const OptionMap& values() const { return values_; }

 private:
  std::string method_;
  const OptionMap& given_;
  OptionMap values_;
};

// All options of a method, defaults included, as its tuner's options() gives them, but for an empty one that a model
// fills (a prompt's `where`); it needs no model. Throws InputError as make_tuner does, except for what only a model can
// tell (a selector that matches nothing).
OptionMap tuner_options(const std::string& method, const OptionMap& given);
// The learning rate of a method where none is given, as its tuner's default_learning_rate().
double default_learning_rate(const std::string& method);

// A parameter of `shape` in the accumulator type of the model, on its device.
Parameter tuner_parameter(const Model&, const Shape& shape);
// Fills it with uniform numbers in (-bound, bound), or normal ones, from (seed, name).
void fill_uniform(const Parameter&, uint64_t seed, const std::string& name, double bound, double centre = 0);
void fill_normal(const Parameter&, uint64_t seed, const std::string& name, double deviation);

}  // namespace cambium
