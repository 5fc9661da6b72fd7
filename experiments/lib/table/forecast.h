// How long a cell will take on this machine: operations counted from the model's shapes, over speeds that are measured
// on the spot.
#pragma once

#include <cstdint>

#include "experiments/lib/session.h"
#include "experiments/lib/table/spec.h"

namespace cambium {

// An example in tokens (means). Without a target a class is chosen, and no row reaches the vocabulary.
struct TextShape {
  double input = 0, target = 0;
};

// Floating-point operations of the products of one forward pass over an example (a multiply-add is two): the stacks',
// attention's, and the head's for the target's rows. virtual_tokens: rows in front of it; prefix: keys that every query
// sees first; extra: more parameters that each row of a layer meets.
struct ForwardShape {
  TextShape text;
  double virtual_tokens = 0, prefix = 0, extra = 0;
};
double forward_operations(const ModelConfig&, const ForwardShape&);
// Of one new token behind `context` others: a decoder's layers and the head. memory: rows of the encoder that it sees.
double writing_operations(const ModelConfig&, double context, double memory);

// What a cell computes. Training and reading take many rows at a time, writing one a text: it is slower an operation.
struct CellWork {
  double training = 0, reading = 0, writing = 0;
};

struct CellCounts {
  TextShape text;
  double examples = 0;    // that training reads, all epochs together
  double inputs = 0;      // of evaluation
  double new_tokens = 0;  // that an output may have at most
  double beams = 1;
};
CellWork cell_work(const ModelConfig&, const CellSpec&, const CellCounts&);

// Operations a second; 0: not known.
struct Speeds {
  double rows = 0, writing = 0;
};
// Seconds; below 0: not known.
double seconds_of(const CellWork&, const Speeds&);

// The same model with at most so many layers a stack.
ModelConfig shallow(ModelConfig, int64_t layers);

// What a calibration computes: few enough layers, examples and texts that a step takes a fraction of a second.
struct CalibrationShape {
  int64_t layers = 1, examples = 1, texts = 1;
};
CalibrationShape calibration_shape(const ModelConfig&, TextShape, int64_t batch_size, int64_t texts);

// Times training steps, and decoding, of a model of this shape without its numbers, a second or two on two cores. On a
// GPU it has all its layers.
Speeds measure_speeds(const ModelConfig&, TextShape, int64_t batch_size, int64_t texts, const CommonOptions&);

// The time that is left: what was forecast for it, scaled by what the cells that are done took against their forecast.
double seconds_left(double forecast_left, double forecast_done, double measured_done);

}  // namespace cambium
