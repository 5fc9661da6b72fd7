// Tokens by id and ids by token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"

namespace cambium {

// A word's token: its id and its bytes [begin, end) in the word.
struct WordToken {
  int32_t id;
  uint32_t begin, end;
};

class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  // A token that comes twice is an InputError.
  explicit Vocabulary(std::vector<std::string> tokens) {
    ids_.reserve(tokens.size());
    for (std::string& token : tokens) add(std::move(token));
  }

  // The id of a new token.
  int32_t add(std::string token) {
    const auto [entry, fresh] = ids_.emplace(std::move(token), int32_t(tokens_.size()));
    check_input(fresh, "the token \"", entry->first, "\" has two ids, ", entry->second, " and ", tokens_.size());
    tokens_.push_back(&entry->first);
    return entry->second;
  }

  std::optional<int32_t> find(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::string& token(int32_t id) const { return *tokens_[size_t(id)]; }
  size_t size() const { return tokens_.size(); }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::vector<const std::string*> tokens_;  // keys of ids_, which do not move
};

}  // namespace cambium
