// Which level CPU kernels use. CAMBIUM_CPU_LEVEL is read while the libraries are loaded: where it wants another build
// of this library than the loader chose, the program is started again with glibc told to see a lesser processor.
#include "core/cpu/level.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace cambium::cpu {
namespace {

constexpr std::string_view kNames[] = {"neon", "x86-64", "avx2", "avx512", "avx512_bf16", "amx"};
constexpr const char* kVariable = "CAMBIUM_CPU_LEVEL";

#if defined(__x86_64__)
constexpr Level kLowest = Level::x86_64;

// AMX needs the processor, a system that saves its registers, and the system's permission for this process.
bool has_amx() {
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  if ((d & kBf16) == 0 || (d & kTile) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// By the features that set the psABI's levels apart, x86-64-v3 and -v4: not all compilers know these by their names.
bool has_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
}

bool has_v4() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

Level find_level() {
  if (!has_v3()) return Level::x86_64;
  if (!has_v4()) return Level::avx2;
  if (!__builtin_cpu_supports("avx512bf16")) return Level::avx512;
  return has_amx() ? Level::amx : Level::avx512_bf16;
}
#elif defined(__aarch64__)
constexpr Level kLowest = Level::neon;
Level find_level() { return Level::neon; }
#else
#error "There are CPU kernels for x86-64 and for 64-bit Arm (aarch64)."
#endif

[[noreturn]] void stop(int code, const std::string& message) {
  std::fprintf(stderr, "error: %s=%s: %s\n", kVariable, std::getenv(kVariable), message.c_str());
  _exit(code);
}

// The level that the variable names; the processor's where it is not set.
Level wanted_level() {
  const char* value = std::getenv(kVariable);
  if (!value || !*value) return processor_level();
  const auto* name = std::find(std::begin(kNames), std::end(kNames), value);
  if (name == std::end(kNames)) stop(2, "there are x86-64, avx2, avx512, avx512_bf16 and amx, and neon on Arm");
  const Level wanted = Level(name - kNames);
  if (wanted < kLowest) stop(2, "this processor is no Arm");
  if (wanted > processor_level()) stop(2, "this processor has no more than " + std::string(name_of(processor_level())));
  return wanted;
}

// Runs before main.
[[gnu::constructor]] void choose_library(int, char** arguments, char**) {
  if (!std::getenv(kVariable)) return;
  const Level wanted = std::min(wanted_level(), Level::avx512);
  if (wanted == library_level()) return;
  const std::string mask = wanted == Level::x86_64 ? "glibc.cpu.hwcaps=-AVX2" : "glibc.cpu.hwcaps=-AVX512F";
  const char* before = std::getenv("GLIBC_TUNABLES");
  const std::string tunables = before ? std::string(before) + ":" + mask : mask;
  if (wanted > library_level() || (before && std::string_view(before).find(mask) != std::string_view::npos))
    stop(1, "the loader chose the library for " + std::string(name_of(library_level())));
  setenv("GLIBC_TUNABLES", tunables.c_str(), 1);
  execv("/proc/self/exe", arguments);
  stop(1, "the program cannot be started again");
}

}  // namespace

std::string_view name_of(Level level) { return kNames[int(level)]; }

Level processor_level() {
  static const Level found = find_level();
  return found;
}

Level library_level() {
#if defined(__AVX512F__)
  return Level::avx512;
#elif defined(__AVX2__)
  return Level::avx2;
#else
  return kLowest;
#endif
}

Level level() {
  static const Level chosen = library_level() < Level::avx512 ? library_level() : wanted_level();
  return chosen;
}

}  // namespace cambium::cpu
