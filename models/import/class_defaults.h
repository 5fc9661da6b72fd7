// What transformers' configuration classes say where a config.json says nothing.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cambium {

// A config.json as its class in transformers 5 reads it: names of sizes that all classes share (hidden_size, ...)
// become the class's own, where they win as they do there, and fields that are absent get the class's defaults. A field
// that is null stays null. Types that are not known come back as they are.
nlohmann::json with_class_defaults(nlohmann::json config, const std::string& model_type);

// Whether a class reads a field of this name under a name of its own.
bool is_shared_name(const std::string& model_type, const std::string& name);

}  // namespace cambium
