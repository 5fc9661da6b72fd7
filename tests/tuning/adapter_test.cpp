// Adapters against their definition in plain loops.
#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

const std::vector<std::string> kKinds = {"houlsby", "pfeiffer", "parallel"};

std::unique_ptr<Tuner> adapter(Model& model, const std::string& kind, int64_t bottleneck = 6) {
  return make_tuner("adapter", {{"kind", kind}, {"bottleneck", std::to_string(bottleneck)}},
                    {.model = model, .seed = 2});
}

TEST(Adapter, StartsAsTheBase) {
  for (const char* name : {"gpt2", "llama_gqa", "bert", "t5", "bart"})
    for (const std::string& kind : kKinds) {
      const auto model = golden_model(name);
      const Batch batch = random_batch(model->config(), {5, 9, 1});
      Hooks none;
      const auto tuner = adapter(*model, kind);
      const auto base = logits_of(*model, none, batch), tuned = logits_of(*model, *tuner, batch);
      for (size_t s = 0; s < batch.size(); ++s) EXPECT_TRUE(same_bits(tuned[s], base[s])) << name << " " << kind;
      randomize(*tuner, 4);
      EXPECT_FALSE(same_bits(logits_of(*model, *tuner, batch)[0], base[0])) << name << " " << kind;
    }
}

TEST(Adapter, IsItsDefinition) {
  const auto model = golden_model("t5", DType::f64);
  const int64_t width = model->config().width, bottleneck = 5, rows = 7;
  const Layout layout(std::vector<std::vector<int32_t>>{random_ids(rows, 50, 1)}, std::vector<int64_t>{0},
                      std::vector<int>{0});
  const Array x = random_array({rows, width}, 1), h = random_array({rows, width}, 2);
  for (const std::string& kind : kKinds) {
    const auto tuner = adapter(*model, kind, bottleneck);
    randomize(*tuner, 5, 0.5);
    std::map<std::string, Array> p;
    for (const NamedParameter& n : tuner->parameters()) p[n.name] = to_array(n.value());
    Pass pass(*tuner);
    for (const Site& site :
         {Site{StackKind::encoder, 0, Place::self_attention}, Site{StackKind::decoder, 1, Place::cross_attention},
          Site{StackKind::decoder, 1, Place::feed_forward}}) {
      const Tensor y =
          tuner->after(pass, site, Var(to_tensor(x, DType::f64)), Var(to_tensor(h, DType::f64)), layout).value;
      const std::string path = path_of(site) + ".adapter.";
      EXPECT_EQ(p.count(path + "down.weight"), size_t(kind == "houlsby" || site.place == Place::feed_forward))
          << kind << " " << path;
      Array expected = h;
      if (p.count(path + "down.weight")) {
        const Array &down = p.at(path + "down.weight"), &up = p.at(path + "up.weight"),
                    &read = kind == "parallel" ? x : h;
        for (int64_t n = 0; n < rows; ++n)
          for (int64_t k = 0; k < bottleneck; ++k) {
            double a = p.at(path + "down.bias")(k);
            for (int64_t d = 0; d < width; ++d) a += down(k, d) * read(n, d);
            a = kind == "houlsby" ? 0.5 * a * (1 + std::erf(a / std::sqrt(2.0))) : std::max(0.0, a);
            for (int64_t d = 0; d < width; ++d) expected(n, d) += (kind == "parallel" ? 4 : 1) * up(d, k) * a;
          }
        for (int64_t n = 0; n < rows; ++n)
          for (int64_t d = 0; d < width; ++d)
            expected(n, d) += (kind == "parallel" ? 4 : 1) * p.at(path + "up.bias")(d);
      }
      expect_close(to_array(y), expected, 1e-12, 0, kind + " " + path);
    }
  }
}

TEST(Adapter, ParametersAndStart) {
  const auto model = golden_model("bart");
  const ModelConfig& c = model->config();
  const int64_t per_module = 2 * 6 * c.width + 6 + c.width;
  for (const std::string& kind : kKinds) {
    const auto tuner = adapter(*model, kind);
    const int64_t modules =
        kind == "houlsby" ? 2 * c.encoder.layers + 3 * c.decoder.layers : c.encoder.layers + c.decoder.layers;
    EXPECT_EQ(TrainedSet(*model, *tuner).scalars(), modules * per_module) << kind;
    for (const NamedParameter& p : tuner->parameters()) {
      const double largest = to_array(p.value()).largest();
      const bool random = p.name.ends_with("down.weight");  // N(0, 0.01)
      EXPECT_TRUE(random ? largest > 0.01 && largest < 0.06 : largest == 0) << p.name << " " << largest;
    }
    EXPECT_EQ(tuner->effective_scale(), kind == "parallel" ? 4 : 1);
  }
}

TEST(Adapter, OptionsAreChecked) {
  const auto model = golden_model("gpt2");
  expect_error<InputError>([&] { adapter(*model, "compacter"); }, {"kind=compacter", "houlsby, pfeiffer, parallel"});
  expect_error<InputError>([&] { adapter(*model, "houlsby", 0); }, {"bottleneck=0"});
  expect_error<InputError>(
      [&] {
        make_tuner("adapter", {{"size", "3"}}, {.model = *model});
      },
      {"no option size", "bottleneck"});
}

}  // namespace
}  // namespace cambium::testing
