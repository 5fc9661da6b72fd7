#!/usr/bin/env bash
# The whole picture of a machine with an NVIDIA GPU: builds, runs the GPU's tests, times every kernel against the device's
# peaks, times training and decoding, and, where PyTorch is, the same beside it.
#
#   bench/gpu.sh [RESULTS]     a directory for the results (default: gpu-results)
#
# PEERS names a Python with torch, transformers and peft (bench/peers/README.md); without it that part is left out.
set -euo pipefail
out=$(realpath -m "${1:-gpu-results}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p "$out"

say() { printf '\n== %s\n' "$*"; }

command -v nvidia-smi >/dev/null || { echo "error: there is no nvidia-smi, so no NVIDIA driver" >&2; exit 1; }
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv | tee "$out/device.csv"

say "building (preset gpu; build-gpu/build.log)"
cmake --preset gpu >/dev/null
cmake --build build-gpu --parallel "$(nproc)" >build-gpu/build.log 2>&1 || { tail -n 40 build-gpu/build.log; exit 1; }

say "tests"
ctest --preset gpu -L gpu --no-tests=error | tee "$out/tests.txt" | tail -n 5

cambium=build-gpu/bin/cambium
say "kernels"
for shape in gpt2 smollm2-135m; do
  "$cambium" bench --kernels --device gpu --shape "$shape" --batch 16 --length 512 | tee "$out/kernels-$shape.txt"
done

say "training steps and decoding"
for shape in gpt2 gpt2-medium smollm2-135m roberta-base t5-small bart-base; do
  for tuner in full lora prefix prompt; do
    "$cambium" bench step --device gpu --shape "$shape" --tuner "$tuner" --batch 16 --length 256 --steps 20 | tee -a "$out/steps.txt"
  done
done
for tuner in full lora; do
  "$cambium" bench step --device gpu --cuda-graphs --shape smollm2-135m --tuner "$tuner" --batch 16 --length 256 --steps 20 | sed 's/^/graphs: /' | tee -a "$out/steps.txt"
done
# Against smollm2-135m lora above (it has no dropout), and gpt2-medium below.
"$cambium" bench step --device gpu --attention cudnn --shape smollm2-135m --tuner lora --batch 16 --length 256 --steps 20 | sed 's/^/cudnn: /' | tee -a "$out/steps.txt"
# Against gpt2 lora and full above.
for tuner in full lora; do
  "$cambium" bench step --device gpu --fused-gelu --shape gpt2 --tuner "$tuner" --batch 16 --length 256 --steps 20 | sed 's/^/fused GELU: /' | tee -a "$out/steps.txt"
done
for batch in 1 8 64; do
  "$cambium" bench generate --device gpu --cuda-graphs --shape gpt2-medium --tuner lora --batch "$batch" --length 64 --new-tokens 128 | sed 's/^/graphs: /' | tee -a "$out/generate.txt"
done
for batch in 1 8 64; do
  "$cambium" bench generate --device gpu --shape gpt2-medium --tuner lora --batch "$batch" --length 64 --new-tokens 128 | tee -a "$out/generate.txt"
done

if [ -n "${PEERS:-}" ]; then
  say "PyTorch, transformers and PEFT"
  for shape in gpt2 gpt2-medium smollm2-135m; do
    for tuner in full lora prefix prompt; do
      "$PEERS" bench/peers/step.py --device cuda --form autocast --shape "$shape" --tuner "$tuner" --batch 16 --length 256 --steps 20 | tee -a "$out/peers.txt"
    done
  done
fi
say "results: $out"
