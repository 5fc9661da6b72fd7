// The list of methods: all that the command line, tables and documentation say of them is read here.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tuning/options.h"

namespace cambium {

struct Method {
  const char* name;
  const char* source;  // the paper
  TunerMaker (*read)(OptionReader&);
  double learning_rate;    // where none is given
  bool mergeable = false;  // whether the base alone can compute what both do: `cambium merge`
};

std::span<const Method> methods();
// Throws InputError where there is none of that name.
const Method& method_named(const std::string& name);
std::vector<std::string> tuner_methods();
std::vector<std::string> mergeable_methods();

// A method's options with their defaults and choices: "rank=8 alpha=16 ...".
std::string options_help(const Method&);

// Makes the tuner `method`, or several in turn ("lora+adapter": tuning/compose.h), with its initial values. Throws InputError for an unknown method or option, a value out of
// range, or a selector that matches nothing.
std::unique_ptr<Tuner> make_tuner(const std::string& method, const OptionMap&, const TunerContext&);
// All options of a method, defaults included, as its tuner's options() gives them, but for an empty one that a model
// fills (a prompt's `where`); it needs no model. Throws InputError as make_tuner does, except for what only a model can
// tell (a selector that matches nothing).
OptionMap tuner_options(const std::string& method, const OptionMap& given);
// The learning rate of a method where none is given, as its tuner's default_learning_rate().
double default_learning_rate(const std::string& method);

}  // namespace cambium
