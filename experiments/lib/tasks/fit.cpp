#include "experiments/lib/tasks/fit.h"

#include <algorithm>

#include "experiments/lib/token_facts.h"

namespace cambium {
namespace {

using Pieces = std::vector<Template::Piece>;
using Ids = std::vector<int32_t>;

void put_behind(Ids& ids, const Ids& more) { ids.insert(ids.end(), more.begin(), more.end()); }

// A run between masks as one text, so that tokens are those of the whole.
Ids whole_tokens(const Pieces& pieces, const Tokenizer& tokenizer, std::optional<int32_t> mask) {
  Ids ids;
  std::string run;
  const auto flush = [&](bool before_mask) {
    if (before_mask) run.erase(run.find_last_not_of(' ') + 1);
    if (!run.empty()) put_behind(ids, tokenizer.encode(run, false));
    run.clear();
  };
  for (const Template::Piece& piece : pieces) {
    run += piece.text;
    if (!piece.mask) continue;
    flush(true);
    ids.push_back(mask.value());
  }
  flush(false);
  return ids;
}

struct FitPart {
  Ids ids;
  bool field = false;
};

// Piece by piece; the blank that ends one begins the next, as tokenizers have it.
std::vector<FitPart> part_tokens(const Pieces& pieces, const Tokenizer& tokenizer, std::optional<int32_t> mask) {
  std::vector<FitPart> parts;
  std::string carried;
  for (const Template::Piece& piece : pieces) {
    if (piece.mask) {
      carried.clear();
      parts.push_back({{mask.value()}, false});
      continue;
    }
    std::string words = carried + piece.text;
    carried.clear();
    while (!piece.field && words.ends_with(' ')) words.pop_back(), carried += ' ';
    if (!words.empty()) parts.push_back({tokenizer.encode(words, false), piece.field});
  }
  return parts;
}

// Tokens of each text, together at most `room`.
std::vector<Ids> shortened(const std::vector<Pieces>& texts, const Tokenizer& tokenizer, std::optional<int32_t> mask,
                           int64_t room) {
  std::vector<std::vector<FitPart>> all;
  int64_t total = 0;
  for (const Pieces& pieces : texts) {
    all.push_back(part_tokens(pieces, tokenizer, mask));
    for (const FitPart& part : all.back()) total += int64_t(part.ids.size());
  }
  for (; total > room; --total) {
    FitPart* longest = nullptr;
    for (auto& parts : all)
      for (FitPart& part : parts)
        if (part.field && (!longest || part.ids.size() >= longest->ids.size())) longest = &part;
    if (!longest || longest->ids.empty()) break;  // the words around the fields alone are too long
    longest->ids.pop_back();
  }
  std::vector<Ids> ids(all.size());
  for (size_t t = 0; t < all.size(); ++t)
    for (const FitPart& part : all[t]) put_behind(ids[t], part.ids);
  return ids;
}

PairFraming pair_framing_of(const Tokenizer& tokenizer) {
  if (const auto own = tokenizer.pair_framing()) return *own;
  const Framing one = framing_of(tokenizer);
  check_input(!one.after.empty(), "this model's tokenizer has no sign between two texts; pairs cannot be read");
  return {one.before, one.after, one.after, 0};
}

}  // namespace

FittedInput fitted(const std::vector<Template>& texts, const DataRow& row, const std::string& instruction,
                   const Tokenizer& tokenizer, const ModelConfig& config, int64_t longest,
                   std::optional<int32_t> mask) {
  std::vector<Pieces> pieces;
  for (const Template& t : texts) pieces.push_back(t.pieces(row));
  if (!instruction.empty()) pieces.front().insert(pieces.front().begin(), Template::Piece{instruction});
  PairFraming around;
  if (texts.size() == 2) {
    around = pair_framing_of(tokenizer);
  } else {
    const Framing framing = input_framing(tokenizer, config);
    around.before = framing.before, around.after = framing.after;
  }
  std::vector<Ids> ids;
  for (const Pieces& p : pieces) ids.push_back(whole_tokens(p, tokenizer, mask));
  int64_t total = int64_t(around.before.size() + around.between.size() + around.after.size());
  const int64_t room = std::max<int64_t>(1, longest - total);
  for (const Ids& text : ids) total += int64_t(text.size());
  FittedInput result;
  result.cut = longest > 0 && total > longest;
  if (result.cut) ids = shortened(pieces, tokenizer, mask, room);

  result.ids = around.before;
  put_behind(result.ids, ids.front());
  put_behind(result.ids, around.between);
  const size_t first = result.ids.size();
  if (ids.size() == 2) put_behind(result.ids, ids.back());
  put_behind(result.ids, around.after);
  if (ids.size() == 2 && around.second_type > 0 && around.second_type < config.token_types) {
    result.types.assign(first, 0);
    result.types.resize(result.ids.size(), around.second_type);
  }
  return result;
}

}  // namespace cambium
