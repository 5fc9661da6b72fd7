"""What the scripts that make reference files share: random weights, exact arithmetic, files."""

import json
import math
import os
import types
import zlib
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may depend on a model hub
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.mistral.modeling_mistral import MistralRMSNorm, MistralRotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm, Qwen2RotaryEmbedding
from transformers.models.t5.modeling_t5 import T5LayerNorm

DECODERS = ("llama", "mistral", "qwen2", "gpt2")  # of model_type
GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
IGNORED = -100  # a target that is not scored

# The class that each model of tests/golden/models is loaded as.
KINDS = {
    "llama_gqa": transformers.LlamaForCausalLM,
    "gpt2": transformers.GPT2LMHeadModel,
    "bert": transformers.BertForMaskedLM,
    "t5": transformers.T5ForConditionalGeneration,
    "bart": transformers.BartForConditionalGeneration,
}

torch.set_num_threads(1)  # sums in one order: remaking gives the same bytes
transformers.utils.logging.disable_progress_bar()


def generator(*key):
    """A random stream of its own for every key, so that no file depends on the order of making."""
    return torch.Generator().manual_seed(zlib.crc32("/".join(map(str, key)).encode()))


def normal(shape, std, *key):
    return torch.randn(shape, generator=generator(*key)) * std


def token_ids(length, low, high, *key):
    return torch.randint(low, high, (length,), generator=generator(*key)).tolist()


def ids(sequence):
    """One sequence as the batch of one that transformers wants: [1, T]."""
    return torch.tensor([sequence])


# The weights -------------------------------------------------------------------------------------


def is_norm(name):
    return any(part.startswith("ln_") or "norm" in part.lower() for part in name.split("."))


def fill(model, embedding_std, seed):
    """Random values for every parameter, large enough that each of them shows in the outputs.

    Matrices roughly keep the variance of their input; norm weights are near one and biases near
    zero, but neither exactly. T5 does not scale attention scores: its queries must be small.
    """
    config = model.config
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            value = normal(parameter.shape, 0.2, seed, name)
            value += 1.0 if is_norm(name) and name.endswith("weight") else 0.0
        elif "relative_attention_bias" in name:
            value = normal(parameter.shape, 1.0, seed, name)
        elif any(table in name for table in ("embed", "shared", "wte", "wpe")):
            value = normal(parameter.shape, embedding_std, seed, name)
        else:
            fan_in = parameter.shape[0 if config.model_type == "gpt2" else 1]
            small = config.model_type == "t5" and name.endswith("Attention.q.weight")
            std = math.sqrt((1.0 / config.d_kv if small else 1.0) / fan_in)
            value = normal(parameter.shape, 1.3 * std, seed, name)
        parameter.data.copy_(value)
    if "final_logits_bias" in dict(model.named_buffers()):
        bias = model.final_logits_bias
        bias.copy_(normal(bias.shape, 0.5, seed, "final_logits_bias"))


# Exact arithmetic --------------------------------------------------------------------------------


def _rms_norm(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def _rotary(self, x, position_ids):
    size = getattr(self.config, "head_dim", None) or self.config.hidden_size // self.config.num_attention_heads
    half = torch.arange(0, size, 2, dtype=torch.float64) / size
    angles = position_ids[..., None].double() * self.config.rope_parameters["rope_theta"] ** -half
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def in_double(model):
    """The model in float64 throughout; transformers itself has RMS norms and angles in float32."""
    model = model.double()
    for module in model.modules():
        if isinstance(module, (LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, T5LayerNorm)):
            module.forward = types.MethodType(_rms_norm, module)
        elif isinstance(module, (LlamaRotaryEmbedding, MistralRotaryEmbedding, Qwen2RotaryEmbedding)):
            module.forward = types.MethodType(_rotary, module)
    return model


def scored(logits, targets, is_decoder):
    """Sum of cross entropies of one sequence and the number of scored tokens. logits [T, V]."""
    targets = torch.tensor(targets)
    if is_decoder:  # a token's logits predict the next token
        logits, targets = logits[:-1], targets[1:]
    total = torch.nn.functional.cross_entropy(
        logits, targets, ignore_index=IGNORED, reduction="sum"
    )
    return total, int((targets != IGNORED).sum())


# Files -------------------------------------------------------------------------------------------


def _compact(value, indent):
    pad = "\n" + "  " * (indent + 1)
    if isinstance(value, dict):
        rows = (f"{json.dumps(k)}: {_compact(v, indent + 1)}" for k, v in value.items())
        return "{" + pad + ("," + pad).join(rows) + "\n" + "  " * indent + "}" if value else "{}"
    if isinstance(value, list) and any(isinstance(row, (list, dict)) for row in value):
        rows = (_compact(row, indent + 1) for row in value)
        return "[" + pad + ("," + pad).join(rows) + "\n" + "  " * indent + "]"
    return json.dumps(value)


def write_json(path, value):
    """JSON with one line for every list of plain values: a sequence of token ids is a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_compact(value, 0) + "\n")


def write_tensors(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={"format": "pt"})
