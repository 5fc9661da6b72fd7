// Options of tuners that are read without a model are those that the tuner itself tells.
#include "tuning/options.h"

#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

TEST(TunerOptions, AreTheTunersOwn) {
  const OptionMap given[] = {{},
                             {{"length", "3"}, {"init", "random"}},
                             {{"bottleneck", "7"}},
                             {{"rank", "2"}, {"alpha", "4.0"}, {"targets", "key,output"}},
                             {{"layers", "1"}},
                             {{"only", "decoder"}}};
  for (const std::string& method : tuner_methods()) {
    int fit = 0;
    for (const OptionMap& options : given) {
      OptionMap all;
      try {
        all = tuner_options(method, options);
      } catch (const InputError&) {
        continue;  // another method's
      }
      ++fit;
      const auto model = golden_model("gpt2");
      const auto tuner = make_tuner(method, options, {.model = *model, .initialize = false});
      OptionMap own = tuner->options();
      if (method == "prompt") own["where"] = all["where"];  // empty: where the model has its input
      EXPECT_EQ(all, own) << method;
      EXPECT_EQ(default_learning_rate(method), tuner->default_learning_rate()) << method;
    }
    EXPECT_EQ(fit, 2) << method << ": without options, and with its own";
  }
  expect_error<InputError>([] { tuner_options("magic", {}); }, {"magic", "lora"});
  expect_error<InputError>([] { tuner_options("lora", {{"rank", "0"}}); }, {"rank=0"});
  expect_error<InputError>([] { tuner_options("lora", {{"bottleneck", "8"}}); }, {"no option bottleneck"});
  expect_error<InputError>([] { default_learning_rate("magic"); }, {"magic"});
}

}  // namespace
}  // namespace cambium::testing
