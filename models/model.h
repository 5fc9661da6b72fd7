// The transformer: encoders (BERT, RoBERTa), decoders (GPT-2, Llama) and both together (T5, BART).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "autograd/ops/lm_head_loss.h"
#include "models/blocks.h"
#include "models/config.h"
#include "models/layout.h"

namespace cambium {

struct Embedding {
  Parameter weight;
  void visit(auto&& at) { at("weight", weight); }
};

struct Stack {
  Embedding position, token_type, relative_bias;  // as the configuration says
  Norm embedding_norm, final_norm;
  std::vector<Layer> layers;

  void visit(auto&& at) {
    at("position", position), at("token_type", token_type), at("relative_bias", relative_bias);
    at("embedding_norm", embedding_norm), at("layers", layers), at("final_norm", final_norm);
  }
};

struct Head {
  Dense transform;  // BERT: dense, activation, norm before the vocabulary
  Norm norm;
  Parameter weight, bias;  // weight: only where it is not the embedding's

  void visit(auto&& at) { at("transform", transform), at("norm", norm), at("weight", weight), at("bias", bias); }
};

struct Pooler {
  Dense dense;
  void visit(auto&& at) { at("", dense); }
};

// Scores of classes from the first token's hidden row: BERT's reads the pooler, RoBERTa's has a layer of its own.
struct Classifier {
  Dense dense, output;
  void visit(auto&& at) { at("dense", dense), at("output", output); }
};

// Keys and values of earlier tokens of all decoder layers, for generation (models/cache.h).
struct DecoderCache;

class Model {
 public:
  // All parameters allocated, not set. Weights of products and tables have type `weights` (float32, bfloat16, or
  // float64 for tests), all others its accumulator type.
  // Storage::none: names and shapes alone, no memory.
  enum class Storage { allocated, none };
  Model(ModelConfig config, DType weights, Device device = Device::cpu(), Storage = Storage::allocated);

  const ModelConfig& config() const { return config_; }
  Device device() const { return device_; }
  DType weight_type() const { return weights_; }
  DType activation_type() const;
  std::vector<NamedParameter> parameters() { return parameters_of(*this); }
  int64_t parameter_count();
  // Sets parameters of random numbers, from their names: N(0, deviation), norms 1, biases 0.
  void randomize(uint64_t seed, float deviation = 0.02f);
  // Parts that the model lacks, with such numbers; gives the beginnings of the new parameters' names. A classification
  // head needs an encoder, a head over the vocabulary (tied to the embedding) BERT or RoBERTa.
  std::vector<std::string> add_classifier(int64_t classes, uint64_t seed);
  std::vector<std::string> add_language_head(uint64_t seed);

  // Hidden rows of the encoder: [rows of layout, or tokens of layout.read, width]. layout is replaced where hooks
  // insert virtual tokens.
  Var encode(Pass&, Layout& layout);
  // The same for the decoder of a sequence-to-sequence model.
  Memory remember(Pass&, Layout);
  // Hidden rows of the decoder, likewise. memory: for sequence-to-sequence models.
  Var decode(Pass&, Layout& layout, const Memory* memory = nullptr, DecoderCache* cache = nullptr);

  // float32 logits [R, vocabulary] of hidden rows.
  Tensor logits(Pass&, const Tensor& hidden);
  // Scores of the classification head, [sequences, classes].
  Tensor classify(Pass&, const Batch&);
  // Their loss, scaled as in `loss`, from what the first tokens became; label int32 [sequences].
  static std::vector<TokenPlace> class_places(const Batch&);
  Var class_loss(Pass&, const Batch&, Var first, const Tensor& label, const CrossEntropyConfig&);

  // scale * sum of the squared errors of a head of one output; target [sequences, 1] in the accumulator type.
  Var number_loss(Pass&, const Batch&, Var first, const Tensor& target, float scale);

