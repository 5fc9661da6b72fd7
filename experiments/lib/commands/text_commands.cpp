// fetch, tokenize, score: commands that need no weights.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "core/json_integer.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/lines.h"
#include "experiments/lib/metrics/metric.h"
#include "models/fetch.h"
#include "models/tokenizers/utf8.h"

namespace cambium {

using nlohmann::json;

int run_fetch(const CommonOptions& common, const FetchOptions& options) {
  const std::string path = fetch_model(options.name);
  if (common.json) std::cout << json{{"name", options.name}, {"path", path}}.dump() << "\n";
  else std::cout << path << "\n";
  return 0;
}

int run_tokenize(const CommonOptions&, const TokenizeOptions& options) {
  const auto tokenizer = open_tokenizer(find_model(options.model));
  check_input(bool(tokenizer), options.model, " has no tokenizer files");
  OutputLines out(options.output);
  if (options.decode) {
    for_each_line(options.input, [&](const std::string& line, int64_t number) {
      const json list = parse_json(line, text(input_name(options.input), ":", number));
      std::vector<int32_t> ids;
      check_input(list.is_array(), input_name(options.input), ":", number, ": ", brief(list), " is no list of ids");
      for (const json& id : list) {
        check_input(is_int(id, 0, tokenizer->vocabulary_size() - 1), input_name(options.input), ":", number, ": ",
                    brief(id), " is no id of this tokenizer, which has ", tokenizer->vocabulary_size());
        ids.push_back(id.get<int32_t>());
      }
      out.write(tokenizer->decode(ids, !options.special));
    });
  } else {
    for_each_line(options.input, [&](const std::string& line, int64_t number) {
      const std::vector<int32_t> ids = tokenizer->encode(decoded_line(line, options.input, number), options.special);
      std::string list = "[";
      for (size_t i = 0; i < ids.size(); ++i) list += (i ? ", " : "") + std::to_string(ids[i]);
      out.write(list + "]");
    });
  }
  out.finish();
  return 0;
}

int run_score(const CommonOptions&, const ScoreOptions& options) {
  const auto outputs = metrics::read_outputs(options.outputs);
  const auto references = metrics::read_references(options.metric, options.references, outputs.size());
  nlohmann::ordered_json object;
  for (const auto& [name, value] : metrics::score(options.metric, references, outputs)) object[name] = value;
  std::cout << object.dump() << "\n";
  return 0;
}

}  // namespace cambium
