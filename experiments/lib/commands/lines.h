// Texts in lines: what tokenize and generate read and write.
#pragma once

#include <memory>
#include <string>

#include "core/lines.h"

namespace cambium {

class AtomicFile;

// The lines (core/lines.h) of a file, or of standard input for "-" or "".
void for_each_line(const std::string& path, const LineVisitor&);
// InputError where that path can have none: asked before a model is read, which takes long.
void check_lines(const std::string& path);
std::string input_name(const std::string& path);

// The text that a line stands for: a line that is a JSON string is decoded, every other is itself.
std::string decoded_line(const std::string& line, const std::string& path, int64_t number);

// Lines to standard output, or to a file that appears when all are written.
class OutputLines {
 public:
  explicit OutputLines(const std::string& path);
  ~OutputLines();
  void write(const std::string& line);
  void finish();

 private:
  std::unique_ptr<AtomicFile> file_;
};

}  // namespace cambium
