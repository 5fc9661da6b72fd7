// SHA-256 (FIPS 180-4), by libcrypto.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace cambium {

using Sha256Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  void update(const void* bytes, size_t count);
  void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }
  // Ends the sum; once.
  Sha256Digest finish();

 private:
  std::unique_ptr<void, void (*)(void*)> context_;  // EVP_MD_CTX
};

// 64 lower-case digits.
std::string hex(const Sha256Digest&);

// Bytes done and bytes in all, called every few megabytes.
using ByteProgress = std::function<void(int64_t done, int64_t total)>;

// The sum of a file's bytes from `offset` to its end.
Sha256Digest sha256_of_file(const std::string& path, int64_t offset = 0, const ByteProgress& progress = {});

class Descriptor;
Sha256Digest sha256_of_file(const Descriptor&, const std::string& path, int64_t offset = 0,
                            const ByteProgress& progress = {});

}  // namespace cambium
