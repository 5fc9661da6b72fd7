// What takes cuDNN's place in builds without it.
#include "cuda/attention_library.h"

namespace cambium::gpu {

bool knows_cudnn() { return false; }

bool cudnn_attention_forward(Stream&, const AttentionConfig&, const AttentionInputs&, View, View, std::string& why) {
  why = "this build has no cuDNN";
  return false;
}
bool cudnn_attention_backward(Stream&, const AttentionConfig&, const AttentionInputs&, ConstView, ConstView, ConstView,
                              const AttentionGradients&, std::string& why) {
  why = "this build has no cuDNN";
  return false;
}

}  // namespace cambium::gpu
