// Mixed batches against single runs, bit for bit, on either side.
#pragma once

#include "models/generation.h"
#include "tests/support/tuning.h"
#include "tuning/mixture.h"

namespace cambium::testing {

// A model with one tuner of each kind, all of which do something.
struct Mixed {
  std::string name;
  std::unique_ptr<Model> model;
  std::vector<std::unique_ptr<Tuner>> tuners;

  Mixed(const std::string& model_name, DType dtype, Device device = Device::cpu())
      : name(text(model_name, " ", name_of(dtype))),
        model(load_model(*ModelSource::open(golden_path("models/" + model_name)), dtype, device)) {
    const bool seq2seq = model->config().is_seq2seq();
    const std::vector<std::pair<std::string, OptionMap>> kinds = {
        {"lora", {{"rank", "3"}}},
        {"prompt", {{"length", "4"}, {"init", "random"}, {"where", seq2seq ? "both" : ""}}},
        {"adapter", {{"bottleneck", "5"}}},
        {"prefix", {{"length", "3"}, {"init", "random"}}},
        {"lora", {{"rank", "2"}, {"targets", "query,key,value,output,up,down"}}},
        {"adapter", {{"kind", "pfeiffer"}, {"bottleneck", "3"}}},
        {"prefix", {{"length", "5"}, {"init", "random"}, {"reparametrize", "1"}, {"hidden", "8"}}},
        {"adapter", {{"kind", "parallel"}, {"bottleneck", "4"}}},
        {"prompt", {{"length", "2"}, {"init", "random"}}},
        {"ia3", {}},
        {"dora", {{"rank", "2"}, {"dropout", "0.1"}}},
        {"vera", {{"rank", "4"}, {"targets", "query,down"}, {"dropout", "0.1"}}},
        {"p_tuning", {{"length", "3"}, {"hidden", "4"}}},
        {"p_tuning_v2", {{"length", "2"}}},
        {"lora+adapter+prompt", {{"adapter.kind", "lin"}, {"prompt.length", "2"}, {"prompt.init", "random"}}},
        {"mam", {{"prefix.length", "3"}, {"prefix.init", "random"}, {"adapter.bottleneck", "4"}}}};
    for (const auto& [method, options] : kinds) {
      tuners.push_back(make_tuner(method, options, {.model = *model, .seed = tuners.size()}));
      randomize(*tuners.back(), tuners.size());
    }
  }

