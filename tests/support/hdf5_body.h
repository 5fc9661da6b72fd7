// HDF5 files that look like ours, whatever their body is, and reading all that a file holds.
#pragma once

#include <string>
#include <string_view>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/sha256.h"
#include "tests/support/files.h"

namespace cambium::testing {

// Writes a file of ours around a body, with a sum that fits.
inline void put_with_sum(const std::string& path, std::string_view body) {
  put_file(path, body);
  std::string block = text("cambium file: text to byte 512, then HDF5\nformat 1\nlength ", body.size(), "\nsha256 ",
                           hex(sha256_of_file(path)), "\n");
  block.resize(511, ' ');
  put_file(path, block + "\n" + std::string(body));
}

inline void read_object(const Hdf5File& file, const std::string& path) {
  for (const std::string& name : file.attributes(path)) file.value(path, name);
  if (file.is_group(path)) return;
  switch (file.kind(path)) {
    case Hdf5File::Kind::tensor: file.read(path); break;
    case Hdf5File::Kind::ints: file.read_ints(path); break;
    case Hdf5File::Kind::strings: file.read_strings(path); break;
    case Hdf5File::Kind::other: break;
  }
}

inline void read_everything(const std::string& path) {
  const Hdf5File file(path);
  read_object(file, "/");
  for (const std::string& name : file.datasets()) read_object(file, name);
}

}  // namespace cambium::testing
