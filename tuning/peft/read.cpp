#include "core/files.h"
#include "core/json.h"
#include "tuning/compose.h"
#include "tuning/peft.h"
#include "tuning/peft/directory.h"

namespace cambium {

bool is_peft_adapter(const std::string& path) {
  return is_directory(path) && file_exists(path + "/" + peft::kConfig);
}

std::unique_ptr<Tuner> load_peft_adapter(const std::string& path, Model& model) {
  constexpr std::pair<std::string_view, std::unique_ptr<Tuner> (*)(peft::Reading&)> kReaders[] = {
      {"LORA", peft::read_lora},
      {"ADALORA", peft::read_adalora},
      {"IA3", peft::read_ia3},
      {"VERA", peft::read_vera},
      {"LN_TUNING", peft::read_norms},
      {"PROMPT_TUNING", peft::read_prompt},
      {"P_TUNING", peft::read_p_tuning},
      {"PREFIX_TUNING", peft::read_prefix}};
  return reading(path, [&] {
    const peft::Directory files(path);
    const std::string type = reading(peft::kConfig, [&] { return get_string(files.config, "peft_type"); });
    peft::Reading r(files, model);
    std::vector<std::string> known;
    for (const auto& [name, read] : kReaders) {
      if (type == name) return read(r);
      known.emplace_back(name);
    }
    throw InputError(text(peft::kConfig, ": peft_type ", type, " cannot be read; there are ", listed(known)));
  });
}

std::function<Tensor(const std::string&)> peft_trained_base(const std::string& path, const ModelConfig& config) {
  const auto file = std::make_shared<const SafetensorsFile>(path + "/" + peft::kWeights);
  std::map<std::string, std::pair<std::string, Relayout>> places;
  for (const NameRule& rule : huggingface_names(config))
    if (const std::string tensor = peft::tensor_of_base(*file, config, rule); !tensor.empty())
      places[rule.ours] = {tensor, rule.relayout};
  return [file, places](const std::string& name) {
    const auto found = places.find(name);
    if (found == places.end()) return Tensor();
    const Tensor value = file->read(found->second.first).to(DType::f32);
    return found->second.second == Relayout::transpose && value.shape().rank() == 2 ? transposed(value) : value;
  };
}

namespace peft {

Tuner& own_part(Tuner& tuner) {
  const auto* composed = dynamic_cast<const Compose*>(&tuner);
  return composed ? *composed->children().front().tuner : tuner;
}

}  // namespace peft
}  // namespace cambium
