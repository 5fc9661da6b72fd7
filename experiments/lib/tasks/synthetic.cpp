// Made-up classification tasks, for smoke tests.
#include "core/random.h"
#include "experiments/lib/tasks/rows.h"

namespace cambium {
namespace {

struct SyntheticKind {
  const char* name;
  const char* words[3][8];  // of the two classes, and of none
};

constexpr SyntheticKind kKinds[] = {{"synthetic",
                                     {{"poor", "dull", "cold", "wrong", "weak", "harsh", "grim", "stale"},
                                      {"fine", "bright", "warm", "right", "strong", "kind", "fresh", "sweet"},
                                      {"day", "house", "river", "table", "road", "tree", "book", "stone"}}},
                                    {"synthetic_size",
                                     {{"ant", "pin", "seed", "crumb", "bead", "drop", "flea", "dot"},
                                      {"whale", "hill", "ship", "tower", "sea", "castle", "giant", "plain"},
                                      {"the", "some", "that", "every", "this", "one", "another", "no"}}},
                                    {"synthetic_heat",
                                     {{"ice", "snow", "frost", "winter", "hail", "sleet", "polar", "chill"},
                                      {"fire", "sun", "flame", "summer", "coal", "steam", "desert", "oven"},
                                      {"walk", "sing", "wait", "read", "look", "turn", "come", "stay"}}}};
constexpr int kNeutral = 2;

const SyntheticKind& kind_named(const std::string& name) {
  for (const SyntheticKind& kind : kKinds)
    if (name == kind.name) return kind;
  throw InputError(text("there are no made-up texts for the task ", name));
}

}  // namespace

void make_synthetic_rows(const std::string& name, Split split, const RowSink& sink) {
  const SyntheticKind& kind = kind_named(name);
  const size_t count = split == Split::train ? 512 : 64;
  const RandomKey key = random_key(uint64_t(split), kind.name == kKinds[0].name ? "synthetic task" : kind.name);
  for (uint32_t i = 0; i < count; ++i) {
    const RandomWords r = philox(key, i, 0, 0, 0);
    const int label = int(r.word[0] % 2);
    const uint32_t length = 3 + r.word[1] % 4, telling = r.word[2] % length;
    std::string words;
    for (uint32_t k = 0; k < length; ++k) {
      const RandomWords w = philox(key, i, 1 + k, 0, 0);
      words += text(k ? " " : "", kind.words[k == telling || w.word[1] % 3 == 0 ? label : kNeutral][w.word[0] % 8]);
    }
    sink({{{"label", {std::to_string(label)}}, {"text", {words}}}, text(name, ", text ", i + 1)});
  }
}

}  // namespace cambium
