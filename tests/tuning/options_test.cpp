// Options of tuners that are read without a model are those that the tuner itself tells.
#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

TEST(TunerOptions, AreTheTunersOwn) {
  const std::map<std::string, OptionMap> given = {{"prompt", {{"length", "3"}, {"init", "random"}}},
                                                  {"prefix", {{"length", "3"}, {"init", "random"}}},
                                                  {"adapter", {{"bottleneck", "7"}}},
                                                  {"lora", {{"rank", "2"}, {"alpha", "4.0"}, {"targets", "key,output"}}},
                                                  {"dora", {{"rank", "2"}, {"rslora", "1"}}},
                                                  {"vera", {{"rank", "2"}, {"seed", "9"}}},
                                                  {"ia3", {{"targets", "query"}}},
                                                  {"top_layers", {{"layers", "1"}}},
                                                  {"full", {{"only", "decoder"}}},
                                                  {"bitfit", {}},
                                                  {"mam", {{"prefix.init", "random"}, {"adapter.bottleneck", "3"}}},
                                                  {"p_tuning", {{"encoder", "mlp"}, {"hidden", "4"}}},
                                                  {"p_tuning_v2", {{"length", "3"}}},
                                                  {"layer_norm", {}}};
  for (const std::string& method : tuner_methods()) {
    ASSERT_TRUE(given.count(method)) << method;
    for (const OptionMap& options : {OptionMap{}, given.at(method)}) {
      const OptionMap all = tuner_options(method, options);
      const auto model = golden_model("gpt2");
      const auto tuner = make_tuner(method, options, {.model = *model, .initialize = false});
      OptionMap own = tuner->options();
      if (method == "prompt") own["where"] = all.at("where");  // empty: where the model has its input
      EXPECT_EQ(all, own) << method;
      EXPECT_EQ(default_learning_rate(method), tuner->default_learning_rate()) << method;
    }
  }
  expect_error<InputError>([] { tuner_options("magic", {}); }, {"magic", "lora"});
  expect_error<InputError>([] { tuner_options("lora", {{"rank", "0"}}); }, {"rank=0"});
  expect_error<InputError>([] { tuner_options("lora", {{"bottleneck", "8"}}); }, {"no option bottleneck"});
  expect_error<InputError>([] { default_learning_rate("magic"); }, {"magic"});
}

}  // namespace
}  // namespace cambium::testing
