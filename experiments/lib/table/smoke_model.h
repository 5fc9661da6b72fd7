// A tiny language model of random weights over bytes, made on the spot: smoke tests need no download.
#pragma once

#include "experiments/lib/session.h"

namespace cambium {

Session open_smoke_session(const CommonOptions&);

}  // namespace cambium
