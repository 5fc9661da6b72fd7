#include "experiments/lib/tasks/sst2.h"

#include "core/csv.h"
#include "core/files.h"
#include "core/path_kind.h"

namespace cambium {

Sst2Task::Sst2Task(const std::string& data) : data_(data) {
  check_input(
      !data.empty(),
      "the data of sst2 do not ship with this program (GLUE gives them for research, without a licence to pass them "
      "on); "
      "--data names the directory with its train.tsv and dev.tsv: SST-2.zip from gluebenchmark.com/tasks, unpacked");
  check_path(data_, Wanted::folder);
  check_input(is_directory(data_), data_, ": no directory with the SST-2 data (train.tsv, dev.tsv, test-labeled.tsv)");
}

std::vector<LabelledText> Sst2Task::labelled(Split split) const {
  std::string path;
  const auto names = split == Split::train ? std::vector<std::string>{"train.tsv", "train_full.tsv"}
                     : split == Split::dev ? std::vector<std::string>{"dev.tsv"}
                                           : std::vector<std::string>{"test-labeled.tsv", "test.tsv"};
  for (const std::string& name : names)
    if (path.empty() && file_exists(plain_or_packed(data_ + "/" + name))) path = plain_or_packed(data_ + "/" + name);
  check_input(!path.empty(), data_, " has no ", names.front());
  const Table table = read_table(path, TableFormat::plain_tsv());
  const size_t sentence = table.column("sentence"), label = table.column("label");
  std::vector<LabelledText> all;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    check_input(row[label] == "0" || row[label] == "1", path, ":", table.lines[i], ": label \"", row[label],
                "\" is neither 0 nor 1");
    const size_t end = row[sentence].find_last_not_of(" \t");
    check_input(end != std::string::npos, path, ":", table.lines[i], ": an empty sentence");
    all.push_back({row[sentence].substr(0, end + 1), row[label] == "1" ? 1 : 0});
  }
  return all;
}

}  // namespace cambium
