// The sites of a model, for tuners that put something at each of them.
#pragma once

#include <functional>

#include "models/model.h"

namespace cambium {

// Calls f(site, product) for every product of every layer, in a fixed order.
void for_each_product(Model&, const std::function<void(const Site&, Dense&)>& f);

// Calls f(site) for every sublayer: self-attention, cross-attention where there is one, feed-forward.
void for_each_sublayer(Model&, const std::function<void(const Site&)>& f);

}  // namespace cambium
