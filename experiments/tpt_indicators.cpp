// Table 4 of the transferability paper: which indicator of two prompts' likeness orders their zero-shot transfer.
#include <iostream>

#include "core/files.h"
#include "experiments/lib/commands/arguments.h"
#include "experiments/lib/transfer/stored_indicators.h"

using namespace cambium;

int main(int argc, char** argv) {
  CLI::App app(
      "Indicators of transferability: Spearman's correlation with zero-shot transfer, for released prompts\n"
      "Su et al., On Transferability of Prompt Tuning for Natural Language Processing, NAACL 2022",
      "tpt_indicators");
  CommonOptions common;
  std::string directory, format = "text", output;
  app.require_subcommand(1);
  CLI::App* show = app.add_subcommand("show", "Print the correlations");
  show->add_option(
          "--from-stored", directory,
          "folder of released prompts and results: task_prompt_emb/<task>Prompt<model>/task_prompt, results.tsv")
      ->required();
  show->add_option("--format", format, "text, markdown, latex or html")->capture_default_str();
  show->add_option("--output", output, "file (default: standard output)");
  add_common(*show, common, false);
  return parse_and_run(app, argc, argv, common, [&] {
    const ReportFormat chosen = report_format_named(format);
    const std::string rendered = render(stored_indicators(directory), chosen);
    if (output.empty()) std::cout << rendered << std::flush;
    else write_file(output, rendered);
    return 0;
  });
}
