#include "experiments/lib/table/cell.h"

#include <charconv>
#include <numeric>

#include "core/error.h"
#include "core/sha256.h"

namespace cambium {
namespace {

// Letters, digits and dashes of a name; a path gives its last part.
std::string for_file(const std::string& name) {
  const size_t end = name.find_last_not_of('/');
  const std::string trimmed = end == name.npos ? "" : name.substr(0, end + 1);
  const size_t slash = trimmed.find_last_of('/');
  std::string part;
  for (const char c : slash == trimmed.npos ? trimmed : trimmed.substr(slash + 1)) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    part += plain ? c : '-';
  }
  return part.empty() ? "-" : part.substr(0, 60);
}

int64_t cell_number(const std::string& digits, const std::string& option, size_t count) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  check_input(!digits.empty() && error == std::errc() && end == digits.data() + digits.size(), option,
              ": give numbers from 0 to ", count - 1);
  check_input(number >= 0 && number < int64_t(count), option, ": this grid has the cells 0 to ", count - 1,
              "; plan lists them");
  return number;
}

}  // namespace

std::string Cell::name() const {
  Sha256 sum;
  sum.update(settings.data(), settings.size());
  return text(for_file(model), ".", for_file(task), ".", for_file(method), ".seed", seed, ".",
              hex(sum.finish()).substr(0, 8));
}

std::vector<size_t> selected_cells(size_t count, std::optional<int64_t> cell, const std::string& cells) {
  check_input(count > 0, "this grid has no cells");
  check_input(!cell || cells.empty(), "--cell and --cells exclude each other");
  int64_t first = 0, last = int64_t(count) - 1;
  if (cell) first = last = cell_number(std::to_string(*cell), text("--cell ", *cell), count);
  if (!cells.empty()) {
    const std::string option = "--cells " + cells;
    const size_t dash = cells.find('-');
    check_input(dash != cells.npos, option, ": give a range like 0-3");
    first = cell_number(cells.substr(0, dash), option, count),
    last = cell_number(cells.substr(dash + 1), option, count);
    check_input(first <= last, option, ": the range is empty");
  }
  std::vector<size_t> numbers(size_t(last - first + 1));
  std::iota(numbers.begin(), numbers.end(), size_t(first));
  return numbers;
}

}  // namespace cambium
