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

// What makes a tuner, once its options are read.
using TunerMaker = std::function<std::unique_ptr<Tuner>(const TunerContext&)>;

// A number for the modules whose names hold `part` as whole pieces between dots: "layers.0", "query".
struct ModuleNumber {
  std::string part;
  double value = 0;
};
// The number of the first entry that fits `module`, or `fallback`.
double number_for(const std::vector<ModuleNumber>&, const std::string& module, double fallback);
// What gives these modules these numbers: the last piece of their names where all with it agree, else whole names.
// Modules whose number is `fallback` are left out.
std::vector<ModuleNumber> numbers_of(const std::map<std::string, double>& modules, double fallback);
// "layers.0:4,query:16"
std::string print_numbers(const std::vector<ModuleNumber>&);

inline constexpr int64_t kLongest = 1 << 20;  // of lengths and widths that an option may ask for

class OptionReader {
 public:
  OptionReader(std::string method, const OptionMap& given) : method_(std::move(method)), given_(given) {}

  int64_t integer(const std::string& name, int64_t fallback, int64_t least, int64_t most);
  double number(const std::string& name, double fallback, double least, double most);
  std::string word(const std::string& name, const std::string& fallback);
  // One of `allowed`.
  std::string choice(const std::string& name, const std::string& fallback, const std::vector<std::string>& allowed);
  bool flag(const std::string& name, bool fallback) { return integer(name, fallback, 0, 1) == 1; }
  // "part:number,part:number", or nothing.
  std::vector<ModuleNumber> numbers(const std::string& name, double least, double most);
  // Throws InputError if an option was given that nobody asked for.
  void finish() const;
  // All that was asked for, with the values that were given and else their defaults.
  const OptionMap& values() const { return values_; }
  // The same with their defaults and choices, in the order in which they were asked for: "rank=8", "kind=a|b".
  const std::vector<std::string>& help() const { return help_; }
  // What another reader was asked for, as options of this one whose names have this beginning.
  void take(const std::string& beginning, const OptionReader& other);
  const std::string& method() const { return method_; }
  const OptionMap& given() const { return given_; }

 private:
  std::string method_;
  const OptionMap& given_;
  OptionMap values_;
  std::vector<std::string> help_;
};

// A parameter of `shape` in the accumulator type of the model, on its device.
Parameter tuner_parameter(const Model&, const Shape& shape);
// Fills it with uniform numbers in (-bound, bound), or normal ones, from (seed, name).
void fill_uniform(const Parameter&, uint64_t seed, const std::string& name, double bound, double centre = 0);
void fill_normal(const Parameter&, uint64_t seed, const std::string& name, double deviation);

}  // namespace cambium
