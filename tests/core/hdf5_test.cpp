// HDF5 files: what is written is read, by us and by others; damage is an InputError and nothing
// worse.
#include "core/hdf5.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>

#include "core/files.h"
#include "tests/support/array.h"
#include "tests/support/files.h"
#include "tests/support/hdf5_body.h"
#include "tests/support/paths.h"

namespace cambium::testing {
namespace {

const std::string kForeign = source_path("tests/core/data/foreign.h5");

void write_sample(const std::string& path) {
  Hdf5Writer file(path);
  file.attribute("/", "configuration", std::string(70000, 'c'));
  file.attribute("/", "step", 12);
  file.attribute("/", "loss", 0.1);
  file.attribute("/", "empty", "");
  file.group("/nothing/here");
  file.write("/a/f32", Tensor::of(std::vector<float>{1, -0.0f, 3.5f, INFINITY, 1e-42f, 6}).reshape({2, 3}));
  file.write("/a/f64", Tensor::of(std::vector<double>{0.1, 1e300}));
  file.write("/a/i32", Tensor::of(std::vector<int32_t>{-7, 7, 2147483647}));
  file.write("/a/bf16", Tensor::of(std::vector<float>{1.5f, -2.25f, 3e38f, 1e-40f}).to(DType::bf16));
  file.write("/a/b/scalar", Tensor::of(std::span<const float>(std::vector<float>{0.5f}), Shape{}));
  file.write("/a/b/none", Tensor::zeros({0, 4}, DType::f32));
  file.write("/a/long", std::vector<int64_t>{std::numeric_limits<int64_t>::min(), -1, int64_t(1) << 40});
  file.write("/a/no_long", std::vector<int64_t>{});
  file.write("/a/words", std::vector<std::string>{"one", "", "gr\xc3\xbc\xc3\x9f", std::string(5000, 'x')});
  file.write("/a/packed", to_tensor(random_array({100, 70}, 3), DType::f32), 6);
  file.attribute("/a", "ints", std::vector<int64_t>{1, 2, 3});
  file.attribute("/a", "numbers", std::vector<double>{0.5, -1});
  file.attribute("/a/f32", "words", std::vector<std::string>{"x", "yz"});
  file.attribute("/a/f32", "none", std::vector<double>{});
  for (int i = 0; i < 30; ++i) file.write(text("/many/", i), Tensor::of(std::vector<int32_t>{i}));
  file.commit();
}

TEST(Hdf5, WhatIsWrittenIsRead) {
  const TemporaryDirectory folder;
  write_sample(folder / "a.h5");
  const Hdf5File file(folder / "a.h5");
  EXPECT_EQ(file.attribute<std::string>("/", "configuration"), std::string(70000, 'c'));
  EXPECT_EQ(file.attribute<int64_t>("/", "step"), 12);
  EXPECT_EQ(file.attribute<double>("/", "step"), 12);
  EXPECT_EQ(file.attribute<double>("/", "loss"), 0.1);
  EXPECT_EQ(file.attribute<std::string>("/", "empty"), "");
  EXPECT_EQ(file.attribute<std::vector<int64_t>>("/a", "ints"), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(file.attribute<std::vector<double>>("/a", "numbers"), (std::vector<double>{0.5, -1}));
  EXPECT_EQ(file.attribute<std::vector<std::string>>("/a/f32", "words"), (std::vector<std::string>{"x", "yz"}));
  EXPECT_EQ(file.attribute<std::vector<double>>("/a/f32", "none"), std::vector<double>{});
  EXPECT_EQ(file.attributes(), (std::vector<std::string>{"configuration", "empty", "loss", "step"}));
  EXPECT_TRUE(file.has_attribute("/a", "ints"));
  EXPECT_FALSE(file.has_attribute("/a", "step"));

  EXPECT_EQ(file.list("/"), (std::vector<std::string>{"a", "many", "nothing"}));
  EXPECT_EQ(file.list("/a/b"), (std::vector<std::string>{"none", "scalar"}));
  EXPECT_EQ(file.datasets("/a/b"), (std::vector<std::string>{"/a/b/none", "/a/b/scalar"}));
  EXPECT_EQ(file.datasets().size(), 40u);
  EXPECT_TRUE(file.is_group("/nothing/here"));
  EXPECT_TRUE(file.is_group("/"));
  EXPECT_FALSE(file.is_dataset("/a"));
  EXPECT_TRUE(file.is_dataset("/a/f32"));
  EXPECT_FALSE(file.is_group("/x/y"));

  const float f32[] = {1, -0.0f, 3.5f, INFINITY, 1e-42f, 6};
  const Tensor a = file.read("/a/f32");
  EXPECT_EQ(a.shape(), (Shape{2, 3}));
  EXPECT_EQ(std::memcmp(a.raw(), f32, sizeof f32), 0);
  EXPECT_TRUE(same_bits(file.read("/a/f64"), Tensor::of(std::vector<double>{0.1, 1e300})));
  EXPECT_TRUE(same_bits(file.read("/a/i32"), Tensor::of(std::vector<int32_t>{-7, 7, 2147483647})));
  EXPECT_TRUE(
      same_bits(file.read("/a/bf16"), Tensor::of(std::vector<float>{1.5f, -2.25f, 3e38f, 1e-40f}).to(DType::bf16)));
  EXPECT_EQ(file.read("/a/b/scalar").shape(), Shape{});
  EXPECT_EQ(file.read("/a/b/scalar").data<float>()[0], 0.5f);
  EXPECT_EQ(file.read("/a/b/none").shape(), (Shape{0, 4}));
  EXPECT_EQ(file.read_ints("/a/long"),
            (std::vector<int64_t>{std::numeric_limits<int64_t>::min(), -1, int64_t(1) << 40}));
  EXPECT_EQ(file.read_ints("/a/i32"), (std::vector<int64_t>{-7, 7, 2147483647}));
  EXPECT_TRUE(file.read_ints("/a/no_long").empty());
  EXPECT_EQ(file.read_strings("/a/words"),
            (std::vector<std::string>{"one", "", "gr\xc3\xbc\xc3\x9f", std::string(5000, 'x')}));
  EXPECT_TRUE(same_bits(file.read("/a/packed"), to_tensor(random_array({100, 70}, 3), DType::f32)));
  EXPECT_EQ(file.shape("/a/packed"), (Shape{100, 70}));
  EXPECT_EQ(file.kind("/a/bf16"), Hdf5File::Kind::tensor);
  EXPECT_EQ(file.kind("/a/long"), Hdf5File::Kind::ints);
  EXPECT_EQ(file.kind("/a/words"), Hdf5File::Kind::strings);
}

TEST(Hdf5, WrongQuestionsAreInputErrors) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.h5";
  write_sample(path);
  const Hdf5File file(path);
  expect_error<InputError>([&] { file.read("/a/x"); }, {path, "has no \"/a/x\""});
  expect_error<InputError>([&] { file.read("/a"); }, {path, "/a is not a dataset"});
  expect_error<InputError>([&] { file.read("/a/words"); }, {"/a/words does not hold numbers"});
  expect_error<InputError>([&] { file.read("/a/long"); }, {"/a/long does not hold numbers"});
  expect_error<InputError>([&] { file.read_ints("/a/f32"); }, {"/a/f32 does not hold integers"});
  expect_error<InputError>([&] { file.read_strings("/a/f32"); }, {"/a/f32 does not hold strings"});
  expect_error<InputError>([&] { file.list("/a/f32"); }, {"/a/f32 is not a group"});
  expect_error<InputError>([&] { file.list("/none"); }, {"has no \"/none\""});
  expect_error<InputError>([&] { file.attribute<int64_t>("/", "x"); }, {"/ has no attribute \"x\""});
  expect_error<InputError>([&] { file.attribute<int64_t>("/", "loss"); }, {"loss holds a number; expected an integer"});
  expect_error<InputError>([&] { file.attribute<std::string>("/a", "ints"); },
                           {"ints holds integers; expected a string"});
  expect_error<InputError>([&] { Hdf5File(folder / "none.h5"); }, {"none.h5", "No such file"});
  expect_error<InputError>([&] { Hdf5File(folder.path()); }, {"is a directory"});
  write_file(folder / "text", "not HDF5");
  expect_error<InputError>([&] { Hdf5File(folder / "text"); }, {"text: is not an HDF5 file"});
  write_file(folder / "empty", "");
  expect_error<InputError>([&] { Hdf5File(folder / "empty"); }, {"empty: is an empty file"});
}

TEST(Hdf5, WrongWritesAreErrors) {
  const TemporaryDirectory folder;
  const Tensor one = Tensor::of(std::vector<float>{1});
  Hdf5Writer file(folder / "a.h5");
  file.write("/a", one);
  expect_error<Error>([&] { file.write("/a", one); }, {"a.h5", "/a", "already exists"});
  expect_error<Error>([&] { file.write("/a/b", one); }, {"a.h5", "/a/b"});
  expect_error<Error>([&] { file.attribute("/none", "x", 1); }, {"a.h5", "/none, attribute x"});
  expect_error<Error>([&] { file.write("/s", std::vector<std::string>{std::string("a\0b", 3)}); }, {"NUL"});
  file.commit();
  EXPECT_EQ(Hdf5File(folder / "a.h5").datasets(), std::vector<std::string>{"/a"});
}

// Also while memory that the allocator hands out holds garbage.
TEST(Hdf5, EqualContentGivesEqualBytes) {
  const TemporaryDirectory folder;
  write_sample(folder / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // times are stored in seconds
  const std::string bytes = read_text_file(folder / "a.h5");
  for (int i = 0; i < 3; ++i) {
    std::vector<std::string> garbage;
    for (int k = 0; k < 2000; ++k) garbage.emplace_back(size_t(k), char(17 * i + 9));
    garbage.clear();
    write_sample(folder / "b.h5");
    EXPECT_TRUE(read_text_file(folder / "b.h5") == bytes);
  }
}

TEST(Hdf5, WithoutCommitTheOldFileStays) {
  const TemporaryDirectory folder;
  write_file(folder / "a.h5", "old");
  {
    Hdf5Writer file(folder / "a.h5");
    file.write("/a", Tensor::zeros({1000}, DType::f32));
  }
  EXPECT_EQ(read_text_file(folder / "a.h5"), "old");
  EXPECT_EQ(list_directory(folder.path()), std::vector<std::string>{"a.h5"});
  expect_error<InputError>([&] { Hdf5Writer(folder / "none/a.h5"); }, {"none/a.h5", "No such file"});
}

// A disk that is full at any moment: the old file stays, nothing else does, and the library goes on
// working.
TEST(Hdf5, FullDiskLeavesTheOldFile) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.h5";
  write_sample(path);
  const std::string old = read_text_file(path);
  int failed = 0;
  for (size_t room = 0; room < old.size(); room += 1500) {
    {
      const FileSizeLimit limit(room);
      expect_error<Error>([&] { write_sample(path); }, {path, "cannot be written", "File too large"});
      ++failed;
    }
    ASSERT_EQ(list_directory(folder.path()), std::vector<std::string>{"a.h5"});
  }
  EXPECT_GT(failed, 50);
  EXPECT_TRUE(read_text_file(path) == old);
  write_sample(path);
  EXPECT_TRUE(read_text_file(path) == old);
}

TEST(Hdf5, AKilledWriterLeavesTheOldFile) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.h5";
  write_sample(path);
  for (int turn = 0; turn < 10; ++turn) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(1);
      while (true) write_sample(path);
    }
    ::usleep(useconds_t(3000 + 1700 * turn));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_EQ(Hdf5File(path).datasets().size(), 40u);
  }
}

