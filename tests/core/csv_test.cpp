// Tables: quotes, line ends, compression; faults are InputErrors with the line.
#include "core/csv.h"

#include "core/files.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

using Rows = std::vector<std::vector<std::string>>;

TEST(Csv, Fields) {
  const Table t = parse_table(
      "\xef\xbb\xbfmr,ref\r\n\"name[A, B]\",\"He said "
      "\"\"yes\"\".\"\r\n\n,\"two\nlines\"\n\"\",5\" x\rb",
      "x.csv");
  EXPECT_EQ(t.header, (std::vector<std::string>{"mr", "ref"}));
  EXPECT_EQ(t.rows, (Rows{{"name[A, B]", "He said \"yes\"."}, {"", "two\nlines"}, {"", "5\" x\rb"}}));
  EXPECT_EQ(t.lines, (std::vector<int64_t>{2, 4, 6}));
  EXPECT_EQ(t.column("ref"), 1u);
  expect_error<InputError>([&] { t.column("text"); }, {"x.csv: has no column \"text\"", "mr, ref"});
}

TEST(Csv, WithoutHeader) {
  const TableFormat format{.header = false};
  EXPECT_EQ(parse_table("a,b\nc,d\n", "x", format).rows, (Rows{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(parse_table("a,\n", "x", format).rows, (Rows{{"a", ""}}));
  EXPECT_EQ(parse_table(",", "x", format).rows, (Rows{{"", ""}}));
  EXPECT_EQ(parse_table("\"\"\n\na\n", "x", format).rows, (Rows{{""}, {"a"}}));
  EXPECT_TRUE(parse_table("", "x", format).rows.empty());
  EXPECT_TRUE(parse_table("\n\r\n", "x", format).rows.empty());
}

TEST(Csv, Tsv) {
  EXPECT_EQ(parse_table("MR\tout\n\"a, b\"\tc \"d\"\n", "x", TableFormat::tsv()).rows, (Rows{{"a, b", "c \"d\""}}));
  EXPECT_EQ(parse_table("s\tl\n\"open\t1\nhe \"said\t0\n", "x", TableFormat::plain_tsv()).rows,
            (Rows{{"\"open", "1"}, {"he \"said", "0"}}));
}

TEST(Csv, Faults) {
  const auto fails = [](std::string_view source, std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { parse_table(source, "x.csv"); }, parts);
  };
  fails("", {"x.csv: is empty"});
  fails("a,b\n1,2\n1\n", {"x.csv:3: has 1 fields, but the first line has 2"});
  fails("a,b\n\"1\n1\",2,3\n", {"x.csv:2: has 3 fields"});
  fails("a\n\"b\n\n", {"x.csv:2: the quote that opens here is never closed"});
  fails("a\n\"b\nc\"d\n", {"x.csv:3: text after a closing quote"});
}

// 17 KB of xz, 114 MB of the same row, 2.5 GB of fields.
TEST(Csv, BoundsWhatASmallFileBecomes) {
  if (std::system("command -v xz >/dev/null") != 0) GTEST_SKIP() << "xz is not installed";
  const TemporaryDirectory folder(memory_folder());
  put_file(folder / "bomb.csv", "mr,ref\n" + std::string(24'000'000, '\n'));
  ASSERT_EQ(std::system(("xz -0 " + folder / "bomb.csv").c_str()), 0);
  expect_error<InputError>([&] { read_table(folder / "bomb.csv.xz"); }, {"bomb.csv.xz", "unpacks to more than"});
}

TEST(Csv, BoundsTheFieldsOfATableLong) {
  expect_error<InputError>([] { parse_table(std::string((1 << 24) + 1, ','), "x.csv"); },
                           {"x.csv:1", "more than 16777216 fields"});
}

TEST(Csv, Xz) {
  if (std::system("command -v xz >/dev/null") != 0) GTEST_SKIP() << "xz is not installed";
  const TemporaryDirectory folder(memory_folder());
  put_file(folder / "a.csv", "mr,ref\na,b\n");
  put_file(folder / "zeros", std::string(50'000'000, '\0'));
  ASSERT_EQ(std::system(("cd " + folder.path() + " && xz -k a.csv && xz -0 zeros").c_str()), 0);
  EXPECT_EQ(read_table(folder / "a.csv.xz").rows, (Rows{{"a", "b"}}));
  const std::string packed = read_text_file(folder / "a.csv.xz");
  put_file(folder / "two", packed + packed);
  EXPECT_EQ(read_data_file(folder / "two"), "mr,ref\na,b\nmr,ref\na,b\n");
  expect_error<InputError>([&] { read_data_file(folder / "zeros.xz", 1'000'000); },
                           {"zeros.xz", "more than 1000000 bytes"});
  expect_error<InputError>([&] { read_data_file(folder / "none"); }, {"none", "No such file"});
  int refused = 0;
  for (size_t size = 6; size < packed.size(); ++size) {
    put_file(folder / "cut", packed.substr(0, size));
    expect_error<InputError>([&] { read_data_file(folder / "cut"); }, {"cut: the xz file is cut short"});
  }
  for (uint32_t seed = 0; seed < 500; ++seed) {
    put_file(folder / "bad", damaged(packed, seed));
    try {
      read_data_file(folder / "bad");
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace cambium::testing
