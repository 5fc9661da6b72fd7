// Pre-training: texts, an objective and a shape (or a model to go on from) become a model, by the one trainer.
#pragma once

#include "experiments/lib/session.h"
#include "experiments/lib/train_run.h"

namespace cambium {

struct PretrainOptions {
  // What to start from: a model with its tokenizer, or a new one of a ladder size or a config.json.
  std::string init, shape, family = "t5";
  std::string tokenizer;      // of a new model: a directory; empty: a vocabulary is learned from the texts
  int64_t vocabulary = 8000;  // pieces of a learned one
  std::vector<std::string> texts, dev;
  // mlm, wwm (masked words), spans, prefix-lm, bart or causal
  std::string objective = "spans";
  int64_t length = 128;       // tokens of a block; spans: of the encoder's input
  std::string parts = "all";  // what trains: all, or beginnings of parameter names ("head.,encoder.layers.5.")
  int64_t dev_blocks = 200;   // at most so many, the last of the texts where there are no dev files
  std::string folder;         // of token files and learned vocabularies; empty: "tokens" beside the run
  TrainRun run;               // its directory gets model/ in the end
};

int run_pretrain(const CommonOptions&, PretrainOptions);

// The program: arguments to options.
int pretrain_command_line(int argc, char** argv);

// Learns a SentencePiece vocabulary (unigram) from text files, unless that was done before; gives its directory in
// `folder`, a tokenizer of T5's kind.
std::string learned_vocabulary(const std::vector<std::string>& texts, int64_t pieces, const std::string& folder);

}  // namespace cambium
