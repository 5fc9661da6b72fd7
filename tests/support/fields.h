// How many fields a plain struct has, so that a test that names them all notices a new one.
#pragma once

#include <cstddef>
#include <utility>

namespace cambium::testing {

struct AnyField {
  template <class T>
  operator T() const;
};

template <class Struct, size_t... I>
constexpr bool takes_fields(std::index_sequence<I...>) {
  return requires { Struct{(void(I), AnyField())...}; };
}

// Of an aggregate without base classes and arrays.
template <class Struct, size_t Count = 0>
constexpr size_t field_count() {
  if constexpr (takes_fields<Struct>(std::make_index_sequence<Count + 1>())) return field_count<Struct, Count + 1>();
  else return Count;
}

}  // namespace cambium::testing
