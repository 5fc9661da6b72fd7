// HDF5 files that are not trusted, read by a child process that may die of them: copied, where they are others', or
// only rehearsed, where their sum is right.
//
// The child is a fork, not another program: it needs nothing installed. Of the parent's threads
// only the one that forks goes on in it; that one holds the library's lock, so no other was inside
// the library, and the child uses nothing but the library and malloc (which survives a fork). It
// leaves by _exit: no destructors of the parent, no GPU or MPI clean-up.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <fstream>

#include "core/hdf5.h"
#include "core/hdf5_library.h"

namespace cambium::hdf5 {
namespace {

constexpr int kGroupsInside = 24;
// A child may use so many seconds by the clock for each of its processor's: it sleeps beside other work and slow disks.
constexpr int kClockSeconds = 60;

void copy_attributes(const Hdf5File& from, Hdf5Writer& to, const std::string& path) {
  for (const std::string& name : from.attributes(path)) {
    Hdf5Value value;
    try {
      value = from.value(path, name);
    } catch (const InputError&) {
      continue;  // neither numbers nor strings
    }
    to.attribute(path, name, value);
  }
}

// On the plain heap.
Tensor read_tensor(const Hdf5File& from, const std::string& path) {
  const Shape shape = from.shape(path);
  const DType dtype = from.dtype(path);
  const auto memory = std::make_shared<std::vector<char>>(size_t(shape.size() * size_of(dtype) + 1));
  const Tensor tensor = Tensor::wrap(memory->data(), shape, dtype, memory);
  from.read_into(path, tensor);
  return tensor;
}

void copy_dataset(const Hdf5File& from, Hdf5Writer& to, const std::string& path) {
  switch (from.kind(path)) {
    case Hdf5File::Kind::tensor: to.write(path, read_tensor(from, path)); break;
    case Hdf5File::Kind::ints: to.write(path, from.read_ints(path)); break;
    case Hdf5File::Kind::strings: to.write(path, from.read_strings(path)); break;
    case Hdf5File::Kind::other: return;
  }
  copy_attributes(from, to, path);
}

void copy_group(const Hdf5File& from, Hdf5Writer& to, const std::string& path, int depth) {
  check_input(depth < kGroupsInside, from.path(), ": more than ", kGroupsInside, " groups inside each other: damaged");
  to.group(path);
  copy_attributes(from, to, path);
  for (const std::string& name : from.list(path)) {
    const std::string below = (path == "/" ? "" : path) + "/" + name;
    if (from.is_dataset(below)) copy_dataset(from, to, below);
    else if (from.is_group(below)) copy_group(from, to, below, depth + 1);
  }
}

// Address space in use, in bytes: limits are relative to it.
int64_t address_space() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

void limit(__rlimit_resource resource, int64_t most) {
  rlimit now;
  if (::getrlimit(resource, &now) != 0 || now.rlim_cur <= rlim_t(most)) return;
  now.rlim_cur = rlim_t(most);
  ::setrlimit(resource, &now);
}

// Enough for any sound file of that size, little for a damaged one.
void set_limits(int64_t file_size, int64_t least_seconds) {
  const int64_t seconds = least_seconds + file_size / 10'000'000;
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, seconds);
  limit(RLIMIT_AS, address_space() + (int64_t(512) << 20) + 8 * file_size);
  limit(RLIMIT_FSIZE, (int64_t(256) << 20) + 64 * file_size);
  for (const int signal : {SIGALRM, SIGXCPU, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(signal, SIG_DFL);
  std::signal(SIGXFSZ, SIG_IGN);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_UNBLOCK, &all, nullptr);
  ::alarm(unsigned(kClockSeconds * seconds));
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

// What a reader gets an InputError for is no danger to it.
template <class F>
void survive(const F& f) {
  try {
    f();
  } catch (const InputError&) {
  }
}

void rehearse_attributes(const Hdf5File& from, const std::string& path) {
  survive([&] {
    for (const std::string& name : from.attributes(path)) survive([&] { from.value(path, name); });
  });
}

// Whether a dataset's bytes lie in the file in one piece and in the tensor's own type: reading only copies them.
bool is_plain(const Hdf5File& from, hid_t h5, const std::string& path) {
  if (!from.is_dataset(path)) return false;
  const Handle set(H5Dopen2(h5, path.c_str(), H5P_DEFAULT), H5Dclose);
  if (set < 0) return false;
  const Handle properties(H5Dget_create_plist(set), H5Pclose), type(H5Dget_type(set), H5Tclose);
  if (properties < 0 || type < 0 || H5Pget_layout(properties) != H5D_CONTIGUOUS) return false;
  if (H5Tequal(type, H5T_STD_I64LE) > 0) return true;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32})
    if (H5Tequal(type, type_of(dtype)) > 0) return true;
  return false;
}

void rehearse_dataset(const Hdf5File& from, hid_t h5, const std::string& path) {
  rehearse_attributes(from, path);
  survive([&] {
    if (is_plain(from, h5, path)) return;
    const Hdf5File::Kind kind = from.kind(path);
    if (kind == Hdf5File::Kind::tensor) read_tensor(from, path);
    if (kind == Hdf5File::Kind::strings) from.read_strings(path);
    if (kind == Hdf5File::Kind::ints || kind == Hdf5File::Kind::tensor) survive([&] { from.read_ints(path); });
  });
}

void rehearse_group(const Hdf5File& from, hid_t h5, const std::string& path, int depth) {
  check_input(depth < kGroupsInside, from.path(), ": more than ", kGroupsInside, " groups inside each other: damaged");
  rehearse_attributes(from, path);
  std::vector<std::string> names;
  survive([&] { names = from.list(path); });
  for (const std::string& name : names) {
    const std::string below = (path == "/" ? "" : path) + "/" + name;
    bool dataset = false, group = false;
    survive([&] { dataset = from.is_dataset(below), group = from.is_group(below); });
    if (dataset) rehearse_dataset(from, h5, below);
    else if (group) rehearse_group(from, h5, below, depth + 1);
  }
}

constexpr int kDamaged = 1, kNoRoom = 2;  // how a child ends that did not do it

// Does the work on the file and ends with 0, or writes to `report` why not.
template <class Work>
[[noreturn]] void run_child(int input, int report, const std::string& path, int64_t seconds, const Work& work) {
  Session::assume_one_thread();
  std::string message;
  int code = kDamaged;
  try {
    Descriptor fd(input);
    set_limits(size_of_file(fd, path), seconds);
    work(Hdf5File::unchecked(std::move(fd), path));
    ::_exit(0);
  } catch (const InputError& e) {
    message = e.what();
  } catch (const Error& e) {  // names that come twice, a full disk
    message = path + ": cannot be checked: " + e.what();
    if (message.find(": cannot be written: ") != message.npos) code = kNoRoom;
  } catch (...) {
    message = path + ": damaged: needs more memory than a file of its size should";
  }
  message.resize(std::min<size_t>(message.size(), 1000));
  for (char& c : message) c = std::iscntrl(static_cast<unsigned char>(c)) ? '?' : c;  // a damaged name
  const ssize_t written = ::write(report, message.data(), message.size());
  ::_exit(written < 0 ? kDamaged : code);
}

std::string read_all(int fd) {
  std::string out;
  char part[512];
  ssize_t n;
  while ((n = ::read(fd, part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
    if (n > 0) out.append(part, size_t(n));
  return out;
}

// Runs the work in a child; InputError where it does not end well, Error where its copy has no room.
template <class Work>
void in_child(const Descriptor& fd, const std::string& path, int64_t seconds, const Work& work) {
  const Session session;
  int ends[2];
  CHECK(::pipe2(ends, O_CLOEXEC) == 0, path, ": cannot be checked: ", system_reason(errno));
  const Descriptor from_child(ends[0]);
  Descriptor to_parent(ends[1]);
  const pid_t child = ::fork();
  CHECK(child >= 0, path, ": cannot be checked: no child process: ", system_reason(errno));
  if (child == 0) run_child(fd.get(), ends[1], path, seconds, work);
  to_parent = Descriptor();
  const std::string message = read_all(from_child.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  // The file may be sound: whoever would replace a damaged one must not take it for that.
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == kNoRoom), message);
  CHECK(!(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM), path,
        ": cannot be checked: reading it takes too long, this machine or its disk has other work");
  throw InputError(message.empty() ? path + ": damaged: the HDF5 library does not survive reading it" : message);
}

}  // namespace

void copy_foreign(const Descriptor& fd, const std::string& path, const std::string& copy) {
  in_child(fd, path, 10, [&](const Hdf5File& from) {
    Hdf5Writer to(copy);
    copy_group(from, to, "/", 0);
    to.commit();
  });
}

void rehearse(const Descriptor& fd, const std::string& path) {
  in_child(fd, path, 4, [&](const Hdf5File& from) {
    const Handle h5 = open_file({fd.get(), nullptr});
    rehearse_group(from, h5, "/", 0);
  });
}

}  // namespace cambium::hdf5
