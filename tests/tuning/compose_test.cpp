// Several tuners on the same rows are what each is by itself, one after the other.
#include "tuning/compose.h"

#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

const char* const kModels[] = {"gpt2", "llama_gqa", "bert", "t5", "bart"};

// Copies one tuner's values into the child of that number.
void set_child(Tuner& composed, int child, Tuner& alone) {
  std::map<std::string, Tensor> values;
  for (const NamedParameter& p : alone.parameters()) values[text(child, ".", p.name)] = p.value();
  for (const NamedParameter& p : composed.parameters())
    if (const auto found = values.find(p.name); found != values.end()) p.value().copy_from(found->second);
}

// LoRA in the weights and the adapter around them is LoRA with the adapter.
TEST(Compose, IsOneAfterTheOther) {
  for (const char* name : kModels) {
    const auto model = golden_model(name, DType::f64);
    const TunerContext context{.model = *model, .seed = 3};
    const auto both = make_tuner("lora+adapter", {{"lora.rank", "3"}, {"adapter.bottleneck", "4"}}, context);
    const auto lora = make_tuner("lora", {{"rank", "3"}}, context),
               adapter = make_tuner("adapter", {{"bottleneck", "4"}}, context);
    randomize(*lora, 5), randomize(*adapter, 6);
    const Batch batch = random_batch(model->config(), {5, 9});
    set_child(*both, 0, *lora);
    const auto as_lora = logits_of(*model, *both, batch), of_lora = logits_of(*model, *lora, batch);
    set_child(*both, 1, *adapter);
    const auto of_both = logits_of(*model, *both, batch);
    ASSERT_TRUE(lora->merge_into(*model));
    const auto merged = logits_of(*model, *adapter, batch);
    for (size_t s = 0; s < batch.size(); ++s) {
      EXPECT_TRUE(same_bits(as_lora[s], of_lora[s])) << name;  // the adapter does nothing yet
      expect_close(to_array(of_both[s]), to_array(merged[s]), 1e-6, 0, name);
    }
  }
}

TEST(Compose, TwoOfOneKindAddUp) {
  const auto model = golden_model("bart", DType::f64);
  const TunerContext context{.model = *model, .seed = 3};
  const auto both = make_tuner("lora+lora", {{"0.rank", "3"}, {"1.rank", "2"}, {"1.targets", "value,down"}}, context);
  EXPECT_EQ(both->options().at("1.targets"), "value,down");
  randomize(*both, 5);
  const Batch batch = random_batch(model->config(), {5, 9});
  const auto together = logits_of(*model, *both, batch);
  ASSERT_TRUE(both->merge_into(*model));
  Hooks none;
  const auto merged = logits_of(*model, none, batch);
  for (size_t s = 0; s < batch.size(); ++s)
    expect_close(to_array(merged[s]), to_array(together[s]), 1e-6, 0, text("sequence ", s));
  const auto fresh = make_tuner("lora+lora", {}, context);
  const auto parameters = fresh->parameters();  // started differently
  EXPECT_FALSE(same_bits(parameters.front().value(), parameters[parameters.size() / 2].value()));
}

// Prompt rows in front, and keys and values before those of attention: positions move by both.
TEST(Compose, PromptAndPrefix) {
  const auto model = golden_model("gpt2");
  const auto both = make_tuner("prompt+prefix", {{"prompt.length", "3"}, {"prompt.init", "random"}, {"prefix.length", "2"},
                                                 {"prefix.init", "random"}},
                               {.model = *model});
  EXPECT_EQ(both->virtual_tokens(StackKind::decoder, 0), 3);
  EXPECT_EQ(both->position_shift(StackKind::decoder, 0), 5);
  expect_error<InputError>(
      [&] {
        train(*model, *both, random_batch(model->config(), {36}), {.steps = 1});
      },
      {"36", "40"});
  train(*model, *both, random_batch(model->config(), {35}), {.steps = 2});
}

TEST(Compose, MamIsARecipe) {
  const auto model = golden_model("bert");
  const auto mam = make_tuner("mam", {{"prefix.init", "random"}, {"adapter.bottleneck", "5"}}, {.model = *model});
  EXPECT_EQ(mam->method(), "mam");
  EXPECT_EQ(mam->options().at("prefix.length"), "30");
  EXPECT_EQ(mam->options().at("adapter.kind"), "parallel");
  const ModelConfig& c = model->config();
  EXPECT_EQ(TrainedSet(*model, *mam).scalars(),
            c.encoder.layers * (2 * 30 * c.width + 2 * 5 * c.width + 5 + c.width));
}

TEST(Compose, RefusesWhatDoesNotFit) {
  const auto model = golden_model("gpt2");
  const auto refused = [&](const std::string& method, const OptionMap& options,
                           std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { make_tuner(method, options, letters_context(*model)); }, parts);
  };
  refused("lora+magic", {}, {"magic", "lora"});
  refused("lora+", {}, {"no tuner is called"});
  refused("lora+adapter", {{"rank", "3"}}, {"no option rank", "lora.NAME"});
  refused("lora+adapter", {{"lora.bottleneck", "3"}}, {"lora has no option bottleneck"});
  refused("lora+adapter", {{"lora.rank", "0"}}, {"rank=0"});
  refused("lora+lora", {{"lora.rank", "3"}}, {"no option lora.rank", "0, 1"});
  refused("bitfit+full", {}, {"bitfit and full", "would both train"});
  refused("prompt+p_tuning", {}, {"two tuners that insert virtual tokens"});
  refused("prefix+p_tuning_v2", {}, {"two tuners that put keys and values"});
}

}  // namespace
}  // namespace cambium::testing
