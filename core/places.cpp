#include "core/places.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "core/files.h"

namespace cambium {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, int error) {
  throw InputError(text(path, ": cannot be written: ", system_reason(error)));
}

}  // namespace

bool is_private(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && (status.st_uid == ::geteuid() || status.st_uid == 0) &&
         (status.st_mode & S_IWOTH) == 0;
}

void check_writable(const std::string& path) { AtomicFile{path}; }

void check_file_or_directory(const std::string& path) {
  if (path.ends_with(".h5")) check_writable(path);
  else check_new_directory(path);
}

void make_whole_directory(const std::string& path, const std::function<void(const std::string&)>& fill) {
  check_new_directory(path);
  const std::string name = fs::path(path).lexically_normal().string(),
                    parent =
                        fs::path(name.ends_with("/") ? name.substr(0, name.size() - 1) : name).parent_path().string();
  if (!parent.empty()) make_directories(parent);
  TemporaryDirectory work(parent.empty() ? "." : parent);
  const std::string inside = work / "new";
  make_directories(inside);
  fill(inside);
  sync_directory(inside);
  if (file_exists(path)) fs::remove(path);
  fs::rename(inside, path);
}

void check_new_directory(const std::string& path) {
  check_input(!path.empty(), "\"\": is not the name of a directory");
  if (file_exists(path)) {
    check_input(is_directory(path) && list_directory(path).empty(), path,
                " is there and not empty; give a new directory");
    return;
  }
  std::error_code error;
  fs::path above = fs::absolute(path, error).lexically_normal();
  while (above.has_relative_path() && !fs::exists(above, error)) above = above.parent_path();
  if (!is_directory(above.string())) fail(path, ENOTDIR);
  if (::access(above.c_str(), W_OK | X_OK) != 0) fail(path, errno);
}

void check_output_directory(const std::string& path, bool may_hold_files) {
  check_input(!path.empty(), "--output names no directory");
  check_input(!file_exists(path) || is_directory(path), path, " is a file; --output needs a directory");
  if (!is_directory(path)) return check_new_directory(path);
  std::vector<std::string> names = list_directory(path);
  std::erase(names, ".lock");
  check_input(names.empty() || may_hold_files, path,
              " is not empty; --resume continues what is there, --overwrite starts anew");
}

std::string read_inside(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  std::error_code error;
  if (fs::is_symlink(path, error)) {
    const fs::path inside = fs::canonical(directory, error), target = fs::canonical(path, error);
    const fs::path blobs = inside.parent_path().parent_path() / "blobs";  // beside snapshots/REVISION
    const auto is_below = [&](const fs::path& above) { return target.string().starts_with(above.string() + "/"); };
    check_input(!target.empty() && (is_below(inside) || is_below(blobs)), path, ": is a link to ", target.string(),
                ", outside of the directory\nPut a copy of the file in its place if it is meant to be there");
  }
  return read_text_file(path);
}

}  // namespace cambium
