// Reading HDF5 files, and the text that opens those of ours.
#include "core/hdf5.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <mutex>
#include <set>

#include "core/hdf5_library.h"
#include "core/path_kind.h"
#include "core/progress.h"
#include "core/sha256.h"

namespace cambium {

using hdf5::Content;
using hdf5::Handle;
using hdf5::Session;

namespace hdf5 {
namespace {

constexpr std::string_view kMagic = "cambium file: text to byte 512, then HDF5\n";
constexpr std::string_view kFormat = "format 1\n";
constexpr std::string_view kHdf5Magic = "\x89HDF\r\n\x1a\n";

// Whether another program made the file longer through the HDF5 library, to add a note, say: the superblock (version 2
// or 3; bytes 28 to 36 are its "end of file address") then knows the new length.
bool grown_by_library(const Descriptor& fd, int64_t size, const std::string& path) {
  std::string block(48, '\0');
  if (size < kBlock + int64_t(block.size())) return false;
  read_exactly(fd, block.data(), block.size(), kBlock, path);
  uint64_t end = 0;
  std::memcpy(&end, block.data() + 28, sizeof end);
  return block.starts_with(kHdf5Magic) && (block[8] == 2 || block[8] == 3) && block[9] == 8 && end == uint64_t(size);
}

// Whether the sum in the text at the start is that of the rest.
bool has_sum(std::string_view start, const Descriptor& fd, const std::string& path) {
  return start.find("sha256 " + hex(sha256_of_file(fd, path, kBlock))) != start.npos;
}

// Once a path, however often it is opened.
void warn_of_change(const std::string& path) {
  static std::mutex mutex;
  static std::set<std::string> warned;
  const std::lock_guard lock(mutex);
  if (warned.insert(path).second)
    Progress::say(text("warning: ", path, ": was changed after it was written; its SHA-256 cannot vouch for it"));
}

}  // namespace

std::string user_block(int64_t length, const std::string& sum) {
  std::string block = text(kMagic, kFormat, "length ", length, "\nsha256 ", sum, "\n");
  block.resize(size_t(kBlock - 1), ' ');
  return block + "\n";
}

std::string verify(const Descriptor& fd, const std::string& path) {
  const int64_t size = size_of_file(fd, path);
  std::string start(size_t(std::min(size, kBlock)), '\0');
  read_exactly(fd, start.data(), start.size(), 0, path);
  if (start.starts_with(kHdf5Magic)) return "";
  if (!start.starts_with(kMagic)) check_contents(path);
  check_input(start.starts_with(kMagic), path, ": is not an HDF5 file");
  const std::string_view rest = std::string_view(start).substr(kMagic.size());
  check_input(rest.starts_with(kFormat), path, ": is damaged, or of a format newer than this program's");
  constexpr std::string_view kLength = "length ";
  int64_t written = -1;
  if (const std::string_view line = rest.substr(kFormat.size()); line.starts_with(kLength))
    std::from_chars(line.data() + kLength.size(), line.data() + line.size(), written);
  check_input(written > 0 && written < int64_t(1) << 60, path, ": its first lines are damaged");
  check_input(size - kBlock >= written, path, ": has ", size, " bytes of the ", written + kBlock,
              " that were written: cut short");
  if (size - kBlock > written) {
    check_input(grown_by_library(fd, size, path) && !has_sum(start, fd, path), path, ": has ", size, " bytes, ",
                size - kBlock - written, " more than were written: damaged, or changed afterwards");
    warn_of_change(path);
    return "";
  }
  const std::string sum = hex(sha256_of_file(fd, path, kBlock));
  check_input(start == user_block(size - kBlock, sum), path,
              ": its SHA-256 is not the one written into it: damaged, or changed afterwards");
  return sum;
}

namespace {

std::set<std::string>& trusted_sums() {
  static std::set<std::string> sums;
  return sums;
}

}  // namespace

void trust(const std::string& sum) {
  const Session session;
  trusted_sums().insert(sum);
}

bool is_trusted(const std::string& sum) {
  const Session session;
  return trusted_sums().contains(sum);
}

}  // namespace hdf5

struct Hdf5File::State {
  Descriptor fd;
  std::string path;
  Handle h5;
  int64_t limit;  // bytes that one dataset may need: gzip packs at most 1032:1