TEST(Hdf5, ThreadsTakeTurns) {
  const TemporaryDirectory folder;
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        const std::string path = folder / text(t, ".h5");
        write_sample(path);
        try {
          Hdf5File(path).read("/a/x");
        } catch (const InputError&) {
          good += Hdf5File(path).read("/a/f64").size() == 2 && Hdf5File(kForeign).is_group("/data");
        }
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 20);
}

// Every damage of a file of ours is found.
TEST(Hdf5, DamagedFilesOfOurs) {
  const TemporaryDirectory folder(memory_folder());
  write_sample(folder / "a.h5");
  const std::string whole = read_text_file(folder / "a.h5");
  const auto refused = [&](const std::string& bytes) {
    put_file(folder / "b.h5", bytes);
    expect_error<InputError>([&] { Hdf5File(folder / "b.h5"); }, {"b.h5: "});
  };
  for (uint32_t seed = 0; seed < 2000; ++seed)
    if (const std::string bytes = damaged(whole, seed); bytes != whole) refused(bytes);
  for (size_t at = 0; at < 512; ++at) {
    std::string bytes = whole;
    bytes[at] ^= 1;
    refused(bytes);
  }
  for (size_t size = 0; size < whole.size(); size += size < 600 ? 1 : 997) refused(whole.substr(0, size));
  refused(whole + "x");
}

