// TensorBoard's event files, read back by the definition of their format.
#include "tuning/tensorboard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/support/files.h"

namespace cambium::testing {
namespace {

// The data of a file's records, with both checksums compared.
std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> out;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length = 0;
    uint32_t sums[2] = {};
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&sums[0], bytes.data() + at + 8, 4);
    out.push_back(bytes.substr(at + 12, length));
    std::memcpy(&sums[1], bytes.data() + at + 12 + length, 4);
    EXPECT_EQ(sums[0], masked_crc32c(bytes.substr(at, 8)));
    EXPECT_EQ(sums[1], masked_crc32c(out.back()));
    at += 16 + length;
  }
  return out;
}

std::string float_bytes(float value) { return {reinterpret_cast<const char*>(&value), 4}; }

// CRC-32C of "123456789" is 0xe3069283 (RFC 3720's polynomial); of 32 zeros 0x8a9136aa (RFC 3720,
// B.4).
TEST(TensorBoard, Checksum) {
  const auto masked = [](uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; };
  EXPECT_EQ(masked_crc32c("123456789"), masked(0xe3069283));
  EXPECT_EQ(masked_crc32c(std::string(32, '\0')), masked(0x8a9136aa));
}

TEST(TensorBoard, Records) {
  const TemporaryDirectory folder;
  TensorBoardWriter first(folder.path()), second(folder.path(), 300);
  first.write(300, {{"loss", 1.5}, {"lr", NAN}});
  const auto names = list_directory(folder.path());
  ASSERT_EQ(names.size(), 2u);
  EXPECT_TRUE(names[0].starts_with("events.out.tfevents."));
  const auto events = records(read_text_file(folder / names[0]));
  ASSERT_EQ(events.size(), 2u);
  // 1: time; 3: version
  EXPECT_EQ(events[0].substr(0, 1) + events[0].substr(9), std::string("\x09\x1a\x0d") + "brain.Event:2");
  // 2: step 300 = 0xac 0x02; 5: summary of two values, each 1: tag, 2: value
  const std::string loss = std::string("\x0a\x0b\x0a\x04loss\x15") + float_bytes(1.5f);
  const std::string lr = std::string("\x0a\x09\x0a\x02lr\x15") + float_bytes(NAN);
  EXPECT_EQ(events[1].substr(9), std::string("\x10\xac\x02\x2a\x18") + loss + lr);
  const auto resumed = records(read_text_file(folder / names[1]));
  ASSERT_EQ(resumed.size(), 2u);
  EXPECT_EQ(resumed[1].substr(9),
            "\x10\xad\x02\x3a\x02\x08\x01");  // step 301; 7: session, 1: started
  expect_error<InputError>([&] { TensorBoardWriter(folder / "none"); }, {"none/events", "No such file"});
}

}  // namespace
}  // namespace cambium::testing
