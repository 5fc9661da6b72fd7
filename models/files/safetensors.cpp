// Safetensors: reading and writing.
#include "models/files/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/half.h"
#include "core/json.h"
#include "core/path_kind.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr int64_t kHeaderBytes = 100'000'000;  // the reference implementation's limit

// Bytes of an element, 0 for an unknown type.
int64_t element_size(std::string_view type) {
  constexpr std::pair<std::string_view, int> sizes[] = {
      {"BOOL", 1}, {"U8", 1},   {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2},
      {"F16", 2},  {"BF16", 2}, {"I32", 4}, {"U32", 4},     {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  for (const auto& [name, size] : sizes)
    if (name == type) return size;
  return 0;
}

std::string_view type_name(DType dtype) {
  switch (dtype) {
    case DType::f32: return "F32";
    case DType::f64: return "F64";
    case DType::bf16: return "BF16";
    case DType::i32: return "I32";
  }
  throw Error("safetensors: no such type");
}

struct Header {
  WeightFile::Entry entry;
  int64_t begin, end;  // in the bytes after the header
};

Header parse_entry(const json& fields) {
  Header h;
  h.entry.type = get_string(fields, "dtype");
  const auto dims = get_ints(fields, "shape", 0, int64_t(1) << 48);
  const auto range = get_ints(fields, "data_offsets", 0, int64_t(1) << 56);
  check_input(range.size() == 2 && range[0] <= range[1], "\"data_offsets\" is not a range");
  check_input(dims.size() <= size_t(Shape::kMaxRank), "has ", dims.size(), " dimensions; at most ", Shape::kMaxRank,
              " are supported");
  int64_t bytes = element_size(h.entry.type);
  check_input(bytes > 0, "is of the unknown type \"", h.entry.type.substr(0, 40), '"');
  // The product of the dimensions that are not 0 must fit too: Shape demands it.
  int64_t extent = bytes;
  for (const int64_t d : dims)
    check_input(!__builtin_mul_overflow(extent, std::max<int64_t>(d, 1), &extent) && extent < int64_t(1) << 56,
                "has an impossible size");
  bytes = std::count(dims.begin(), dims.end(), 0) ? 0 : extent;
  h.entry.shape = Shape(dims);
  h.begin = range[0], h.end = range[1];
  check_input(bytes == h.end - h.begin, h.entry.shape, " of ", h.entry.type, " takes ", bytes, " bytes, but it has ",
              h.end - h.begin);
  return h;
}

template <class From, class To>
Tensor convert(const uint8_t* bytes, const Shape& shape, const To& to) {
  using Result = decltype(to(From()));
  const Tensor out = Tensor::empty(shape, dtype_of<Result>);
  Result* const values = out.data<Result>();
  for (int64_t i = 0; i < shape.size(); ++i) {
    From value;  // may lie at any address
    std::memcpy(&value, bytes + i * int64_t(sizeof value), sizeof value);
    values[i] = to(value);
  }
  return out;
}

// The part of a path after the last slash.
std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : WeightFile(path) {
  if (path.ends_with(".index.json")) add_index(path);
  else add_shard(path);
}

std::vector<std::string> SafetensorsFile::files() const {
  std::vector<std::string> all{path_};
  for (const MappedFile& shard : shards_)
    if (shard.path() != path_) all.push_back(shard.path());
  return all;
}

void SafetensorsFile::add_shard(const std::string& path) {
  const MappedFile& file = shards_.emplace_back(path);
  const int64_t size = int64_t(file.size());
  uint64_t length = 0;
  check_contents(path);
  check_input(size >= 8, path, ": is not a safetensors file: it has ", size, " bytes");
  std::memcpy(&length, file.data(), 8);
  check_input(length <= uint64_t(std::min(size - 8, kHeaderBytes)), path,
              ": is not a safetensors file, or is cut short: its header of ", length, " bytes does not fit into ",
              size - 8);
  read_header({reinterpret_cast<const char*>(file.data()) + 8, size_t(length)}, shards_.size() - 1);
}

void SafetensorsFile::read_header(std::string_view header, size_t shard) {
  const std::string& path = shards_[shard].path();
  const json fields = parse_json(header, path + " (header)");
  check_input(fields.is_object(), path, ": its header is not a JSON object");
  const int64_t start = 8 + int64_t(header.size());
  std::vector<std::pair<Header, std::string_view>> parts;
  for (const auto& [name, value] : fields.get_ref<const json::object_t&>()) {
    if (name == "__metadata__") {
      check_input(value.is_object(), path, ": __metadata__ is not an object");
      for (const auto& [key, _] : value.get_ref<const json::object_t&>())
        metadata_[key] = reading(path + ": __metadata__", [&] { return get_string(value, key); });
      continue;
    }
    const Header h = reading(path + ": tensor \"" + name.substr(0, 200) + '"', [&] { return parse_entry(value); });
    check_input(!has(name), path, ": tensor \"", name, "\" is in another shard too");
    parts.emplace_back(h, name);
    entries_[name] = h.entry;
    places_[name] = {shard, start + h.begin};
  }
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.begin, a.first.end) < std::pair(b.first.begin, b.first.end);
  });
  int64_t covered = 0;
  for (const auto& [h, name] : parts) {
    check_input(h.begin == covered, path, ": tensor \"", name, "\" starts at byte ", h.begin, " of the data; ",
                h.begin < covered ? "another one lies there" : "nothing describes the bytes before", " (expected ",
                covered, ")");
    covered = h.end;
  }
  const int64_t data = int64_t(shards_[shard].size()) - start;
  check_input(covered == data, path, ": the header describes ", covered, " bytes of data, but there are ", data,
              data < covered ? ": cut short" : "");
}

