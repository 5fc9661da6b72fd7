// Prefix-tuning: keys and values in front of those of attention.               (Li & Liang 2021, section 4)
#pragma once

#include "tuning/options.h"
#include "tuning/tuner.h"

namespace cambium {

class Prefix : public Tuner {
 public:
  struct Options {
    int64_t length = 10;
    // words: the keys and values of real words, repeated to the length (section 7.4 of the paper: far better than
    // random with little data); random: N(0, 1).
    std::string init = "words";
    // Keys and values come from a table [length, width] through Linear, tanh, Linear (section 4.3): trained, the
    // network is kept in the checkpoint.
    bool reparametrize = false;
    int64_t hidden = 512;
    std::vector<std::string> sites = {"all"};  // all, or of encoder, decoder, cross
    std::string words;                         // empty: words that suit the task
    double dropout = 0;                        // of keys and values in training; all sequences of a pass share a mask
    // peft: what PEFT 0.21 computes of a prefix of a model with encoder and decoder: layer i of the L of the decoder gets
    // the rows of layer 2 i mod L, so that of an even number two share one and every second is of no use.
    std::string compat;
  };

  static TunerMaker read(OptionReader&);
  Prefix(const Options&, const TunerContext&);

  std::string method() const override { return "prefix"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 5e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;

  // Tokens of a decoder stand behind the prefix; an encoder's positions stay.
  void embedded(Pass&, StackKind, Var& rows, Layout&) override;
  PrefixRows prefix(Pass&, const Site&, const Layout&) override;
  int64_t position_shift(StackKind, int tuner) const override;
  bool draws() const override { return options_.dropout > 0; }
  bool reaches_inside(const Site&) const override { return false; }

  // The groups that there are, "encoder", "decoder", "cross"; and the rows of one, [layers * 2, length, kv_width].
  std::vector<std::string> groups() const;
  Tensor values(const std::string& group) const;

 private:
  // The prefixes of one kind of site, for all layers.
  struct Group {
    std::string name;  // "encoder", "decoder" or "cross"
    StackKind stack;
    Place place;
    StackShape shape;
    Parameter rows;  // plain: [layers, 2, length, kv_heads, head_size], keys then values
    // reparametrised: [length, width], [hidden, width], [hidden], [layers * 2 * kv_width, hidden], [layers * 2 *
    // kv_width]
    Parameter table, down, down_bias, up, up_bias;
  };
  Tensor initial_rows(const Group&, const TunerContext&) const;
  void fit_network(Group&, const Tensor& rows, const TunerContext&);
  Var all_rows(Pass&, const Group&) const;
  Var dropped(const Pass&, const Group&, const Var& rows) const;

  Options options_;
  int64_t width_;
  std::vector<Group> groups_;
};

// P-tuning v2: rows of keys and values before those of every layer, N(0, 1) at first, without a network; a
// classification head trains along wherever the objective has one.                       (Liu et al. 2022, section 3.3)
class PTuningV2 : public Prefix {
 public:
  static TunerMaker read(OptionReader&);
  PTuningV2(int64_t length, const TunerContext& context)
      : Prefix({.length = length, .init = "random"}, context), length_(length) {}
  std::string method() const override { return "p_tuning_v2"; }
  OptionMap options() const override { return {{"length", std::to_string(length_)}}; }

 private:
  int64_t length_;
};

}  // namespace cambium
