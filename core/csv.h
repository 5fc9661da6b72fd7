// Tables in text files: CSV as RFC 4180 defines it, and tab-separated values, with or without
// quotes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cambium {

struct TableFormat {
  char separator = ',';
  // A field may stand in "..." with "" for a quote; it may then hold separators and line ends.
  // Without quotes every character but separator and line end is itself (GLUE's files).
  bool quotes = true;
  bool header = true;
  // Rows with fewer fields than the first are left out, not an error.
  bool skip_short_rows = false;

  static TableFormat csv() { return {}; }
  static TableFormat tsv() { return {'\t', true, true}; }
  static TableFormat plain_tsv() { return {'\t', false, true}; }
};

struct Table {
  std::string where;  // for messages
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<int64_t> lines;  // where each row starts, from 1

  // The place of a column; InputError with the names that are there if it is not.
  size_t column(std::string_view name) const;
};

// Lines end in LF or CRLF, the last one may lack it; a byte order mark and empty lines are skipped.
// InputError with the line for a row that has not as many fields as the first, for an open quote
// and for text after a closed one.
Table parse_table(std::string_view source, std::string_view where, const TableFormat& = {});

// From a file, which may be compressed by xz.
Table read_table(const std::string& path, const TableFormat& = {});

// The whole of a text file, unpacked if it is compressed by xz (whatever its name); more than
// `limit` bytes are an InputError.
std::string read_data_file(const std::string& path, int64_t limit = int64_t(1) << 30);

}  // namespace cambium
