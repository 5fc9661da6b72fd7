// generate: continuations of texts.
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/path_kind.h"
#include "core/progress.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/lines.h"
#include "experiments/lib/open_tuners.h"
#include "experiments/lib/tasks/task.h"
#include "models/decoding.h"
#include "models/generation_settings.h"
#include "models/tokenizers/utf8.h"
#include "tuning/mixture.h"
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

// What a line asks for: a text, and the number of the tuner that treats it.
struct Request {
  std::string text;
  int tuner = 0;
};

// A line that is a JSON object {"text": ..., "tuner": ...} says both; every other is a text for the first tuner.
Request request_of(const std::string& line, const std::string& path, int64_t number,
                   std::span<const std::string> tuners) {
  const int first = tuners.empty() ? -1 : 0;
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == line.npos || line[begin] != '{') return {decoded_line(line, path, number), first};
  const nlohmann::json any = nlohmann::json::parse(line, nullptr, false);
  if (!any.is_object() || !any.contains("text")) return {line, first};  // a text that begins with a brace
  const std::string where = text(input_name(path), ":", number);
  const nlohmann::json object = parse_json(line, where);  // which refuses a key that comes twice
  for (const auto& [name, _] : object.items())
    check_input(name == "text" || name == "tuner", where, ": \"", name, "\" is neither text nor tuner. ",
                "A line that is meant as a text can be written as a JSON string");
  check_input(object["text"].is_string(), where, ": text = ", brief(object["text"]), " is no string");
  return {object["text"].get<std::string>(),
          object.contains("tuner") ? tuner_number(object["tuner"], tuners, where + ": tuner") : first};
}

}  // namespace

int run_generate(const CommonOptions& common, const GenerateOptions& options) {
  check_input(options.format == "jsonl" || options.format == "text", "--format ", options.format,
              ": there are jsonl and text");
  check_input(options.generation.no_repeat_ngram >= 0, "--no-repeat-ngram ", options.generation.no_repeat_ngram,
              " is negative");
  const std::vector<TunerArgument> given = tuner_arguments(options.tuners);
  check_lines(options.input);
  OutputLines out(options.output);
  Session session = open_session(options.model, common, true, !options.tuners.empty());
  const Tokenizer& tokenizer = session.require_tokenizer();
  const OpenTuners tuners(given, session, options.force_base);
  Mixture mixture(tuners.all(), *session.model);
  GenerationOptions generation = options.generation;
  generation.seed = common.seed;
  generation.forbidden = forbidden_of(options.forbid);
  if (!options.ignore_settings) use_settings(session, options.given, generation);
  generation.scores = options.format == "jsonl";

  std::vector<std::vector<int32_t>> prompts;
  std::vector<int> tuner;
  for_each_line(options.input, [&](const std::string& line, int64_t number) {
    const std::string where = text(input_name(options.input), ":", number);
    const Request request = request_of(line, options.input, number, tuners.names());
    mixture.check_tuner_of(where, request.tuner);
    prompts.push_back(to_prompt(request.text, tokenizer, session.model->config()));
    tuner.push_back(request.tuner);
    check_input(!prompts.back().empty(), where, ": an empty text has no tokens to continue");
    for (const int32_t id : prompts.back())
      check_input(id < session.model->config().vocabulary, where, ": the token \"", tokenizer.token(id),
                  "\" has the id ", id, ", and the model rows for ", session.model->config().vocabulary);
    reading(where, [&] { check_input_length(*session.model, mixture, prompts.back(), tuner.back(), generation); });
  });
  check_input(!prompts.empty(), input_name(options.input), " has no lines");
  Progress progress("generating", int64_t(prompts.size()));
  const auto results =
      generate(*session.model, mixture, prompts, generation, tuner, [&](int64_t done) { progress.update(done); });
  for (size_t i = 0; i < results.size(); ++i)
    for (const Generated& g : results[i]) {
      const std::string output = valid_utf8(tokenizer.decode(g.ids, true));
      if (options.format == "text") {
        std::string line = output;
        for (char& c : line) c = c == '\n' || c == '\r' ? ' ' : c;
        out.write(line);
      } else {
        nlohmann::ordered_json result{{"text", output}, {"ids", g.ids}, {"score", g.score}};
        if (given.size() > 1) result["tuner"] = tuners.label(tuner[i]);
        out.write(result.dump());
      }
    }
  out.finish();
  return 0;
}

}  // namespace cambium
