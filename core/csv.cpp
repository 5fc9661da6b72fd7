// Tables in text files.
#include "core/csv.h"

#include <lzma.h>

#include <algorithm>
#include <memory>

#include "core/files.h"
#include "core/lines.h"

namespace cambium {
namespace {

// What a small file may unpack to, and for each of its bytes: texts pack 20:1, and a file of 17 KB that holds 114 MB of
// the same row is no data set.
constexpr int64_t kUnpacked = int64_t(16) << 20, kUnpackedPerByte = 200;
// MNLI's table has 5 million. One takes 32 bytes and more, so that a table takes 1.3 GB and its text at most.
constexpr size_t kMostFields = size_t(1) << 24;
constexpr uint64_t kUnpackMemory = uint64_t(256) << 20;  // xz -9 needs 65 MB

const char* xz_reason(lzma_ret result) {
  switch (result) {
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR: return "needs too much memory to unpack";
    case LZMA_FORMAT_ERROR:
    case LZMA_OPTIONS_ERROR: return "is packed in a way that is not supported";
    case LZMA_BUF_ERROR: return "is cut short";
    default: return "is damaged";
  }
}

std::string unpack_xz(std::string_view packed, const std::string& path, int64_t limit) {
  limit = std::min(limit, kUnpacked + kUnpackedPerByte * int64_t(packed.size()));
  lzma_stream stream = LZMA_STREAM_INIT;
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream, lzma_end);
  lzma_ret result = lzma_stream_decoder(&stream, kUnpackMemory, LZMA_CONCATENATED);
  stream.next_in = reinterpret_cast<const uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  std::string out;
  while (result == LZMA_OK) {
    const size_t filled = out.size();
    check_input(int64_t(filled) <= limit, path, ": unpacks to more than ", limit, " bytes, the most that are read");
    out.resize(std::min(filled + std::max<size_t>(filled, 1 << 16), size_t(limit) + 1));
    stream.next_out = reinterpret_cast<uint8_t*>(out.data()) + filled;
    stream.avail_out = out.size() - filled;
    result = lzma_code(&stream, LZMA_FINISH);
    out.resize(out.size() - stream.avail_out);
  }
  check_input(result == LZMA_STREAM_END, path, ": the xz file ", xz_reason(result));
  check_input(int64_t(out.size()) <= limit, path, ": unpacks to more than ", limit, " bytes, the most that are read");
  return out;
}

class Parser {
 public:
  Parser(std::string_view source, std::string_view where, const TableFormat& format)
      : source_(source), where_(where), format_(format) {}

  bool done() const { return at_ == source_.size(); }
  int64_t line() const { return line_; }

  // Goes over line ends.
  void skip_empty_lines() {
    while (!done() && at_line_end()) take_line_end();
  }

  // The fields up to the end of the line, which is taken too.
  std::vector<std::string> row() {
    std::vector<std::string> fields;
    while (true) {
      check_input(fields.size() < kMostFields, where_, ":", line_, ": more than ", kMostFields, " fields");
      fields.push_back(format_.quotes && !done() && source_[at_] == '"' ? quoted() : plain());
      if (done()) return fields;
      if (at_line_end()) {
        take_line_end();
        return fields;
      }
      ++at_;  // the separator
    }
  }

 private:
  bool at_line_end() const { return source_[at_] == '\n' || source_.substr(at_, 2) == "\r\n"; }
  void take_line_end() {
    at_ += source_[at_] == '\n' ? 1 : 2;
    ++line_;
  }

  std::string plain() {
    const size_t start = at_;
    while (!done() && source_[at_] != format_.separator && !at_line_end()) ++at_;
    return std::string(source_.substr(start, at_ - start));
  }

  std::string quoted() {
    const int64_t opened = line_;
    std::string field;
    while (true) {
      const size_t quote = source_.find('"', at_ + 1);
      check_input(quote != source_.npos, where_, ":", opened, ": the quote that opens here is never closed");
      const std::string_view part = source_.substr(at_ + 1, quote - at_ - 1);
      line_ += std::count(part.begin(), part.end(), '\n');
      field += part;
      at_ = quote + 1;
      if (done() || source_[at_] != '"') break;
      field += '"';
    }
    check_input(done() || source_[at_] == format_.separator || at_line_end(), where_, ":", line_,
                ": text after a closing quote");
    return field;
  }

  std::string_view source_, where_;
  TableFormat format_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

size_t Table::column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found != header.end()) return size_t(found - header.begin());
  std::string names;
  for (const std::string& h : header) names += (names.empty() ? "" : ", ") + h.substr(0, 40);
  throw InputError(text(where, ": has no column \"", name, "\"; its columns are: ", names.substr(0, 200)));
}

Table parse_table(std::string_view source, std::string_view where, const TableFormat& format) {
  source = without_byte_order_mark(source);
  Table table;
  table.where = where;
  Parser parser(source, where, format);
  size_t width = 0, fields_left = kMostFields;
  for (parser.skip_empty_lines(); !parser.done(); parser.skip_empty_lines()) {
    const int64_t line = parser.line();
    auto fields = parser.row();
    if (width == 0) width = fields.size();
    if (format.skip_short_rows && fields.size() < width) continue;
    check_input(fields.size() == width, where, ":", line, ": has ", fields.size(), " fields, but the first line has ",
                width);
    check_input(width <= fields_left, where, ":", line, ": more than ", kMostFields, " fields");
    fields_left -= width;
    if (format.header && table.header.empty()) {
      table.header = std::move(fields);
      continue;
    }
    table.rows.push_back(std::move(fields));
    table.lines.push_back(line);
  }
  check_input(!format.header || width, where, ": is empty; expected a line with the names of the columns");
  return table;
}

Table read_table(const std::string& path, const TableFormat& format) {
  return parse_table(read_data_file(path), path, format);
}

std::string read_data_file(const std::string& path, int64_t limit) {
  std::string bytes = read_text_file(path, limit);
  constexpr std::string_view xz_magic(
      "\xfd"
      "7zXZ\0",
      6);
  if (bytes.starts_with(xz_magic)) bytes = unpack_xz(bytes, path, limit);
  check_input(!is_utf16(bytes), path, ": is text in UTF-16\nsave it as UTF-8");
  return bytes;
}

}  // namespace cambium
