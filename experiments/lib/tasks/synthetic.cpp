#include "experiments/lib/tasks/synthetic.h"

#include "core/random.h"

namespace cambium {
namespace {

constexpr const char* kWords[3][8] = {{"poor", "dull", "cold", "wrong", "weak", "harsh", "grim", "stale"},
                                      {"fine", "bright", "warm", "right", "strong", "kind", "fresh", "sweet"},
                                      {"day", "house", "river", "table", "road", "tree", "book", "stone"}};
constexpr int kNeutral = 2;

}  // namespace

SyntheticTask::SyntheticTask(const std::string& data) {
  check_input(data.empty(), "--data ", data, ": the task synthetic makes its texts up");
}

std::vector<LabelledText> SyntheticTask::labelled(Split split) const {
  const size_t count = split == Split::train ? 512 : 64;
  const RandomKey key = random_key(uint64_t(split), "synthetic task");
  std::vector<LabelledText> all(count);
  for (uint32_t i = 0; i < count; ++i) {
    const RandomWords r = philox(key, i, 0, 0, 0);
    LabelledText& t = all[i];
    t.label = int(r.word[0] % 2);
    const uint32_t length = 3 + r.word[1] % 4, telling = r.word[2] % length;
    for (uint32_t k = 0; k < length; ++k) {
      const RandomWords w = philox(key, i, 1 + k, 0, 0);
      t.text += text(k ? " " : "", kWords[k == telling || w.word[1] % 3 == 0 ? t.label : kNeutral][w.word[0] % 8]);
    }
  }
  return all;
}

}  // namespace cambium
