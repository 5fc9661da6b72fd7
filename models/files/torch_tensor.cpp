// The part of a pickle that a saved tensor takes. (Python's module pickletools; torch's
// modules serialization and _utils)
#include "models/files/torch_tensor.h"

#include <cstring>
#include <vector>

#include "core/error.h"
#include "models/files/zip.h"

namespace cambium {
namespace {

constexpr int64_t kLargestPickle = 4096, kLargestTensor = int64_t(1) << 28;  // bytes
constexpr size_t kDeepestStack = 64;

struct Value {
  enum Kind : uint8_t { mark, function, word, number, truth, tuple, storage, hooks, tensor } kind;
  std::string text = {};          // of a function or a word
  int64_t integer = 0;            // of a number
  std::vector<Value> items = {};  // of a tuple; of storage: its reference; of a tensor: its arguments
};

// torch.save of one tensor gives
//   _rebuild_tensor_v2(storage, offset, (rows, columns), (columns, 1), requires_grad, OrderedDict())
// where storage is the reference ('storage', FloatStorage, key, device, elements).
class PickledTensor {
 public:
  PickledTensor(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  Value read() {
    for (;;) {
      const uint8_t instruction = uint8_t(take(1)[0]);
      if (instruction == '.') break;
      run(instruction);
      check_input(stack_.size() <= kDeepestStack, where_, ": the pickle's stack is deeper than a tensor's");
    }
    check_input(stack_.size() == 1 && stack_[0].kind == Value::tensor && at_ == bytes_.size(), where_,
                ": the pickle is not one tensor");
    return std::move(stack_[0]);
  }

 private:
  void run(uint8_t instruction) {
    switch (instruction) {
      case 0x80: check_input(take(1)[0] == 2, where_, ": is not of pickle's protocol 2"); break;
      case 'c': push_function(); break;
      case 'q': take(1); break;  // names the top for later use, which a tensor makes none of
      case '(': stack_.push_back({Value::mark}); break;
      case 'X': stack_.push_back({Value::word, std::string(take(little(4)))}); break;
      case 'J': stack_.push_back({.kind = Value::number, .integer = int32_t(little(4))}); break;
      case 'K': stack_.push_back({.kind = Value::number, .integer = int64_t(little(1))}); break;
      case 'M': stack_.push_back({.kind = Value::number, .integer = int64_t(little(2))}); break;
      case 0x88:
      case 0x89: stack_.push_back({Value::truth}); break;
      case ')': stack_.push_back({Value::tuple}); break;
      case 0x85: push_tuple(1); break;
      case 0x86: push_tuple(2); break;
      case 0x87: push_tuple(3); break;
      case 't': push_tuple(values_above_mark(), true); break;
      case 'Q': push_storage(); break;
      case 'R': push_made(); break;
      default:
        throw InputError(text(where_, ": the pickle has instruction ", int(instruction), " at byte ", at_ - 1,
                              ", which a plain float32 tensor does not need; nothing was run"));
    }
  }

  void push_function() {
    const std::string module(line()), name(line());
    const std::string whole = module + "." + name;
    check_input(whole == kRebuild || whole == kFloats || whole == kHooks, where_, ": the pickle names ", whole,
                ", which a plain float32 tensor does not need; nothing was run");
    stack_.push_back({Value::function, whole});
  }
  void push_tuple(size_t count, bool marked = false) {
    Value tuple{Value::tuple};
    for (size_t i = 0; i < count; ++i) tuple.items.insert(tuple.items.begin(), pop());
    if (marked) pop();
    stack_.push_back(std::move(tuple));
  }
  void push_storage() {
    Value reference = pop();
    const std::vector<Value>& items = reference.items;
    check_input(has_kinds(reference, {Value::word, Value::function, Value::word, Value::word, Value::number}) &&
                    items[0].text == "storage" && items[1].text == kFloats,
                where_, ": the pickle's storage is not one of float32");
    stack_.push_back({.kind = Value::storage, .items = std::move(reference.items)});
  }
  void push_made() {
    Value arguments = pop();
    const Value made = pop();
    const bool hooks = made.text == kHooks && has_kinds(arguments, {});
    const bool tensor = made.text == kRebuild && has_kinds(arguments, {Value::storage, Value::number, Value::tuple,
                                                                       Value::tuple, Value::truth, Value::hooks});
    check_input(made.kind == Value::function && (hooks || tensor), where_,
                ": the pickle calls a function with arguments that no tensor has; nothing was run");
    stack_.push_back({.kind = hooks ? Value::hooks : Value::tensor, .items = std::move(arguments.items)});
  }

  static bool has_kinds(const Value& tuple, const std::vector<Value::Kind>& kinds) {
    if (tuple.kind != Value::tuple || tuple.items.size() != kinds.size()) return false;
    for (size_t i = 0; i < kinds.size(); ++i)
      if (tuple.items[i].kind != kinds[i]) return false;
    return true;
  }
  size_t values_above_mark() const {
    for (size_t n = 0; n < stack_.size(); ++n)
      if (stack_[stack_.size() - 1 - n].kind == Value::mark) return n;
    throw InputError(text(where_, ": the pickle closes a tuple that nothing opened"));
  }
  Value pop() {
    check_input(!stack_.empty(), where_, ": the pickle takes more from its stack than it holds");
    Value top = std::move(stack_.back());
    stack_.pop_back();
    return top;
  }
  std::string_view take(uint64_t count) {
    check_input(count <= bytes_.size() - at_, where_, ": the pickle ends early");
    at_ += size_t(count);
    return bytes_.substr(at_ - size_t(count), size_t(count));
  }
  uint32_t little(int count) {
    uint32_t value = 0;
    const std::string_view bytes = take(uint64_t(count));
    for (int i = 0; i < count; ++i) value |= uint32_t(uint8_t(bytes[size_t(i)])) << 8 * i;
    return value;
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    check_input(end != bytes_.npos, where_, ": the pickle ends early");
    const std::string_view whole = take(end + 1 - at_);
    return whole.substr(0, whole.size() - 1);
  }

  static constexpr const char *kRebuild = "torch._utils._rebuild_tensor_v2", *kFloats = "torch.FloatStorage",
                              *kHooks = "collections.OrderedDict";
  std::string_view bytes_;
  std::string where_;
  size_t at_ = 0;
  std::vector<Value> stack_;
};

// The dimensions, where the strides are those of rows one behind the other.
Shape shape_of(const Value& sizes, const Value& strides, const std::string& where) {
  std::vector<int64_t> dims;
  check_input(sizes.items.size() <= size_t(Shape::kMaxRank) && sizes.items.size() == strides.items.size(), where,
              ": a tensor of ", sizes.items.size(), " dimensions");
  int64_t count = 1;
  for (size_t i = sizes.items.size(); i-- > 0;) {
    const Value &size = sizes.items[i], &stride = strides.items[i];
    check_input(size.kind == Value::number && stride.kind == Value::number && size.integer > 0 &&
                    size.integer <= kLargestTensor / 4 / count,
                where, ": a tensor larger than ", kLargestTensor, " bytes, or an empty one");
    check_input(stride.integer == count, where, ": the tensor is a view of another; save a contiguous copy");
    count *= size.integer;
    dims.insert(dims.begin(), size.integer);
  }
  return Shape(dims);
}

}  // namespace

Tensor read_torch_tensor(const std::string& path) {
  const ZipFile archive(path);
  constexpr std::string_view kPickle = "/data.pkl";
  std::string folder;
  for (const std::string& name : archive.names()) {
    if (!name.ends_with(kPickle)) continue;
    check_input(folder.empty(), path, ": holds two pickles");
    folder = name.substr(0, name.size() - kPickle.size() + 1);
  }
  check_input(!folder.empty(), path, ": is a zip archive, but not one of torch.save: it holds no data.pkl");
  for (const std::string& name : archive.names())
    if (name == folder + "byteorder")
      check_input(archive.read(name, 16) == "little", path, ": its numbers are not little-endian");
  const std::string pickle = archive.read(folder + "data.pkl", kLargestPickle);
  const Value tensor = PickledTensor(pickle, path).read();
  const std::vector<Value>& storage = tensor.items[0].items;
  const Shape shape = shape_of(tensor.items[2], tensor.items[3], path);
  const int64_t offset = tensor.items[1].integer, elements = storage[4].integer;
  const std::string& key = storage[2].text;
  check_input(!key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == key.npos, path,
              ": the pickle's storage has no number for a name");
  check_input(elements <= kLargestTensor / 4 && offset >= 0 && offset <= elements - shape.size(), path,
              ": a tensor of shape ", shape, " at ", offset, " in a storage of ", elements, " numbers");
  const std::string bytes = archive.read(folder + "data/" + key, elements * 4);
  check_input(int64_t(bytes.size()) == elements * 4, path, ": data/", key, " has ", bytes.size(), " bytes for ",
              elements, " numbers");
  Tensor values = Tensor::empty(shape, DType::f32);
  std::memcpy(values.raw(), bytes.data() + offset * 4, size_t(shape.size()) * 4);
  return values;
}

}  // namespace cambium
