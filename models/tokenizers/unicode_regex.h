// Regular expressions of tokenizer files, which are written for Oniguruma.
#pragma once

#include <string>

#include "core/regex.h"

namespace cambium {

// InputError where the pattern is none.
Regex unicode_regex(const std::string& pattern);

}  // namespace cambium
