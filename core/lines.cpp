#include "core/lines.h"

#include <algorithm>
#include <istream>

#include "core/error.h"

namespace cambium {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// A line that was cut at LF.
std::string_view plain(std::string_view line, int64_t number) {
  if (number == 1) line = without_byte_order_mark(line);
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

}  // namespace

std::string_view without_byte_order_mark(std::string_view text) {
  return text.starts_with(kByteOrderMark) ? text.substr(kByteOrderMark.size()) : text;
}

bool is_utf16(std::string_view text) { return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"); }

void for_each_line_of(std::string_view text, const LineVisitor& f) {
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    ++number;
    f(std::string(plain(text.substr(at, end - at), number)), number);
    at = end + 1;
  }
}

void for_each_line_of(std::istream& in, const std::string& where, const LineVisitor& f) {
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    check_input(number > 1 || !is_utf16(line), where, ": is text in UTF-16\nsave it as UTF-8");
    f(std::string(plain(line, number)), number);
  }
  CHECK(!in.bad(), where, ": reading failed");
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for_each_line_of(text, [&](const std::string& line, int64_t) { lines.push_back(line); });
  return lines;
}

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  return begin == text.npos ? "" : std::string(text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1));
}

}  // namespace cambium
