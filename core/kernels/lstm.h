// Signatures of one step of an LSTM (Hochreiter & Schmidhuber 1997, with forget gates; as torch.nn.LSTM).
#pragma once

#include "core/view.h"

namespace cambium {

// Of gates [N, 4H], columns i, f, g, o:  i, f, o = sigmoid, g = tanh, in place;  c = f c_before + i g,  h = o tanh(c).
// c_before, c, h [N, H]; c_before absent: zero. All in one accumulator type.
using LstmStep = void(Stream&, View gates, ConstView c_before, View c, View h);

// The step's gradients. gates: as LstmStep left them; dh [N, H]; dc [N, H]: the gradient of c from later steps on entry,
// that of c_before on return. dgates [N, 4H]: of the gates before sigmoid and tanh.
using LstmStepBackward = void(Stream&, ConstView gates, ConstView c_before, ConstView c, ConstView dh, View dc,
                              View dgates);

namespace cpu {
LstmStep lstm_step;
LstmStepBackward lstm_step_backward;
}  // namespace cpu

namespace gpu {
LstmStep lstm_step;
LstmStepBackward lstm_step_backward;
}  // namespace gpu

}  // namespace cambium
