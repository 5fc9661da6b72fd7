// GGUF files: tensors, plain or quantised.
#include "models/files/gguf.h"

#include <algorithm>
#include <cstring>

#include "core/cpu/parallel.h"
#include "core/half.h"

namespace cambium {
namespace {

constexpr std::string_view kMagic = "GGUF";

float half_at(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, 2);
  return half_to_float(half);
}

// One block each: `to` gets its values.
void unpack_f16(const uint8_t* block, float* to) { *to = half_at(block); }

void unpack_q8_0(const uint8_t* block, float* to) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) to[i] = float(int8_t(block[2 + i])) * d;
}

void unpack_q4_0(const uint8_t* block, float* to) {
  const float d = half_at(block);
  for (int i = 0; i < 16; ++i) {
    to[i] = float((block[2 + i] & 15) - 8) * d;
    to[i + 16] = float((block[2 + i] >> 4) - 8) * d;
  }
}

void unpack_q4_1(const uint8_t* block, float* to) {
  const float d = half_at(block), m = half_at(block + 2);
  for (int i = 0; i < 16; ++i) {
    to[i] = float(block[4 + i] & 15) * d + m;
    to[i + 16] = float(block[4 + i] >> 4) * d + m;
  }
}

}  // namespace

// `unpack` is null for types that tensors have already.
struct GgufFile::TensorType {
  uint32_t id;
  const char* name;
  int block, block_bytes;  // values and bytes; 0 where the type is not supported
  void (*unpack)(const uint8_t*, float*);
};

const GgufFile::TensorType* GgufFile::tensor_type(uint32_t id) {
  static constexpr TensorType types[] = {{0, "F32", 1, 4, nullptr},
                                         {1, "F16", 1, 2, unpack_f16},
                                         {2, "Q4_0", 32, 18, unpack_q4_0},
                                         {3, "Q4_1", 32, 20, unpack_q4_1},
                                         {8, "Q8_0", 32, 34, unpack_q8_0},
                                         {30, "BF16", 1, 2, nullptr},
                                         {6, "Q5_0"},
                                         {7, "Q5_1"},
                                         {9, "Q8_1"},
                                         {10, "Q2_K"},
                                         {11, "Q3_K"},
                                         {12, "Q4_K"},
                                         {13, "Q5_K"},
                                         {14, "Q6_K"},
                                         {15, "Q8_K"},
                                         {16, "IQ2_XXS"},
                                         {17, "IQ2_XS"},
                                         {18, "IQ3_XXS"},
                                         {19, "IQ1_S"},
                                         {20, "IQ4_NL"},
                                         {21, "IQ3_S"},
                                         {22, "IQ2_S"},
                                         {23, "IQ4_XS"},
                                         {24, "I8"},
                                         {25, "I16"},
                                         {26, "I32"},
                                         {27, "I64"},
                                         {28, "F64"},
                                         {29, "IQ1_M"},
                                         {34, "TQ1_0"},
                                         {35, "TQ2_0"},
                                         {39, "MXFP4"}};
  const auto found = std::find_if(std::begin(types), std::end(types), [&](const TensorType& t) { return t.id == id; });
  return found == std::end(types) ? nullptr : found;
}

bool is_gguf(const std::string& path) {
  const Descriptor fd = open_for_reading(path);
  char start[4] = {};
  if (size_of_file(fd, path) < 4) return false;
  read_exactly(fd, start, 4, 0, path);
  return std::string_view(start, 4) == kMagic;
}

namespace {

// NAME-00002-of-00003.gguf: where the number stands, and how many there are.
struct PartName {
  size_t number = 0;  // 0: not a part
  int64_t count = 0;
};

PartName part_name(const std::string& path) {
  constexpr std::string_view kForm = "-00000-of-00000.gguf";
  if (path.size() <= kForm.size()) return {};
  const size_t start = path.size() - kForm.size();
  for (size_t i = 0; i < kForm.size(); ++i)
    if (kForm[i] == '0' ? path[start + i] < '0' || path[start + i] > '9' : path[start + i] != kForm[i]) return {};
  return {start + 1, std::stoll(path.substr(start + 10, 5))};
}

std::string part_path(const std::string& path, int64_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 5 - std::min<size_t>(5, digits.size()), '0');
  return std::string(path).replace(part_name(path).number, 5, digits);
}

}  // namespace

std::string first_gguf_part(const std::string& path) {
  if (!part_name(path).number) return path;
  const std::string first = part_path(path, 1);
  return file_exists(first) ? first : path;
}

GgufFile::GgufFile(const std::string& path) : GgufFile(first_gguf_part(path), Part()) { add_parts(); }

// llama.cpp's split: every part is a file of its own with split.no (from 0) and split.count; the first has all
// metadata.
void GgufFile::add_parts() {
  const int64_t count = values_.find_int("split.count", 0, 65535).value_or(0);
  if (count < 2) return;
  const auto number = [](const GgufFile& part) { return part.values_.get_int("split.no", 0, 65535); };
  check_input(number(*this) == 0 && part_name(path_).count == count, path_, ": is part ", number(*this) + 1, " of ",
              count, " of a split GGUF file; all parts must lie beside it, called NAME-00001-of-0000N.gguf");
  for (int64_t i = 2; i <= count; ++i) {
    const std::string path = part_path(path_, i);
    check_input(file_exists(path), path_, ": part ", i, " of ", count, " of this split GGUF file is missing: ", path);
    auto part = std::unique_ptr<GgufFile>(new GgufFile(path, Part()));
    check_input(part->values_.find_int("split.count", 0, 65535) == std::optional(count) && number(*part) == i - 1, path,
                ": is not part ", i, " of ", count, " of a split GGUF file");
    for (const auto& [name, entry] : part->entries_)
      check_input(entries_.emplace(name, entry).second, path, ": tensor \"", name.substr(0, 200),
                  "\" is in another part, too");
    parts_.push_back(std::move(part));
  }
  if (const auto tensors = values_.find_int("split.tensors.count"))
    check_input(*tensors == int64_t(entries_.size()), path_, ": the parts have ", entries_.size(), " tensors, not ",
                *tensors);
}

