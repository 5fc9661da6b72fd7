// The way back from tokens to text.
#include "models/tokenizers/decoders.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "models/tokenizers/byte_alphabet.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

std::string replaced(const std::string& text, std::string_view from, std::string_view to, size_t most = SIZE_MAX) {
  std::string out;
  size_t done = 0;
  for (size_t at; (at = text.find(from, done)) != std::string::npos; done = at + from.size()) {
    out.append(text, done, at - done).append(to);
    check_input(out.size() <= most, "the decoder Replace makes more than ", most, " bytes of one text");
  }
  return done ? out.append(text, done) : text;
}

std::string joined(const std::vector<std::string>& tokens) {
  return std::accumulate(tokens.begin(), tokens.end(), std::string());
}

// The byte of "<0xNN>", or -1.
int byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char digit : token.substr(3, 2)) {
    const size_t at = std::string_view("0123456789ABCDEFabcdef").find(digit);
    if (at == std::string_view::npos) return -1;
    value = 16 * value + int(at < 16 ? at : at - 6);
  }
  return value;
}

}  // namespace

size_t decoded_size(const std::vector<std::string>& tokens) {
  size_t size = tokens.size();
  for (const std::string& token : tokens) size += token.size();
  return size;
}

size_t longest_decoded(const std::vector<std::string>& tokens) { return (size_t(1) << 20) + 64 * decoded_size(tokens); }

Decoder byte_level_decoder() {
  return [](std::vector<std::string>& tokens) {
    for (std::string& token : tokens)
      if (auto bytes = bytes_of_spelling(token)) token = std::move(*bytes);
  };
}

std::string cleaned_up(std::string text) {
  static constexpr std::pair<const char*, const char*> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) text = replaced(text, from, to);
  return text;
}

Decoder wordpiece_decoder(const std::string& prefix, bool cleanup) {
  return [=](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i && !prefix.empty() && token.starts_with(prefix)) token.erase(0, prefix.size());
      else if (i) token.insert(token.begin(), ' ');
      // The library's rules, token by token, and two more than transformers has.
      if (cleanup) {
        for (const auto& [from, to] : {std::pair(" .", "."),
                                       {" ?", "?"},
                                       {" !", "!"},
                                       {" ,", ","},
                                       {" ' ", "'"},
                                       {" n't", "n't"},
                                       {" 'm", "'m"},
                                       {" do not", " don't"},
                                       {" 's", "'s"},
                                       {" 've", "'ve"},
                                       {" 're", "'re"}})
          token = replaced(token, from, to);
      }
    }
  };
}

Decoder metaspace_decoder(const std::string& replacement, Prepend prepend) {
  return [=](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string out;
      const std::string& token = tokens[i];
      for (size_t at = 0; at < token.size();) {
        if (std::string_view(token).substr(at).starts_with(replacement)) {
          if (i || prepend == Prepend::never) out += ' ';
          at += replacement.size();
        } else {
          out += token[at++];
        }
      }
      tokens[i] = std::move(out);
    }
  };
}

Decoder replace_decoder(const std::string& from, const std::string& to) {
  check_input(!from.empty(), "the decoder Replace has an empty pattern");
  return [=](std::vector<std::string>& tokens) {
    size_t most = longest_decoded(tokens);  // of those that are left
    for (std::string& token : tokens) {
      token = replaced(token, from, to, most);
      most -= std::min(most, token.size());
    }
  };
}

Decoder byte_fallback_decoder() {
  return [](std::vector<std::string>& tokens) {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (!bytes.empty() && is_utf8(bytes)) out.push_back(bytes);
      else
        for (size_t i = 0; i < bytes.size(); ++i) out.emplace_back(kReplacement);
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes += char(uint8_t(byte));
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  };
}

Decoder fuse_decoder() {
  return [](std::vector<std::string>& tokens) { tokens = {joined(tokens)}; };
}

Decoder strip_decoder(const std::string& content, size_t start, size_t stop) {
  check_input(!content.empty(), "the decoder Strip has an empty content");
  return [=](std::vector<std::string>& tokens) {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (size_t i = 0; i < start && rest.starts_with(content); ++i) rest.remove_prefix(content.size());
      for (size_t i = 0; i < stop && rest.ends_with(content); ++i) rest.remove_suffix(content.size());
      if (rest.size() < token.size()) token = std::string(rest);
    }
  };
}

}  // namespace cambium
