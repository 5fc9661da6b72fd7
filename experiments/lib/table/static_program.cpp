#include "experiments/lib/table/static_program.h"

#include <iostream>

#include "core/files.h"
#include "experiments/lib/commands/arguments.h"

namespace cambium {

int static_program(int argc, char** argv, const std::string& name, const std::string& description,
                   const std::function<Report()>& report) {
  CLI::App app(description, name);
  CommonOptions common;
  std::string preset = "paper", format = "text", output, results = "results";
  app.require_subcommand(1);
  CLI::App* plan = app.add_subcommand("plan", "Say what there is to compute: nothing");
  CLI::App* run = app.add_subcommand("run", "Print the tables, and write them as report.html");
  CLI::App* show = app.add_subcommand("show", "Print the tables");
  for (CLI::App* command : {plan, run, show}) {
    command->add_option("--preset", preset, "smoke, cpu or paper: all the same here")
        ->check(CLI::IsMember({"smoke", "cpu", "paper"}))
        ->capture_default_str();
    command->add_option("--results", results, "where the report goes")->capture_default_str();
    command->add_option("--format", format, "text, markdown, latex or html")->capture_default_str();
    add_common(*command, common, false);
  }
  show->add_option("--output", output, "file (default: standard output)");
  return parse_and_run(app, argc, argv, common, [&] {
    const ReportFormat chosen = report_format_named(format);
    if (plan->parsed()) {
      std::cout << name << ": nothing to train; run and show print its tables" << std::endl;
      return 0;
    }
    const Report all = report();
    if (!output.empty()) return write_file(output, render(all, chosen)), 0;
    std::cout << render(all, chosen) << std::flush;
    if (!run->parsed()) return 0;
    const std::string folder = results + "/" + name + "/" + preset;
    make_directories(folder);
    write_file(folder + "/report.html", render(all, ReportFormat::html));
    return 0;
  });
}

}  // namespace cambium
