// Zip archives, by libzip.
#include "models/files/zip.h"

#include <zip.h>

#include "core/files.h"

namespace cambium {
namespace {

zip_t* raw(const std::shared_ptr<void>& archive) { return static_cast<zip_t*>(archive.get()); }

// A relative path of plain parts.
bool stays_inside(std::string_view name) {
  if (name.empty() || name.starts_with('/') || name.find('\\') != name.npos || name.find('\0') != name.npos)
    return false;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    if (name.substr(at, end - at) == "..") return false;
    at = end + 1;
  }
  return true;
}

}  // namespace

ZipFile::ZipFile(const std::string& path) : path_(path) {
  open_for_reading(path);  // for the reason, if it cannot be read
  int code = 0;
  archive_ = std::shared_ptr<void>(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code), [](void* archive) {
    if (archive) zip_discard(static_cast<zip_t*>(archive));
  });
  if (!archive_) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    throw InputError(text(path, ": is not a sound zip archive: ", reason));
  }
  const zip_int64_t count = zip_get_num_entries(raw(archive_), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* const name = zip_get_name(raw(archive_), zip_uint64_t(i), ZIP_FL_ENC_GUESS);
    check_input(name && stays_inside(name), path,
                ": holds a file whose name leads out of its folder: ", name ? name : "");
    names_.push_back(name);
  }
}

void ZipFile::unpack(const std::string& name, int64_t limit, const std::function<void(std::string_view)>& block,
                     const ByteProgress& progress) const {
  zip_stat_t status;
  check_input(zip_stat(raw(archive_), name.c_str(), ZIP_FL_ENC_GUESS, &status) == 0, path_, ": has no ", name);
  check_input((status.valid & ZIP_STAT_SIZE) && status.size <= zip_uint64_t(limit), path_, ": ", name, " has ",
              status.size, " bytes; at most ", limit, " are unpacked");
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen_index(raw(archive_), status.index, 0),
                                                               zip_fclose);
  check_input(bool(file), path_, ": ", name, " cannot be unpacked: ", zip_strerror(raw(archive_)));
  std::vector<char> bytes(size_t(1) << 20);
  int64_t done = 0;
  while (const zip_int64_t n = zip_fread(file.get(), bytes.data(), bytes.size())) {
    check_input(n > 0, path_, ": ", name, " cannot be unpacked: ", zip_error_strerror(zip_file_get_error(file.get())));
    done += n;
    check_input(done <= int64_t(status.size), path_, ": ", name, " is longer than it claims");
    block({bytes.data(), size_t(n)});
    if (progress) progress(done, int64_t(status.size));
  }
  check_input(done == int64_t(status.size), path_, ": ", name, " ends early");
}

void ZipFile::extract(const std::string& name, const std::string& to, int64_t limit,
                      const ByteProgress& progress) const {
  std::unique_ptr<AtomicFile> out;
  const auto write = [&](std::string_view block) {
    if (!out) out = std::make_unique<AtomicFile>(to);
    out->write(block);
  };
  unpack(name, limit, write, progress);
  write({});  // an empty file is one, too
  out->commit();
}

std::string ZipFile::read(const std::string& name, int64_t limit) const {
  std::string bytes;
  unpack(name, limit, [&](std::string_view block) { bytes += block; }, {});
  return bytes;
}

}  // namespace cambium
