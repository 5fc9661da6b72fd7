// generate: continuations of texts.
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/path_kind.h"
#include "core/progress.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/lines.h"
#include "experiments/lib/tasks/task.h"
#include "models/decoding.h"
#include "models/generation_settings.h"
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

// The model's own settings of generation, as far as the command line says nothing.
void use_settings(const Session& session, const std::set<std::string>& given, GenerationOptions& generation) {
  const GenerationSettings settings =
      apply_generation_settings(session.source->path(), session.model->config(), given, generation);
  if (!settings.used.empty())
    Progress::say(text("note: the model's settings of generation: ", listed(settings.used),
                       "; options and --ignore-settings go before them"));
  if (!settings.not_used.empty())
    Progress::say(
        text("warning: settings of generation that are not supported and not used: ", listed(settings.not_used)));
}

}  // namespace

int run_generate(const CommonOptions& common, const GenerateOptions& options) {
  check_input(options.format == "jsonl" || options.format == "text", "--format ", options.format,
              ": there are jsonl and text");
  check_input(options.generation.no_repeat_ngram >= 0, "--no-repeat-ngram ", options.generation.no_repeat_ngram,
              " is negative");
  check_input(options.tuners.size() <= 1, "generate takes one --tuner; the first would be used for every line");
  for (const std::string& path : options.tuners) check_tuner(path);
  check_lines(options.input);
  OutputLines out(options.output);
  Session session = open_session(options.model, common, true, !options.tuners.empty());
  const Tokenizer& tokenizer = session.require_tokenizer();
  std::vector<std::unique_ptr<Tuner>> tuners;
  for (const std::string& path : options.tuners) tuners.push_back(open_tuner(path, session, options.force_base));
  Hooks none;
  Hooks& hooks = tuners.empty() ? none : static_cast<Hooks&>(*tuners.front());
  GenerationOptions generation = options.generation;
  generation.seed = common.seed;
  generation.forbidden = forbidden_of(options.forbid);
  if (!options.ignore_settings) use_settings(session, options.given, generation);
  generation.scores = options.format == "jsonl";

  std::vector<std::vector<int32_t>> prompts;
  for_each_line(options.input, [&](const std::string& line, int64_t number) {
    prompts.push_back(to_prompt(decoded_line(line, options.input, number), tokenizer, session.model->config()));
    check_input(!prompts.back().empty(), input_name(options.input), ":", number,
                ": an empty text has no tokens to continue");
    for (const int32_t id : prompts.back())
      check_input(id < session.model->config().vocabulary, input_name(options.input), ":", number, ": the token \"",
                  tokenizer.token(id), "\" has the id ", id, ", and the model rows for ",
                  session.model->config().vocabulary);
    reading(text(input_name(options.input), ":", number),
            [&] { check_input_length(*session.model, hooks, prompts.back(), generation); });
  });
  check_input(!prompts.empty(), input_name(options.input), " has no lines");
  Progress progress("generating", int64_t(prompts.size()));
  const auto results =
      generate(*session.model, hooks, prompts, generation, {}, [&](int64_t done) { progress.update(done); });
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
