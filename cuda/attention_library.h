// Whose kernels attention uses: ours, or, for what it can take, cuDNN's (--attention cudnn).
#pragma once

#include <span>
#include <string>

#include "core/kernels/attention.h"

namespace cambium::gpu {

// This build can ask cuDNN: its headers were there.
bool knows_cudnn();

// From now on cuDNN takes all attention that it can, if it is on this machine and computes on small problems of each of
// these shapes what our kernels compute; else ours go on, and one line says why. True: cuDNN does. With several workers
// rank 0's answer is everybody's, so that all compute the same.
bool prefer_cudnn_attention(Device, std::span<const AttentionConfig> shapes);
void prefer_own_attention();

// Why cuDNN cannot take a call, or would not compute what ours do; null where it can.
const char* beyond_cudnn(const AttentionConfig&, const AttentionInputs&, ConstView out, ConstView lse);
const char* beyond_cudnn(const AttentionConfig&, const AttentionInputs&, ConstView dout, ConstView out, ConstView lse,
                         const AttentionGradients&);

// Called first by attention_forward and attention_backward. True: cuDNN was chosen, and did it.
bool library_attention_forward(Stream&, const AttentionConfig&, const AttentionInputs&, View out, View lse);
bool library_attention_backward(Stream&, const AttentionConfig&, const AttentionInputs&, ConstView dout, ConstView out,
                                ConstView lse, const AttentionGradients&);

// The library's side (cudnn_attention.cpp; no_cudnn.cpp in builds without). False, and `why`: nothing was done.
bool cudnn_attention_forward(Stream&, const AttentionConfig&, const AttentionInputs&, View out, View lse,
                             std::string& why);
bool cudnn_attention_backward(Stream&, const AttentionConfig&, const AttentionInputs&, ConstView dout, ConstView out,
                              ConstView lse, const AttentionGradients&, std::string& why);

// Where rows lie, as the library wants it: lengths[s], and for each operand o (of stride[o] elements a row) the element
// that sequence s begins with, offset[o * (capacity + 4) + s]; sequences from count on, up to capacity, are empty and
// begin behind the last. One more offset ends each list.
inline constexpr int kMostOperands = 9;
void attention_layout(Stream&, const Segments&, int64_t capacity, std::span<const int64_t> strides, int32_t* lengths,
                      int32_t* offset);

}  // namespace cambium::gpu
