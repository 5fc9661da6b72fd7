#include "core/path_kind.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/json.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr std::string_view kLfs = "version https://git-lfs.github.com/spec/";
constexpr int64_t kConfigBytes = 1 << 20;
const char* const kCheckpoints[] = {"tuner.h5", "best.h5", "checkpoint.h5", "checkpoint.previous.h5"};

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

bool ends_like_pickle(std::string_view name) {
  for (const std::string_view end : {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".bin.index.json"})
    if (name.ends_with(end)) return true;
  return false;
}

// The object in a small file, or null.
json object_in(const std::string& path) {
  try {
    json object = parse_json_file(path, kConfigBytes);
    return object.is_object() ? object : json();
  } catch (const Error&) {
    return {};
  }
}

bool is_run_config(const json& config) { return config.contains("base_hash") && config.contains("method"); }

PathKind directory_kind(const std::string& path) {
  std::vector<std::string> names;
  try {
    names = list_directory(path);
  } catch (const Error&) {
    return PathKind::directory;
  }
  const auto has = [&](std::string_view name) { return std::binary_search(names.begin(), names.end(), name); };
  const auto any = [&](const auto& good) { return std::any_of(names.begin(), names.end(), good); };
  const auto ends = [&](std::string_view end) { return any([&](const auto& n) { return n.ends_with(end); }); };
  if (names.empty()) return PathKind::empty_directory;
  if (has("model.safetensors") || has("model.safetensors.index.json") || ends(".gguf")) return PathKind::model;
  if (any([&](const auto& n) { return std::find(kCheckpoints, std::end(kCheckpoints), n) != std::end(kCheckpoints); }))
    return PathKind::run;
  if (has("adapter_config.json"))
    return has("adapter_model.safetensors") || !any(ends_like_pickle) ? PathKind::adapter : PathKind::pickled_model;
  const json config = has("config.json") ? object_in(path + "/config.json") : json();
  if (is_run_config(config)) return PathKind::run;
  if (has("pytorch_model.bin") || (any(ends_like_pickle) && has("config.json"))) return PathKind::pickled_model;
  if (config.contains("model_type")) return PathKind::model;
  return ends(".h5") ? PathKind::results : PathKind::directory;
}

bool starts_like_web_page(std::string_view start) {
  start.remove_prefix(std::min(start.find_first_not_of(" \t\r\n\xef\xbb\xbf"), start.size()));
  std::string lower(start.substr(0, 14));
  for (char& c : lower) c = char(std::tolower(static_cast<unsigned char>(c)));
  return lower.starts_with("<!doctype html") || lower.starts_with("<html");
}

bool starts_like_safetensors(std::string_view start) {
  uint64_t length = 0;
  if (start.size() < 9) return false;
  std::memcpy(&length, start.data(), 8);
  return length >= 2 && length <= 100'000'000 && start[8] == '{';
}

PathKind named_kind(std::string_view name, std::string_view start) {
  const bool object = start.find_first_not_of(" \t\r\n\xef\xbb\xbf") < start.size() &&
                      start[start.find_first_not_of(" \t\r\n\xef\xbb\xbf")] == '{';
  if (ends_like_pickle(name)) return PathKind::pickle;
  if (name.ends_with(".onnx")) return PathKind::onnx;
  if (object && name.ends_with(".safetensors.index.json")) return PathKind::weights_index;
  if (object && name == "config.json") return PathKind::model_config;
  if (object && name == "adapter_config.json") return PathKind::adapter_config;
  return PathKind::file;
}

