// Curves for TensorBoard.
#include "tuning/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace cambium {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}

// A protocol-buffer message under construction. A field starts with its number and how it is
// stored: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
class Message {
 public:
  Message& number(int field, uint64_t value) { return key(field, 0).varint(value); }
  Message& real(int field, double value) { return key(field, 1).raw(value); }
  Message& real(int field, float value) { return key(field, 5).raw(value); }
  Message& bytes(int field, std::string_view value) {
    key(field, 2).varint(value.size());
    out_ += value;
    return *this;
  }
  const std::string& str() const { return out_; }

 private:
  Message& key(int field, int kind) { return varint(uint64_t(field << 3 | kind)); }
  Message& varint(uint64_t value) {
    for (; value >= 128; value >>= 7) out_ += char((value & 127) | 128);
    out_ += char(value);
    return *this;
  }
  template <class T>
  Message& raw(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }

  std::string out_;
};

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// Event: 1 time, 2 step, 3 version, 5 summary, 7 session.
Message event(int64_t step) { return Message().real(1, now()).number(2, uint64_t(step)); }

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ uint8_t(c)) & 255];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

TensorBoardWriter::TensorBoardWriter(const std::string& directory, int64_t done) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  const std::string start = text(directory, "/events.out.tfevents.", int64_t(now()), ".", host, ".", ::getpid());
  for (int number = 0; !fd_; ++number) {
    path_ = text(start, ".", number);
    fd_ = Descriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666));
    if (!fd_ && errno != EEXIST) throw InputError(text(path_, ": cannot be written: ", system_reason(errno)));
  }
  record(Message().real(1, now()).bytes(3, "brain.Event:2").str());
  if (done > 0) record(event(done + 1).bytes(7, Message().number(1, 1).str()).str());  // session started
}

void TensorBoardWriter::write(int64_t step, std::initializer_list<std::pair<std::string_view, double>> values) {
  Message summary;
  for (const auto& [tag, value] : values) summary.bytes(1, Message().bytes(1, tag).real(2, float(value)).str());
  record(event(step).bytes(5, summary.str()).str());
}

void TensorBoardWriter::record(const std::string& data) {
  const auto bytes_of = [](const auto& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const std::string length = bytes_of(uint64_t(data.size()));
  const std::string out = length + bytes_of(masked_crc32c(length)) + data + bytes_of(masked_crc32c(data));
  for (size_t done = 0; done < out.size();) {
    const ssize_t n = ::write(fd_.get(), out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    CHECK(n > 0, path_, ": cannot be written: ", system_reason(n < 0 ? errno : ENOSPC));
    done += size_t(n);
  }
}

}  // namespace cambium
