// What writers of PEFT's directories share.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tuning/peft/modules.h"
#include "tuning/tuner.h"

namespace cambium::peft {

struct Writing {
  Tuner& tuner;  // the method's own, not what is composed with it
  Model& model;
  Modules modules;
  std::set<std::string> trained_base;
  nlohmann::ordered_json config;
  std::map<std::string, Tensor> tensors;

  // Of transformers' class that the directory is for.
  std::string name(const Module& m) const { return is_bare() ? m.names.back() : m.name(); }
  std::string tensor(const Module& m, const std::string& suffix) const { return std::string(kModel) + name(m) + suffix; }
  bool is_bare() const;  // the class has no head
  // The module that a projection is, or the one that holds it among others (then its rows there).
  struct Place {
    const Module* module = nullptr;
    int64_t begin = 0, end = 0, rows = 0;
    bool is_part() const { return end - begin < rows; }
  };
  Place place_of(const std::string& projection);
  // The tuner's own parameters with this ending, by the name in front of it.
  std::map<std::string, Tensor> own(const std::string& ending) const;
};

// The shortest ends of names that choose exactly these modules.
std::vector<std::string> targets_of(const Writing&, const std::set<const Module*>&);

// bias and modules_to_save, with their tensors, of what trained of the base. may_have_bias: the method knows the field.
void write_trained_base(Writing&, const std::set<const Module*>& adapted, bool may_have_bias);

// By our methods.
void write_low_rank(Writing&);
void write_ia3(Writing&);
void write_vera(Writing&);
void write_norms(Writing&);
void write_prompt(Writing&);
void write_prefix(Writing&);

}  // namespace cambium::peft