// A sum that fits says nothing about who made the file: the library crashes on some of these bodies.
void harm_in_files_like_ours(uint32_t begin, uint32_t end) {
  const TemporaryDirectory folder(memory_folder());
  const std::string whole = read_text_file(kForeign);
  int refused = 0;
  for (uint32_t seed = begin; seed < end; ++seed) {
    put_with_sum(folder / "b.h5", damaged(whole, seed));
    try {
      read_everything(folder / "b.h5");
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("b.h5"), std::string::npos) << e.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, int(end - begin) / 5);
}

TEST(Hdf5, BodiesMadeToHarmInFilesLikeOurs) { harm_in_files_like_ours(0, 60); }
TEST(Hdf5, BodiesMadeToHarmInFilesLikeOursLong) { harm_in_files_like_ours(60, 500); }

// A note that h5py added to a file of ours: longer than it was, by the library's own account.
TEST(Hdf5, OursWithANoteIsOneOfOthers) {
  const std::string noted = source_path("tests/core/data/noted.h5");
  const Hdf5File file(noted);
  EXPECT_EQ(file.attribute<std::string>("/", "note"), "mine");
  EXPECT_TRUE(file.is_dataset("/logits/0"));
  const TemporaryDirectory folder;
  const std::string whole = read_text_file(noted);
  put_file(folder / "b.h5", whole + "x");
  expect_error<InputError>([&] { Hdf5File(folder / "b.h5"); },
                           {"b.h5", "more than were written", "changed afterwards"});
  put_file(folder / "b.h5", whole.substr(0, 1000));
  expect_error<InputError>([&] { Hdf5File(folder / "b.h5"); }, {"b.h5", "has 1000 bytes", "cut short"});
}

