// A sequence's logits have the same bits alone and in any batch, with any number of threads.
#include "core/kernels/matmul.h"
#include "core/threads.h"
#include "experiments/lib/shapes.h"
#include "models/generation.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

// Two layers of a published shape with a small vocabulary.
ModelConfig two_layers(const std::string& shape) {
  ModelConfig c = published_shape(shape);
  c.vocabulary = 1000;
  c.eos.clear(), c.bos.reset(), c.mask.reset();  // they may lie beyond it
  for (StackShape* s : {&c.encoder, &c.decoder})
    if (s->layers) s->layers = 2;
  return c;
}

struct Subject {
  std::string name;
  std::unique_ptr<Model> model;
};

std::vector<Subject> subjects(DType dtype) {
  std::vector<Subject> all;
  for (const char* name : {"llama_gqa", "gpt2", "bert", "t5", "bart"}) all.push_back({name, golden_model(name, dtype)});
  for (const char* shape : {"smollm2-135m", "gpt2", "roberta-base", "t5-small",
                            "bart-base"}) {  // widths 576, 768 and 512, inner 1536 to 3072
    auto model = std::make_unique<Model>(two_layers(shape), dtype);
    model->randomize(3);
    all.push_back({text(shape, " shape"), std::move(model)});
  }
  return all;
}

std::vector<Tensor> logits_in(Model& model, const Batch& batch, const std::vector<size_t>& members) {
  Hooks none;
  Batch part;
  for (const size_t m : members) part.push_back(batch[m]);
  return logits_of(model, none, part);
}

class BatchBits : public ::testing::TestWithParam<DType> {};

TEST_P(BatchBits, DependOnTheSequenceAlone) {
  const int before = threads();
  for (const Subject& s : subjects(GetParam())) {
    const Batch batch = random_batch(s.model->config(), {1, 2, 7, 16, 25, 3, 11, 5});
    std::vector<Tensor> alone;
    set_threads(1);
    for (size_t i = 0; i < batch.size(); ++i) alone.push_back(logits_in(*s.model, batch, {i})[0]);
    const std::vector<std::vector<size_t>> batches = {{0, 1, 2, 3, 4, 5, 6, 7},
                                                      {7, 6, 5, 4, 3, 2, 1, 0},
                                                      {4, 4, 4},
                                                      {3, 0},
                                                      {2, 5, 6},
                                                      {1},
                                                      {4},
                                                      {6, 3, 3, 1, 0, 2, 7, 5, 4, 4, 4, 4, 4}};
    for (const int count : {1, 2, 3})
      for (const auto& members : batches) {
        set_threads(count);
        const auto together = logits_in(*s.model, batch, members);
        for (size_t i = 0; i < members.size(); ++i)
          EXPECT_TRUE(same_bits(together[i], alone[members[i]]))
              << s.name << ", " << count << " threads, sequence " << members[i] << " of " << members.size();
      }
  }
  set_threads(before);
}

// Decoding with a cache: texts and their scores, batch by batch and one by one.
TEST_P(BatchBits, OfGeneration) {
  for (const Subject& s : subjects(GetParam())) {
    const ModelConfig& c = s.model->config();
    if (c.is_encoder()) continue;
    std::vector<std::vector<int32_t>> inputs;
    for (const int64_t length : {1, 9, 4, 2, 12}) inputs.push_back(random_ids(length, c.vocabulary, uint64_t(length)));
    Hooks none;
    for (const int64_t beams : {1, 3}) {
      std::vector<std::vector<Generated>> first;
      for (const int64_t batch_size : {1, 2, 5}) {
        const auto results = generate(*s.model, none, inputs,
                                      {.max_new_tokens = 10, .beams = beams, .batch_size = batch_size, .scores = true});
        if (first.empty()) first = results;
        for (size_t i = 0; i < inputs.size(); ++i) {
          EXPECT_EQ(results[i][0].ids, first[i][0].ids) << s.name;
          EXPECT_EQ(results[i][0].score, first[i][0].score)
              << s.name << " beams " << beams << " batch " << batch_size << " input " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, BatchBits, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace cambium::testing
