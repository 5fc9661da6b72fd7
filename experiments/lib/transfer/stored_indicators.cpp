#include "experiments/lib/transfer/stored_indicators.h"

#include <iostream>

#include "core/files.h"
#include "experiments/lib/commands/arguments.h"
#include "experiments/lib/transfer/correlations.h"

namespace cambium {

Report stored_indicators(const std::string& directory) {
  Report report{
      .title = "Indicators of transferability",
      .subtitle =
          "Su et al., On Transferability of Prompt Tuning for Natural Language Processing, NAACL 2022 · released "
          "prompts and results",
      .introduction = {
          "Spearman's correlation of each indicator of two prompts' likeness with the zero-shot performance "
          "of one task's prompt on another task."}};
  for (const ReleasedModel& model : read_released(directory))
    report.tables.push_back(
        correlation_table(text("Spearman's correlation with zero-shot transfer, ", model.name, ", ",
                               model.prompts.size(), " tasks, prompts ", model.prompts.front().shape()),
                          model.prompts, model.transfer));
  report.tables.back().notes = correlation_notes();
  report.tables.back().notes.push_back("Random prompts are no task's; recastner is none of the paper's tasks.");
  report.facts = {{"released prompts and results", directory}};
  return report;
}

int stored_indicators_program(int argc, char** argv) {
  CLI::App app("Correlations of released prompts with their zero-shot transfer", "tpt_indicators");
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

}  // namespace cambium
