// Writing HDF5 files.
#include <algorithm>
#include <cerrno>

#include "core/hdf5.h"
#include "core/hdf5_library.h"
#include "core/sha256.h"

namespace cambium {

using hdf5::Handle;
using hdf5::Session;

namespace {

Handle space_of(std::span<const hsize_t> dims) {
  return {H5Screate_simple(int(dims.size()), dims.data(), nullptr), H5Sclose};
}

Handle scalar_space() { return {H5Screate(H5S_SCALAR), H5Sclose}; }

Handle space_of(const Shape& shape) {
  if (shape.rank() == 0) return scalar_space();
  return space_of(std::vector<hsize_t>(shape.begin(), shape.end()));
}

Handle space_of_list(size_t count) { return space_of(std::vector<hsize_t>{count}); }

// Without times, so that equal content gives equal bytes.
Handle plain(hid_t property_class) {
  Handle properties(H5Pcreate(property_class), H5Pclose);
  H5Pset_obj_track_times(properties, false);
  return properties;
}

// Chunks of about 2^18 elements, whole rows where rows are short.
void compress(hid_t properties, const Shape& shape, int level) {
  std::vector<hsize_t> chunk(shape.begin(), shape.end());
  hsize_t room = hsize_t(1) << 18;
  for (size_t i = chunk.size(); i-- > 0; room = std::max<hsize_t>(room / chunk[i], 1))
    chunk[i] = std::min(chunk[i], room);
  H5Pset_chunk(properties, int(chunk.size()), chunk.data());
  H5Pset_deflate(properties, unsigned(level));
}

std::vector<const char*> pointers(std::span<const std::string> strings, const std::string& where) {
  std::vector<const char*> out;
  for (const std::string& s : strings) {
    CHECK(s.find('\0') == s.npos, where, ": string ", out.size(), " has a NUL character");
    out.push_back(s.c_str());
  }
  return out;
}

}  // namespace

struct Hdf5Writer::State {
  AtomicFile file;
  std::shared_ptr<int> error = std::make_shared<int>(0);  // the first failed write's errno
  Handle h5;

  explicit State(const std::string& path) : file(path) {
    const Session session;
    h5 = hdf5::create_file({file.descriptor().get(), error.get()}, hdf5::kBlock);
    require(h5 >= 0, "the file");
  }
  ~State() {
    const Session session;
    if (h5.close()) return;
    // The library keeps what it cannot close, and tries again when the program ends: by then the
    // descriptor is another file's, so it must not write, and must find `error` where it was.
    static auto* const kept = new std::vector<std::shared_ptr<int>>;
    if (*error == 0) *error = EIO;
    kept->push_back(error);
  }

  void require(bool good, const std::string& what) const {
    CHECK(*error == 0, file.path(), ": cannot be written: ", system_reason(*error));
    CHECK(good, file.path(), ": ", what, " cannot be written: ", hdf5::reason());
  }

  // Creates the groups that `path` names, all but the last part unless `whole`.
  void make_groups(const std::string& path, bool whole) {
    for (size_t end = path.find('/', 1); end != path.npos || whole; end = path.find('/', end + 1)) {
      const std::string part = path.substr(0, end);
      if (!part.empty() && part != "/" && H5Lexists(h5, part.c_str(), H5P_DEFAULT) <= 0) {
        const Handle group(H5Gcreate2(h5, part.c_str(), H5P_DEFAULT, plain(H5P_GROUP_CREATE), H5P_DEFAULT), H5Gclose);
        require(group >= 0, part);
      }
      if (end == path.npos) break;
    }
  }

  void dataset(const std::string& path, hid_t type, const Handle& space, hid_t properties, const void* data,
               bool empty) {
    make_groups(path, false);
    const Handle set(H5Dcreate2(h5, path.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
    require(set >= 0, path);
    require(empty || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0, path);
  }
};

Hdf5Writer::Hdf5Writer(const std::string& path) : state_(std::make_unique<State>(path)) {}
Hdf5Writer::~Hdf5Writer() = default;

void Hdf5Writer::group(const std::string& path) {
  const Session session;
  state_->make_groups(path, true);
}

void Hdf5Writer::write(const std::string& path, const Tensor& tensor, int gzip) {
  const Session session;
  const Tensor host = tensor.to(Device::cpu());
  const Handle properties = plain(H5P_DATASET_CREATE);
  if (gzip && host.size() && host.shape().rank()) compress(properties, host.shape(), gzip);
  state_->dataset(path, hdf5::type_of(host.dtype()), space_of(host.shape()), properties,
                  host.size() ? host.raw() : nullptr, host.size() == 0);
}

void Hdf5Writer::write(const std::string& path, std::span<const int64_t> values) {
  const Session session;
  state_->dataset(path, H5T_STD_I64LE, space_of_list(values.size()), plain(H5P_DATASET_CREATE), values.data(),
                  values.empty());
}

void Hdf5Writer::write(const std::string& path, std::span<const std::string> values) {
  const Session session;
  const auto list = pointers(values, path);
  state_->dataset(path, hdf5::string_type(), space_of_list(list.size()), plain(H5P_DATASET_CREATE), list.data(),
                  list.empty());
}

void Hdf5Writer::attribute(const std::string& path, const std::string& name, const Hdf5Value& value) {
  const Session session;
  const std::string where = path + ", attribute " + name;
  const auto put = [&](hid_t type, const Handle& space, const void* data, size_t count) {
    const Handle object(H5Oopen(state_->h5, path.c_str(), H5P_DEFAULT), H5Oclose);
    const Handle attribute(object < 0 ? -1 : H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose);
    state_->require(attribute >= 0, where);
    state_->require(count == 0 || H5Awrite(attribute, type, data) >= 0, where);
  };
  const auto put_value = [&]<class T>(const T& v) {
    if constexpr (std::is_same_v<T, int64_t>) put(H5T_STD_I64LE, scalar_space(), &v, 1);
    else if constexpr (std::is_same_v<T, double>) put(H5T_IEEE_F64LE, scalar_space(), &v, 1);
    else if constexpr (std::is_same_v<T, std::string>)
      put(hdf5::string_type(), scalar_space(), pointers({&v, 1}, where).data(), 1);
    else if constexpr (std::is_same_v<T, std::vector<int64_t>>)
      put(H5T_STD_I64LE, space_of_list(v.size()), v.data(), v.size());
    else if constexpr (std::is_same_v<T, std::vector<double>>)
      put(H5T_IEEE_F64LE, space_of_list(v.size()), v.data(), v.size());
    else put(hdf5::string_type(), space_of_list(v.size()), pointers(v, where).data(), v.size());
  };
  std::visit(put_value, value);
}

void Hdf5Writer::commit() {
  const Session session;
  state_->require(state_->h5.close(), "the file");
  AtomicFile& file = state_->file;
  const int64_t length = size_of_file(file.descriptor(), file.path()) - hdf5::kBlock;
  const std::string sum = hex(sha256_of_file(file.descriptor(), file.path(), hdf5::kBlock));
  const std::string block = hdf5::user_block(length, sum);
  file.write_at(block.data(), block.size(), 0);
  file.commit();
  hdf5::trust(sum);
}

}  // namespace cambium
