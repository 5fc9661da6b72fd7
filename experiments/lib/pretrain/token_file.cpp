#include "experiments/lib/pretrain/token_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/csv.h"
#include "core/progress.h"
#include "core/sha256.h"

namespace cambium {
namespace {

constexpr std::string_view kMagic = "CAMTOK1\n";
constexpr size_t kHeader = 64, kHashed = 32, kHash = 32;  // the header ends in the hash

template <class T>
T number_at(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::string hash_of(std::string_view bytes) {
  Sha256 sum;
  sum.update(bytes);
  return hex(sum.finish());
}

std::string hash_of(const void* header, const void* tokens, size_t count) {
  Sha256 sum;
  sum.update(header, kHashed);
  sum.update(tokens, count);
  return hex(sum.finish());
}

// What tokens depend on besides the text.
std::string identity_of(const Tokenizer& tokenizer, int32_t end) {
  Sha256 sum;
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) sum.update(tokenizer.token(id) + "\n");
  for (const int32_t id : tokenizer.encode("Don't stop: A naïve test,  12345 times!", true)) sum.update(text(id, " "));
  sum.update(text("end ", end));
  return hex(sum.finish());
}

// Calls f(piece) for the text's pieces, each with the empty lines behind it.
void for_each_piece(std::string_view contents, const std::function<void(std::string_view)>& f) {
  for (size_t at = 0; at < contents.size();) {
    size_t end = contents.find("\n\n", at);
    while (end < contents.size() && contents[end] == '\n') ++end;
    end = std::min(end, contents.size());
    f(contents.substr(at, end - at));
    at = end;
  }
}

}  // namespace

TokenFile::TokenFile(const std::string& path) : file_(path) {
  const uint8_t* bytes = file_.data();
  check_input(file_.size() >= kHeader && std::memcmp(bytes, kMagic.data(), kMagic.size()) == 0, path,
              " is no token file");
  width_ = number_at<uint32_t>(bytes + 8);
  vocabulary_ = number_at<int64_t>(bytes + 16);
  size_ = number_at<int64_t>(bytes + 24);
  check_input((width_ == 2 || width_ == 4) && number_at<uint32_t>(bytes + 12) == 0 && vocabulary_ > 0 && size_ >= 0,
              path, ": a damaged header (", width_, " bytes a token, vocabulary ", vocabulary_, ", ", size_,
              " tokens)");
  const int64_t room = int64_t(file_.size() - kHeader);
  check_input(size_ <= room / width_ && size_ * width_ == room, path, ": ", size_, " tokens of ", width_,
              " bytes are announced, ", room, " bytes are there");
  hash_ = hash_of(bytes, bytes + kHeader, size_t(room));
  Sha256Digest stored;
  std::memcpy(stored.data(), bytes + kHashed, kHash);
  check_input(hash_ == hex(stored), path,
              ": its bytes do not have the SHA-256 that it names; remove it, and it is made again");
}

void TokenFile::append_to(std::vector<int32_t>& tokens, int64_t begin, int64_t end) const {
  CHECK(begin >= 0 && begin <= end && end <= size_, path(), ": tokens ", begin, " to ", end, " of ", size_);
  const uint8_t* bytes = file_.data() + kHeader;
  for (int64_t i = begin; i < end; ++i)
    tokens.push_back(width_ == 2 ? int32_t(number_at<uint16_t>(bytes + i * 2)) : number_at<int32_t>(bytes + i * 4));
}

void TokenFile::write(const std::string& path, const std::vector<int32_t>& tokens, int64_t vocabulary) {
  const uint32_t width = vocabulary <= 65536 ? 2 : 4, zero = 0;
  std::string body(tokens.size() * width, '\0');
  for (size_t i = 0; i < tokens.size(); ++i) {
    CHECK(tokens[i] >= 0 && tokens[i] < vocabulary, path, ": token ", tokens[i], " of a vocabulary of ", vocabulary);
    const uint32_t id = uint32_t(tokens[i]);
    std::memcpy(body.data() + i * width, &id, width);
  }
  const int64_t count = int64_t(tokens.size());
  std::string header(kHeader, '\0');
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  std::memcpy(header.data() + 8, &width, 4), std::memcpy(header.data() + 12, &zero, 4);
  std::memcpy(header.data() + 16, &vocabulary, 8), std::memcpy(header.data() + 24, &count, 8);
  Sha256 sum;
  sum.update(header.data(), kHashed);
  sum.update(body);
  const Sha256Digest digest = sum.finish();
  std::memcpy(header.data() + kHashed, digest.data(), kHash);
  AtomicFile file(path);
  file.write(header);
  file.write(body);
  file.commit();
}

std::string tokenized(const std::string& text_file, const std::string& folder, const Tokenizer& tokenizer,
                      int64_t vocabulary, int32_t end) {
  std::string contents = read_data_file(text_file, int64_t(8) << 30);
  const std::string key = hash_of(text(hash_of(contents), identity_of(tokenizer, end), " ", vocabulary));
  make_directories(folder);
  const std::string path =
      text(folder, "/", std::filesystem::path(text_file).stem().string(), ".", key.substr(0, 16), ".tokens");
  if (file_exists(path)) return path;
  if (contents.starts_with("\xef\xbb\xbf")) contents.erase(0, 3);
  std::erase(contents, '\r');
  std::vector<int32_t> tokens;
  Progress progress(text("tokenising ", std::filesystem::path(text_file).filename().string()), int64_t(contents.size()),
                    Progress::Unit::bytes);
  for_each_piece(contents, [&](std::string_view piece) {
    const std::vector<int32_t> ids = tokenizer.encode(piece, false);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    progress.add(int64_t(piece.size()));
  });
  check_input(!tokens.empty(), text_file, " has no text");
  if (end >= 0) tokens.push_back(end);
  TokenFile::write(path, tokens, vocabulary);
  return path;
}

TokenBlocks::TokenBlocks(const std::vector<std::string>& token_files, int64_t length) : length_(length) {
  check_input(length >= 2, "blocks of ", length, " tokens are too short to learn from");
  for (const std::string& path : token_files) {
    files_.emplace_back(path);
    begin_.push_back(tokens_);
    tokens_ += files_.back().size();
    check_input(files_.back().vocabulary() == files_.front().vocabulary(), path, " is for a vocabulary of ",
                files_.back().vocabulary(), ", ", files_.front().path(), " for one of ", files_.front().vocabulary());
  }
  check_input(tokens_ > 0, "there are no tokens to learn from");
}

Sequence TokenBlocks::operator[](int64_t block) const {
  const int64_t begin = block * length_, end = std::min(tokens_, begin + length_);
  CHECK(block >= 0 && begin < end, "block ", block, " of ", size());
  Sequence s;
  s.index = block;
  size_t file = size_t(std::upper_bound(begin_.begin(), begin_.end(), begin) - begin_.begin()) - 1;
  for (int64_t at = begin; at < end; ++file) {
    const int64_t stop = std::min(end, begin_[file] + files_[file].size());
    if (at < stop) files_[file].append_to(s.ids, at - begin_[file], stop - begin_[file]);
    at = std::max(at, stop);
  }
  return s;
}

std::string TokenBlocks::hash() const {
  std::string all = text("blocks of ", length_);
  for (const TokenFile& f : files_) all += " " + f.hash();
  return hash_of(all);
}

Examples examples_of(const TokenBlocks& blocks, int64_t begin, int64_t end) {
  return {end - begin, [&blocks, begin](int64_t number) { return blocks[begin + number]; },
          hash_of(text(blocks.hash(), " ", begin, " ", end))};
}

}  // namespace cambium
