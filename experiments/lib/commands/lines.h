// Texts in lines: what tokenize and generate read and write.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace cambium {

class AtomicFile;

// Calls f(line, number from 1) for each line of a file, or of standard input for "-" or "". The line end is taken off.
void for_each_line(const std::string& path, const std::function<void(const std::string&, int64_t)>& f);
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
