// A SentencePiece model is one protocol buffer (sentencepiece_model.proto): 1 pieces {1 piece, 2 score, 3 type},
// 2 trainer_spec {3 model_type, 40 unk_id}, 3 normalizer_spec {2 precompiled_charsmap}.
#include "models/tokenizers/spiece.h"

#include <cstring>

#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

// The fields of a message, one after the other.
class Message {
 public:
  explicit Message(std::string_view bytes) : bytes_(bytes) {}

  // The next field; false at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    field = int64_t(key >> 3), kind = int(key & 7);
    if (kind == 0) number = varint();
    else if (kind == 1) data = take(8);
    else if (kind == 2) data = take(varint());
    else if (kind == 5) data = take(4);
    else check_input(false, "no SentencePiece model: a field of wire type ", kind, " at byte ", at_);
    return true;
  }

  std::string_view bytes_of() const {
    check_input(kind == 2, "no SentencePiece model: field ", field, " has wire type ", kind, "; expected bytes");
    return data;
  }

  int64_t field = 0;
  int kind = 0;
  uint64_t number = 0;
  std::string_view data;

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      check_input(at_ < bytes_.size(), "the SentencePiece model is cut off at byte ", at_);
      const uint8_t byte = uint8_t(bytes_[at_++]);
      value |= uint64_t(byte & 0x7F) << shift;
      if (!(byte & 0x80)) return value;
    }
    throw InputError(text("no SentencePiece model: a number of more than 64 bits at byte ", at_));
  }
  std::string_view take(uint64_t size) {
    check_input(size <= bytes_.size() - at_, "the SentencePiece model is cut off: a field of ", size, " bytes, but ",
                bytes_.size() - at_, " are left");
    const std::string_view part = bytes_.substr(at_, size_t(size));
    at_ += size_t(size);
    return part;
  }

  std::string_view bytes_;
  size_t at_ = 0;
};

void read_piece(Message m, SentencePieceModel& model) {
  std::string piece;
  float score = 0;
  uint64_t type = 1;
  while (m.next()) {
    if (m.field == 1) piece = m.bytes_of();
    if (m.field == 2) {
      check_input(m.kind == 5, "no SentencePiece model: the score of piece ", model.unigram.tokens.size(),
                  " is no float");
      std::memcpy(&score, m.data.data(), 4);
    }
    if (m.field == 3) type = m.number;
  }
  check_input(is_utf8(piece), "piece ", model.unigram.tokens.size(), " of the SentencePiece model is no UTF-8");
  check_input(type != 6, "SentencePiece models with byte pieces are not supported");
  if (type == 3 || type == 4) model.added.emplace_back(piece, type == 3);
  model.unigram.tokens.push_back(std::move(piece));
  model.unigram.scores.push_back(double(score));
}

}  // namespace

SentencePieceModel read_sentencepiece(std::string_view bytes) {
  SentencePieceModel model;
  uint64_t kind = 1, unknown = 0;
  for (Message m(bytes); m.next();) {
    if (m.field == 1) read_piece(Message(m.bytes_of()), model);
    if (m.field == 2)
      for (Message inner(m.bytes_of()); inner.next();) {
        if (inner.field == 3) kind = inner.number;
        if (inner.field == 40) unknown = inner.number;
      }
    if (m.field == 3)
      for (Message inner(m.bytes_of()); inner.next();)
        if (inner.field == 2) model.charsmap = inner.bytes_of();
  }
  check_input(!model.unigram.tokens.empty(), "no SentencePiece model: there are no pieces");
  check_input(kind == 1, "the SentencePiece model has type ", kind,
              "; only Unigram, 1, is supported (others through tokenizer.json)");
  check_input(unknown < model.unigram.tokens.size(), "the unknown piece's id ", int64_t(unknown), " is outside the ",
              model.unigram.tokens.size(), " pieces");
  model.unigram.unknown = int32_t(unknown);
  return model;
}

}  // namespace cambium