PathKind file_kind(std::string_view name, std::string_view start) {
  using namespace std::string_view_literals;
  if (start.empty()) return PathKind::empty_file;
  if (is_lfs_pointer(start)) return PathKind::lfs_pointer;
  if (starts_like_safetensors(start))  // before others: its length may look like their first bytes
    return name == "adapter_model.safetensors" ? PathKind::adapter_weights
           : is_part_name(name)                ? PathKind::weights_part
                                               : PathKind::weights;
  if (start.starts_with("GGUF")) return is_part_name(name) ? PathKind::gguf_part : PathKind::gguf;
  if (start.starts_with("\x89HDF\r\n\x1a\n"sv) || start.starts_with("cambium file:")) return PathKind::hdf5;
  if (start.starts_with("\xff\xfe"sv) || start.starts_with("\xfe\xff"sv)) return PathKind::utf16_text;
  if (start.starts_with("\x1f\x8b"sv) ||
      start.starts_with("\xfd"
                        "7zXZ\0"sv) ||
      start.starts_with("\x28\xb5\x2f\xfd"sv))
    return PathKind::packed;
  if (start.starts_with("PK\x03\x04"sv))
    return ends_like_pickle(name) || start.find("/data.pkl") != start.npos ? PathKind::pickle : PathKind::archive;
  if (start.size() > 262 && start.substr(257, 5) == "ustar") return PathKind::archive;
  if (start.size() > 1 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5) return PathKind::pickle;
  if (starts_like_web_page(start)) return PathKind::web_page;
  return named_kind(name, start);
}

// The first model or adapter, or run, a folder or two below: what a cache of the hub or another trainer's output holds.
std::string below(const std::string& path, int depth = 2) {
  std::vector<std::string> names;
  try {
    names = list_directory(path);
  } catch (const Error&) {
  }
  names.resize(std::min<size_t>(names.size(), 100));
  for (const std::string& name : names) {
    const std::string inside = path + "/" + name;
    if (!is_directory(inside)) continue;
    const PathKind kind = directory_kind(inside);
    if (kind == PathKind::model || kind == PathKind::adapter || kind == PathKind::run)
      return text("\nbut ", inside, " is ", description(kind));
    if (const std::string found = depth > 1 ? below(inside, depth - 1) : ""; !found.empty()) return found;
  }
  return "";
}

std::string base_of_adapter(const std::string& directory) {
  const json config = object_in(directory + "/adapter_config.json");
  const auto base = config.find("base_model_name_or_path");
  return base != config.end() && base->is_string() && !base->get<std::string>().empty()
             ? text(" (", base->get<std::string>().substr(0, 200), ")")
             : "";
}

std::string checkpoints_in(const std::string& run) {
  std::string list;
  for (const char* name : kCheckpoints)
    if (file_exists(run + "/" + name)) list += (list.empty() ? "" : ", or ") + run + "/" + name;
  return list;
}

// What to do with things that no argument takes; empty for others.
std::string general_advice(PathKind kind) {
  switch (kind) {
    case PathKind::lfs_pointer:
      return "it stands for a large file that was not fetched: `git lfs pull` in its checkout brings it";
    case PathKind::web_page: return "the download brought a page about the file (or about an error): download it again";
    case PathKind::empty_file: return "was it downloaded, or written, to its end?";
    case PathKind::pickled_model:
    case PathKind::pickle:
      return "it is not read, because reading one runs code: convert it to safetensors (transformers and PEFT: "
             "save_pretrained(DIR, safe_serialization=True))";
    case PathKind::archive:
    case PathKind::packed: return "unpack it first";
    case PathKind::utf16_text: return "save it as UTF-8";
    default: return "";
  }
}

