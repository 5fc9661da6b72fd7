// DoRA: a weight's direction is LoRA's, the lengths of its rows are learned:                  (Liu et al. 2024, eq. 5)
//   y = (m / n) (W x + s B A x) + bias,   n[o] = the length of row o of W + s B A
// n is a constant in backward (section 4.3 of the paper). m starts as the lengths of W's rows, so that at first nothing
// changes.
#pragma once

#include "tuning/lora.h"

namespace cambium {

// With LoRA's options, dropout (of x before A alone) among them.
class Dora : public Lora {
 public:
  static TunerMaker read(OptionReader&);
  Dora(const Options&, const TunerContext&);

  std::string method() const override { return "dora"; }
  std::vector<NamedParameter> parameters() override;
  bool merge_into(Model&) override;
  bool unmerge_from(Model&) override { return false; }  // the lengths of W + s B A are gone
  Var projected(Pass&, const Projection&, const Var& x, Var y, const Layout&) override;

 private:
  std::map<std::string, Parameter> magnitude_;  // [rows of the matrix], by the matrix's name
};

}  // namespace cambium
