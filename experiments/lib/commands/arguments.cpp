#include "experiments/lib/commands/arguments.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>

#include "core/environment.h"
#include "core/files.h"
#include "core/printable.h"
#include "core/temporaries.h"
#include "experiments/lib/commands/help.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

// Configurations and results are JSON, which holds nothing else.
void check_utf8(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    check_input(is_utf8(argv[i]), "argument ", i, ", ", valid_utf8(argv[i]),
                ", is not UTF-8\nGive texts in UTF-8; a file can be named by a link whose name is");
  for (const char* name : {"CAMBIUM_HOME", "CAMBIUM_DATA", "XDG_CACHE_HOME", "HOME"})
    if (const auto value = environment(name))
      check_input(is_utf8(*value), "the environment's ", name, ", ", valid_utf8(*value),
                  ", is not UTF-8\nName the directory by a link whose name is");
}

// What was printed must have arrived: a full disk behind standard output is known only when it is flushed. The body's
// exit code, or 1.
int delivered(int code) {
  errno = 0;
  const bool flushed = bool(std::cout.flush()) && std::fflush(stdout) == 0 && !std::ferror(stdout);
  if (flushed) return code;
  if (!errno) {  // an earlier write failed, and its reason is gone: it fails again for the same
    std::clearerr(stdout);
    std::fputc('\n', stdout), std::fflush(stdout);
  }
  const int reason = errno ? errno : EIO;
  if (code == 0) print_error("standard output cannot be written: " + system_reason(reason));
  return code == 0 ? 1 : code;
}

}  // namespace

void add_common(CLI::App& command, CommonOptions& common, bool json) {
  command.add_option("--device", common.device, "auto, cpu, gpu or gpu:INDEX")->group("Common");
  command
      .add_option("--dtype", common.dtype,
                  "type of the frozen base: f32 or bf16 (default: bf16 where the processor multiplies it)")
      ->group("Common");
  command
      .add_option("--attention", common.attention, "whose attention a GPU runs: own or cudnn (for what cuDNN can take)")
      ->capture_default_str()
      ->group("Common");
  command
      .add_flag("--fused-gelu", common.fused_gelu,
                "let cuBLASLt apply GPT-2's GELU inside products on a GPU: other bits, which depend on the tuner")
      ->group("Common");
  command
      .add_flag("--cuda-graphs", common.graphs,
                "record each decoding and training step on a GPU and launch it as one: the same bits; slower on an "
                "H100, where it was measured")
      ->group("Common");
  command
      .add_option("--threads", common.threads,
                  "threads (default: OMP_NUM_THREADS, or the processors that affinity and quota allow)")
      ->check(CLI::Range(1, 4096))
      ->type_name("INT")
      ->group("Common");
  command.add_option("--seed", common.seed, "seed of everything that is random")
      ->check(CLI::Validator(
          [](std::string& s) { return s.starts_with("-") ? std::string("is negative: ") + s : std::string(); }, "",
          "seed"))
      ->group("Common");
  command.add_flag("--quiet", common.quiet, "no progress, no notes")->group("Common");
  command.add_flag("--verbose", common.verbose, "whole lists in errors")->group("Common");
  if (json) command.add_flag("--json", common.json, "results as JSON")->group("Common");
}

std::string explanation(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error)) return "out of memory; a smaller --batch-size or --shards may help";
  return error.what();
}

int guarded(const std::function<int()>& body) {
  try {
    return delivered(body());
  } catch (const Error& error) {
    print_error(error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    print_error(explanation(error));
  }
  return 1;
}

int parse_and_run(CLI::App& app, int argc, char** argv, const CommonOptions& common,
                  const std::function<int()>& action) {
  tidy_up_on_signals();
  if (const int unusable = guarded([&] { return check_utf8(argc, argv), 0; })) return unusable;
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return delivered(app.exit(done));  // --help, --version
  } catch (const CLI::ParseError& error) {
    print_error(explained(app, argc, argv, error));
    return 2;
  }
  return guarded([&] {
    apply(common);
    return action();
  });
}

}  // namespace cambium
