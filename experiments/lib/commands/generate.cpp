// generate: continuations of texts.
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "core/progress.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/lines.h"
#include "experiments/lib/tasks/task.h"
#include "models/tokenizers/utf8.h"
#include "tuning/options.h"

namespace cambium {
namespace {

std::vector<std::vector<int32_t>> forbidden_of(const std::vector<std::string>& list) {
  std::vector<std::vector<int32_t>> all;
  for (const std::string& entry : list)
    for (const std::string& word : split(entry)) {
      all.emplace_back();
      for (const std::string& number : split(word, '+')) {
        int32_t id = -1;
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), id);
        check_input(error == std::errc() && end == number.data() + number.size(), "--forbid ", entry,
                    ": give ids (198,628), with + between those of a sequence");
        all.back().push_back(id);
      }
    }
  return all;
}

}  // namespace

int run_generate(const CommonOptions& common, const GenerateOptions& options) {
  check_input(options.format == "jsonl" || options.format == "text", "--format ", options.format,
              ": there are jsonl and text");
  check_input(options.generation.no_repeat_ngram >= 0, "--no-repeat-ngram ", options.generation.no_repeat_ngram,
              " is negative");
  Session session = open_session(options.model, common, true, !options.tuners.empty());
  const Tokenizer& tokenizer = session.require_tokenizer();
  std::vector<std::unique_ptr<Tuner>> tuners;
  for (const std::string& path : options.tuners) tuners.push_back(open_tuner(path, session, options.force_base));
  check_input(tuners.size() <= 1, "generate takes one --tuner; the first would be used for every line");
  session.model->pack_frozen([](const Parameter&) { return false; });

  std::vector<std::vector<int32_t>> prompts;
  for_each_line(options.input, [&](const std::string& line, int64_t number) {
    prompts.push_back(to_prompt(decoded_line(line, options.input, number), tokenizer, session.model->config()));
    check_input(!prompts.back().empty(), input_name(options.input), ":", number,
                ": an empty text has no tokens to continue");
  });
  check_input(!prompts.empty(), input_name(options.input), " has no lines");
  GenerationOptions generation = options.generation;
  generation.seed = common.seed;
  generation.forbidden = forbidden_of(options.forbid);
  generation.scores = options.format == "jsonl";
  Hooks none;
  Progress progress("generating", int64_t(prompts.size()));
  const auto results = generate(*session.model, tuners.empty() ? none : static_cast<Hooks&>(*tuners.front()), prompts,
                                generation, {}, [&](int64_t done) { progress.update(done); });
  OutputLines out(options.output);
  for (const auto& of_input : results)
    for (const Generated& g : of_input) {
      const std::string output = valid_utf8(tokenizer.decode(g.ids, true));
      if (options.format == "text") {
        std::string line = output;
        for (char& c : line) c = c == '\n' || c == '\r' ? ' ' : c;
        out.write(line);
      } else {
        out.write(nlohmann::ordered_json{{"text", output}, {"ids", g.ids}, {"score", g.score}}.dump());
      }
    }
  out.finish();
  return 0;
}

}  // namespace cambium
