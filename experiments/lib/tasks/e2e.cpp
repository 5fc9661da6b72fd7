#include "experiments/lib/tasks/e2e.h"

#include <map>

#include "core/csv.h"
#include "core/files.h"
#include "core/path_kind.h"
#include "experiments/lib/data_path.h"

namespace cambium {

std::string linearised(const std::string& meaning) {
  std::string line;
  for (size_t at = 0; at < meaning.size();) {
    const size_t open = meaning.find('[', at), close = open == meaning.npos ? open : meaning.find(']', open);
    check_input(close != meaning.npos, "the meaning \"", meaning, "\" is no list of slot[value]");
    const size_t slot = meaning.find_first_not_of(", ", at);
    check_input(slot < open, "the meaning \"", meaning, "\" has a value without a slot");
    line += text(line.empty() ? "" : " | ", meaning.substr(slot, open - slot), " : ",
                 meaning.substr(open + 1, close - open - 1));
    at = close + 1;
  }
  check_input(!line.empty(), "an empty meaning representation");
  return line + " ||";
}

E2eTask::E2eTask(const std::string& data) : data_(data.empty() ? data_path("e2e") : data) {
  check_path(data_, Wanted::folder);
  check_input(is_directory(data_), data_,
              ": no directory with the E2E data (trainset.csv, devset.csv, testset_w_refs.csv)");
}

std::string E2eTask::file(Split split) const {
  const char* name = split == Split::train ? "trainset.csv" : split == Split::dev ? "devset.csv" : "testset_w_refs.csv";
  const std::string path = data_ + "/" + name;
  return file_exists(path) || !file_exists(path + ".xz") ? path : path + ".xz";
}

std::vector<TextPair> E2eTask::examples(Split split) const {
  const Table table = read_table(file(split));
  const size_t mr = table.column("mr"), ref = table.column("ref");
  std::vector<TextPair> all;
  for (const auto& row : table.rows) all.push_back({linearised(row[mr]), " " + row[ref]});
  return all;
}

std::vector<EvaluationItem> E2eTask::items(Split split) const {
  const Table table = read_table(file(split));
  const size_t mr = table.column("mr"), ref = table.column("ref");
  std::vector<EvaluationItem> all;
  std::map<std::string, size_t> seen;
  for (const auto& row : table.rows) {
    const auto [place, fresh] = seen.emplace(row[mr], all.size());
    if (fresh) all.push_back({linearised(row[mr]), {}});
    all[place->second].references.push_back(row[ref]);
  }
  return all;
}

}  // namespace cambium
