#include "experiments/lib/pretrain/pretrain.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "core/places.h"
#include "core/progress.h"
#include "core/signals.h"
#include "experiments/lib/pretrain/ladder.h"
#include "experiments/lib/pretrain/token_file.h"
#include "experiments/lib/spent.h"
#include "experiments/lib/token_facts.h"
#include "models/export.h"
#include "models/fetch.h"
#include "models/import/config.h"
#include "tuning/denoising.h"

namespace cambium {
namespace {

using nlohmann::ordered_json;

bool masks(const std::string& objective) { return objective == "mlm" || objective == "wwm"; }

// A new model: its shape, and the tokenizer that it was given or that is learned from the texts.
Session new_session(const CommonOptions& common, const PretrainOptions& o, std::string& tokenizer_path) {
  tokenizer_path = o.tokenizer.empty() ? learned_vocabulary(o.texts, o.vocabulary, o.folder) : o.tokenizer;
  Session session;
  session.tokenizer = open_tokenizer(tokenizer_path);
  check_input(bool(session.tokenizer), tokenizer_path, " has no tokenizer files");
  const int64_t vocabulary = (session.tokenizer->vocabulary_size() + 63) / 64 * 64;
  const bool file = o.shape.ends_with(".json");
  ModelConfig config =
      file ? config_from_json(read_text_file(o.shape), o.shape) : ladder_shape(o.shape, o.family, vocabulary);
  check_input(session.tokenizer->vocabulary_size() <= config.vocabulary, o.shape, ": the tokenizer has ",
              session.tokenizer->vocabulary_size(), " ids, the model's vocabulary ", config.vocabulary);
  const Device device = device_of(common);
  session.kernels = choose_kernels(common, config, DType::f32, device);
  session.model = std::make_unique<Model>(config, DType::f32, device);
  initialize(*session.model, common.seed);
  session.identity = {file ? o.shape : o.family + "-" + o.shape, "", to_json(config), "f32"};
  return session;
}

Session open(const CommonOptions& common, const PretrainOptions& o, std::string& tokenizer_path) {
  check_input(o.init.empty() != o.shape.empty(),
              "pretrain needs either --init MODEL to go on from, or --shape of a new model");
  if (o.init.empty()) return new_session(common, o, tokenizer_path);
  CommonOptions exact = common;
  exact.dtype = "f32";
  Session session = open_session(o.init, exact);
  session.require_tokenizer();
  tokenizer_path = session.source->path();
  if (masks(o.objective) && !session.model->head) session.model->add_language_head(common.seed);
  return session;
}

// The token that hides others; a SentencePiece vocabulary has none, so its last sentinel does it.
int32_t hiding_token(const Tokenizer& tokenizer) {
  if (const auto mask = mask_token(tokenizer)) return *mask;
  const auto s = sentinels(tokenizer);
  check_input(bool(s), "this tokenizer has no mask token and no sentinels: nothing can stand for hidden tokens");
  return s->first - int32_t(s->count - 1);
}

std::shared_ptr<const Objective> objective_of(const PretrainOptions& o, const Session& session) {
  const Tokenizer& tokenizer = session.require_tokenizer();
  const ModelConfig& config = session.model->config();
  const Framing framing = framing_of(tokenizer);
  const auto needs = [&](bool fits, const char* kind) {
    check_input(fits, "--objective ", o.objective, " needs ", kind, ", this is a model of the family ", config.family);
  };
  if (masks(o.objective)) {
    needs(config.is_encoder(), "an encoder");
    MaskedLm::Options m{.mask = hiding_token(tokenizer),
                        .vocabulary = tokenizer.vocabulary_size(),
                        .whole_words = o.objective == "wwm",
                        .starts = word_starts(tokenizer),
                        .never = special_tokens(tokenizer),
                        .framing = framing};
    return std::make_shared<MaskedLm>(std::move(m));
  }
  if (o.objective == "spans") {
    needs(config.is_seq2seq(), "an encoder and a decoder");
    const auto s = sentinels(tokenizer);
    check_input(bool(s), "--objective spans: this tokenizer has no sentinels (<extra_id_0> ...)");
    return std::make_shared<SpanCorruption>(
        SpanCorruption::Options{.first_sentinel = s->first, .sentinels = s->count, .framing = framing});
  }
  if (o.objective == "bart") {
    needs(config.is_seq2seq(), "an encoder and a decoder");
    BartDenoising::Options b{.mask = hiding_token(tokenizer),
                             .vocabulary = tokenizer.vocabulary_size(),
                             .sentence_ends = sentence_ends(tokenizer),
                             .starts = word_starts(tokenizer),
                             .framing = framing};
    return std::make_shared<BartDenoising>(std::move(b));
  }
  needs(!config.is_encoder(), "a decoder");
  if (o.objective == "prefix-lm") return std::make_shared<PrefixLm>(config.is_seq2seq(), framing);
  check_input(o.objective == "causal", "--objective ", o.objective,
              ": there are mlm, wwm, spans, prefix-lm, bart and causal");
  needs(!config.is_seq2seq(), "a decoder without an encoder");
  return std::make_shared<CausalLm>();
}

// Tokens of text that a block needs.
int64_t block_length(const PretrainOptions& o, const Session& session) {
  const Framing framing = framing_of(session.require_tokenizer());
  const int64_t around = int64_t(framing.before.size() + framing.after.size());
  if (o.objective == "spans") return span_corruption_text(o.length, 0.15, 3, around);
  return o.objective == "causal" ? o.length : o.length - around;
}

TokenBlocks blocks_of(const std::vector<std::string>& texts, const PretrainOptions& o, const Session& session) {
  const ModelConfig& config = session.model->config();
  const Framing framing = framing_of(session.require_tokenizer());
  const auto named = std::ranges::find_if(config.eos, [&](int32_t id) { return id >= 0 && id < config.vocabulary; });
  const int32_t end = named != config.eos.end() ? *named : framing.after.empty() ? -1 : framing.after.front();
  std::vector<std::string> files;
  for (const std::string& path : texts)
    files.push_back(tokenized(path, o.folder, *session.tokenizer, config.vocabulary, end));
  return TokenBlocks(files, block_length(o, session));
}

// Beside the old one first: a model that is there is whole.
void write_model(Model& model, const std::string& tokenizer_path, bool settings, const std::string& place) {
  namespace fs = std::filesystem;
  const std::string fresh = place + ".new", old = place + ".old";
  fs::remove_all(fresh), fs::remove_all(old);
  save_model(
      model.config(),
      [&](const std::string& name) {
        return parameter_named(model.parameters(), name).value().to(Device::cpu()).to(DType::f32);
      },
      tokenizer_path, fresh, DType::f32, settings);
  if (fs::exists(place)) fs::rename(place, old);
  fs::rename(fresh, place);
  fs::remove_all(old);
}

void write_results(const PretrainOptions& o, const TrainResult& result, const Spent& spent, Session& session,
                   const TokenBlocks& blocks) {
  ordered_json j{{"model", session.identity.source},
                 {"objective", o.objective},
                 {"parameters", session.model->parameter_count()},
                 {"trained", result.trained_scalars},
                 {"tokens_of_text", blocks.tokens()},
                 {"length", o.length},
                 {"batch_size", o.run.train.batch_size},
                 {"steps", result.steps},
                 {"seconds", spent.seconds_of(result.steps)},
                 {"tok_s", spent.tokens / spent.seconds}};
  for (const auto& [step, loss] : result.dev_losses)
    j["dev"].push_back({{"step", step}, {"loss", loss}, {"perplexity", std::exp(loss)}});
  write_file(o.run.run.directory + "/pretraining.json", j.dump(2) + "\n");
  if (!result.dev_losses.empty())
    Progress::say(
        text("dev loss ", result.dev_losses.back().loss, ", perplexity ", std::exp(result.dev_losses.back().loss)));
}

}  // namespace

int run_pretrain(const CommonOptions& common, PretrainOptions o) {
  check_input(!o.texts.empty(), "pretrain needs --text FILE ...");
  check_output_directory(o.run.run.directory, o.run.run.resume || o.run.run.overwrite);
  check_input(o.length >= 8 && o.length <= 1 << 20, "--length ", o.length, ": give 8 to 1048576 tokens");
  check_input(o.dev_blocks >= 0, "--dev-blocks ", o.dev_blocks, " is negative");
  check_options(o.run.train);  // before a vocabulary is learned and texts are tokenised
  if (o.folder.empty())
    o.folder = (std::filesystem::absolute(o.run.run.directory + "/.").lexically_normal().parent_path().parent_path() /
                "tokens")
                   .string();
  std::string tokenizer_path;
  Session session = open(common, o, tokenizer_path);
  Model& model = *session.model;
  const int64_t positions = model.config().max_positions;
  check_input(!positions || o.length <= positions, "--length ", o.length, ": the model has ", positions, " positions");
  const TokenBlocks blocks = blocks_of(o.texts, o, session);
  std::optional<TokenBlocks> dev;
  if (!o.dev.empty()) dev.emplace(blocks_of(o.dev, o, session));

  TrainData data;
  data.objective = objective_of(o, session);
  const int64_t held = o.dev.empty() ? std::min(o.dev_blocks, blocks.size() / 20) : 0;  // the end of the texts
  data.examples = examples_of(blocks, 0, blocks.size() - held);
  if (dev) data.dev = examples_of(*dev, 0, std::min(o.dev_blocks, dev->size()));
  else if (held) data.dev = examples_of(blocks, blocks.size() - held, blocks.size());

  o.run.method = "full";
  if (o.parts != "all") o.run.options["only"] = o.parts;
  o.run.train.seed = common.seed;
  Progress::say(text(session.identity.source, ": ", model.parameter_count(), " parameters, ", blocks.tokens(),
                     " tokens of text in ", blocks.size(), " blocks"));
  catch_stop_signals();
  const std::string run = o.run.run.directory, place = run + "/model";
  const Spent before = Spent::read(run);
  const TrainResult result = train(session, o.run, std::move(data));
  const Spent spent = before.with(result);
  if (!result.losses.empty()) spent.write(run);
  if (result.end == TrainEnd::stopped) {
    Progress::say(text("stopped after step ", result.steps, "; --resume continues from there"));
    return kStoppedExitCode;
  }
  if (!result.losses.empty() || !file_exists(run + "/pretraining.json") || !is_directory(place)) {
    write_model(model, tokenizer_path, !o.init.empty(), place);
    write_results(o, result, spent, session, blocks);
  }
  Progress::say(place);
  return 0;
}

}  // namespace cambium
