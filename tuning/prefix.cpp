#include "tuning/prefix.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/linear.h"
#include "models/cache.h"
#include "tuning/optimizer.h"

namespace cambium {
namespace {

// Keys and values [2, tokens, kv_width] of each layer for a text that the base alone reads, keys as attention
// sees them (rotated by their positions).
class Reader : public Hooks {
 public:
  Reader(Model& model, const std::vector<int32_t>& ids) : model_(model), ids_{ids} {
    const ModelConfig& config = model.config();
    Pass pass(*this);
    Memory memory;
    if (config.encoder.layers) memory = model.remember(pass, Layout(ids_, kIndex, kTuner));
    if (config.decoder.layers) {
      const std::vector<int32_t> capacity{int32_t(ids.size())};
      DecoderCache cache(config, capacity, model.activation_type(), model.device());
      Layout layout(ids_, kIndex, kTuner);
      model.decode(pass, layout, config.is_seq2seq() ? &memory : nullptr, &cache);
      for (Layer::Caches& layer : cache.layers) {
        decoder.push_back(halves(layer.self.rows));
        if (layer.cross.rows) cross.push_back(halves(layer.cross.rows));
      }
    }
  }
  std::vector<Tensor> encoder, decoder, cross;

 private:
  Var projected(Pass&, const Projection& p, const Var&, Var y, const Layout&) override {
    if (p.site.stack == StackKind::encoder && p.dense.parts.front().name == "query") {
      const int64_t begin = p.dense.parts[1].begin, end = p.dense.parts[2].end;
      Tensor rows = Tensor::empty({y.value.rows(), end - begin}, accumulator(y.value.dtype()), y.value.device());
      DISPATCH(convert, rows.stream())(rows.stream(), y.value.view().columns(begin, end), rows);
      encoder.push_back(halves(rows));
    }
    return y;
  }
  bool reaches_inside(const Site&) const override { return false; }
  // [tokens, key | value] as [2, tokens, kv_width]
  static Tensor halves(const Tensor& rows) {
    const int64_t width = rows.cols() / 2;
    Tensor both = Tensor::empty({2, rows.rows(), width}, accumulator(rows.dtype()), rows.device());
    for (int64_t i = 0; i < 2; ++i) {
      DISPATCH(convert, rows.stream())
      (rows.stream(), rows.view().columns(i * width, (i + 1) * width), both.rows(i, i + 1));
    }
    return both;
  }

  static constexpr int64_t kIndex[] = {0};
  static constexpr int kTuner[] = {-1};
  Model& model_;
  std::vector<std::vector<int32_t>> ids_;
};

}  // namespace

TunerMaker Prefix::read(OptionReader& o) {
  Options options;
  options.length = o.integer("length", options.length, 1, kLongest);
  options.init = o.choice("init", options.init, {"words", "random"});
  options.reparametrize = o.flag("reparametrize", false);
  options.hidden = o.integer("hidden", options.hidden, 1, kLongest);
  options.sites = split(o.word("sites", "all"));
  for (const std::string& s : options.sites)
    check_input(s == "all" || s == "encoder" || s == "decoder" || s == "cross", "prefix: sites=", s,
                " is none of all, encoder, decoder, cross");
  options.words = o.word("words", "");
  options.dropout = o.number("dropout", options.dropout, 0, 0.999);
  options.compat = o.choice("compat", "", {"", "peft"});
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Prefix>(options, context); };
}

