// What a path is: told in one place from the names in a directory and the first bytes of a file, so that every argument
// that got the wrong thing says what it got and what to give instead.
#pragma once

#include <string>
#include <string_view>

namespace cambium {

class Descriptor;

class Hdf5File;

enum class PathKind {
  missing,
  special,  // a pipe, a device, a socket
  // Directories.
  model,          // weights that we read, or a model's configuration
  pickled_model,  // a model's or an adapter's weights as pickles of PyTorch's alone
  adapter,        // PEFT's: adapter_config.json
  run,            // of a training: checkpoints or their configuration
  results,        // of a table: results in HDF5
  empty_directory,
  directory,
  // Files.
  empty_file,
  lfs_pointer,  // what Git leaves in place of a large file that was not fetched
  web_page,
  weights,          // safetensors
  weights_part,     // one of several: NAME-00001-of-00002.safetensors
  weights_index,    // what names such parts
  adapter_weights,  // adapter_model.safetensors
  model_config,
  adapter_config,
  gguf,
  gguf_part,
  hdf5,        // ours or not; kind_of(Hdf5File) tells which of the next three
  checkpoint,  // of a tuner
  model_file,  // a whole model in HDF5
  outputs,     // HDF5 of another kind
  pickle,
  archive,  // zip, tar
  packed,   // gzip, xz, zstd
  onnx,
  utf16_text,
  file  // nothing of these
};

// Reads names and at most 512 bytes (of configurations more); an unreadable path is a file or a directory.
PathKind kind_of(const std::string& path);
PathKind kind_of(const Hdf5File&);
// "the directory of a training run": what stands behind "is ".
std::string_view description(PathKind);

// What an argument takes.
enum class Wanted {
  model,   // --model
  tuner,   // --tuner
  text,    // a file of lines or a table; a pipe, too
  json,    // a file of JSON
  folder,  // a directory of data
  either,  // what inspect takes: a checkpoint of a tuner, a model, safetensors, an adapter of PEFT
};

// Throws InputError where the path is recognised as something else: what it is, and what to give instead. What is not
// there, and files of no known kind, pass: their reader has better words.
void check_path(const std::string& path, Wanted);
// --tuner before a model is read, which takes long: is there, can be read, and nothing else than a tuner.
void check_tuner(const std::string& path);
// The same for a file that is open, after its reader did not find what it needs.
void check_path(const Hdf5File&, Wanted);
// For a reader that met bytes that are not those of its format: throws InputError if the file is known to stand for
// another (a Git LFS pointer, a web page, UTF-16, nothing at all).
void check_contents(const std::string& path);

// Opens any file that can be read, as open_for_reading does, even one that only stands for another.
Descriptor open_as_it_is(const std::string& path);
// Whether these are the bytes of what Git LFS leaves in place of a large file.
bool is_lfs_pointer(std::string_view bytes);
// Whether a file's name is one of several parts: NAME-00001-of-00002.gguf.
bool is_part_name(std::string_view name);

}  // namespace cambium
