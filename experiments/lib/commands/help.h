// How the command line explains itself: help that fits the terminal, and the nearest name for a mistyped one.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

namespace cambium {

inline constexpr size_t kHelpWidth = 96;

// Words of `text` in lines of at most `width`; a word that is longer has a line of its own.
inline std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : " ") + word;
  }
  return lines;
}

// Two columns: names on the left, what they mean wrapped on the right.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(30); }

  std::string make_option(const CLI::Option* option, bool positional) const override {
    return row("  " + make_option_name(option, positional) + make_option_opts(option), make_option_desc(option));
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return row(command->get_name(), command->get_description());
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    if (option->get_type_size() != 0) {
      if (!option->get_type_name().empty()) text += " " + option->get_type_name();
      if (!option->get_default_str().empty()) text += " = " + option->get_default_str();
    }
    return text + (option->get_required() ? " (needed)" : "");
  }
  // Lines that begin with a blank (examples) stay as they are.
  std::string make_footer(const CLI::App* command) const override {
    std::string text;
    std::istringstream in(command->get_footer());
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with(" ")) text += line + "\n";
      else
        for (const std::string& part : wrapped(line, kHelpWidth)) text += part + "\n";
    }
    return text.empty() ? "" : "\n" + text;
  }

 private:
  std::string row(const std::string& left, const std::string& right) const {
    const size_t column = get_column_width();
    std::string text = left;
    size_t used = left.size();
    for (const std::string& line : wrapped(right, kHelpWidth - column)) {
      if (used + 1 > column) text += "\n", used = 0;
      text += std::string(column - used, ' ') + line + "\n";
      used = 0;
    }
    return text;
  }
};

// Letters to insert, remove or replace to come from one word to the other.
inline size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t(0));
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// "; did you mean NAME?", or nothing where no name is near.
inline std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  const std::string* best = nullptr;
  size_t least = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    const size_t distance = name.starts_with(word) ? 1 : edit_distance(word, name);
    if (distance < least) least = distance, best = &name;
  }
  return best ? "; did you mean " + *best + "?" : "";
}

// What is wrong with the arguments, in one line. `app` has subcommands, or only options.
inline std::string explained(const CLI::App& app, int argc, char** argv, const CLI::ParseError& error) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  const CLI::App* command = &app;
  std::string called = app.get_name();
  if (!names.empty()) {
    if (argc < 2) return "a command is needed; " + called + " --help lists them";
    const auto commands = app.get_subcommands([&](const CLI::App* c) { return c->get_name() == argv[1]; });
    if (commands.empty())
      return std::string("there is no ") + (argv[1][0] == '-' ? "option " : "command ") + argv[1] +
             suggestion(argv[1], names) + " (" + called + " --help lists them)";
    command = commands.front();
    called += " " + command->get_name();
  }
  const int first = names.empty() ? 1 : 2;
  names.clear();
  for (const CLI::Option* option : command->get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  for (int i = first; i < argc; ++i) {
    const std::string argument = argv[i], name = argument.substr(0, argument.find('='));
    if (name.starts_with("--") && name.size() > 2 && std::find(names.begin(), names.end(), name) == names.end())
      return command->get_name() + " has no option " + name + suggestion(name, names) + " (" + called +
             " --help lists them)";
  }
  return command->get_name() + ": " + error.what();
}

}  // namespace cambium
