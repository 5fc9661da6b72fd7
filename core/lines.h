// Lines of text: one rule for what a line is, wherever the text comes from.
//
// A line ends with LF or CRLF, the last one also with the text. A UTF-8 byte order mark before the first is no part of
// it. Lines are counted from 1, empty ones too: messages say PATH:LINE.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace cambium {

std::string_view without_byte_order_mark(std::string_view text);
// Whether text begins with UTF-16's mark, as what Windows' tools write may: nothing here reads it.
bool is_utf16(std::string_view text);

using LineVisitor = std::function<void(const std::string& line, int64_t number)>;
void for_each_line_of(std::string_view text, const LineVisitor&);
// Line by line as it comes. `where` is for messages: text in UTF-16 is an InputError, failing to read an Error.
void for_each_line_of(std::istream&, const std::string& where, const LineVisitor&);
std::vector<std::string> lines_of(std::string_view text);

inline constexpr const char* kBlanks = " \t\r\n";
// Without the blanks around it.
std::string trimmed(std::string_view text);

}  // namespace cambium
