#include "experiments/lib/table/machine.h"

#include <sys/utsname.h>

#include <chrono>
#include <fstream>
#include <map>

#include "core/kernels/matmul.h"
#include "core/threads.h"

namespace cambium {

std::string machine_description() {
  std::string processor = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      processor = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  utsname system = {};
  ::uname(&system);
  return text(processor, ", ", threads(), threads() == 1 ? " thread, " : " threads, ", system.sysname, " ",
              system.release);
}

double matmul_speed(const CommonOptions& common) {
  const Device device = device_of(common);
  if (device.is_gpu()) return 0;
  static std::map<DType, double> known;
  double& speed = known[weight_type_of(common, device)];
  if (speed > 0) return speed;
  constexpr int64_t kRows = 512, kSize = 1024;
  const Tensor a = Tensor::zeros({kRows, kSize}, DType::f32),
               b = Tensor::zeros({kSize, kSize}, weight_type_of(common, device));
  const Tensor c = Tensor::empty({kRows, kSize}, DType::f32);
  for (int i = 0; i < 4; ++i) {  // the first one sets the library up
    const auto start = std::chrono::steady_clock::now();
    cpu::matmul(c.stream(), a, b, ConstView(), {.transpose_b = true}, c);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i > 0) speed = std::max(speed, 2.0 * kRows * kSize * kSize / seconds);
  }
  return speed;
}

}  // namespace cambium
