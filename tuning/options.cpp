#include "tuning/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/random.h"

namespace cambium {
namespace {

void fill(const Parameter& p, uint64_t seed, const std::string& name, const std::function<double(RandomWords)>& value) {
  const RandomKey key = random_key(seed, name);
  Tensor host = Tensor::empty(p.value.shape(), DType::f64);
  for (int64_t i = 0; i < host.size(); ++i)
    host.data<double>()[i] = value(philox(key, uint32_t(i), uint32_t(i >> 32), 0, 0));
  p.value.copy_from(host.to(p.value.dtype()).to(p.value.device()));
}

}  // namespace

std::vector<std::string> split(const std::string& list, char separator) {
  std::vector<std::string> words;
  size_t begin = 0;
  while (begin <= list.size()) {
    const size_t end = std::min(list.find(separator, begin), list.size());
    words.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string print_number(double value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

std::string OptionReader::word(const std::string& name, const std::string& fallback) {
  const auto found = given_.find(name);
  help_.push_back(name + "=" + fallback);
  return values_[name] = found == given_.end() ? fallback : found->second;
}

int64_t OptionReader::integer(const std::string& name, int64_t fallback, int64_t least, int64_t most) {
  const std::string value = word(name, std::to_string(fallback));
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  check_input(error == std::errc() && end == value.data() + value.size() && number >= least && number <= most, method_,
              ": ", name, "=", value, " is not a whole number from ", least, " to ", most);
  values_[name] = std::to_string(number);
  return number;
}

double OptionReader::number(const std::string& name, double fallback, double least, double most) {
  const std::string value = word(name, print_number(fallback));
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  check_input(error == std::errc() && end == value.data() + value.size() && number >= least && number <= most, method_,
              ": ", name, "=", value, " is not a number from ", print_number(least), " to ", print_number(most));
  values_[name] = print_number(number);
  return number;
}

std::string OptionReader::choice(const std::string& name, const std::string& fallback,
                                 const std::vector<std::string>& allowed) {
  const std::string value = word(name, fallback);
  for (const std::string& other : allowed)
    if (other != fallback) help_.back() += (help_.back().ends_with("=") ? "" : "|") + other;
  check_input(std::find(allowed.begin(), allowed.end(), value) != allowed.end(), method_, ": ", name, "=", value,
              " is none of ", listed(allowed));
  return value;
}

std::vector<ModuleNumber> OptionReader::numbers(const std::string& name, double least, double most) {
  const std::string value = word(name, "");
  std::vector<ModuleNumber> all;
  if (value.empty()) return all;
  for (const std::string& entry : split(value)) {
    const size_t colon = entry.rfind(':');
    const char* end = entry.data() + entry.size();
    double number = 0;
    const bool there = colon != entry.npos && colon > 0;
    const auto [stop, error] = std::from_chars(there ? entry.data() + colon + 1 : end, end, number);
    check_input(there && error == std::errc() && stop == end && number >= least && number <= most, method_, ": ", name,
                "=", value, ": \"", entry, "\" is not module:number with a number from ", print_number(least), " to ",
                print_number(most));
    all.push_back({entry.substr(0, colon), number});
  }
  values_[name] = print_numbers(all);
  return all;
}

double number_for(const std::vector<ModuleNumber>& numbers, const std::string& module, double fallback) {
  for (const ModuleNumber& n : numbers)
    if (("." + module + ".").find("." + n.part + ".") != std::string::npos) return n.value;
  return fallback;
}

std::vector<ModuleNumber> numbers_of(const std::map<std::string, double>& modules, double fallback) {
  std::map<std::string, std::set<double>> of_part;
  const auto part = [](const std::string& module) { return module.substr(module.rfind('.') + 1); };
  for (const auto& [module, number] : modules) of_part[part(module)].insert(number);
  std::vector<ModuleNumber> all;
  for (const auto& [name, numbers] : of_part)
    if (numbers.size() == 1 && *numbers.begin() != fallback) all.push_back({name, *numbers.begin()});
  for (const auto& [module, number] : modules)
    if (of_part.at(part(module)).size() > 1 && number != fallback) all.push_back({module, number});
  return all;
}

std::string print_numbers(const std::vector<ModuleNumber>& numbers) {
  std::string all;
  for (const ModuleNumber& n : numbers) all += (all.empty() ? "" : ",") + n.part + ":" + print_number(n.value);
  return all;
}

void OptionReader::take(const std::string& beginning, const OptionReader& other) {
  for (const auto& [name, value] : other.values_) values_[beginning + name] = value;
  for (const std::string& line : other.help_) {
    // With the value that stands there now: a recipe has defaults of its own.
    const size_t equals = line.find('=');
    const std::string name = line.substr(0, equals), &value = other.values_.at(name);
    std::vector<std::string> choices = split(line.substr(equals + 1), '|');
    if (choices.size() == 1) choices = {value};
    else if (const auto at = std::find(choices.begin(), choices.end(), value); at != choices.end())
      std::rotate(choices.begin(), at, at + 1);
    help_.push_back(beginning + name + "=" + listed(choices, "|"));
  }
}

void OptionReader::finish() const {
  std::vector<std::string> known;
  for (const auto& [name, _] : values_) known.push_back(name);
  for (const auto& [name, _] : given_)
    check_input(values_.count(name), method_, " has no option ", name, "; it has ", listed(known));
}

Parameter tuner_parameter(const Model& model, const Shape& shape) {
  return {Tensor::zeros(shape, accumulator(model.weight_type()), model.device())};
}

void fill_uniform(const Parameter& p, uint64_t seed, const std::string& name, double bound, double centre) {
  fill(p, seed, name, [=](RandomWords w) { return centre + bound * (2 * double(unit_float(w.word[0])) - 1); });
}

void fill_normal(const Parameter& p, uint64_t seed, const std::string& name, double deviation) {
  fill(p, seed, name, [=](RandomWords w) {
    return deviation * std::sqrt(-2 * std::log(double(unit_float(w.word[0])))) *
           std::cos(2 * M_PI * double(unit_float(w.word[1])));
  });
}

}  // namespace cambium
