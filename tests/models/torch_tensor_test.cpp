// Tensors of torch.save (tools/golden/transfer.py), and files that only pretend to be some.
#include "models/files/torch_tensor.h"

#include <gtest/gtest.h>

#include "core/files.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/zip_archive.h"

namespace cambium::testing {
namespace {

std::string saved() { return golden_path("transfer/task_prompt_emb/IMDBPromptTiny/task_prompt"); }

// What torch.save pickles for a tensor [rows, columns], each part to be replaced.
struct Pickle {
  std::string start = "\x80\x02", call = "ctorch._utils\n_rebuild_tensor_v2\nq", storage = "ctorch\nFloatStorage\n",
              key = "0";
  int offset = 0, rows = 2, columns = 3, stride = 3, elements = 6;
  std::string end =
      "\x89"
      "ccollections\nOrderedDict\n)RtR.";

  static std::string word(const std::string& s) {
    return "X" + std::string(1, char(s.size())) + std::string(3, '\0') + s;
  }
  static std::string byte(int n) { return "K" + std::string(1, char(n)); }
  std::string bytes() const {
    return start + call + std::string(1, '\0') + "((" + word("storage") + storage + word(key) + word("cpu") +
           byte(elements) + "tQ" + byte(offset) + byte(rows) + byte(columns) + "\x86" + byte(stride) + byte(1) +
           "\x86" + end;
  }
};

class TorchTensor : public ::testing::Test {
 protected:
  std::string archive(const std::string& pickle, const std::string& numbers = std::string(24, '\0'),
                      const std::string& key = "0") const {
    put_file(folder_ / "p", zip_archive({{"archive/data.pkl", pickle}, {"archive/data/" + key, numbers}}));
    return folder_ / "p";
  }
  void refuses(const Pickle& pickle, const char* part) const {
    const std::string path = archive(pickle.bytes());
    expect_error<InputError>([&] { read_torch_tensor(path); }, {path, part});
  }
  const TemporaryDirectory folder_;
};

TEST_F(TorchTensor, IsWhatTorchSaved) {
  const Tensor t = read_torch_tensor(saved());
  ASSERT_EQ(t.shape(), Shape({3, 7}));
  // numpy.random.default_rng(7).normal() in float32
  EXPECT_FLOAT_EQ(t.span<float>()[0], 0.0012301534f);
}

TEST_F(TorchTensor, ReadsEachPart) {
  const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
  const std::string bytes(reinterpret_cast<const char*>(numbers.data()), 24);
  const Tensor whole = read_torch_tensor(archive(Pickle().bytes(), bytes));
  EXPECT_EQ(std::vector<float>(whole.span<float>().begin(), whole.span<float>().end()), numbers);
  const Tensor row = read_torch_tensor(archive(Pickle{.offset = 3, .rows = 1}.bytes(), bytes));
  EXPECT_EQ(row.shape(), Shape({1, 3}));
  EXPECT_EQ(row.span<float>()[0], 4);
}

// A pickle may call anything: here nothing is called, and the file is refused.
TEST_F(TorchTensor, NothingIsRun) {
  Pickle p;
  p.call = "cos\nsystem\nq";
  refuses(p, "os.system");
  p.call = "cposix\nsystem\nq";
  refuses(p, "nothing was run");
  p = {};
  p.storage = "ctorch\nHalfStorage\n";
  refuses(p, "torch.HalfStorage");
  p = {};
  p.storage = "ccollections\nOrderedDict\n";
  refuses(p, "not one of float32");
  p = {};
  p.start = "\x80\x02}";  // an empty dictionary below
  refuses(p, "instruction 125");
  for (const char* code : {"i", "o", "b", "\x93", "\x81", "\x92", "P", "s", "u", "h"}) {
    p.start = std::string("\x80\x02") + code;
    refuses(p, "instruction");
  }
  p = {};
  p.end = "\x89)RtR.";
  refuses(p, "pickle");
  p.end =
      "\x89"
      "ccollections\nOrderedDict\n)RtR.X";
  refuses(p, "not one tensor");
  p.end = "tR.";
  refuses(p, "no tensor has");
  p = {};
  p.start = "\x80\x02" + std::string(100, ')');
  refuses(p, "deeper");
  p.start = "\x80\x04";
  refuses(p, "protocol");
}

TEST_F(TorchTensor, SizesAreComparedBeforeTheyAreUsed) {
  refuses({.offset = 1}, "in a storage of 6");
  refuses({.rows = 3}, "in a storage of 6");
  refuses({.stride = 4}, "view of another");
  refuses({.rows = 0}, "empty");
  refuses({.key = "../0"}, "no number for a name");
  refuses({.key = "1"}, "has no archive/data/1");
  refuses({.elements = 7}, "has 24 bytes for 7");
  refuses({.elements = 5}, "in a storage of 5");
  const std::string path = archive("\x80");
  expect_error<InputError>([&] { read_torch_tensor(path); }, {"ends early"});
  put_file(path, zip_archive({{"a/data.pkl", Pickle().bytes()}, {"b/data.pkl", ""}}));
  expect_error<InputError>([&] { read_torch_tensor(path); }, {"two pickles"});
  put_file(path, zip_archive({{"a/data", ""}}));
  expect_error<InputError>([&] { read_torch_tensor(path); }, {"no data.pkl"});
  put_file(path,
           zip_archive({{"a/data.pkl", Pickle().bytes()}, {"a/data/0", std::string(24, 'x')}, {"a/byteorder", "big"}}));
  expect_error<InputError>([&] { read_torch_tensor(path); }, {"little-endian"});
  put_file(path, zip_archive({{"a/data.pkl", std::string(5000, ')')}}));
  expect_error<InputError>([&] { read_torch_tensor(path); }, {"at most 4096"});
  put_file(path, "\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j");  // what PyTorch wrote before 1.6
  expect_error<InputError>([&] { read_torch_tensor(path); }, {"zip"});
}

// Bytes of the whole file, archive and pickle: a tensor or an error.
TEST_F(TorchTensor, DamagedFilesAreRefusedOrRead) {
  const std::string good = read_text_file(saved());
  for (uint32_t seed = 0; seed < 300; ++seed) {
    put_file(folder_ / "damaged", damaged(good, seed));
    try {
      EXPECT_EQ(read_torch_tensor(folder_ / "damaged").shape().rank(), 2);
    } catch (const InputError&) {
    }
  }
}

}  // namespace
}  // namespace cambium::testing