std::string advice_for_model(const std::string& path, PathKind kind) {
  switch (kind) {
    case PathKind::adapter:
      return text("give it as --tuner, and the base", base_of_adapter(path), " that it belongs to as --model");
    case PathKind::adapter_config:
    case PathKind::adapter_weights:
      return text("give its directory as --tuner, and the base", base_of_adapter(parent_of(path)),
                  " that it belongs to as --model");
    case PathKind::run: {
      const std::string list = checkpoints_in(path);
      return list.empty() ? "it has no checkpoint yet"
                          : "it holds a tuner: give the base as --model, and as --tuner " + list;
    }
    case PathKind::checkpoint: return "give it as --tuner, and the base that it belongs to as --model";
    case PathKind::weights:
    case PathKind::weights_part:
    case PathKind::weights_index:
    case PathKind::model_config:
      return text("alone it is no model: give the directory with weights and config.json, like ", parent_of(path));
    case PathKind::onnx:
    case PathKind::outputs:
    case PathKind::results:
    case PathKind::special:
    case PathKind::empty_directory:
    case PathKind::directory:
      return text(
          "a model is a Hugging Face directory (config.json and safetensors), a .gguf file, a .h5 file of ours, or "
          "the name of a fetched model",
          below(path));
    default: return "";
  }
}

std::string advice_for_tuner(const std::string& path, PathKind kind) {
  switch (kind) {
    case PathKind::run: {
      const std::string list = checkpoints_in(path);
      return list.empty() ? "it has no checkpoint yet" : "give one of its files: " + list;
    }
    case PathKind::adapter_config:
    case PathKind::adapter_weights: return "give its directory: " + parent_of(path);
    case PathKind::model:
    case PathKind::model_file:
    case PathKind::model_config:
    case PathKind::gguf:
    case PathKind::gguf_part: return "give it as --model; --tuner takes what was trained on it";
    case PathKind::weights:
    case PathKind::weights_part:
    case PathKind::weights_index:
    case PathKind::onnx:
    case PathKind::outputs:
    case PathKind::results:
    case PathKind::special:
    case PathKind::empty_directory:
    case PathKind::directory:
      return text("a tuner is a checkpoint (RUN/checkpoint.h5), or the directory of a PEFT adapter", below(path));
    default: return "";
  }
}

bool is_folder(PathKind kind) { return kind >= PathKind::model && kind <= PathKind::directory; }

// What is known about the kind where `wanted` is wanted; empty where it may be right.
std::string advice(const std::string& path, PathKind kind, Wanted wanted) {
  if (kind == PathKind::missing) return "";
  if (wanted == Wanted::folder) return is_folder(kind) ? "" : "the directory of the files is needed";
  if (kind == PathKind::file) return "";
  const bool readable_empty = kind == PathKind::empty_file && wanted == Wanted::text;
  const bool unpacks = kind == PathKind::packed && wanted == Wanted::text;
  if (const std::string general = general_advice(kind); !general.empty() && !readable_empty && !unpacks) return general;
  switch (wanted) {
    case Wanted::model: return advice_for_model(path, kind);
    case Wanted::tuner: return advice_for_tuner(path, kind);
    case Wanted::either:
      if (kind == PathKind::run) return advice_for_tuner(path, kind);
      if (kind == PathKind::adapter_config) return "give its directory: " + parent_of(path);
      return kind == PathKind::checkpoint || kind == PathKind::adapter || kind == PathKind::adapter_weights ||
                     kind == PathKind::weights || kind == PathKind::weights_part
                 ? ""
                 : advice_for_model(path, kind);
    case Wanted::text:
    case Wanted::json: {
      const bool binary = kind == PathKind::hdf5 || kind == PathKind::gguf || kind == PathKind::gguf_part ||
                          kind == PathKind::weights || kind == PathKind::weights_part ||
                          kind == PathKind::adapter_weights;
      return is_folder(kind) || binary
                 ? wanted == Wanted::text ? "a file of text is needed" : "a file of JSON is needed"
                 : "";
    }
    case Wanted::folder: break;
  }
  return "";
}

void refuse(const std::string& path, PathKind kind, const std::string& advice) {
  if (!advice.empty()) throw InputError(text(path, ": is ", description(kind), "\n", advice));
}

}  // namespace

bool is_lfs_pointer(std::string_view bytes) { return bytes.size() < 1024 && bytes.starts_with(kLfs); }

