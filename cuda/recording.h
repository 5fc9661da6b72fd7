// What the runtime must keep while a step is recorded into a graph: its work runs later than the calls that ask for it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "cuda/runtime.h"

namespace cambium::gpu {

class Recording {
 public:
  // This thread's; null: work is done in the order of the calls.
  static Recording* current();
  static void set_current(Recording*);

  // A copy that lives until reset().
  const void* keep(const void* from, size_t bytes);
  // Memory that goes back at reset().
  void release_later(void* block) { released_.push_back(block); }
  // Something that goes at reset().
  void hold(std::shared_ptr<void> what) { held_.push_back(std::move(what)); }
  // All that was recorded has run.
  void reset();
  ~Recording() { reset(); }

 private:
  std::vector<std::unique_ptr<PinnedBuffer>> pages_;
  size_t page_ = 0, used_ = 0;
  std::vector<void*> released_;
  std::vector<std::shared_ptr<void>> held_;
};

}  // namespace cambium::gpu
