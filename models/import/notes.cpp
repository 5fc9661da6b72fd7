// Notes about imported files, each said once.
#include "models/import/notes.h"

#include <mutex>
#include <set>

#include "core/progress.h"

namespace cambium {

void note_once(const std::string& line) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.insert(line).second) Progress::say(line);
}

}  // namespace cambium