Prefix::Prefix(const Options& options, const TunerContext& context)
    : options_(options), width_(context.model.config().width) {
  const ModelConfig& config = context.model.config();
  const bool as_peft = options_.compat == "peft";
  check_input(!as_peft || (config.is_seq2seq() && options_.sites == std::vector<std::string>{"decoder"}),
              "prefix: compat=peft is for sites=decoder of a model with encoder and decoder; others are PEFT's as they are");
  check_input(!as_peft || config.positions != PositionKind::relative,
              "prefix: compat=peft: keys of a prefix have no place among T5's relative positions here; PEFT gives them one");
  const auto wanted = [&](const char* site) {
    return std::any_of(options_.sites.begin(), options_.sites.end(),
                       [&](const std::string& s) { return s == site || s == "all"; });
  };
  const auto add = [&](const char* name, StackKind stack, Place place, const StackShape& shape, bool there) {
    if (there && wanted(name)) groups_.push_back({name, stack, place, shape, {}, {}, {}, {}, {}, {}});
    const bool named = std::find(options_.sites.begin(), options_.sites.end(), name) != options_.sites.end();
    check_input(there || !named, "prefix: sites=", name, ", but the model has no such attention");
  };
  add("cross", StackKind::decoder, Place::cross_attention, config.decoder, config.is_seq2seq());
  add("decoder", StackKind::decoder, Place::self_attention, config.decoder, config.decoder.layers > 0);
  add("encoder", StackKind::encoder, Place::self_attention, config.encoder, config.encoder.layers > 0);

  const int64_t P = options_.length, hidden = options_.hidden;
  for (Group& g : groups_) {
    if (!options_.reparametrize) {
      g.rows = tuner_parameter(context.model, {g.shape.layers, 2, P, g.shape.kv_heads, g.shape.head_size});
      if (!context.initialize) continue;
      if (options_.init == "random") fill_normal(g.rows, context.seed, g.name + ".prefix", 1);
      else g.rows.value.copy_from(initial_rows(g, context).reshape(g.rows.value.shape()));
      continue;
    }
    const int64_t out = g.shape.layers * 2 * g.shape.kv_width();
    g.table = tuner_parameter(context.model, {P, width_});
    g.down = tuner_parameter(context.model, {hidden, width_});
    g.down_bias = tuner_parameter(context.model, {hidden});
    g.up = tuner_parameter(context.model, {out, hidden});
    g.up_bias = tuner_parameter(context.model, {out});
    if (!context.initialize) continue;
    const auto uniform = [&](const Parameter& p, const char* name, int64_t in) {
      fill_uniform(p, context.seed, g.name + ".prefix." + name, 1 / std::sqrt(double(in)));
    };
    fill_normal(g.table, context.seed, g.name + ".prefix.table", 1);
    uniform(g.down, "down.weight", width_), uniform(g.down_bias, "down.bias", width_);
    uniform(g.up, "up.weight", hidden), uniform(g.up_bias, "up.bias", hidden);
    if (options_.init == "words") fit_network(g, initial_rows(g, context), context);
  }
}

// [layers, 2, length, kv_width]
Tensor Prefix::initial_rows(const Group& g, const TunerContext& context) const {
  const std::string& words = options_.words.empty() ? context.words : options_.words;
  check_input(bool(context.tokenize),
              "prefix: init=words needs the model's tokenizer, which is not there; init=random does not");
  check_input(!words.empty(), "prefix: init=words needs words=\"...\"");
  std::vector<int32_t> ids = context.tokenize(words);
  check_input(!ids.empty(), "prefix: the words \"", words, "\" have no tokens");
  const size_t given = ids.size();
  const int64_t places = context.model.config().max_positions;
  check_input(!places || options_.length <= places, "prefix: length=", options_.length, " exceeds the model's ", places,
              " positions");
  ids.resize(size_t(options_.length));
  for (size_t i = given; i < ids.size(); ++i) ids[i] = ids[i - given];

  Reader reader(context.model, ids);
  const std::vector<Tensor>& layers = g.name == "encoder"   ? reader.encoder
                                      : g.name == "decoder" ? reader.decoder
                                                            : reader.cross;
  Tensor rows = Tensor::empty({g.shape.layers, 2, options_.length, g.shape.kv_width()},
                              accumulator(context.model.weight_type()), context.model.device());
  for (int64_t l = 0; l < g.shape.layers; ++l)
    rows.rows(l, l + 1).copy_from(layers[size_t(l)].reshape({1, 2, options_.length, g.shape.kv_width()}));
  return rows;
}

// Brings the network's output to `rows` by least squares, in 500 steps of Adam like the original's low-data start. Its
// rate of 1e-4 leaves half a percent of the rows' squared norm (SmolLM2-135M, Flan-T5-small), ten times as much a
// millionth.
void Prefix::fit_network(Group& g, const Tensor& rows, const TunerContext&) {
  std::vector<Parameter*> parameters{&g.table, &g.down, &g.down_bias, &g.up, &g.up_bias};
  std::vector<Trained> trained;
  for (Parameter* p : parameters) trained.push_back({"", p->value, {}});
  AdamWOptimizer optimizer({}, trained);
  Hooks none;
  for (int step = 0; step < 500; ++step) {
    Tape tape;
    Pass pass(none, tape);
    for (Parameter* p : parameters) pass.train(*p);
    const Var y = all_rows(pass, g);
    Tensor difference = Tensor::like(y.value);
    DISPATCH(add_scaled, rows.stream())(rows.stream(), y.value, rows.reshape(y.shape()), -1, difference);
    DISPATCH(scale, rows.stream())(rows.stream(), difference, 2.0 / double(rows.size()), difference);
    tape.backward(y, difference);
    std::vector<Tensor> gradients;
    for (Parameter* p : parameters) gradients.push_back(pass.gradient(*p));
    optimizer.step(1e-3, {}, gradients);
  }
}

OptionMap Prefix::options() const {
  return {{"length", std::to_string(options_.length)},
          {"init", options_.init},
          {"reparametrize", options_.reparametrize ? "1" : "0"},
          {"hidden", std::to_string(options_.hidden)},
          {"sites", listed(options_.sites, ",")},
          {"words", options_.words},
          {"dropout", print_number(options_.dropout)},
          {"compat", options_.compat}};
}

