#include "experiments/lib/commands/lines.h"

#include <cerrno>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "core/path_kind.h"

namespace cambium {

std::string input_name(const std::string& path) { return path.empty() || path == "-" ? "standard input" : path; }

void for_each_line(const std::string& path, const LineVisitor& f) {
  std::ifstream file;
  const bool standard = path.empty() || path == "-";
  if (!standard) {
    check_lines(path);
    file.open(path, std::ios::binary);
    check_input(bool(file), path, ": cannot be read: ", system_reason(errno));
  }
  for_each_line_of(standard ? std::cin : file, input_name(path), f);
}

void check_lines(const std::string& path) {
  if (path.empty() || path == "-") return;
  check_path(path, Wanted::text);
  check_input(file_exists(path), path, ": cannot be read: ", system_reason(ENOENT));
}

std::string decoded_line(const std::string& line, const std::string& path, int64_t number) {
  if (line.size() < 2 || line.front() != '"' || line.back() != '"') return line;
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, false);
  if (value.is_discarded()) return line;  // a quotation, not JSON
  check_input(value.is_string(), input_name(path), ":", number, ": ", brief(value), " is no text");
  return value.get<std::string>();
}

OutputLines::OutputLines(const std::string& path) {
  if (!path.empty() && path != "-") file_ = std::make_unique<AtomicFile>(path);
}
OutputLines::~OutputLines() = default;

void OutputLines::write(const std::string& line) {
  if (file_) {
    file_->write(line + "\n");
    return;
  }
  std::cout.write(line.data(), std::streamsize(line.size())).put('\n');
  CHECK(bool(std::cout), "standard output cannot be written");
}

void OutputLines::finish() {
  if (file_) file_->commit();
  else CHECK(bool(std::cout.flush()), "standard output cannot be written");
}

}  // namespace cambium
