// What presets of many studies begin with.
#pragma once

#include "experiments/lib/table/grid.h"

namespace cambium {

// A tiny random model that takes two steps of training: a cell is done in a fraction of a second.
CellSpec smoke_base(const std::string& model, const std::string& task);
// E2E by a decoder, greedy.
CellSpec e2e_base(const std::string& model, int64_t examples, int64_t inputs);
// As Li & Liang decode: beam 5, at least 5 tokens, no line ends.
void decode_as_li_and_liang(CellSpec&);
// All of E2E, trained and decoded as they do it.
CellSpec e2e_paper_base(const std::string& model);
// A classification task whose dev split is answered.
CellSpec class_base(const std::string& model, const std::string& task, int64_t examples);
// All of SST-2, trained as Lester et al. train: Adafactor, 30000 steps of 32 sequences.
CellSpec lester_base(const std::string& model);

// What studies call their papers.
inline constexpr const char *kPowerOfScale = "Lester, Al-Rfou & Constant, The Power of Scale for Parameter-Efficient Prompt "
                                             "Tuning, EMNLP 2021",
                            *kPrefixTuning = "Li & Liang, Prefix-Tuning: Optimizing Continuous Prompts for Generation, ACL 2021",
                            *kLoraPaper = "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022",
                            *kHoulsbyPaper = "Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019",
                            *kTransferability = "Su et al., On Transferability of Prompt Tuning for Natural Language "
                                                "Processing, NAACL 2022";

// What the sources of prompts are called where the prompt is nobody's: its initial values.
inline constexpr const char* kRandomPrompt = "random prompt";
// The prompt that was trained on each of these tasks answers the cell's task; first kRandomPrompt. The cell's own tuner
// is what was trained. Stands last among axes.
Axis source_axis(const std::vector<std::string>& tasks);
// Training from new values ("itself"), or from where each of these tasks' cells ended. Stands last among axes.
Axis start_axis(const std::vector<std::string>& tasks);

}  // namespace cambium