  State(Descriptor descriptor, const std::string& path)
      : fd(std::move(descriptor)), path(path), limit((int64_t(64) << 20) + 1100 * size_of_file(fd, path)) {
    const Session session;
    h5 = hdf5::open_file({fd.get(), nullptr});
    require(h5 >= 0, "the file");
  }
  ~State() {
    const Session session;
    h5.close();
  }

  void require(bool good, const std::string& what) const {
    if (!good) throw InputError(text(path, ": ", what, " cannot be read: damaged (", hdf5::reason(), ")"));
  }

  // Whether each part of the path is a plain link: soft and external ones are not followed.
  bool exists(const std::string& name) const {
    for (size_t end = name.find('/', 1); name != "/"; end = name.find('/', end + 1)) {
      const std::string part = name.substr(0, end);
      H5L_info_t link;
      if (H5Lexists(h5, part.c_str(), H5P_DEFAULT) <= 0 || H5Lget_info(h5, part.c_str(), &link, H5P_DEFAULT) < 0 ||
          link.type != H5L_TYPE_HARD)
        return false;
      if (end == name.npos) break;
    }
    return true;
  }

  Handle open(const std::string& name) const {
    check_input(exists(name), path, ": has no \"", name, '"');
    Handle object(H5Oopen(h5, name.c_str(), H5P_DEFAULT), H5Oclose);
    require(object >= 0, name);
    return object;
  }

  bool is(const std::string& name, H5I_type_t type) const { return exists(name) && H5Iget_type(open(name)) == type; }

  // Elements of a dataset or attribute.
  struct Elements {
    Handle type;
    Content content;
    Shape shape;
    bool single;  // of no dimension
  };
  Elements elements(Handle type, Handle space, const std::string& name) const {
    require(type >= 0 && space >= 0, name);
    hsize_t dims[H5S_MAX_RANK];
    const int rank = H5Sget_simple_extent_dims(space, dims, nullptr);
    require(rank >= 0, name);
    Elements e{std::move(type), Content::other, {}, rank == 0};
    if (H5Sget_simple_extent_type(space) == H5S_NULL || rank > Shape::kMaxRank) return e;
    int64_t extent = 256;  // as much below the largest integer as Shape demands
    for (int i = 0; i < rank; ++i)
      check_input(
          dims[i] == 0 || (dims[i] < hsize_t(limit) && !__builtin_mul_overflow(extent, int64_t(dims[i]), &extent)),
          path, ": ", name, " has an impossible size");
    e.shape = Shape(std::vector<int64_t>(dims, dims + rank));
    e.content = hdf5::content_of(e.type);
    check_input(e.shape.size() == 0 || int64_t(H5Tget_size(e.type)) <= limit / e.shape.size(), path, ": ", name, " of ",
                e.shape, " elements cannot lie in a file of this size");
    return e;
  }

  Handle open_dataset(const std::string& name) const {
    Handle set = open(name);
    check_input(H5Iget_type(set) == H5I_DATASET, path, ": ", name, " is not a dataset");
    return set;
  }
  Elements elements_of(const Handle& set, const std::string& name) const {
    const Handle properties(H5Dget_create_plist(set), H5Pclose);
    require(properties >= 0, name);
    Elements e = elements({H5Dget_type(set), H5Tclose}, {H5Dget_space(set), H5Sclose}, name);
    // Data that lie in other files are not read.
    const H5D_layout_t layout = H5Pget_layout(properties);
    const bool inside = layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED;
    if (!inside || H5Pget_external_count(properties) != 0) e.content = Content::other;
    return e;
  }

