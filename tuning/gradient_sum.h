// Sums over the workers of a job: the upper levels of the tree of shards, whose lower ones each worker adds up for
// itself (GradientTree), with the same additions for every scalar as if one process had added all shards.
//
// Vector halving with distance doubling (Thakur, Rabenseifner & Gropp 2005, "Optimization of Collective Communication
// Operations in MPICH", 4.5): in round k workers w and w xor 2^k each give one half of what they hold and add up the
// other, which is level k of the tree over blocks of 2^k workers; then the halves come back the same way. A worker
// sends and receives 2 (W - 1) / W of the vector.
#pragma once

#include <vector>

#include "core/communicator.h"
#include "core/tensor.h"

namespace cambium {

// Tensor i has like[i]'s shape, type and device, or is absent: adding an absent one changes nothing, and what is absent
// at all workers is absent in the sum. Collective; the number of workers is a power of two. All types are the same.
std::vector<Tensor> sum_over_workers(Communicator&, std::vector<Tensor> own, const std::vector<Tensor>& like);

// Rows [r n / W, (r + 1) n / W) of all [n, ...] are worker r's; afterwards all rows are there. Collective; W is a power
// of two that divides n.
void gather_rows(Communicator&, const Tensor& all);

// Worker 0's values, to all. Collective.
void broadcast(Communicator&, const Tensor&);

// The shards [begin, end) of S that a worker runs.
struct ShardRange {
  int64_t begin = 0, end = 0;
};
ShardRange shards_of(const Communicator&, int64_t shards);
// Throws InputError where the workers cannot share so many shards equally: both are powers of two, W at most S.
void check_shards(const Communicator&, int64_t shards);

}  // namespace cambium
