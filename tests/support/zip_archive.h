// Zip archives of uncompressed files, for tests of what reads them. (PKWARE's APPNOTE.TXT,
// sections 4.3.7, 4.3.12, 4.3.16)
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cambium::testing {

inline std::string little_endian(uint32_t value, int bytes) {
  std::string s;
  for (int i = 0; i < bytes; ++i) s += i < 4 ? char(value >> 8 * i & 0xff) : char(0);
  return s;
}

inline uint32_t crc32_of(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= uint8_t(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// Names with contents, in this order.
inline std::string zip_archive(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string all, directory;
  for (const auto& [name, bytes] : files) {
    const std::string header = little_endian(10, 2) + little_endian(0, 8) + little_endian(crc32_of(bytes), 4) +
                               little_endian(uint32_t(bytes.size()), 4) + little_endian(uint32_t(bytes.size()), 4) +
                               little_endian(uint32_t(name.size()), 2) + little_endian(0, 2);
    directory += "PK\x01\x02" + little_endian(10, 2) + header + little_endian(0, 10) +
                 little_endian(uint32_t(all.size()), 4) + name;
    all += "PK\x03\x04" + header + name + bytes;
  }
  const uint32_t begin = uint32_t(all.size()), count = uint32_t(files.size());
  return all + directory + "PK\x05\x06" + little_endian(0, 4) + little_endian(count, 2) + little_endian(count, 2) +
         little_endian(uint32_t(directory.size()), 4) + little_endian(begin, 4) + little_endian(0, 2);
}

}  // namespace cambium::testing