TEST(Hdf5, FilesOfOthers) {
  const Hdf5File file(kForeign);
  EXPECT_EQ(file.path(), kForeign);
  EXPECT_EQ(file.list("/"), (std::vector<std::string>{"again", "data", "many"}));
  EXPECT_EQ(file.list("/data"), (std::vector<std::string>{"big_endian", "bytes", "chunked", "fixed_words", "long",
                                                          "never_written", "plain", "words"}));
  EXPECT_EQ(file.attribute<std::string>("/", "title"), "a file of others");
  EXPECT_EQ(file.attribute<std::string>("/", "fixed"), "fixed text");
  EXPECT_EQ(file.attribute<int64_t>("/", "count"), 3);
  EXPECT_EQ(file.attribute<double>("/", "half"), 0.5);
  EXPECT_EQ(file.attribute<std::vector<double>>("/", "rows"), (std::vector<double>{1.5, 2.5}));
  EXPECT_EQ(file.attribute<std::vector<std::string>>("/data", "names"), (std::vector<std::string>{"one", "two"}));
  EXPECT_FALSE(file.has_attribute("/", "flag"));
  for (const char* name : {"/data/plain", "/again"}) {
    EXPECT_EQ(file.shape(name), (Shape{3, 4}));
    for (int i = 0; i < 12; ++i) EXPECT_EQ(file.read(name).data<float>()[i], float(i));
  }
  EXPECT_EQ(to_array(file.read("/data/big_endian")).values, (std::vector<double>{0, 1, 2, 3, 4}));
  for (int i = 0; i < 600; ++i) EXPECT_EQ(file.read("/data/chunked").data<int32_t>()[i], i);
  EXPECT_EQ(file.read_ints("/data/long"), (std::vector<int64_t>{int64_t(1) << 40, -1}));
  EXPECT_EQ(file.read_ints("/data/bytes"), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.read_strings("/data/words"), (std::vector<std::string>{"alpha", "", "\xc3\xbc"}));
  EXPECT_EQ(file.read_strings("/data/fixed_words"), (std::vector<std::string>{"ab", "abcd"}));
  EXPECT_EQ(to_array(file.read("/data/never_written")).values, (std::vector<double>{0, 0, 0, 0}));
  EXPECT_EQ(file.read("/many/d11").data<double>()[0], 11);
}

