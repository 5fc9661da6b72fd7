// Errors, and the checks that raise them: every message names what was wrong, where, and both sizes.
#pragma once

#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>

namespace cambium {

// Something failed while working. A program that ends by it exits with code 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  virtual int exit_code() const { return 1; }
};

// An argument, a file or a configuration that cannot be used. A program that ends by it exits with 2.
class InputError : public Error {
 public:
  using Error::Error;
  int exit_code() const override { return 2; }
};

// The arguments, printed one after the other.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

// "a, b, c"
template <class Words>
std::string listed(const Words& words, const char* separator = ", ") {
  std::string list;
  for (const std::string& word : words) {
    if (!list.empty()) list += separator;
    list += word;
  }
  return list;
}

// What a kept exception says.
inline std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
}

// Throws InputError unless `good`.
template <class... Parts>
void check_input(bool good, const Parts&... parts) {
  if (!good) [[unlikely]]
    throw InputError(text(parts...));
}

}  // namespace cambium

// Throws Error unless `condition`; the arguments are printed only then.
#define CHECK(condition, ...)                               \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      throw ::cambium::Error(::cambium::text(__VA_ARGS__)); \
  } while (false)
