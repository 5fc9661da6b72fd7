// examples/ as processes: what they teach works.
#include <nlohmann/json.hpp>

#include "models/tokenizers/byte_alphabet.h"
#include "tests/support/command.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class Examples : public Command {
 protected:
  // The golden GPT-2 with an alphabet: 24 wide, 80 tokens, random numbers.
  void SetUp() override {
    std::filesystem::copy(gpt2, model);
    json vocabulary = {{"<|endoftext|>", 2}};
    int next = 0;
    for (const char letter : std::string(" .abcdefghijklmnopqrstuvwxyz")) {
      vocabulary[spelling_of_byte(uint8_t(letter))] = next++;
      if (next == 2) ++next;
    }
    put("model/vocab.json", vocabulary.dump());
    put("model/merges.txt", "#version: 0.2\n");
    put("model/tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"})");
  }
  const std::string model = folder / "model";
};

TEST_F(Examples, TuneLearnsAndItsCheckpointIsUsable) {
  const std::string checkpoint = folder / "lora.h5";
  const ProcessResult r = run_process({program_path("tune"), model, checkpoint}, options());
  ASSERT_EQ(r.code, 0) << r.err;
  double first = 0, last = 0;
  ASSERT_EQ(std::sscanf(r.out.c_str(), "768 of 17376 numbers train step 1, loss %lf", &first), 1) << r.out;
  ASSERT_EQ(std::sscanf(r.out.c_str() + r.out.rfind("step 60"), "step 60, loss %lf", &last), 1) << r.out;
  EXPECT_LT(last, first / 3) << r.out;
  // The commands open the checkpoint, find it sound, and write the same text with it.
  good({"inspect", checkpoint, "--check"});
  const ProcessResult written =
      good({"generate", "--model", model, "--tuner", checkpoint, "--dtype", "f32", "--max-new-tokens", "16"},
           {.input = "the phloem\n"});
  const std::string text = "the phloem" + json::parse(written.out).at("text").get<std::string>();
  EXPECT_EQ(r.out.substr(r.out.rfind("the phloem")), text + "\n");
  EXPECT_TRUE(text.starts_with("the phloem ca")) << text;
}

TEST_F(Examples, TuneRefusesAsCommandsDo) {
  EXPECT_EQ(run_process({program_path("tune")}, options()).code, 2);
  const ProcessResult r = run_process({program_path("tune"), folder / "none", folder / "x.h5"}, options());
  EXPECT_EQ(r.code, 2);
  EXPECT_TRUE(r.err.starts_with("error: ")) << r.err;
}

}  // namespace
}  // namespace cambium::testing
