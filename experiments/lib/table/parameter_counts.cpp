#include "experiments/lib/table/parameter_counts.h"

#include "core/error.h"

namespace cambium {
namespace {

// T5 1.1 without prompt. (Lester et al. 2021, Table 4: total less the prompt's)
struct T5Size {
  const char* name;
  int64_t width, parameters;
};
constexpr T5Size kT5[] = {{"Small", 512, 76'961'152},
                          {"Base", 768, 247'577'856},
                          {"Large", 1024, 783'150'080},
                          {"XL", 2048, 2'849'757'184},
                          {"XXL", 4096, 11'135'332'352}};

ReportTable prompts() {
  ReportTable t{.title = "Prompts on T5 1.1 (Lester et al. 2021, Table 4)",
                .columns = {{"model", false}, {"length"}, {"prompt"}, {"total"}, {"%"}}};
  for (const T5Size& size : kT5)
    for (const int64_t length : {0, 1, 20, 50, 100, 150}) {
      const int64_t own = prompt_parameters(length, size.width), total = size.parameters + own;
      t.rows.push_back({text("T5 ", size.name), std::to_string(length), format_count(double(own)),
                        format_count(double(total)), format_number(100 * double(own) / double(total), 5)});
    }
  t.notes = {
      "The paper prints 10,420 for Small at 20 (10,240 here), 0.01907 % for Large at 100 (0.01307 %) and "
      "11,137,380,352 "
      "as the total of XXL at 50 (11,135,537,152): misprints, by its own formula."};
  return t;
}

std::vector<ReportTable::Value> row(const std::string& tuner, const std::string& model, int64_t count,
                                    const std::string& printed, const std::string& source) {
  return {tuner, model, format_count(double(count)), printed, source};
}

ReportTable others() {
  const std::string li = "Li & Liang 2021", hu = "Hu et al. 2022, Table 3", houlsby = "Houlsby et al. 2019";
  ReportTable t{.title = "Prefixes, adapters and LoRA",
                .columns = {{"tuner", false}, {"model", false}, {"parameters"}, {"printed", false}, {"source", false}}};
  t.rows = {
      row("prefix, length 5", "GPT-2 medium", prefix_parameters(5, 1024, 24), "0.1 %", li + ", Table 1"),
      row("prefix, length 10", "GPT-2 medium", prefix_parameters(10, 1024, 24), "", li),
      row("prefix, length 10, with its network of 512", "GPT-2 medium", prefix_network_parameters(10, 1024, 24, 512),
          "", li),
      row("prefix, length 5", "GPT-2 large", prefix_parameters(5, 1280, 36), "", li),
      row("prefix, length 5", "BART large", prefix_parameters(5, 1024, 12, 3), "0.1 %", li + ", Table 2"),
      row("prefix, length 100", "BART large", prefix_parameters(100, 1024, 12, 3), "2 %", li + ", Table 2"),
      row("prefix, length 200", "BART large", prefix_parameters(200, 1024, 12, 3), "2 %", li + "'s README"),
      row("adapter, 112 wide", "GPT-2 medium", adapter_parameters(112, 1024, 24), "11.09M", hu),
      row("adapter, 64 wide", "BERT large", adapter_parameters(64, 1024, 24), "2.1 % with norms and head", houlsby),
      row("LoRA, rank 4 on query and value", "GPT-2 medium", lora_parameters(4, 1024, 24, 2), "0.35M", hu),
      row("LoRA, rank 4 on query and value", "GPT-2 large", lora_parameters(4, 1280, 36, 2), "0.77M", hu),
      row("LoRA, rank 8 on query and value", "RoBERTa base", lora_parameters(8, 768, 12, 2), "0.3M",
          "Hu et al. 2022, Table 2"),
      row("LoRA, rank 8 on query and value", "RoBERTa large", lora_parameters(8, 1024, 24, 2), "0.8M",
          "Hu et al. 2022, Table 2"),
      row("LoRA, rank 1 on query and value", "GPT-3", lora_parameters(1, 12288, 96, 2), "4.7M",
          "Hu et al. 2022, Table 4"),
      row("LoRA, rank 8 on query and value", "GPT-3", lora_parameters(8, 12288, 96, 2), "37.7M",
          "Hu et al. 2022, Table 4")};
  t.notes = {"LoRA of rank 4 has 393,216 parameters on GPT-2 medium where the paper prints 0.35M."};
  return t;
}

}  // namespace

Report parameter_counts() {
  return {.title = "Parameters by arithmetic",
          .subtitle = "Lester et al. 2021, Table 4 · Li & Liang 2021 · Houlsby et al. 2019 · Hu et al. 2022",
          .introduction = {"What each tuner trains, by its formula, beside what its paper prints."},
          .tables = {prompts(), others()}};
}

}  // namespace cambium
