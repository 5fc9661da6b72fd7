// What templates may do to a field's text before it is put in: {sentence1|no_final_punctuation}.
#pragma once

#include <string>
#include <vector>

namespace cambium {

using TextFilter = std::string (*)(const std::string&);

// Null for an unknown name.
TextFilter text_filter(const std::string& name);
std::vector<std::string> text_filter_names();

// ASCII's capitals as small letters.
std::string lower_case(const std::string&);

// "name[Blue Spice], area[city centre]" -> "name : Blue Spice | area : city centre ||"; the target follows after a
// blank. Li & Liang's prefix-tuning code writes the same with other names of slots ("Type", "family friendly"), and has
// the beginning-of-text token between both.
std::string linearised(const std::string& meaning);

}  // namespace cambium
