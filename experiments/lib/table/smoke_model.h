// Tiny models of random weights over bytes, made on the spot: smoke tests need no download.
#pragma once

#include <string>

#include "experiments/lib/session.h"

namespace cambium {

inline constexpr const char* kSmokeDecoder = "random-decoder";
inline constexpr const char* kSmokeEncoder =
    "random-encoder";  // without a head: it gets one for the classes of its task
inline constexpr const char* kSmokeSeq2seq = "random-seq2seq";

bool is_smoke_model(const std::string& model);
// `model`: one of these names.
Session open_smoke_session(const std::string& model, const CommonOptions&);

}  // namespace cambium