  std::vector<Tuner*> all() const {
    std::vector<Tuner*> list;
    for (const auto& t : tuners) list.push_back(t.get());
    return list;
  }
  // Two or three sequences of each tuner and of none, in turn: neighbours have different ones.
  Batch batch() const {
    const std::vector<int64_t> lengths = {5, 2, 7, 1, 9, 4, 3, 6, 8, 2, 11, 5, 3, 1, 7, 4, 2, 6, 9, 3,
                                          10, 4, 2, 6, 3, 8, 1, 5, 2, 7, 4, 9, 3, 5, 2, 6};
    Batch batch = random_batch(model->config(), lengths);
    const int count = int(tuners.size()) + 1;
    for (size_t s = 0; s < batch.size(); ++s) batch[s].tuner = int(s * 4) % count - 1;
    return batch;
  }
};

struct Answers {
  std::map<int64_t, Tensor> logits;                     // by Sequence::index
  std::vector<std::map<std::string, Tensor>> gradient;  // of each tuner, by name
};

inline void expect_same(const Tensor& seen, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(bool(seen), bool(expected)) << what;
  if (!expected) return;
  EXPECT_TRUE(same_bits(seen.to(Device::cpu()), expected.to(Device::cpu()))) << what;
}

// With dropout, whose masks belong to sequences.
inline Answers answers(const Mixed& m, Hooks& hooks, const Batch& batch, const std::vector<Tuner*>& tuners) {
  Answers result;
  const std::vector<Tensor> logits = logits_of(*m.model, hooks, batch);
  for (size_t s = 0; s < batch.size(); ++s) result.logits[batch[s].index] = logits[s];
  Tape tape;
  Pass pass(hooks, tape);
  pass.set_dropout({0.1f, 0.1f, 0.1f, 0.1f}, 3, 1);
  for (Tuner* t : tuners)
    for (const NamedParameter& p : t->parameters()) pass.train(*p.parameter);
  Batch sorted;
  for (const size_t s : by_tuner(batch)) sorted.push_back(batch[s]);
  const Var loss = m.model->loss(pass, sorted, {.gradient_scale = 0.125f}).sum;
  tape.backward(loss, Tensor::of(std::vector<float>{1}).to(loss.value.dtype()).to(loss.value.device()));
  for (Tuner* t : tuners) {
    result.gradient.emplace_back();
    for (const NamedParameter& p : t->parameters()) result.gradient.back()[p.name] = pass.gradient(*p.parameter);
  }
  return result;
}

inline Batch sequences_of(const Batch& batch, int tuner) {
  Batch own;
  for (const Sequence& s : batch)
    if (s.tuner == tuner) own.push_back(s);
  return own;
}

inline void check_mixture(Mixed& m, bool shuffles) {
  const std::vector<Tuner*> all = m.all();
  Mixture mixture(all, *m.model);
  Batch batch = m.batch();
  mixture.check(batch);
  Answers mixed = answers(m, mixture, batch, all);
  const auto expect_single = [&](int t, const std::string& when) {
    Hooks none;
    Hooks& hooks = t < 0 ? none : static_cast<Hooks&>(*all[size_t(t)]);
    const std::string what = text(m.name, ", ", when, ", tuner ", t, t < 0 ? "" : " " + all[size_t(t)]->method());
    const Batch own = sequences_of(batch, t);
    const std::vector<Tensor> logits = logits_of(*m.model, hooks, own);
    for (size_t s = 0; s < own.size(); ++s)
      expect_same(mixed.logits.at(own[s].index), logits[s], text(what, ", sequence ", own[s].index));
    if (t < 0) return;
    const Answers single = answers(m, hooks, own, {all[size_t(t)]});
    for (const auto& [name, gradient] : single.gradient[0]) {
      ASSERT_TRUE(bool(gradient)) << what << name;
      expect_same(mixed.gradient[size_t(t)].at(name), gradient, what + " " + name);
    }
  };
  for (int t = -1; t < int(all.size()); ++t) expect_single(t, "in turn");
  if (!shuffles) return;

  // In another order, sequences of a tuner still one before the other, nothing changes.
  std::stable_sort(batch.begin(), batch.end(),
                   [](const Sequence& a, const Sequence& b) { return (a.tuner * 7 + 3) % 5 < (b.tuner * 7 + 3) % 5; });
  const Answers shuffled = answers(m, mixture, batch, all);
  for (const auto& [index, logits] : mixed.logits)
    expect_same(shuffled.logits.at(index), logits, text(m.name, " shuffled, sequence ", index));
  for (size_t t = 0; t < all.size(); ++t)
    for (const auto& [name, gradient] : mixed.gradient[t])
      expect_same(shuffled.gradient[t].at(name), gradient, m.name + " shuffled " + name);

  // Other numbers in one tuner, even such as are not finite, are nothing to the others.
  for (const size_t changed : {size_t(0), size_t(3), size_t(5)}) {
    for (const NamedParameter& p : all[changed]->parameters()) {
      Array nothing(p.value().shape());
      std::fill(nothing.values.begin(), nothing.values.end(), std::nan(""));
      p.value().copy_from(to_tensor(nothing, p.value().dtype()));
    }
    const Answers after = answers(m, mixture, batch, all);
    for (const Sequence& s : batch) {
      const Tensor logits = after.logits.at(s.index).to(Device::cpu());
      if (s.tuner != int(changed)) expect_same(logits, mixed.logits.at(s.index), text(m.name, " beside ", changed));
      else EXPECT_FALSE(same_bits(logits, mixed.logits.at(s.index).to(Device::cpu()))) << m.name;
    }
    for (size_t t = 0; t < all.size(); ++t)
      for (const auto& [name, gradient] : mixed.gradient[t])
        if (t != changed) expect_same(after.gradient[t].at(name), gradient, text(m.name, " beside ", changed, name));
    randomize(*all[changed], changed + 1);
  }
}

inline void check_mixed_generation(Mixed& m) {
  const std::vector<Tuner*> all = m.all();
  Mixture mixture(all, *m.model);
  std::vector<std::vector<int32_t>> inputs;
  std::vector<int> tuner;
  for (const Sequence& s : m.batch()) inputs.push_back(s.ids), tuner.push_back(s.tuner);
  for (const int64_t beams : {1, 3}) {
    const GenerationOptions options{.max_new_tokens = 6, .beams = beams, .batch_size = 16, .scores = true};
    const auto mixed = generate(*m.model, mixture, inputs, options, tuner);
    for (size_t i = 0; i < inputs.size(); ++i) {
      Hooks none;
      Hooks& hooks = tuner[i] < 0 ? none : static_cast<Hooks&>(*all[size_t(tuner[i])]);
      const auto single = generate(*m.model, hooks, {inputs[i]}, options);
      EXPECT_EQ(mixed[i][0].ids, single[0][0].ids) << m.name << " beams " << beams << " tuner " << tuner[i];
      EXPECT_EQ(mixed[i][0].score, single[0][0].score) << m.name << " beams " << beams << " tuner " << tuner[i];
    }
  }
}

}  // namespace cambium::testing