bool is_part_name(std::string_view name) {
  name = name.substr(0, name.rfind('.'));  // NAME-00001-of-00002
  const auto digits = [](std::string_view s) { return s.size() == 5 && s.find_first_not_of("0123456789") == s.npos; };
  return name.size() > 15 && name[name.size() - 15] == '-' && name.substr(name.size() - 9, 4) == "-of-" &&
         digits(name.substr(name.size() - 14, 5)) && digits(name.substr(name.size() - 5));
}

PathKind kind_of(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return PathKind::missing;
  if (S_ISDIR(status.st_mode)) return directory_kind(path);
  if (!S_ISREG(status.st_mode)) return PathKind::special;
  try {
    const Descriptor fd = open_as_it_is(path);
    std::string start(size_t(std::min<int64_t>(size_of_file(fd, path), 512)), '\0');
    read_exactly(fd, start.data(), start.size(), 0, path);
    return file_kind(base_name(path), start);
  } catch (const Error&) {
    return PathKind::file;
  }
}

PathKind kind_of(const Hdf5File& file) {
  if (file.has_attribute("/", "format_version") && file.has_attribute("/", "base_hash")) return PathKind::checkpoint;
  return file.has_attribute("/", "model_config") ? PathKind::model_file : PathKind::outputs;
}

std::string_view description(PathKind kind) {
  switch (kind) {
    case PathKind::missing: return "not there";
    case PathKind::special: return "a pipe or a device, not a file";
    case PathKind::model: return "a model";
    case PathKind::pickled_model: return "a directory with weights as pickles of PyTorch's";
    case PathKind::adapter: return "a PEFT adapter";
    case PathKind::run: return "the directory of a training run";
    case PathKind::results: return "a directory of results";
    case PathKind::empty_directory: return "an empty directory";
    case PathKind::directory: return "a directory without a model or an adapter";
    case PathKind::empty_file: return "an empty file";
    case PathKind::lfs_pointer: return "a Git LFS pointer, not the file itself";
    case PathKind::web_page: return "a web page";
    case PathKind::weights: return "a file of weights (safetensors)";
    case PathKind::weights_part: return "one of several files of weights (safetensors)";
    case PathKind::weights_index: return "the index of several files of weights";
    case PathKind::adapter_weights: return "the weights of a PEFT adapter";
    case PathKind::model_config: return "the configuration of a model";
    case PathKind::adapter_config: return "the configuration of a PEFT adapter";
    case PathKind::gguf: return "a model in GGUF";
    case PathKind::gguf_part: return "one of several parts of a model in GGUF";
    case PathKind::hdf5: return "an HDF5 file";
    case PathKind::checkpoint: return "a checkpoint of a tuner";
    case PathKind::model_file: return "a model in HDF5";
    case PathKind::outputs: return "an HDF5 file, but neither a checkpoint of a tuner nor a model";
    case PathKind::pickle: return "a pickle of PyTorch's";
    case PathKind::archive: return "an archive";
    case PathKind::packed: return "a packed file";
    case PathKind::onnx: return "a graph in ONNX";
    case PathKind::utf16_text: return "text in UTF-16";
    case PathKind::file: return "a file";
  }
  return "";
}

void check_path(const std::string& path, Wanted wanted) {
  const PathKind kind = kind_of(path);
  refuse(path, kind, advice(path, kind, wanted));
}

void check_tuner(const std::string& path) {
  if (file_exists(path + "/adapter_config.json")) return;
  check_path(path, Wanted::tuner);
  open_for_reading(path);
}

void check_path(const Hdf5File& file, Wanted wanted) {
  const PathKind kind = kind_of(file);
  refuse(file.path(), kind, advice(file.path(), kind, wanted));
}

void check_contents(const std::string& path) {
  const PathKind kind = kind_of(path);
  if (!is_folder(kind)) refuse(path, kind, general_advice(kind));
}

}  // namespace cambium
