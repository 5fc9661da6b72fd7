// batch.json: token ids and targets as Hugging Face's conventions have them.
#pragma once

#include <span>
#include <string>

#include "models/layout.h"
#include "models/model.h"

namespace cambium {

// {"inputs": [[ids], ...], "targets": [[ids], ...], "tuners": [i, ...]}; targets and tuners may be absent. tuners: the
// names of those that there are ("": without one), by which "tuners" may call them, too; the default is 0 if there is
// one, else -1. Throws InputError for anything that does not fit the model.
Batch read_batch_file(const std::string& path, const Model&, std::span<const std::string> tuners);

}  // namespace cambium
