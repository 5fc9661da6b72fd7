// Runs that were begun by a program with fewer options, or another form of them, go on; what was set then still counts.
#include <nlohmann/json.hpp>

#include "tests/support/command.h"
#include "tuning/checkpoint.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

// The file again, with another configuration of its run.
void replace_run_config(const std::string& path, const std::string& config) {
  const Hdf5File old(path);
  Hdf5Writer now(path + ".new");
  std::set<std::string> groups;
  const std::function<void(const std::string&)> copy_group = [&](const std::string& group) {
    for (const std::string& name : old.list(group)) {
      const std::string inner = (group == "/" ? "" : group) + "/" + name;
      if (old.is_group(inner)) {
        now.group(inner), groups.insert(inner), copy_group(inner);
        continue;
      }
      if (old.kind(inner) == Hdf5File::Kind::strings) now.write(inner, old.read_strings(inner));
      else if (old.kind(inner) == Hdf5File::Kind::ints) now.write(inner, old.read_ints(inner));
      else now.write(inner, old.read(inner));
    }
  };
  groups.insert("/"), copy_group("/");
  for (const std::string& path : groups)
    for (const std::string& name : old.attributes(path))
      now.attribute(path, name, path == "/state" && name == "run_config" ? config : old.value(path, name));
  for (const std::string& path : old.datasets())
    for (const std::string& name : old.attributes(path)) now.attribute(path, name, old.value(path, name));
  now.commit();
  std::filesystem::rename(path + ".new", path);
}

// As programs wrote it before options had names inside lists.
json older(json config) {
  json adafactor = json::array(), dropout = json::array();
  for (const char* name : {"decay_rate", "clip", "epsilon1", "epsilon2", "initial_step", "factor_min_dim",
                           "scale_by_parameter", "decay_times_lr"})
    adafactor.push_back(config["adafactor"][name]);
  for (const char* name : {"embedding", "attention", "residual", "activation"})
    dropout.push_back(config["dropout"][name]);
  config["adafactor"] = adafactor, config["dropout"] = dropout;
  const std::set<std::string> known = {"base_hash", "dtype",      "method",          "options",  "tuner_from",
                                       "optimizer", "lr",         "weight_decay",    "beta1",    "beta2",
                                       "epsilon",   "momentum",   "adafactor",       "schedule", "warmup",
                                       "clip",      "batch_size", "epochs",          "steps",    "shards",
                                       "seed",      "shuffle",    "label_smoothing", "z_loss",   "words",
                                       "labels",    "data",       "objective",       "dropout"};
  json kept = json::object();
  for (const auto& [name, value] : config.items())
    if (known.count(name)) kept[name] = value;
  return kept;
}

class OlderRun : public Command {};

TEST_F(OlderRun, GoesOn) {
  batch();
  const auto arguments = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--steps", "4", "--save-every", "2", "--dropout", "0.1"});
    return train_arguments("run", more);
  };
  good(arguments({}));
  const std::string path = folder / "run/checkpoint.h5";
  const json now = json::parse(read_checkpoint_info(path).state.run_config);
  json then = older(now);
  ASSERT_TRUE(then["dropout"].is_array() && then["dropout"].size() == 4u);
  EXPECT_EQ(then["dropout"][2], 0.1f);
  replace_run_config(path, then.dump());
  good(arguments({"--resume"}));
  for (const auto& [option, value, name] :
       {std::tuple{"--beta1", "0.5", "beta1"}, {"--momentum", "0.5", "momentum"}, {"--lr", "0.5", "lr"}})
    bad(arguments({"--resume", option, value}), {"another configuration", name});
  // A key of later programs stands for its default; so does one that is gone.
  then.erase("z_loss"), then.erase("momentum");
  replace_run_config(path, then.dump());
  good(arguments({"--resume"}));
  bad(arguments({"--resume", "--momentum", "0.5"}), {"momentum"});
  then["dropout"][0] = 0.25;
  replace_run_config(path, then.dump());
  bad(arguments({"--resume"}), {"another configuration", "dropout/embedding: 0.25 then, 0.1"});
}

}  // namespace
}  // namespace cambium::testing
