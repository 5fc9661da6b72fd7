#include "experiments/lib/spent.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "experiments/lib/train_run.h"

namespace cambium {
namespace {

using nlohmann::json;

std::string path_in(const std::string& directory) { return directory + "/spent.json"; }

}  // namespace

Spent Spent::read(const std::string& directory) {
  if (!file_exists(path_in(directory))) return {};
  const json j = json::parse(read_text_file(path_in(directory), 4096), nullptr, false);
  if (!j.is_object() || !j.contains("steps") || !j.contains("seconds")) return {};
  Spent spent{get_int(j, "steps", 0), get_number(j, "seconds", 0), find_number(j, "tokens", 0).value_or(0), {}};
  if (j.contains("peaks"))
    for (const auto& [name, _] : get_object(j, "peaks").items()) spent.peaks[name] = get_number(j["peaks"], name, 0);
  return spent;
}

void Spent::write(const std::string& directory) const {
  write_file(path_in(directory),
             json{{"steps", steps}, {"seconds", seconds}, {"tokens", tokens}, {"peaks", peaks}}.dump());
}

Spent Spent::with(const TrainResult& session) const {
  const int64_t fresh = int64_t(session.losses.size()), start = session.steps - fresh;
  Spent all{fresh, session.seconds, session.tokens, peaks};
  if (start > 0 && steps <= start) all.steps += steps, all.seconds += seconds, all.tokens += tokens;
  return all;
}

double Spent::seconds_of(int64_t all) const { return steps ? seconds * double(all) / double(steps) : std::nan(""); }

}  // namespace cambium
