// Figure 4 and Table 4 of The Power of Scale, and the counts of the other papers: parameters by arithmetic.
#include "experiments/lib/table/parameter_counts.h"
#include "experiments/lib/table/static_program.h"

using namespace cambium;

int main(int argc, char** argv) {
  return static_program(argc, argv, "prompt_params",
                        "Parameters of prompts, prefixes, adapters and LoRA on the papers' models\n"
                        "Lester et al. 2021, Table 4; Li & Liang 2021; Houlsby et al. 2019; Hu et al. 2022",
                        parameter_counts);
}
