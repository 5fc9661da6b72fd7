#include "experiments/lib/tasks/synthetic.h"

#include "core/random.h"

namespace cambium {

struct SyntheticKind {
  const char *name, *labels[2], *cloze[2];
  const char* words[3][8];  // of the two classes, and of none
};

namespace {

constexpr SyntheticKind kKinds[] = {{"synthetic",
                                     {"negative", "positive"},
                                     {"bad", "good"},
                                     {{"poor", "dull", "cold", "wrong", "weak", "harsh", "grim", "stale"},
                                      {"fine", "bright", "warm", "right", "strong", "kind", "fresh", "sweet"},
                                      {"day", "house", "river", "table", "road", "tree", "book", "stone"}}},
                                    {"synthetic_size",
                                     {"small", "large"},
                                     {"small", "large"},
                                     {{"ant", "pin", "seed", "crumb", "bead", "drop", "flea", "dot"},
                                      {"whale", "hill", "ship", "tower", "sea", "castle", "giant", "plain"},
                                      {"the", "some", "that", "every", "this", "one", "another", "no"}}},
                                    {"synthetic_heat",
                                     {"cold", "hot"},
                                     {"cold", "hot"},
                                     {{"ice", "snow", "frost", "winter", "hail", "sleet", "polar", "chill"},
                                      {"fire", "sun", "flame", "summer", "coal", "steam", "desert", "oven"},
                                      {"walk", "sing", "wait", "read", "look", "turn", "come", "stay"}}}};
constexpr int kNeutral = 2;

const SyntheticKind& kind_named(const std::string& name) {
  for (const SyntheticKind& kind : kKinds)
    if (name == kind.name) return kind;
  throw InputError(text("there is no made-up task ", name));
}

}  // namespace

SyntheticTask::SyntheticTask(const std::string& name, const std::string& data) : kind_(kind_named(name)) {
  check_input(data.empty(), "--data ", data, ": the task ", name, " makes its texts up");
}

std::string SyntheticTask::name() const { return kind_.name; }
std::vector<std::string> SyntheticTask::labels() const { return {kind_.labels[0], kind_.labels[1]}; }
Cloze SyntheticTask::cloze() const { return {"It was", ".", {kind_.cloze[0], kind_.cloze[1]}}; }
std::string SyntheticTask::words() const {
  return text("Is the list of words ", kind_.labels[0], " or ", kind_.labels[1], "?");
}

std::vector<LabelledText> SyntheticTask::labelled(Split split) const {
  const size_t count = split == Split::train ? 512 : 64;
  const RandomKey key = random_key(uint64_t(split), kind_.name == kKinds[0].name ? "synthetic task" : kind_.name);
  std::vector<LabelledText> all(count);
  for (uint32_t i = 0; i < count; ++i) {
    const RandomWords r = philox(key, i, 0, 0, 0);
    LabelledText& t = all[i];
    t.label = int(r.word[0] % 2);
    const uint32_t length = 3 + r.word[1] % 4, telling = r.word[2] % length;
    for (uint32_t k = 0; k < length; ++k) {
      const RandomWords w = philox(key, i, 1 + k, 0, 0);
      t.text += text(k ? " " : "", kind_.words[k == telling || w.word[1] % 3 == 0 ? t.label : kNeutral][w.word[0] % 8]);
    }
  }
  return all;
}

}  // namespace cambium
