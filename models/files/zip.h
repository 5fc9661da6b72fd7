// Zip archives (Python wheels are some), by libzip.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/sha256.h"

namespace cambium {

class ZipFile {
 public:
  // InputError for what is no archive, and for one with names that lead out of a folder (absolute,
  // or with ..).
  explicit ZipFile(const std::string& path);

  const std::vector<std::string>& names() const { return names_; }
  // Unpacks one file, whole or not at all; its length and CRC-32 are compared. InputError if it is
  // not there, damaged, or larger than `limit` bytes.
  void extract(const std::string& name, const std::string& to, int64_t limit, const ByteProgress& progress = {}) const;
  // The bytes of a small one, with the same checks.
  std::string read(const std::string& name, int64_t limit) const;

 private:
  void unpack(const std::string& name, int64_t limit, const std::function<void(std::string_view)>& block,
              const ByteProgress&) const;

  std::string path_;
  std::shared_ptr<void> archive_;
  std::vector<std::string> names_;
};

}  // namespace cambium
