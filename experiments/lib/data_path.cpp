// Data files are found through the environment, beside the installed library, or in the source tree.
#include "experiments/lib/data_path.h"

#include <dlfcn.h>
#include <lzma.h>

#include <cstdlib>
#include <fstream>
#include <vector>

#include "core/error.h"

#ifndef CAMBIUM_SOURCE_DATA
#define CAMBIUM_SOURCE_DATA ""  // a build that is not meant to run from its source tree
#endif

namespace cambium {
namespace {

namespace fs = std::filesystem;

// The file this code was loaded from: the library, or a program it was linked into.
fs::path own_file() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_file), &info) == 0 || !info.dli_fname) return {};
  std::error_code ignored;
  return fs::canonical(info.dli_fname, ignored);
}

}  // namespace

fs::path data_path(std::string_view name) {
  std::vector<fs::path> places;
  if (const char* set = std::getenv("CAMBIUM_DATA"); set && *set) places.emplace_back(set);
  if (const fs::path self = own_file(); !self.empty())
    places.push_back(self.parent_path().parent_path() / "share" / "cambium");
  if (*CAMBIUM_SOURCE_DATA) places.emplace_back(CAMBIUM_SOURCE_DATA);
  std::string searched;
  for (const fs::path& place : places) {
    std::error_code ignored;
    if (fs::is_regular_file(place / name, ignored)) return place / name;
    searched += (searched.empty() ? "" : ", ") + place.string();
  }
  throw Error(text("data file '", name, "' not found in ", searched,
                   "\nset CAMBIUM_DATA to the directory that holds it"));
}

std::string read_text_file(const fs::path& path, size_t limit) {
  std::ifstream file(path, std::ios::binary);
  check_input(file.good(), path.string(), ": cannot be opened");
  std::string contents;
  std::vector<char> block(1 << 16);
  while (file.read(block.data(), std::streamsize(block.size())), file.gcount() > 0) {
    contents.append(block.data(), size_t(file.gcount()));
    check_input(contents.size() <= limit, path.string(), ": larger than ", limit, " bytes");
  }
  check_input(file.eof(), path.string(), ": cannot be read beyond byte ", contents.size());
  return contents;
}

std::string read_xz(const fs::path& path, size_t limit) {
  const std::string packed = read_text_file(path, limit);
  lzma_stream stream = LZMA_STREAM_INIT;
  CHECK(lzma_stream_decoder(&stream, uint64_t(256) << 20, LZMA_CONCATENATED) == LZMA_OK,
        "xz: no memory for a decoder");
  std::string contents;
  std::vector<uint8_t> block(1 << 16);
  stream.next_in = reinterpret_cast<const uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  lzma_ret state = LZMA_OK;
  while (state == LZMA_OK && contents.size() <= limit) {
    stream.next_out = block.data();
    stream.avail_out = block.size();
    state = lzma_code(&stream, LZMA_FINISH);
    contents.append(reinterpret_cast<const char*>(block.data()), block.size() - stream.avail_out);
  }
  const uint64_t position = stream.total_in;
  lzma_end(&stream);
  check_input(contents.size() <= limit, path.string(), ": unpacks to more than ", limit, " bytes");
  check_input(state == LZMA_STREAM_END, path.string(), ": not a whole xz file (stopped at byte ", position,
              " of ", packed.size(), ")");
  return contents;
}

}  // namespace cambium