// The library crashes on some of these; here each is read, or is an InputError.
void damage_files_of_others(uint32_t begin, uint32_t end) {
  const TemporaryDirectory folder(memory_folder());
  ::setenv("TMPDIR", folder.path().c_str(), 1);
  const std::string whole = read_text_file(kForeign);
  int refused = 0, read = 0;
  for (uint32_t seed = begin; seed < end; ++seed) {
    put_file(folder / "b.h5", damaged(whole, seed));
    try {
      const Hdf5File file(folder / "b.h5");
      for (const std::string& path : file.datasets())
        if (file.kind(path) == Hdf5File::Kind::tensor) file.read(path);
      ++read;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("b.h5"), std::string::npos) << e.what();
      ++refused;
    }
  }
  ::unsetenv("TMPDIR");
  EXPECT_GT(refused, int(end - begin) / 5);
  EXPECT_GT(read, int(end - begin) / 20);
}

TEST(Hdf5, DamagedFilesOfOthers) { damage_files_of_others(0, 200); }
TEST(Hdf5, DamagedFilesOfOthersLong) { damage_files_of_others(200, 2200); }

// A file of ours without its first 512 bytes is a plain HDF5 file.
TEST(Hdf5, OursWithoutItsTextIsOneOfOthers) {
  const TemporaryDirectory folder;
  write_sample(folder / "a.h5");
  write_file(folder / "b.h5", std::string_view(read_text_file(folder / "a.h5")).substr(512));
  const Hdf5File a(folder / "a.h5"), b(folder / "b.h5");
  EXPECT_EQ(a.datasets(), b.datasets());
  EXPECT_TRUE(same_bits(a.read("/a/bf16"), b.read("/a/bf16")));
  EXPECT_EQ(a.attributes(), b.attributes());
}

std::string output_of(const std::string& command) {
  std::string out;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  char part[4096];
  while (const size_t n = std::fread(part, 1, sizeof part, pipe)) out.append(part, n);
  return ::pclose(pipe) == 0 ? out : "failed: " + out;
}

TEST(Hdf5, OtherToolsReadOurFiles) {
  if (std::system("command -v h5dump h5ls >/dev/null") != 0) GTEST_SKIP() << "hdf5-tools is not installed";
  const TemporaryDirectory folder;
  write_sample(folder / "a.h5");
  const std::string listing = output_of("h5ls -r " + folder / "a.h5");
  EXPECT_NE(listing.find("/a/bf16                  Dataset {4}"), std::string::npos) << listing;
  EXPECT_NE(listing.find("/a/packed                Dataset {100, 70}"), std::string::npos) << listing;
  const std::string dump = output_of("h5dump -d /a/bf16 " + folder / "a.h5");
  EXPECT_NE(dump.find("16-bit little-endian floating-point"), std::string::npos) << dump;
  EXPECT_NE(dump.find("(0): 1.5, -2.25, 3.00406e+38"), std::string::npos) << dump;
  const std::string words = output_of("h5dump -a /a/f32/words " + folder / "a.h5");
  EXPECT_NE(words.find("\"x\", \"yz\""), std::string::npos) << words;
}

TEST(Hdf5, H5pyReadsOurFiles) {
  std::string python;  // the PATH's, or the system's: another one may be first on the PATH
  for (const char* name : {"/usr/bin/python3", "python3"})
    if (std::system((name + std::string(" -c 'import h5py' 2>/dev/null")).c_str()) == 0) python = name;
  if (python.empty()) GTEST_SKIP() << "h5py is not installed";
  const TemporaryDirectory folder;
  write_sample(folder / "a.h5");
  write_file(folder / "a.py", R"(
import h5py, sys
f = h5py.File(sys.argv[1])
assert f.attrs['step'] == 12 and f.attrs['loss'] == 0.1 and len(f.attrs['configuration']) == 70000
assert isinstance(f.attrs['configuration'], str) and list(f['a/f32'].attrs['words']) == ['x', 'yz']
b = f['a/bf16'][()]
assert b.dtype == 'float32' and b[0] == 1.5 and b[1] == -2.25, b
assert f['a/words'].asstr()[2] == 'gr\u00fc\u00df' and f['a/b/scalar'][()] == 0.5 and f['a/long'][1] == -1
print('read')
)");
  EXPECT_EQ(output_of(python + " " + folder / "a.py" + " " + folder / "a.h5"), "read\n");
}

}  // namespace
}  // namespace cambium::testing
