// Which tokens a text begins with.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cambium {

// The tokens in order: those that begin like the text are a range, which shrinks with each byte.
class Prefixes {
 public:
  struct Entry {
    std::string_view token;  // of the caller, who keeps it; empty ones are never found
    int32_t id;
  };

  Prefixes() = default;
  explicit Prefixes(std::vector<Entry> entries) : sorted_(std::move(entries)) {
    std::erase_if(sorted_, [](const Entry& e) { return e.token.empty(); });
    std::stable_sort(sorted_.begin(), sorted_.end(), [](const Entry& a, const Entry& b) { return a.token < b.token; });
    for (size_t byte = 0, at = 0; byte <= 256; ++byte) {
      while (at < sorted_.size() && uint8_t(sorted_[at].token[0]) < byte) ++at;
      first_[byte] = uint32_t(at);
    }
  }

  // f(id, length) for each token that `text`, which is not empty, begins with: shortest first, equal ones as given.
  template <class F>
  void for_each(std::string_view text, const F& f) const {
    const uint8_t lead = uint8_t(text[0]);
    auto begin = sorted_.begin() + first_[lead], end = sorted_.begin() + first_[lead + 1u];
    for (size_t length = 1; begin != end; ++length) {
      // All of [begin, end) begin with the first `length` bytes of the text.
      for (; begin != end && begin->token.size() == length; ++begin) f(begin->id, length);
      if (length == text.size()) return;
      const uint8_t next = uint8_t(text[length]);
      begin = std::partition_point(begin, end, [&](const Entry& e) { return uint8_t(e.token[length]) < next; });
      end = std::partition_point(begin, end, [&](const Entry& e) { return uint8_t(e.token[length]) == next; });
    }
  }

 private:
  std::vector<Entry> sorted_;
  std::array<uint32_t, 257> first_{};  // where the tokens that begin with a byte start in sorted_
};

}  // namespace cambium
