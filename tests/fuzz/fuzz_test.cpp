// Every loader on its seeds, and (long) on thousands of damaged copies of them: the same ones each time.
//
// A crash ends the program. CAMBIUM_FUZZ_KEEP=FILE writes each input to FILE before it is read, so that FILE holds the
// one that did it; CAMBIUM_FUZZ_RUNS=N asks for another number of inputs, CAMBIUM_FUZZ_START=N for others.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>

#include "core/files.h"
#include "tests/fuzz/targets.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"

namespace cambium::testing {

void PrintTo(const FuzzTarget& target, std::ostream* out) { *out << target.name; }

namespace {

std::vector<std::string> seeds_of(const FuzzTarget& target) {
  const std::string folder = source_path(std::string("tests/fuzz/corpus/") + target.corpus);
  std::vector<std::string> seeds;
  for (const std::string& name : list_directory(folder)) seeds.push_back(read_text_file(folder + "/" + name));
  return seeds;
}

// Several damages: bytes and bits, parts copied, moved or cut out, numbers replaced, parts of another seed.
class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, uint32_t number) : seeds_(seeds), number_(number) {}

  std::string input() {
    std::string bytes = pick(seeds_);
    for (uint32_t n = 1 + below(4); n-- > 0 && !bytes.empty();) change(bytes);
    return bytes;
  }

 private:
  uint32_t below(size_t count) {
    return uint32_t(philox(random_key(20260101, "fuzz"), number_, drawn_++, 0, 0).word[0] % std::max<size_t>(count, 1));
  }
  const std::string& pick(const std::vector<std::string>& from) { return from[below(from.size())]; }

  void change(std::string& bytes) {
    static const std::vector<std::string> words = {"0",
                                                   "-1",
                                                   "null",
                                                   "\"\"",
                                                   "[]",
                                                   "{}",
                                                   "18446744073709551615",
                                                   "2147483648",
                                                   "1e400",
                                                   "\\C",
                                                   "\\K",
                                                   "(?R)",
                                                   "(a|b)*",
                                                   "\xc3",
                                                   "\xff\xff\xff\xff",
                                                   std::string(8, '\xff'),
                                                   std::string(4, '\0'),
                                                   std::string(300, 'a'),
                                                   "\n=== ",
                                                   "\"",
                                                   "\\u0000",
                                                   "\u2581"};
    const size_t at = below(bytes.size()), other = below(bytes.size()), length = 1 + below(16);
    switch (below(8)) {
      case 0: bytes[at] = char(below(256)); break;
      case 1: bytes[at] = char(uint8_t(bytes[at]) ^ (1u << below(8))); break;
      case 2: bytes.erase(at, below(2) ? length : bytes.size()); break;
      case 3: bytes.insert(at, bytes.substr(other, length * length)); break;
      case 4: bytes.insert(at, pick(words)); break;
      case 5: bytes.replace(at, length, pick(words)); break;
      case 6: {  // one number for another
        const size_t digit = bytes.find_first_of("0123456789", at);
        if (digit == bytes.npos) break;
        const size_t end = bytes.find_first_not_of("0123456789", digit);
        bytes.replace(digit, (end == bytes.npos ? bytes.size() : end) - digit, pick(words));
        break;
      }
      default: {
        const std::string& seed = pick(seeds_);
        bytes.replace(at, length, seed.substr(below(seed.size()), length * length));
      }
    }
  }

  const std::vector<std::string>& seeds_;
  uint32_t number_, drawn_ = 0;
};

// The loader must answer with an Error or with nothing.
void run(const FuzzTarget& target, const std::string& input, uint32_t number) {
  if (const char* keep = std::getenv("CAMBIUM_FUZZ_KEEP")) put_file(keep, input);
  try {
    target.run(input);
  } catch (const Error&) {
  } catch (const std::exception& e) {
    ADD_FAILURE() << target.name << ", input " << number << ": " << e.what();
  }
}

uint32_t from_environment(const char* name, uint32_t otherwise) {
  const char* const value = std::getenv(name);
  return value ? uint32_t(std::strtoul(value, nullptr, 10)) : otherwise;
}

class Fuzz : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(Fuzz, ReadsItsSeeds) {
  for (const std::string& seed : seeds_of(GetParam())) EXPECT_NO_THROW(GetParam().run(seed)) << seed.substr(0, 100);
}

class FuzzLong : public ::testing::TestWithParam<FuzzTarget> {
 protected:
  // Of a small file no loader needs much memory: with that limit a wrong size fails here.
  static void SetUpTestSuite() {
#ifndef __SANITIZE_ADDRESS__
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t most = rlim_t(pages) * 4096 + (rlim_t(2) << 30);
    const rlimit limit{most, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &limit);
#endif
  }
};

TEST_P(FuzzLong, SurvivesDamageLong) {
  const std::vector<std::string> seeds = seeds_of(GetParam());
  const bool forks = std::string_view(GetParam().corpus) == "hdf5";
  const uint32_t start = from_environment("CAMBIUM_FUZZ_START", 0),
                 runs = from_environment("CAMBIUM_FUZZ_RUNS", forks ? 1500 : 10000);
  for (uint32_t i = start; i < start + runs && !HasFailure(); ++i) run(GetParam(), Mutator(seeds, i).input(), i);
}

const auto name_of_target = [](const auto& info) { return std::string(info.param.name); };
INSTANTIATE_TEST_SUITE_P(Loaders, Fuzz, ::testing::ValuesIn(fuzz_targets()), name_of_target);
INSTANTIATE_TEST_SUITE_P(Loaders, FuzzLong, ::testing::ValuesIn(fuzz_targets()),
                         [](const auto& info) { return std::string(info.param.name) + "Long"; });

}  // namespace
}  // namespace cambium::testing
