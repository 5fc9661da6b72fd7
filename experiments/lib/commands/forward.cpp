// forward: logits, loss and gradients of a batch, into an HDF5 file.
#include <algorithm>
#include <map>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/json.h"
#include "core/path_kind.h"
#include "core/places.h"
#include "experiments/lib/batch_file.h"
#include "experiments/lib/commands/commands.h"

namespace cambium {
namespace {

std::string path_of_gradient(const std::string& group, std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return "/gradients/" + group + name;
}

// The sequences of one tuner, as a batch of their own. (Bits do not depend on the batch.)
struct Group {
  int tuner;
  std::vector<size_t> places;
  Batch batch;
};

std::vector<Group> grouped(const Batch& batch) {
  std::map<int, Group> groups;
  for (size_t s = 0; s < batch.size(); ++s) {
    Group& g = groups[batch[s].tuner];
    g.tuner = batch[s].tuner;
    g.places.push_back(s);
    g.batch.push_back(batch[s]);
  }
  std::vector<Group> all;
  for (auto& [_, g] : groups) all.push_back(std::move(g));
  return all;
}

// Base gradients are wanted where no tuner is given.
class AllOfTheBase : public Hooks {
 public:
  bool trains(std::string_view) const override { return true; }
  bool reaches_inside(const Site&) const override { return false; }
};

class Forward {
 public:
  Forward(Session& session, Hdf5Writer& file, std::vector<std::unique_ptr<Tuner>>& tuners, const Batch& batch)
      : session_(session), file_(file), tuners_(tuners), batch_(batch) {}

  void write_outputs() {
    Model& model = *session_.model;
    const std::string group = model.head ? "/logits/" : "/hidden/";
    for (Group& g : grouped(batch_)) {
      Pass pass(hooks(g.tuner));
      const Model::Hidden h = model.hidden(pass, g.batch);
      for (size_t s = 0; s < g.places.size(); ++s) {
        const Tensor rows = h.rows.value.rows(h.begin[s], h.begin[s] + h.length[s]);
        file_.write(group + std::to_string(g.places[s]),
                    (model.head ? model.logits(pass, rows) : rows).to(Device::cpu()).to(DType::f32));
      }
      if (!model.head && model.classifier) write_scores(g);
    }
  }

  // Of a classifier: a row of each text.
  void write_scores(Group& g) {
    Pass pass(hooks(g.tuner));
    const Tensor scores = session_.model->classify(pass, g.batch).to(Device::cpu()).to(DType::f32);
    for (size_t s = 0; s < g.places.size(); ++s)
      file_.write("/logits/" + std::to_string(g.places[s]), scores.rows(int64_t(s), int64_t(s) + 1));
  }

  void write_loss(bool gradients) {
    Model& model = *session_.model;
    const int64_t scored = model.scored_tokens(batch_);
    check_input(scored > 0, "the targets have no token to score");
    double loss = 0;
    std::map<int, std::vector<std::pair<std::string, Tensor>>> found;
    for (Group& g : grouped(batch_)) loss += one_loss(g, scored, gradients, found[g.tuner]);
    file_.write("/loss", Tensor::of(std::vector<float>{float(loss)}).reshape(Shape()));
    if (!gradients) return;
    file_.group("/gradients");
    for (const auto& [tuner, list] : found) {
      if (tuner < 0 && !tuners_.empty()) continue;
      for (const auto& [name, gradient] : list) {
        const std::string path = path_of_gradient(tuners_.empty() ? "" : std::to_string(tuner) + "/", name);
        file_.write(path, gradient);
        if (const std::string foreign = tuners_.empty() ? session_.source->foreign_name(name) : ""; !foreign.empty())
          file_.attribute(path, "foreign_name", foreign);
      }
    }
  }

 private:
  Hooks& hooks(int tuner) {
    return tuner >= 0        ? static_cast<Hooks&>(*tuners_[size_t(tuner)])
           : tuners_.empty() ? static_cast<Hooks&>(base_)
                             : none_;
  }

  double one_loss(Group& g, int64_t scored, bool gradients, std::vector<std::pair<std::string, Tensor>>& found) {
    Model& model = *session_.model;
    std::vector<NamedParameter> wanted;
    if (gradients && tuners_.empty()) {
      for (const NamedParameter& p : model.parameters())
        if (!p.parameter->buffer) wanted.push_back(p);
    } else if (gradients && g.tuner >= 0) {
      wanted = tuners_[size_t(g.tuner)]->parameters();
      for (const NamedParameter& p : model.parameters())
        if (!p.parameter->buffer && tuners_[size_t(g.tuner)]->trains(p.name)) wanted.push_back(p);
    }
    Tape tape;
    Pass pass(hooks(g.tuner), tape);
    for (const NamedParameter& p : wanted) pass.train(*p.parameter);
    const Model::Loss l = model.loss(pass, g.batch, {.gradient_scale = 1 / float(scored)});
    if (l.sum.wants_gradient()) {
      tape.backward(l.sum, Tensor::of(std::vector<float>{1}).to(l.sum.value.device()));
      for (const NamedParameter& p : wanted) {
        const Tensor whole = pass.gradient(*p.parameter);
        const Tensor own = whole ? whole.rows(p.begin, p.end) : Tensor::zeros(p.value().shape(), DType::f32);
        found.emplace_back(p.name, own.to(Device::cpu()).to(DType::f32));
      }
    }
    return double(l.sum.value.to(Device::cpu()).data<float>()[0]);
  }

  Session& session_;
  Hdf5Writer& file_;
  std::vector<std::unique_ptr<Tuner>>& tuners_;
  const Batch& batch_;
  AllOfTheBase base_;
  Hooks none_;
};

bool changes_base(const Tuner& tuner, Model& model) {
  const auto all = model.parameters();
  return std::any_of(all.begin(), all.end(), [&](const NamedParameter& p) { return tuner.trains(p.name); });
}

}  // namespace

int run_forward(const CommonOptions& common, const ForwardOptions& options) {
  for (const std::string& path : options.tuners) check_tuner(path);
  check_path(options.input, Wanted::json);
  check_writable(options.output);
  Session session = open_session(options.model, common, true, !options.tuners.empty());
  std::vector<std::unique_ptr<Tuner>> tuners;
  for (const std::string& path : options.tuners) {
    tuners.push_back(open_tuner(path, session, options.force_base));
    check_input(options.tuners.size() == 1 || !changes_base(*tuners.back(), *session.model), path,
                " changes the base itself and cannot be mixed with others");
  }
  const Batch batch = read_batch_file(options.input, *session.model, int(tuners.size()));
  for (const Sequence& s : batch) {
    check_input(s.tuner >= 0 || tuners.empty() || !changes_base(*tuners.front(), *session.model),
                options.tuners.empty() ? "" : options.tuners.front(),
                " changes the base itself: \"tuners\" cannot leave sequence ", s.index, " without it");
    if (s.tuner >= 0) reading(options.input, [&] { session.model->check_positions({s}, *tuners[size_t(s.tuner)]); });
  }
  const bool targets = !batch.front().labels.empty();
  check_input(targets || !options.gradients, "--gradients needs \"targets\" in ", options.input);
  check_input(session.model->head || !options.gradients, "--gradients needs a model with an LM head");

  Hdf5Writer file(options.output);
  Forward forward(session, file, tuners, batch);
  forward.write_outputs();
  if (targets && session.model->head) forward.write_loss(options.gradients);
  file.commit();
  return 0;
}

}  // namespace cambium
