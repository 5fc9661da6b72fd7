// A PEFT adapter's directory: its fields, and where each of its tensors goes.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>

#include "models/files/safetensors.h"
#include "tuning/name_errors.h"
#include "tuning/peft/modules.h"
#include "tuning/tuner.h"

namespace cambium::peft {

// Which tensor of a file goes into which parameter. All must fit before anything is written.
class TensorPlan {
 public:
  explicit TensorPlan(const SafetensorsFile& file) : file_(file) {}

  bool has(const std::string& tensor) const { return file_.has(tensor); }
  // Into a parameter of the same shape; flat: whatever the shape, of as many numbers. turned: it lies transposed.
  void add(const std::string& tensor, const NamedParameter&, bool flat = false, bool turned = false);
  // Into a parameter as `value` gives it, if it has its shape.
  void add_value(const std::string& tensor, const NamedParameter&, const Tensor& value);
  // It is known and was seen to.
  void take(const std::string& tensor) { taken_.push_back(tensor); }
  // Throws InputError, with the names of tensors that are too many, missing and of another shape, before it writes.
  void write();

 private:
  struct Copy {
    Tensor value;
    NamedParameter to;
  };
  const SafetensorsFile& file_;
  std::vector<Copy> copies_;
  std::vector<std::string> taken_;
  NameErrors errors_;
};

// What a method's configuration may say. Fields that stand in no list change something that is not known here: they
// must be off.
struct KnownFields {
  std::initializer_list<const char*> used;      // read
  std::initializer_list<const char*> harmless;  // change nothing that is computed
};

struct Directory {
  explicit Directory(const std::string& path);

  nlohmann::json config;
  SafetensorsFile weights;

  // Throws InputError for a field that is neither known nor off (null, false, 0, "none", empty).
  void check_fields(const KnownFields&) const;
};

// What a reader of one method works with.
struct Reading {
  const Directory& files;
  Model& model;
  Modules modules;
  TensorPlan plan;

  Reading(const Directory& d, Model& m) : files(d), model(m), modules(m), plan(d.weights) {}
  // The modules of a kind that the configuration chooses, of which there must be some. Throws InputError for one of
  // another kind, which nothing here acts on.
  std::vector<const Module*> chosen(bool Module::*kind, const char* of_kind) const;
};

// The parameters of the base that train with an adapter (biases, modules_to_save), by our names; their tensors are added
// to the plan. A classification head is written into the model, which gets one where it has none. adapted: modules, for
// bias = lora_only. Throws InputError for a tied head or embedding, which would be two.
std::vector<std::string> plan_trained_base(Reading&, const std::vector<const Module*>& adapted);

// Makes the method's tuner, with `full` or `bitfit` beside it where parameters of the base train along.
struct Made {
  std::unique_ptr<Tuner> tuner;
  std::string beginning;  // of the names of the method's own parameters: "" or "0."

  NamedParameter parameter(const std::string& name) const;
};
Made make_with_base(Reading&, const std::string& method, const OptionMap&, const std::vector<std::string>& trained);

// The tuner, or of composed ones the first: the method's own.
Tuner& own_part(Tuner&);

// The readers, by peft_type.
std::unique_ptr<Tuner> read_lora(Reading&);
std::unique_ptr<Tuner> read_adalora(Reading&);
std::unique_ptr<Tuner> read_ia3(Reading&);
std::unique_ptr<Tuner> read_vera(Reading&);
std::unique_ptr<Tuner> read_norms(Reading&);
std::unique_ptr<Tuner> read_prompt(Reading&);
std::unique_ptr<Tuner> read_p_tuning(Reading&);
std::unique_ptr<Tuner> read_prefix(Reading&);

// Where in the file a base parameter lies; empty: it is not there.
std::string tensor_of_base(const WeightFile&, const ModelConfig&, const NameRule&);

}  // namespace cambium::peft
