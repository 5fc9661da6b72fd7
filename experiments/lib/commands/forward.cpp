// forward: logits, loss and gradients of a batch, into an HDF5 file.
#include <algorithm>
#include <span>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/json.h"
#include "core/path_kind.h"
#include "core/places.h"
#include "experiments/lib/batch_file.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/open_tuners.h"
#include "tuning/mixture.h"
#include "tuning/step.h"

namespace cambium {
namespace {

std::string path_of_gradient(const std::string& group, std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return "/gradients/" + group + name;
}

// Base gradients are wanted where no tuner is given.
class AllOfTheBase : public Hooks {
 public:
  bool trains(std::string_view) const override { return true; }
  bool reaches_inside(const Site&) const override { return false; }
};

class Forward {
 public:
  // batch: sequences of one tuner together, so that its gradients are summed as in a batch of its own; place[s]: where
  // sequence s stands in the input.
  Forward(Session& session, Hdf5Writer& file, std::span<Tuner* const> tuners, Hooks& hooks, const Batch& batch,
          const std::vector<size_t>& place)
      : session_(session), file_(file), tuners_(tuners), hooks_(hooks), batch_(batch), place_(place) {}

  void write_outputs() {
    Model& model = *session_.model;
    const std::string group = model.head ? "/logits/" : "/hidden/";
    Pass pass(hooks_);
    const Model::Hidden h = model.hidden(pass, batch_);
    for (size_t s = 0; s < batch_.size(); ++s) {
      const Tensor rows = h.rows.value.rows(h.begin[s], h.begin[s] + h.length[s]);
      write(group + std::to_string(place_[s]), model.head ? model.logits(pass, rows) : rows);
    }
    if (!model.head && model.classifier) write_scores();
  }

  void write_loss(bool gradients) {
    Model& model = *session_.model;
    const int64_t scored = model.scored_tokens(batch_);
    check_input(scored > 0, "the targets have no token to score");
    const std::vector<Wanted> wanted = gradients ? wanted_gradients() : std::vector<Wanted>();
    Tape tape;
    Pass pass(hooks_, tape);
    for (const Wanted& w : wanted) pass.train(*w.parameter.parameter);
    const std::vector<Model::Loss> losses = losses_of(model, pass, parts(1 / float(scored)));
    double sum = 0;
    for (const Model::Loss& l : losses) sum += double(l.sum.value.to(Device::cpu()).data<float>()[0]);
    write("/loss", Tensor::of(std::vector<float>{float(sum)}).reshape(Shape()));
    if (!gradients) return;
    file_.group("/gradients");
    run_backward(tape, losses);
    for (const Wanted& w : wanted) {
      const NamedParameter& p = w.parameter;
      const Tensor whole = pass.gradient(*p.parameter);
      const std::string path = path_of_gradient(w.group, p.name);
      write(path, whole ? whole.rows(p.begin, p.end) : Tensor::zeros(p.value().shape(), DType::f32));
      if (const std::string foreign = tuners_.empty() ? session_.source->foreign_name(p.name) : ""; !foreign.empty())
        file_.attribute(path, "foreign_name", foreign);
    }
  }

 private:
  struct Wanted {
    std::string group;  // "0/", of a tuner
    NamedParameter parameter;
  };

  // Of a classifier: a row of each text.
  void write_scores() {
    Pass pass(hooks_);
    const Tensor scores = session_.model->classify(pass, batch_);
    for (size_t s = 0; s < batch_.size(); ++s)
      write("/logits/" + std::to_string(place_[s]), scores.rows(int64_t(s), int64_t(s) + 1));
  }

  // Of each tuner, and of none.
  std::vector<StepPart> parts(float scale) const {
    std::vector<StepPart> all;
    for (const Sequence& s : batch_) {
      if (all.empty() || all.back().batch.back().tuner != s.tuner)
        all.push_back({&labels_, {}, {.gradient_scale = scale}});
      all.back().batch.push_back(s);
    }
    return all;
  }

  // Of all base parameters, or of what the tuners train that sequences of the batch have.
  std::vector<Wanted> wanted_gradients() {
    std::vector<Wanted> all;
    const auto of_base = [&](const std::string& group, const Hooks& hooks) {
      for (const NamedParameter& p : session_.model->parameters())
        if (!p.parameter->buffer && hooks.trains(p.name)) all.push_back({group, p});
    };
    if (tuners_.empty()) of_base("", hooks_);
    for (size_t t = 0; t < tuners_.size(); ++t) {
      if (std::none_of(batch_.begin(), batch_.end(), [&](const Sequence& s) { return s.tuner == int(t); })) continue;
      const std::string group = std::to_string(t) + "/";
      for (const NamedParameter& p : tuners_[t]->parameters()) all.push_back({group, p});
      of_base(group, *tuners_[t]);
    }
    return all;
  }

  void write(const std::string& path, const Tensor& value) {
    file_.write(path, value.to(Device::cpu()).to(DType::f32));
  }

  Session& session_;
  Hdf5Writer& file_;
  std::span<Tuner* const> tuners_;
  Hooks& hooks_;
  const Batch& batch_;
  const std::vector<size_t>& place_;
  const GivenLabels labels_;
};

}  // namespace

int run_forward(const CommonOptions& common, const ForwardOptions& options) {
  const std::vector<TunerArgument> given = tuner_arguments(options.tuners);
  check_path(options.input, Wanted::json);
  check_writable(options.output);
  Session session = open_session(options.model, common, true, !given.empty());
  const OpenTuners tuners(given, session, options.force_base);
  const Batch input = read_batch_file(options.input, *session.model, tuners.names());
  Mixture mixture(tuners.all(), *session.model);
  AllOfTheBase base;
  Hooks& hooks = given.empty() ? static_cast<Hooks&>(base) : mixture;
  reading(options.input, [&] {
    mixture.check(input);
    session.model->check_positions(input, hooks);
  });
  const bool targets = !input.front().labels.empty();
  check_input(targets || !options.gradients, "--gradients needs \"targets\" in ", options.input);
  check_input(session.model->head || !options.gradients, "--gradients needs a model with an LM head");

  const std::vector<size_t> place = by_tuner(input);
  Batch batch;
  for (const size_t s : place) batch.push_back(input[s]);
  Hdf5Writer file(options.output);
  Forward forward(session, file, tuners.all(), hooks, batch, place);
  forward.write_outputs();
  if (targets && session.model->head) forward.write_loss(options.gradients);
  file.commit();
  return 0;
}

}  // namespace cambium
