// The tensors among the members of a plain struct: what an op saved.
#pragma once

#include <type_traits>
#include <vector>

#include "core/tensor.h"

namespace cambium::detail {

struct AnyMember {
  template <class T>
  operator T() const;
};

template <class S, class... Members>
constexpr int member_count(Members... members) {
  static_assert(sizeof...(Members) <= 8, "more members than tensors_of knows");
  if constexpr (requires { S{members..., AnyMember{}}; }) return member_count<S>(members..., AnyMember{});
  else return int(sizeof...(Members));
}

template <class... Members>
std::vector<Tensor> pick_tensors(const Members&... members) {
  std::vector<Tensor> found;
  const auto pick = [&](const auto& member) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(member)>, Tensor>)
      if (member) found.push_back(member);
  };
  (pick(members), ...);
  return found;
}

// Tensors that are direct members of `s`, an aggregate of at most 8 members, and not empty.
template <class S>
std::vector<Tensor> tensors_of(const S& s) {
  constexpr int count = member_count<S>();
  if constexpr (count == 0) return {};
  else if constexpr (count == 1) {
    const auto& [a] = s;
    return pick_tensors(a);
  } else if constexpr (count == 2) {
    const auto& [a, b] = s;
    return pick_tensors(a, b);
  } else if constexpr (count == 3) {
    const auto& [a, b, c] = s;
    return pick_tensors(a, b, c);
  } else if constexpr (count == 4) {
    const auto& [a, b, c, d] = s;
    return pick_tensors(a, b, c, d);
  } else if constexpr (count == 5) {
    const auto& [a, b, c, d, e] = s;
    return pick_tensors(a, b, c, d, e);
  } else if constexpr (count == 6) {
    const auto& [a, b, c, d, e, f] = s;
    return pick_tensors(a, b, c, d, e, f);
  } else if constexpr (count == 7) {
    const auto& [a, b, c, d, e, f, g] = s;
    return pick_tensors(a, b, c, d, e, f, g);
  } else {
    const auto& [a, b, c, d, e, f, g, h] = s;
    return pick_tensors(a, b, c, d, e, f, g, h);
  }
}

}  // namespace cambium::detail
