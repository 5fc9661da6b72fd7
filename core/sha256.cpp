// SHA-256, by libcrypto.
#include "core/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <vector>

#include "core/files.h"

namespace cambium {
namespace {

EVP_MD_CTX* evp(const std::unique_ptr<void, void (*)(void*)>& context) {
  return static_cast<EVP_MD_CTX*>(context.get());
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new(), [](void* c) { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(c)); }) {
  CHECK(context_ && EVP_DigestInit_ex(evp(context_), EVP_sha256(), nullptr) == 1,
        "SHA-256: libcrypto cannot compute it");
}

void Sha256::update(const void* bytes, size_t count) {
  CHECK(EVP_DigestUpdate(evp(context_), bytes, count) == 1, "SHA-256: libcrypto failed");
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest;
  CHECK(EVP_DigestFinal_ex(evp(context_), digest.data(), nullptr) == 1, "SHA-256: libcrypto failed");
  return digest;
}

std::string hex(const Sha256Digest& digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : digest) out += {digits[byte >> 4], digits[byte & 15]};
  return out;
}

Sha256Digest sha256_of_file(const Descriptor& fd, const std::string& path, int64_t offset,
                            const ByteProgress& progress) {
  const int64_t total = size_of_file(fd, path) - offset;
  std::vector<char> block(size_t(1) << 20);
  Sha256 sum;
  for (int64_t done = 0; done < total;) {
    const size_t count = size_t(std::min<int64_t>(int64_t(block.size()), total - done));
    read_exactly(fd, block.data(), count, offset + done, path);
    sum.update(block.data(), count);
    done += int64_t(count);
    if (progress && (done == total || done % (int64_t(8) << 20) == 0)) progress(done, total);
  }
  return sum.finish();
}

Sha256Digest sha256_of_file(const std::string& path, int64_t offset, const ByteProgress& progress) {
  return sha256_of_file(open_for_reading(path), path, offset, progress);
}

}  // namespace cambium