  struct Loss {
    Var sum;  // scale * (sum over scored tokens), [1]
    int64_t scored = 0;
  };
  // The loss of a batch whose sequences carry labels. scale: usually 1 / scored tokens of the whole batch.
  Loss loss(Pass&, const Batch&, const CrossEntropyConfig&);
  // The tokens that are scored, and the loss of what they became, rows [tokens, width].
  std::vector<TokenPlace> scored_places(const Batch&) const;
  Loss loss_of(Pass&, const Batch&, const Var& rows, const CrossEntropyConfig&);
  // Logits [R, tokens] of some tokens of the vocabulary alone, and the loss of choosing among them; label int32 [R]
  // counts in `tokens`.
  Tensor choice_logits(Pass&, const Var& hidden, const std::vector<int32_t>& tokens);
  Var choice_loss(Pass&, const Var& hidden, const std::vector<int32_t>& tokens, const Tensor& label,
                  const CrossEntropyConfig&);
  // Of each sequence: the sum of the cross entropies of its labels, to compare continuations of one text. No gradients.
  std::vector<double> sequence_losses(Pass&, const Batch&);
  // Tokens of a batch that carry a label the model can score.
  int64_t scored_tokens(const Batch&) const;
  // Throws InputError, naming sequence and position, unless all ids and labels are in range and lengths fit.
  void check(const Batch&) const;
  // Throws InputError where sequences behind what the hooks put in front of them are longer than the model's positions.
  void check_positions(const Batch&, const Hooks&) const;

  // What some tokens of a batch become: hidden rows [tokens, width]; tokens sequence by sequence, each one once.
  // For sequence-to-sequence models: of the decoder, fed with the labels shifted right.
  Var hidden(Pass&, const Batch&, std::vector<TokenPlace> tokens);
  // What all of them become.
  struct Hidden {
    Var rows;
    std::vector<int64_t> begin, length;  // of each sequence
  };
  Hidden hidden(Pass&, const Batch&);
  std::vector<int32_t> decoder_inputs(const Sequence&) const;

  void visit(auto&& at) {
    at("embedding", embedding), at("encoder", encoder), at("decoder", decoder), at("head", head), at("pooler", pooler),
        at("classifier", classifier);
  }

  Embedding embedding;
  std::unique_ptr<Stack> encoder, decoder;
  std::unique_ptr<Head> head;
  std::unique_ptr<Pooler> pooler;
  std::unique_ptr<Classifier> classifier;

 private:
  Stack make_stack(const StackShape&, bool cross) const;
  Var embed(Pass&, Stack&, StackKind, Layout&);
  Var run(Pass&, Stack&, StackContext&, Var x, const Layout&, DecoderCache*);
  std::shared_ptr<const ReadRows> read_rows(const Pass&, const Layout&) const;
  StackContext context(Pass&, const Stack&, StackKind, const Layout&, DecoderCache*);
  Tensor matrix(int64_t rows, int64_t cols) const { return allocate({rows, cols}, weights_); }
  Tensor vector(int64_t size) const { return allocate({size}, accumulator(weights_)); }
  Tensor allocate(const Shape&, DType) const;
  Dense dense(int64_t in, std::vector<Part> parts, bool bias, bool separate = true) const;
  Norm norm() const;
  std::unique_ptr<Head> make_head() const;
  std::unique_ptr<Pooler> make_pooler() const;
  std::unique_ptr<Classifier> make_classifier() const;
  void randomize_parts(const std::vector<std::string>& prefixes, uint64_t seed, float deviation);
  Var class_rows(Pass&, const Batch&, Var first);
  std::pair<Var, Var> choices(Pass&, const std::vector<int32_t>& tokens);
  Var head_rows(Pass&, const Var& hidden);
  Var head_weight(Pass&);

  ModelConfig config_;
  DType weights_;
  Device device_;
  Storage storage_;
  Tensor rotary_;  // cosines and sines, made for as many positions as were needed
  std::optional<Tensor> bucket_[2];
};

}  // namespace cambium
