#include "tuning/prompt.h"

#include <algorithm>
#include <charconv>

#include "tuning/checkpoint.h"

namespace cambium {
namespace {

constexpr size_t kFrequent = 5000;  // tokens that count as frequent

// The embeddings of tokens as the model's layers see them, [ids, width], in the accumulator type.
Tensor embeddings(Model& model, const std::vector<int32_t>& ids) {
  Tensor rows =
      Tensor::empty({int64_t(ids.size()), model.config().width}, accumulator(model.weight_type()), model.device());
  DISPATCH(gather_rows, rows.stream())
  (rows.stream(), model.embedding.weight.value, Tensor::of(ids, model.device()), model.config().embedding_scale, false,
   rows);
  return rows;
}

// The tokens that a start is drawn from.
std::vector<int32_t> text_tokens(const TunerContext& context) {
  const ModelConfig& c = context.model.config();
  std::vector<int32_t> special = c.eos, all;
  for (const auto& id : {c.bos, c.pad, c.mask, c.decoder_start})
    if (id) special.push_back(*id);
  for (int32_t id = 0; id < c.vocabulary; ++id)
    if (std::find(special.begin(), special.end(), id) == special.end() && (!context.is_text || context.is_text(id)))
      all.push_back(id);
  return all;
}

// S of "normal:S", none of uniform and positive.
std::optional<double> normal_deviation(const std::string& random) {
  if (random == "uniform" || random == "positive") return {};
  constexpr std::string_view kNormal = "normal:";
  double deviation = 0;
  const char *begin = random.data() + std::min(kNormal.size(), random.size()), *end = random.data() + random.size();
  const auto [at, error] = std::from_chars(begin, end, deviation);
  check_input(random.starts_with(kNormal) && error == std::errc() && at == end && deviation > 0 && deviation <= 1e3,
              "prompt: random=", random, " is none of uniform, positive and normal:S with a number S up to 1000");
  return deviation;
}

// `count` different ones of the first `most`, from the seed.
std::vector<int32_t> sampled_tokens(int64_t count, size_t most, const TunerContext& context, const std::string& name) {
  std::vector<int32_t> all = text_tokens(context);
  if (all.size() > most) all.resize(most);
  check_input(count <= int64_t(all.size()), "prompt: length ", count, " exceeds the ", all.size(),
              " tokens of text in the vocabulary");
  const RandomKey key = random_key(context.seed, name);
  std::vector<bool> taken(all.size());
  std::vector<int32_t> ids;
  for (uint32_t i = 0; int64_t(ids.size()) < count; ++i) {
    const size_t place = size_t(uint64_t(philox(key, i, 0, 0, 0).word[0]) * uint64_t(all.size()) >> 32);
    if (!taken[place]) ids.push_back(all[place]);
    taken[place] = true;
  }
  return ids;
}

std::vector<int32_t> tokens_of(const std::string& words, const TunerContext& context) {
  check_input(bool(context.tokenize), "prompt: an initial text needs the model's tokenizer, which is not there");
  const std::vector<int32_t> ids = context.tokenize(words);
  check_input(!ids.empty(), "prompt: the initial text \"", words, "\" has no tokens");
  return ids;
}

// Row i is the mean embedding of the tokens of label i.
void set_label_rows(const Tensor& rows, const TunerContext& context) {
  for (size_t i = 0; i < context.labels.size() && int64_t(i) < rows.rows(); ++i) {
    const Tensor tokens = embeddings(context.model, tokens_of(context.labels[i], context));
    const Tensor row = rows.rows(int64_t(i), int64_t(i) + 1);
    DISPATCH(column_sum, rows.stream())(rows.stream(), tokens, false, row);
    DISPATCH(scale, rows.stream())(rows.stream(), row, 1.0 / double(tokens.rows()), row);
  }
}

}  // namespace

TunerMaker Prompt::read(OptionReader& o) {
  Options options;
  options.length = o.integer("length", options.length, 1, kLongest);
  options.init = o.choice("init", options.init, {"vocabulary", "random", "frequent", "text", "labels", "file"});
  options.where = o.choice("where", options.where, {"", "encoder", "decoder", "both"});
  options.text = o.word("text", ""), options.file = o.word("file", "");
  options.random = o.word("random", options.random);
  o.finish();
  normal_deviation(options.random);
  return [options](const TunerContext& context) { return std::make_unique<Prompt>(options, context); };
}

VirtualRows::VirtualRows(const std::string& method, int64_t length, std::string where, const ModelConfig& config)
    : length_(length), where_(std::move(where)) {
  if (where_.empty()) where_ = config.encoder.layers ? "encoder" : "decoder";
  check_input(where_ != "encoder" || config.encoder.layers, method, ": where=encoder, but the model has no encoder");
  check_input(where_ != "decoder" || config.decoder.layers, method, ": where=decoder, but the model has no decoder");
  check_input(where_ != "both" || config.is_seq2seq(), method, ": where=both needs an encoder and a decoder");
}

bool VirtualRows::applies_to(StackKind kind) const { return where_ == "both" || where_ == name_of(kind); }

Prompt::Prompt(const Options& options, const TunerContext& context)
    : VirtualRows("prompt", options.length, options.where, context.model.config()), options_(options) {
  if (applies_to(StackKind::encoder)) encoder_ = initial(StackKind::encoder, context);
  if (applies_to(StackKind::decoder)) decoder_ = initial(StackKind::decoder, context);
}

Parameter Prompt::initial(StackKind kind, const TunerContext& context) const {
  const ModelConfig& config = context.model.config();
  const std::string name = text(name_of(kind), ".prompt");
  Parameter p = tuner_parameter(context.model, {options_.length, config.width});
  if (!context.initialize) return p;
  if (options_.init == "random") {
    if (const auto deviation = normal_deviation(options_.random)) fill_normal(p, context.seed, name, *deviation);
    else if (options_.random == "positive") fill_uniform(p, context.seed, name, 0.25, 0.25);
    else fill_uniform(p, context.seed, name, 0.5);
  } else if (options_.init == "text") {
    std::vector<int32_t> ids = tokens_of(options_.text.empty() ? context.words : options_.text, context);
    const size_t given = ids.size();
    ids.resize(size_t(options_.length));
    for (size_t i = given; i < ids.size(); ++i) ids[i] = ids[i - given];
    p.value.copy_from(embeddings(context.model, ids));
  } else if (options_.init == "file") {
    check_input(!options_.file.empty(), "prompt: init=file needs file=CHECKPOINT");
    const Tensor rows = read_tuner_parameter(options_.file, name);
    check_input(rows.shape() == p.value.shape(), "prompt: ", options_.file, " holds a prompt ", rows.shape(),
                ", needed is ", p.value.shape());
    p.value.copy_from(rows.to(p.value.dtype()).to(p.value.device()));
  } else {
    const size_t most = options_.init == "frequent" ? kFrequent : size_t(config.vocabulary);
    p.value.copy_from(embeddings(context.model, sampled_tokens(options_.length, most, context, name)));
    if (options_.init == "labels") {
      check_input(!context.labels.empty(), "prompt: init=labels, but the task has no label words");
      set_label_rows(p.value, context);
    }
  }
  return p;
}

OptionMap Prompt::options() const {
  return {{"length", std::to_string(options_.length)},
          {"init", options_.init},
          {"where", where_},
          {"text", options_.text},
          {"file", options_.file},
          {"random", options_.random}};
}

std::vector<NamedParameter> Prompt::parameters() {
  std::vector<NamedParameter> all;
  if (decoder_) all.push_back({"decoder.prompt", &decoder_, 0, options_.length});
  if (encoder_) all.push_back({"encoder.prompt", &encoder_, 0, options_.length});
  return all;
}

Var Prompt::rows_of(Pass& pass, StackKind kind) { return pass(kind == StackKind::encoder ? encoder_ : decoder_); }

Tensor VirtualRows::values(StackKind kind) {
  Hooks none;
  Pass pass(none);
  return rows_of(pass, kind).value;
}

void VirtualRows::embedded(Pass& pass, StackKind kind, Var& rows, Layout& layout) {
  if (!applies_to(kind)) return;
  const std::vector<int32_t> count(size_t(layout.sequences()), int32_t(length_));
  if (layout.continued) {  // the prompt is in the cache; tokens stand behind it
    for (Layout::Row& r : layout.rows) r.position += int32_t(length_);
    return;
  }
  std::vector<int32_t> source, virtual_row;
  Layout wider = layout.with_virtual_tokens(count, source);
  for (const Layout::Row& r : wider.rows) virtual_row.push_back(r.token < 0 ? r.token + int32_t(length_) : -1);
  const Device device = rows.value.device();
  const auto tokens = std::make_shared<RowMap>(std::move(source), rows.value.rows(), device);
  const auto virtuals = std::make_shared<RowMap>(std::move(virtual_row), length_, device);
  rows = apply(TakeRows{tokens, 1, rows.value.dtype()}, rows, Var());
  rows = apply(TakeRows{virtuals, 1, rows.value.dtype(), true}, rows_of(pass, kind), rows);
  layout = std::move(wider);
}

}  // namespace cambium
