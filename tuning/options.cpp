#include "tuning/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

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
  check_input(std::find(allowed.begin(), allowed.end(), value) != allowed.end(), method_, ": ", name, "=", value,
              " is none of ", listed(allowed));
  return value;
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
