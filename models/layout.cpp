#include "models/layout.h"

#include <algorithm>
#include <numeric>

namespace cambium {

Layout::Layout(std::span<const std::vector<int32_t>> ids, std::span<const int64_t> indices, std::span<const int> tuners,
               std::span<const int32_t> past)
    : sequence_index(indices.begin(), indices.end()), tuner(tuners.begin(), tuners.end()), continued(!past.empty()) {
  for (size_t s = 0; s < ids.size(); ++s) {
    begin.push_back(int32_t(rows.size()));
    length.push_back(int32_t(ids[s].size()));
    const int32_t first = past.empty() ? 0 : past[s];
    for (size_t t = 0; t < ids[s].size(); ++t)
      rows.push_back({ids[s][t], first + int32_t(t), int32_t(s), first + int32_t(t)});
  }
}

void Layout::set_types(int64_t sequence, std::span<const int32_t> types) {
  if (types.empty()) return;
  const size_t s = size_t(sequence);
  CHECK(int64_t(types.size()) == length[s], "sequence ", sequence, " has ", length[s], " tokens and ", types.size(),
        " segment ids");
  for (size_t t = 0; t < types.size(); ++t) rows[size_t(begin[s]) + t].type = types[t];
}

OwnedSegments Layout::segments(Device device) const {
  const int32_t longest = length.empty() ? 0 : *std::max_element(length.begin(), length.end());
  return {Tensor::of(begin, device), Tensor::of(length, device), longest};
}

Tensor Layout::positions(Device device) const {
  std::vector<int32_t> values(rows.size());
  std::transform(rows.begin(), rows.end(), values.begin(), [](const Row& r) { return r.position; });
  return Tensor::of(values, device);
}

Tensor Layout::identities(Device device) const {
  std::vector<int32_t> values;
  values.reserve(2 * rows.size());
  for (const Row& r : rows) {
    values.push_back(int32_t(sequence_index[size_t(r.sequence)]));
    values.push_back(r.token);
  }
  return Tensor::of(std::span<const int32_t>(values), {size(), 2}, device);
}

int64_t Layout::row_of(int64_t sequence, int64_t token) const {
  const size_t s = size_t(sequence);
  int64_t row = begin[s];
  while (row < begin[s] + length[s] && rows[size_t(row)].token < 0) ++row;
  return row + token - rows[size_t(row)].token;
}

Layout Layout::with_virtual_tokens(std::span<const int32_t> count, std::vector<int32_t>& source) const {
  Layout result;
  result.sequence_index = sequence_index;
  result.tuner = tuner;
  result.read = read;
  source.clear();
  for (size_t s = 0; s < begin.size(); ++s) {
    result.begin.push_back(int32_t(result.rows.size()));
    result.length.push_back(length[s] + count[s]);
    for (int32_t i = 0; i < count[s]; ++i) {
      result.rows.push_back({-1, i, int32_t(s), i - count[s]});
      source.push_back(-1);
    }
    for (int32_t i = 0; i < length[s]; ++i) {
      Row row = rows[size_t(begin[s] + i)];
      row.position += count[s];
      result.rows.push_back(row);
      source.push_back(begin[s] + i);
    }
  }
  return result;
}

std::vector<Layout::Run> Layout::runs() const {
  std::vector<Run> all;
  for (int64_t s = 0; s < sequences(); ++s) {
    if (all.empty() || all.back().tuner != tuner[size_t(s)]) all.push_back({s, s, tuner[size_t(s)]});
    all.back().end = s + 1;
  }
  return all;
}

Layout Layout::part(int64_t first, int64_t last) const {
  CHECK(first >= 0 && first < last && last <= sequences(), "layout: sequences ", first, " to ", last, " of ",
        sequences());
  Layout result;
  const auto slice = [&](const auto& all, auto& own) { own.assign(all.begin() + first, all.begin() + last); };
  slice(length, result.length), slice(sequence_index, result.sequence_index), slice(tuner, result.tuner);
  result.continued = continued;
  const int32_t from = begin[size_t(first)], to = begin[size_t(last - 1)] + length[size_t(last - 1)];
  result.rows.assign(rows.begin() + from, rows.begin() + to);
  for (Row& r : result.rows) r.sequence -= int32_t(first);
  for (int64_t s = first; s < last; ++s) result.begin.push_back(begin[size_t(s)] - from);
  if (!read) return result;
  result.read.emplace();
  for (const TokenPlace& place : *read)
    if (place.sequence >= first && place.sequence < last)
      result.read->push_back({place.sequence - int32_t(first), place.token});
  return result;
}

Layout Layout::joined(std::span<const Layout> parts) {
  Layout result;
  for (const Layout& p : parts) {
    CHECK(p.continued == parts.front().continued && bool(p.read) == bool(parts.front().read),
          "layout: the parts of a batch are of different passes");
    const int32_t row = int32_t(result.size()), sequence = int32_t(result.sequences());
    const auto append = [](auto& all, const auto& own) { all.insert(all.end(), own.begin(), own.end()); };
    append(result.length, p.length), append(result.sequence_index, p.sequence_index), append(result.tuner, p.tuner);
    append(result.rows, p.rows);
    for (size_t r = size_t(row); r < result.rows.size(); ++r) result.rows[r].sequence += sequence;
    for (const int32_t b : p.begin) result.begin.push_back(b + row);
    result.continued = p.continued;
    if (!p.read) continue;
    if (!result.read) result.read.emplace();
    for (const TokenPlace& place : *p.read) result.read->push_back({place.sequence + sequence, place.token});
  }
  return result;
}

std::vector<int32_t> Layout::read_rows() const {
  std::vector<int32_t> result;
  for (const TokenPlace& place : *read) {
    CHECK(place.sequence >= 0 && place.sequence < sequences(), "sequence ", place.sequence, " of ", sequences(),
          " is read");
    const int64_t row = row_of(place.sequence, place.token);
    CHECK(row >= 0 && row < size() && rows[size_t(row)].sequence == place.sequence &&
              rows[size_t(row)].token == place.token && (result.empty() || result.back() < row),
          "token ", place.token, " of sequence ", place.sequence, " is read, but it is not there or not in its order");
    result.push_back(int32_t(row));
  }
  return result;
}

Layout Layout::only(std::span<const int32_t> kept) const {
  Layout result;
  result.sequence_index = sequence_index;
  result.tuner = tuner;
  result.continued = continued;
  result.length.assign(length.size(), 0);
  for (const int32_t row : kept) {
    result.rows.push_back(rows[size_t(row)]);
    ++result.length[size_t(result.rows.back().sequence)];
  }
  result.begin.resize(length.size());
  std::exclusive_scan(result.length.begin(), result.length.end(), result.begin.begin(), 0);
  return result;
}

}  // namespace cambium
