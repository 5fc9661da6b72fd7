#include "experiments/lib/table/result.h"

#include <limits>
#include <set>

#include "core/hdf5.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

double value_or_nan(const std::map<std::string, double>& values, const std::string& name) {
  const auto found = values.find(name);
  return found == values.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
}

// HDF5 strings are UTF-8 and end at a NUL; a model may write anything. Metrics read both as U+FFFD too.
std::vector<std::string> storable(const std::vector<std::string>& texts) {
  std::vector<std::string> all;
  for (const std::string& t : texts) {
    std::string& s = all.emplace_back(valid_utf8(t));
    for (size_t at = s.find('\0'); at != s.npos; at = s.find('\0', at)) s.replace(at, 1, "\xEF\xBF\xBD");
  }
  return all;
}

template <class T>
std::map<std::string, T> attributes_of(const Hdf5File& file, const std::string& group) {
  std::map<std::string, T> all;
  for (const std::string& name : file.attributes(group)) all[name] = file.attribute<T>(group, name);
  return all;
}

std::vector<double> numbers(const Hdf5File& file, const std::string& path) {
  const Tensor t = file.read(path);
  check_input(t.dtype() == DType::f64 && t.shape().rank() == 1, file.path(), ": ", path, " is no list of numbers");
  return {t.span<double>().begin(), t.span<double>().end()};
}

void read_texts(const Hdf5File& file, CellResult& r) {
  r.inputs = file.read_strings("/texts/inputs"), r.outputs = file.read_strings("/texts/outputs");
  const std::vector<std::string> references = file.read_strings("/texts/references");
  const std::vector<int64_t> counts = file.read_ints("/texts/reference_counts");
  check_input(r.inputs.size() == r.outputs.size() && counts.size() == r.inputs.size(), file.path(), ": ",
              r.inputs.size(), " inputs, ", r.outputs.size(), " outputs, ", counts.size(), " groups of references");
  size_t at = 0;
  for (const int64_t count : counts) {
    check_input(count >= 0 && size_t(count) <= references.size() - at, file.path(),
                ": reference_counts exceed the references");
    r.references.emplace_back(references.begin() + int64_t(at), references.begin() + int64_t(at) + count);
    at += size_t(count);
  }
  check_input(at == references.size(), file.path(), ": ", references.size() - at, " references belong to no input");
}

}  // namespace

double CellResult::measured(const std::string& name) const { return value_or_nan(measurements, name); }
double CellResult::score(const std::string& name) const { return value_or_nan(scores, name); }
double CellResult::value(const std::string& name) const { return scores.count(name) ? score(name) : measured(name); }

std::string notes_of(const std::vector<const CellResult*>& results, const std::string& name) {
  std::set<std::string> values;
  for (const CellResult* r : results)
    if (const auto found = r->notes.find(name); found != r->notes.end() && !found->second.empty())
      values.insert(found->second);
  return listed(values, "; ");
}

void save_result(const std::string& path, const CellResult& r) {
  Hdf5Writer file(path);
  file.attribute("/", "format_version", kResultVersion);
  file.attribute("/", "experiment", r.experiment);
  file.attribute("/", "model", r.cell.model);
  file.attribute("/", "method", r.cell.method);
  file.attribute("/", "task", r.cell.task);
  file.attribute("/", "seed", std::to_string(r.cell.seed));  // 64 bits, unsigned
  file.attribute("/", "settings", r.cell.settings);
  for (const char* group : {"/scores", "/measurements", "/notes", "/series", "/texts"}) file.group(group);
  for (const auto& [name, value] : r.scores) file.attribute("/scores", name, value);
  for (const auto& [name, value] : r.measurements) file.attribute("/measurements", name, value);
  for (const auto& [name, value] : r.notes) file.attribute("/notes", name, storable({value}).front());
  for (const auto& [name, values] : r.series)
    if (!values.empty()) file.write("/series/" + name, Tensor::of(values));
  if (!r.inputs.empty()) {
    std::vector<std::string> references;
    std::vector<int64_t> counts;
    for (const auto& group : r.references) {
      references.insert(references.end(), group.begin(), group.end());
      counts.push_back(int64_t(group.size()));
    }
    file.write("/texts/inputs", storable(r.inputs)), file.write("/texts/outputs", storable(r.outputs));
    file.write("/texts/references", storable(references)), file.write("/texts/reference_counts", counts);
  }
  file.commit();
}

CellResult read_result(const std::string& path) {
  const Hdf5File file(path);
  const auto word = [&](const char* name) { return file.attribute<std::string>("/", name); };
  check_input(
      file.has_attribute("/", "format_version") && file.has_attribute("/", "settings") && file.is_group("/scores"),
      path, " is an HDF5 file, but no result of an experiment");
  const int64_t version = file.attribute<int64_t>("/", "format_version");
  check_input(version == kResultVersion, path, ": format version ", version, "; this program reads ", kResultVersion);
  CellResult r{.experiment = word("experiment"),
               .cell = {word("model"), word("method"), word("task"), std::strtoull(word("seed").c_str(), nullptr, 10),
                        word("settings")}};
  r.scores = attributes_of<double>(file, "/scores"), r.measurements = attributes_of<double>(file, "/measurements");
  r.notes = attributes_of<std::string>(file, "/notes");
  for (const std::string& name : file.list("/series")) r.series[name] = numbers(file, "/series/" + name);
  if (file.is_dataset("/texts/inputs")) read_texts(file, r);
  return r;
}

std::string ResultStore::path_of(const Cell& cell) const { return folder_ + "/cells/" + cell.name() + ".h5"; }
std::string ResultStore::run_folder(const Cell& cell) const { return folder_ + "/runs/" + cell.name(); }

ResultStore::Found ResultStore::find(const Cell& cell) const {
  const std::string path = path_of(cell);
  if (!file_exists(path)) return {};
  try {
    Found found{.state = State::finished, .result = read_result(path)};
    check_input(found.result.cell.settings == cell.settings, path, " was made with other settings than its name says");
    return found;
  } catch (const Error& error) {
    return {.state = State::damaged, .damage = error.what()};
  }
}

void ResultStore::save(const CellResult& r) const {
  make_directories(folder_ + "/cells");
  save_result(path_of(r.cell), r);
}

std::optional<DirectoryLock> ResultStore::claim(const Cell& cell) const {
  make_directories(run_folder(cell));
  return DirectoryLock::try_lock(run_folder(cell));
}

}  // namespace cambium
