// batch.json: token ids and targets as Hugging Face's conventions have them.
#pragma once

#include <string>

#include "models/layout.h"
#include "models/model.h"

namespace cambium {

// {"inputs": [[ids], ...], "targets": [[ids], ...], "tuners": [i, ...]}; targets and tuners may be absent. tuners: how
// many there are; the default is 0 if there is one, else -1. Throws InputError for anything that does not fit the
// model.
Batch read_batch_file(const std::string& path, const Model&, int tuners);

}  // namespace cambium