  // All elements, by read(type in memory, where to).
  template <class T, class Read>
  std::vector<T> numbers(const Elements& e, hid_t type, const Read& read, const std::string& name) const {
    std::vector<T> values(size_t(e.shape.size()));
    require(values.empty() || read(type, values.data()) >= 0, name);
    return values;
  }
  template <class Read>
  std::vector<std::string> strings(const Elements& e, const Read& read, const std::string& name) const;
};

template <class Read>
std::vector<std::string> Hdf5File::State::strings(const Elements& e, const Read& read, const std::string& name) const {
  const size_t count = size_t(e.shape.size());
  std::vector<std::string> out(count);
  if (count == 0) return out;
  if (H5Tis_variable_str(e.type) > 0) {
    std::vector<char*> pointers(count);
    const bool good = read(e.type, pointers.data()) >= 0;
    for (size_t i = 0; i < count; ++i) {
      if (pointers[i]) out[i] = pointers[i];
      H5free_memory(pointers[i]);
    }
    require(good, name);
    return out;
  }
  const size_t width = H5Tget_size(e.type);
  std::string bytes(count * width, '\0');
  require(read(e.type, bytes.data()) >= 0, name);
  const bool spaces = H5Tget_strpad(e.type) == H5T_STR_SPACEPAD;
  for (size_t i = 0; i < count; ++i) {
    std::string s = bytes.substr(i * width, width);
    if (spaces) s.erase(s.find_last_not_of(' ') + 1);
    else s.resize(::strnlen(s.data(), width));
    out[i] = std::move(s);
  }
  return out;
}

Hdf5File::Hdf5File(const std::string& path) {
  Descriptor fd = open_for_reading(path);
  const std::string sum = hdf5::verify(fd, path);
  const bool ours = !sum.empty(), small = size_of_file(fd, path) <= hdf5::kCopied;
  if (!ours || (small && !hdf5::is_trusted(sum))) {
    const TemporaryDirectory folder(small && ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "");
    hdf5::copy_foreign(fd, path, folder / "copy.h5");
    fd = open_for_reading(folder / "copy.h5");
    CHECK(!hdf5::verify(fd, path).empty(), path, ": its copy is no file of ours");
  } else if (!hdf5::is_trusted(sum)) {
    hdf5::rehearse(fd, path);
    hdf5::trust(sum);
  }
  state_ = std::make_shared<State>(std::move(fd), path);
}

Hdf5File Hdf5File::unchecked(Descriptor fd, const std::string& path) {
  return Hdf5File(std::make_shared<const State>(std::move(fd), path));
}

const std::string& Hdf5File::path() const { return state_->path; }

bool Hdf5File::is_group(const std::string& path) const {
  const Session session;
  return state_->is(path, H5I_GROUP);
}

bool Hdf5File::is_dataset(const std::string& path) const {
  const Session session;
  return state_->is(path, H5I_DATASET);
}

std::vector<std::string> Hdf5File::list(const std::string& path) const {
  const Session session;
  const Handle group = state_->open(path);
  check_input(H5Iget_type(group) == H5I_GROUP, state_->path, ": ", path, " is not a group");
  std::vector<std::string> names;
  const auto visit = [](hid_t, const char* name, const H5L_info_t* link, void* out) -> herr_t {
    if (link->type == H5L_TYPE_HARD) static_cast<std::vector<std::string>*>(out)->push_back(name);
    return 0;
  };
  state_->require(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &names) >= 0, path);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Hdf5File::datasets(const std::string& group) const {
  check_input(std::count(group.begin(), group.end(), '/') < 32, state_->path,
              ": more than 32 groups inside each other: ", group);
  std::vector<std::string> paths;
  for (const std::string& name : list(group)) {
    const std::string path = (group == "/" ? "" : group) + "/" + name;
    if (is_dataset(path)) paths.push_back(path);
    if (!is_group(path)) continue;
    const auto below = datasets(path);
    paths.insert(paths.end(), below.begin(), below.end());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

Shape Hdf5File::shape(const std::string& path) const {
  const Session session;
  return state_->elements_of(state_->open_dataset(path), path).shape;
}

Hdf5File::Kind Hdf5File::kind(const std::string& path) const {
  const Session session;
  switch (state_->elements_of(state_->open_dataset(path), path).content) {
    case Content::other: return Kind::other;
    case Content::string: return Kind::strings;
    case Content::i64: return Kind::ints;
    default: return Kind::tensor;
  }
}

DType Hdf5File::dtype(const std::string& path) const {
  const Session session;
  switch (state_->elements_of(state_->open_dataset(path), path).content) {
    case Content::f32: return DType::f32;
    case Content::bf16: return DType::bf16;
    case Content::f64: return DType::f64;
    case Content::i32: return DType::i32;
    default: break;
  }
  throw InputError(text(state_->path, ": ", path, " does not hold numbers of at most 64 bits, or 32 for integers"));
}

Tensor Hdf5File::read(const std::string& path) const {
  const Session session;
  const Tensor tensor = Tensor::empty(shape(path), dtype(path));
  read_into(path, tensor);
  return tensor;
}

void Hdf5File::read_into(const std::string& path, const Tensor& tensor) const {
  const Session session;
  const Shape stored = shape(path);
  check_input(stored == tensor.shape() && dtype(path) == tensor.dtype(), state_->path, ": ", path, " is a tensor ",
              stored, " of ", name_of(dtype(path)), "; expected ", tensor.shape(), " of ", name_of(tensor.dtype()));
  if (stored.size() == 0) return;
  const Handle set = state_->open_dataset(path);
  const hid_t type = hdf5::type_of(tensor.dtype());
  state_->require(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.raw()) >= 0, path);
}

std::vector<int64_t> Hdf5File::read_ints(const std::string& path) const {
  const Session session;
  const Handle set = state_->open_dataset(path);
  const auto e = state_->elements_of(set, path);
  check_input(e.content == Content::i32 || e.content == Content::i64, state_->path, ": ", path,
              " does not hold integers");
  const auto read = [&](hid_t type, void* to) { return H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to); };
  return state_->numbers<int64_t>(e, H5T_STD_I64LE, read, path);
}

std::vector<std::string> Hdf5File::read_strings(const std::string& path) const {
  const Session session;
  const Handle set = state_->open_dataset(path);
  const auto e = state_->elements_of(set, path);
  check_input(e.content == Content::string, state_->path, ": ", path, " does not hold strings");
  const auto read = [&](hid_t type, void* to) { return H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to); };
  return state_->strings(e, read, path);
}