std::vector<NamedParameter> Prefix::parameters() {
  std::vector<NamedParameter> all;
  const auto add = [&](const std::string& name, Parameter& p) {
    if (p) all.push_back({name, &p, 0, p.value.shape()[0]});
  };
  for (Group& g : groups_) {
    add(g.name + ".prefix", g.rows);
    add(g.name + ".prefix.down.bias", g.down_bias), add(g.name + ".prefix.down.weight", g.down);
    add(g.name + ".prefix.table", g.table);
    add(g.name + ".prefix.up.bias", g.up_bias), add(g.name + ".prefix.up.weight", g.up);
  }
  return all;
}

std::vector<std::string> Prefix::groups() const {
  std::vector<std::string> names;
  for (const Group& g : groups_) names.push_back(g.name);
  return names;
}

Tensor Prefix::values(const std::string& group) const {
  Hooks none;
  Pass pass(none);
  for (const Group& g : groups_)
    if (g.name == group) return all_rows(pass, g).value;
  throw Error(text("the prefix has no group ", group));
}

double Prefix::live_share(std::string_view) const {
  return options_.compat == "peft" && groups_.front().shape.layers % 2 == 0 ? 0.5 : 1;
}

// [layers * 2, length, kv_width]
Var Prefix::all_rows(Pass& pass, const Group& g) const {
  const int64_t P = options_.length, blocks = g.shape.layers * 2, width = g.shape.kv_width();
  if (!options_.reparametrize) return pass(g.rows).reshape({blocks, P, width});
  const Var a =
      apply(Activate{Activation::tanh}, apply(Linear{}, pass(g.table), pass(g.down), pass(g.down_bias)), Var());
  const Var y = apply(Linear{}, a, pass(g.up), pass(g.up_bias));  // [length, layers * 2 * kv_width]
  std::vector<int32_t> from;                                      // row (block, p) of the result is row (p, block) of y
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t p = 0; p < P; ++p) from.push_back(int32_t(p * blocks + b));
  const auto map = std::make_shared<RowMap>(std::move(from), P * blocks, y.value.device());
  return apply(TakeRows{map, 1, y.value.dtype()}, y.reshape({P * blocks, width}), Var()).reshape({blocks, P, width});
}

// With dropout: a row of a block counts as a token of a sequence, in the counters of the random numbers.
Var Prefix::dropped(const Pass& pass, const Group& g, const Var& rows) const {
  if (!pass.drops() || options_.dropout == 0) return rows;
  const int64_t blocks = rows.shape()[0], P = options_.length;
  std::vector<int32_t> who;
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t p = 0; p < P; ++p) who.push_back(int32_t(b)), who.push_back(int32_t(p));
  const Tensor identities = Tensor::of(who, rows.value.device()).reshape({blocks * P, 2});
  const DropoutConfig config = pass.dropout_at(float(options_.dropout), g.name + ".prefix");
  return apply(DropoutAdd{config, identities}, rows.reshape({blocks * P, rows.shape()[2]}), Var()).reshape(rows.shape());
}

void Prefix::embedded(Pass& pass, StackKind kind, Var&, Layout& layout) {
  for (const Group& g : groups_) {
    if (g.stack != kind) continue;
    Var& rows = pass.memo[{this, g.name}];
    if (!rows || pass.training()) rows = dropped(pass, g, all_rows(pass, g));
    if (g.name != "decoder") continue;
    for (Layout::Row& r : layout.rows)
      if (r.position >= 0) r.position += int32_t(options_.length);
  }
}

int64_t Prefix::position_shift(StackKind kind, int) const {
  const bool shifts = kind == StackKind::decoder &&
                      std::any_of(groups_.begin(), groups_.end(), [](const Group& g) { return g.name == "decoder"; });
  return shifts ? options_.length : 0;
}

PrefixRows Prefix::prefix(Pass& pass, const Site& site, const Layout& layout) {
  for (const Group& g : groups_) {
    if (g.stack != site.stack || g.place != site.place) continue;
    const Var& rows = pass.memo.at({this, g.name});
    const auto block = [&](int64_t i) {
      return apply(Slice{i, i + 1}, rows).reshape({options_.length, g.shape.kv_width()});
    };
    const size_t sequences = size_t(layout.sequences());
    const int64_t layer = options_.compat == "peft" ? 2 * site.layer % g.shape.layers : site.layer;
    return {block(2 * layer), block(2 * layer + 1), std::vector<int32_t>(sequences, 0),
            std::vector<int32_t>(sequences, int32_t(options_.length))};
  }
  return {};
}

TunerMaker PTuningV2::read(OptionReader& o) {
  const int64_t length = o.integer("length", 20, 1, kLongest);
  o.finish();
  return [length](const TunerContext& context) { return std::make_unique<PTuningV2>(length, context); };
}

}  // namespace cambium