std::vector<std::string> GgufFile::files() const {
  std::vector<std::string> all{path_};
  for (const auto& part : parts_) all.push_back(part->path_);
  return all;
}

GgufFile::GgufFile(const std::string& path, Part) : WeightFile(path), file_(path) {
  GgufCursor cursor(file_, 0);
  check_input(file_.size() >= 24 && std::memcmp(file_.data(), kMagic.data(), 4) == 0, path, ": is not a GGUF file");
  cursor.skip(4, 1, "the magic");
  const auto version = cursor.take<uint32_t>("the version");
  check_input(version == 2 || version == 3, path, ": is GGUF version ", version,
              version > 0xffff ? " (big-endian?)" : "", "; supported are 2 and 3, little-endian");
  const auto tensors = cursor.take<uint64_t>("the number of tensors");
  const auto values = cursor.take<uint64_t>("the number of metadata");
  values_ = GgufValues(file_, cursor, values);
  for (const std::string& key : values_.keys()) metadata_[key] = values_.print(key);
  if (tensors > cursor.left() / 24) cursor.fail(text("claims ", tensors, " tensors: damaged or cut short"));
  for (uint64_t i = 0; i < tensors; ++i) read_tensor(cursor);
  const int64_t alignment = values_.find_int("general.alignment", 1, 1 << 20).value_or(32);
  check_input((alignment & (alignment - 1)) == 0, path, ": general.alignment ", alignment, " is no power of two");
  if (tensors) cursor.skip((-cursor.at()) % size_t(alignment), 1, "the space before the tensors");
  for (const auto& [name, place] : places_)
    check_input(place.offset % size_t(alignment) == 0, path, ": tensor \"", name, "\" lies at ", place.offset,
                ", no multiple of ", alignment);
  place_tensors(cursor);
}

// Name, shape, type and place of one tensor.
void GgufFile::read_tensor(GgufCursor& cursor) {
  const std::string name(cursor.string("a tensor's name"));
  const auto fail = [&](const auto&... parts) {
    throw InputError(text(path_, ": tensor \"", name.substr(0, 200), "\" ", parts...));
  };
  if (has(name)) fail("comes a second time");
  const auto rank = cursor.take<uint32_t>(name);
  if (rank > 4) fail("has ", rank, " dimensions; GGUF allows 4");
  int64_t dims[4] = {}, size = 1;
  for (uint32_t d = 0; d < rank; ++d) {
    const auto extent = cursor.take<uint64_t>(name);
    if (extent == 0 || extent > uint64_t(1) << 48 || __builtin_mul_overflow(size, int64_t(extent), &size) ||
        size > int64_t(1) << 50)
      fail("has an impossible size");
    dims[rank - 1 - d] = int64_t(extent);
  }
  const auto id = cursor.take<uint32_t>(name);
  const auto offset = cursor.take<uint64_t>(name);
  const TensorType* const type = tensor_type(id);
  if (!type) fail("is of the unknown type ", id);
  if (type->block == 0) fail("is of type ", type->name, "; supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1");
  const int64_t row = rank ? dims[rank - 1] : 1;
  if (row % type->block) fail("has rows of ", row, " values; ", type->name, " needs multiples of ", type->block);
  entries_[name] = {Shape(std::span(dims, rank)), type->name};
  places_[name] = {type, size_t(offset), size_t(size / type->block * type->block_bytes)};
}

// Turns offsets in the data into offsets in the file, and checks that nothing overlaps or leaves
// it.
void GgufFile::place_tensors(const GgufCursor& data) {
  std::vector<std::pair<size_t, const std::string*>> order;
  for (auto& [name, place] : places_) {
    check_input(place.offset <= data.left() && place.bytes <= data.left() - place.offset, path_, ": tensor \"", name,
                "\" has ", place.bytes, " bytes at ", place.offset, " of the data, but there are ", data.left(),
                ": damaged or cut short");
    place.offset += data.at();
    order.emplace_back(place.offset, &name);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i) {
    const Place& before = places_.at(*order[i - 1].second);
    check_input(before.offset + before.bytes <= order[i].first, path_, ": tensors \"", *order[i - 1].second,
                "\" and \"", *order[i].second, "\" overlap");
  }
}

Tensor GgufFile::read(std::string_view name) const {
  const Entry& e = entry(name);
  const auto here = places_.find(name);
  if (here == places_.end())
    for (const auto& part : parts_)
      if (part->has(name)) return part->read(name);
  const Place& place = here->second;
  if (!place.type->unpack)
    return file_.tensor(int64_t(place.offset), e.shape, e.type == "F32" ? DType::f32 : DType::bf16);
  const Tensor out = Tensor::empty(e.shape, DType::f32);
  const TensorType type = *place.type;
  const uint8_t* const blocks = file_.data() + place.offset;
  float* const values = out.data<float>();
  const int64_t count = e.shape.size() / type.block, part = 1024;
  cpu::parallel_rows((count + part - 1) / part, [=](int64_t p) {
    for (int64_t b = p * part; b < std::min(count, (p + 1) * part); ++b)
      type.unpack(blocks + b * type.block_bytes, values + b * type.block);
  });
  return out;
}

}  // namespace cambium