std::vector<std::string> Hdf5File::attributes(const std::string& path) const {
  const Session session;
  std::vector<std::string> names;
  const auto visit = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->push_back(name);
    return 0;
  };
  state_->require(H5Aiterate2(state_->open(path), H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &names) >= 0, path);
  std::sort(names.begin(), names.end());
  return names;
}

bool Hdf5File::has_attribute(const std::string& path, const std::string& name) const {
  const Session session;
  return H5Aexists(state_->open(path), name.c_str()) > 0;
}

Hdf5Value Hdf5File::value(const std::string& path, const std::string& name) const {
  const Session session;
  const Handle object = state_->open(path);
  const std::string where = path + ", attribute " + name;
  check_input(H5Aexists(object, name.c_str()) > 0, state_->path, ": ", path, " has no attribute \"", name, '"');
  const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  state_->require(attribute >= 0, where);
  const auto e = state_->elements({H5Aget_type(attribute), H5Tclose}, {H5Aget_space(attribute), H5Sclose}, where);
  const auto read = [&](hid_t type, void* to) { return H5Aread(attribute, type, to); };
  const auto result = [&](auto values) {
    return e.single ? Hdf5Value(std::move(values[0])) : Hdf5Value(std::move(values));
  };
  switch (e.content) {
    case Content::i32:
    case Content::i64: return result(state_->numbers<int64_t>(e, H5T_STD_I64LE, read, where));
    case Content::bf16:
    case Content::f32:
    case Content::f64: return result(state_->numbers<double>(e, H5T_IEEE_F64LE, read, where));
    case Content::string: return result(state_->strings(e, read, where));
    case Content::other: break;
  }
  throw InputError(text(state_->path, ": ", where, " holds neither numbers nor strings"));
}

void Hdf5File::fail_attribute(const std::string& path, const std::string& name, const Hdf5Value& found,
                              const Hdf5Value& wanted) const {
  constexpr const char* kinds[] = {"an integer", "a number", "a string", "integers", "numbers", "strings"};
  throw InputError(text(state_->path, ": ", path, ", attribute ", name, " holds ", kinds[found.index()], "; expected ",
                        kinds[wanted.index()]));
}

}  // namespace cambium