void SafetensorsFile::add_index(const std::string& path) {
  const json index = parse_json_file(path);
  const std::string folder = path.substr(0, path.size() - base_name(path).size());
  std::map<std::string, std::vector<std::string>> expected;  // shard: names
  reading(path, [&] {
    const json& map = get_object(index, "weight_map");
    for (const auto& [name, _] : map.get_ref<const json::object_t&>()) expected[get_string(map, name)].push_back(name);
    check_input(!expected.empty(), "\"weight_map\" is empty");
  });
  for (const auto& [shard, names] : expected) {
    check_input(!shard.empty() && base_name(shard) == shard && shard != "..", path, ": the shard \"", shard,
                "\" is not the name of a file beside it");
    check_input(file_exists(folder + shard), path, ": the shard ", shard, " is missing; it holds ", names.size(),
                " tensors, like \"", names[0], '"');
    add_shard(folder + shard);
    for (const std::string& name : names) {
      const auto found = places_.find(name);
      check_input(found != places_.end() && found->second.shard == shards_.size() - 1, path, ": tensor \"", name,
                  "\" is not in its shard ", shard);
    }
  }
}

Tensor SafetensorsFile::read(std::string_view name) const {
  const Entry& e = entry(name);
  const Place place = places_.find(name)->second;
  const MappedFile& file = shards_[place.shard];
  const uint8_t* const bytes = file.data() + place.offset;
  if (e.type == "F32") return file.tensor(place.offset, e.shape, DType::f32);
  if (e.type == "BF16") return file.tensor(place.offset, e.shape, DType::bf16);
  if (e.type == "I32") return file.tensor(place.offset, e.shape, DType::i32);
  if (e.type == "F16") return convert<uint16_t>(bytes, e.shape, half_to_float);
  if (e.type == "F64") return convert<double>(bytes, e.shape, [](double v) { return float(v); });
  if (e.type == "I64")
    return convert<int64_t>(bytes, e.shape, [&](int64_t v) {
      check_input(v == int32_t(v), file.path(), ": tensor \"", name, "\" holds ", v, ", more than 32 bits");
      return int32_t(v);
    });
  throw InputError(text(file.path(), ": tensor \"", name, "\" is of type ", e.type,
                        "; supported are F32, BF16, F16, F64, I32, I64"));
}

void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Wide types first, so that every tensor lies at a multiple of its element's size.
  std::vector<std::pair<const std::string*, Tensor>> order;
  for (const auto& [name, tensor] : tensors) order.emplace_back(&name, tensor.to(Device::cpu()));
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return size_of(a.second.dtype()) > size_of(b.second.dtype()); });
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t at = 0;
  for (const auto& [name, tensor] : order) {
    CHECK(*name != "__metadata__", path, ": a tensor cannot have the name __metadata__");
    header[*name] = {{"dtype", type_name(tensor.dtype())},
                     {"shape", std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end())},
                     {"data_offsets", {at, at + tensor.bytes()}}};
    at += tensor.bytes();
  }
  std::string head = header.dump();
  head.resize((head.size() + 7) / 8 * 8, ' ');
  const uint64_t length = head.size();
  AtomicFile file(path);
  file.write(&length, 8);
  file.write(head);
  for (const auto& [_, tensor] : order)
    if (tensor.bytes()) file.write(tensor.raw(), size_t(tensor.bytes()));
  file.commit();
}

}  // namespace cambium
