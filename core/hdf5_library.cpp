// The HDF5 C library, tamed: its errors as ours, its bytes through a descriptor.
#include "core/hdf5_library.h"

#include <sys/stat.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/error.h"

static_assert(std::endian::native == std::endian::little);

namespace cambium::hdf5 {
namespace {

// The library's view of an open file: H5FD_t comes first, as it demands.
struct DriverFile {
  H5FD_t base;
  Io io;
  haddr_t allocated, size;  // in bytes: of the library's address space, of the file
};

DriverFile& of(H5FD_t* file) { return *reinterpret_cast<DriverFile*>(file); }
const DriverFile& of(const H5FD_t* file) { return *reinterpret_cast<const DriverFile*>(file); }

H5FD_t* driver_open(const char*, unsigned, hid_t access, haddr_t) {
  const auto* io = static_cast<const Io*>(H5Pget_driver_info(access));
  struct stat status;
  if (!io || ::fstat(io->fd, &status) != 0) return nullptr;
  auto* file = static_cast<DriverFile*>(std::calloc(1, sizeof(DriverFile)));
  if (!file) return nullptr;
  file->io = *io;
  file->size = haddr_t(status.st_size);
  return &file->base;
}

herr_t driver_close(H5FD_t* file) {
  std::free(file);
  return 0;
}

int driver_compare(const H5FD_t* a, const H5FD_t* b) { return of(a).io.fd - of(b).io.fd; }

herr_t driver_query(const H5FD_t*, unsigned long* flags) {
  if (flags)
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t driver_allocated(const H5FD_t* file, H5FD_mem_t) { return of(file).allocated; }
haddr_t driver_size(const H5FD_t* file, H5FD_mem_t) { return of(file).size; }

herr_t driver_allocate(H5FD_t* file, H5FD_mem_t, haddr_t end) {
  of(file).allocated = end;
  return 0;
}

// What lies beyond the end of the file reads as zeros: space that was allocated and never written.
herr_t driver_read(H5FD_t* base, H5FD_mem_t, hid_t, haddr_t address, size_t count, void* buffer) {
  auto* to = static_cast<char*>(buffer);
  while (count > 0) {
    const ssize_t n = ::pread(of(base).io.fd, to, count, off_t(address));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) {
      std::memset(to, 0, count);
      return 0;
    }
    to += n, address += haddr_t(n), count -= size_t(n);
  }
  return 0;
}

herr_t driver_write(H5FD_t* base, H5FD_mem_t, hid_t, haddr_t address, size_t count, const void* buffer) {
  DriverFile& file = of(base);
  if (!file.io.error) return -1;
  auto* from = static_cast<const char*>(buffer);
  file.size = std::max(file.size, address + count);
  while (count > 0 && *file.io.error == 0) {
    const ssize_t n = ::pwrite(file.io.fd, from, count, off_t(address));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      *file.io.error = n < 0 ? errno : ENOSPC;
      break;
    }
    from += n, address += haddr_t(n), count -= size_t(n);
  }
  return 0;
}

herr_t driver_truncate(H5FD_t* base, hid_t, hbool_t) {
  DriverFile& file = of(base);
  if (file.size == file.allocated || !file.io.error || *file.io.error) return 0;
  if (::ftruncate(file.io.fd, off_t(file.allocated)) != 0) *file.io.error = errno;
  file.size = file.allocated;
  return 0;
}

hid_t driver() {
  static const H5FD_class_t description = [] {
    H5FD_class_t d{};
#if H5_VERSION_GE(1, 13, 0)
    d.version = H5FD_CLASS_VERSION;
    d.value = H5FD_class_value_t(600);  // free for private use
#endif
    d.name = "descriptor";
    d.maxaddr = haddr_t(1) << 62;
    d.fc_degree = H5F_CLOSE_STRONG;
    d.fapl_size = sizeof(Io);
    d.open = driver_open;
    d.close = driver_close;
    d.cmp = driver_compare;
    d.query = driver_query;
    d.get_eoa = driver_allocated;
    d.set_eoa = driver_allocate;
    d.get_eof = driver_size;
    d.read = driver_read;
    d.write = driver_write;
    d.truncate = driver_truncate;
    constexpr H5FD_mem_t map[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(map), std::end(map), d.fl_map);
    return d;
  }();
  static const hid_t id = H5FDregister(&description);
  return id;
}

Handle access_through(const Io& io) {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_driver(access, driver(), &io);
  // Since 1.8 metadata carry checksums and attributes may be large.
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V110);
  return access;
}

}  // namespace

bool Session::one_thread_ = false;

Session::Session() {
  static std::recursive_mutex mutex;
  if (!one_thread_) lock_ = std::unique_lock(mutex);
  thread_local bool silent = false;
  if (!silent) H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // a setting of each thread
  silent = true;
  // Files must not make the library load code.
  static const herr_t no_plugins = H5PLset_loading_state(0);
  (void)no_plugins;
}

std::string reason() {
  std::string text;
  const auto visit = [](unsigned, const H5E_error2_t* e, void* out) -> herr_t {
    if (e->desc && *e->desc) *static_cast<std::string*>(out) = e->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, visit, &text);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.empty() ? "no reason given" : text;
}

Handle create_file(const Io& io, int64_t user_block) {
  const Handle access = access_through(io), creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_userblock(creation, hsize_t(user_block));
  H5Pset_obj_track_times(creation, false);
  return {H5Fcreate("file", H5F_ACC_TRUNC, creation, access), H5Fclose};
}

Handle open_file(const Io& io) { return {H5Fopen("file", H5F_ACC_RDONLY, access_through(io)), H5Fclose}; }

hid_t bfloat16_type() {
  static const hid_t type = [] {
    const hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    // sign at bit 15, exponent of 8 bits from bit 7, mantissa of 7 bits from bit 0
    H5Tset_fields(t, 15, 7, 8, 0, 7);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, 127);
    H5Tlock(t);
    return t;
  }();
  return type;
}

hid_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return H5T_IEEE_F32LE;
    case DType::bf16: return bfloat16_type();
    case DType::f64: return H5T_IEEE_F64LE;
    case DType::i32: return H5T_STD_I32LE;
  }
  throw Error("HDF5: no such type");
}

Handle string_type() {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

Content content_of(hid_t stored) {
  const size_t size = H5Tget_size(stored);
  switch (H5Tget_class(stored)) {
    case H5T_FLOAT:
      if (H5Tequal(stored, bfloat16_type()) > 0) return Content::bf16;
      return size <= 4 ? Content::f32 : size <= 8 ? Content::f64 : Content::other;
    case H5T_INTEGER: {
      const bool with_sign = H5Tget_sign(stored) == H5T_SGN_2;
      if (size < 4 || (size == 4 && with_sign)) return Content::i32;
      return size < 8 || (size == 8 && with_sign) ? Content::i64 : Content::other;
    }
    case H5T_STRING: return Content::string;
    default: return Content::other;
  }
}

}  // namespace cambium::hdf5
