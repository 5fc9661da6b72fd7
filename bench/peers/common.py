"""The models and tuners of PyTorch, transformers and PEFT that the scripts beside this one time."""

import os
import resource
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import peft
import torch
import transformers

transformers.utils.logging.disable_progress_bar()

VIRTUAL_TOKENS = 10
# How a training step computes: weights and products in float32; products in bfloat16 over float32 weights; the base's weights in
# bfloat16, too (PEFT keeps LoRA's in float32). Each also by torch.compile.
FORMS = [kind + compiled for compiled in ("", "-compiled") for kind in ("float32", "autocast", "bfloat16")]
TUNERS = ("full", "lora", "prefix", "prompt", "adapter")


def smollm2():
    return transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, rms_norm_eps=1e-5,
        max_position_embeddings=8192, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e5})


# The published shapes; what is not said is transformers' default, which is the published value.
SHAPES = {
    "gpt2": lambda: transformers.GPT2Config(),
    "gpt2-medium": lambda: transformers.GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "smollm2-135m": smollm2,
    "roberta-base": lambda: transformers.RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5),
    "t5-small": lambda: transformers.T5Config(decoder_start_token_id=0),
    "bart-base": lambda: transformers.BartConfig(
        d_model=768, encoder_layers=6, decoder_layers=6, encoder_ffn_dim=3072,
        decoder_ffn_dim=3072, encoder_attention_heads=12, decoder_attention_heads=12),
}

CLASSES = {
    "gpt2": transformers.GPT2LMHeadModel,
    "llama": transformers.LlamaForCausalLM,
    "roberta": transformers.RobertaForMaskedLM,
    "t5": transformers.T5ForConditionalGeneration,
    "bart": transformers.BartForConditionalGeneration,
}

QUERY_VALUE = {
    "gpt2": ["c_attn"],  # fused: PEFT adapts the key too
    "llama": ["q_proj", "v_proj"],
    "roberta": ["query", "value"],
    "t5": ["q", "v"],
    "bart": ["q_proj", "v_proj"],
}


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def random_model(shape):
    """Random weights in a published shape."""
    config = SHAPES[shape]()
    return CLASSES[config.model_type](config)


def stored_model(path, dtype=torch.float32):
    """A directory in Hugging Face form, or a GGUF file, which is widened to the given type."""
    path = Path(path)
    if not path.exists():
        fail(f"{path}: no such file or directory")
    if path.suffix != ".gguf":
        return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=dtype)


def stored_tokenizer(path):
    path = Path(path)
    if path.suffix != ".gguf":
        return transformers.AutoTokenizer.from_pretrained(path)
    return transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def with_tuner(model, tuner, virtual_tokens=VIRTUAL_TOKENS):
    """The model as PEFT tunes it: LoRA r=8, alpha=16 on query and value, or virtual tokens."""
    if tuner == "adapter":
        fail("adapter: PEFT has no bottleneck adapters; nothing to compare with")
    if tuner == "full":
        return model
    config = model.config
    kind = "SEQ_2_SEQ_LM" if config.is_encoder_decoder else "CAUSAL_LM"
    kind = "FEATURE_EXTRACTION" if config.model_type == "roberta" else kind
    if tuner == "lora":
        settings = peft.LoraConfig(
            task_type=kind, r=8, lora_alpha=16, target_modules=QUERY_VALUE[config.model_type],
            fan_in_fan_out=config.model_type == "gpt2")
    elif tuner == "prefix":
        settings = peft.PrefixTuningConfig(task_type=kind, num_virtual_tokens=virtual_tokens)
    else:
        settings = peft.PromptTuningConfig(task_type=kind, num_virtual_tokens=virtual_tokens)
    return peft.get_peft_model(model, settings)


def trainable(model):
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def weights_of(kind):
    return torch.bfloat16 if kind == "bfloat16" else torch.float32


def autocast(kind, device):
    return torch.autocast(device, dtype=torch.bfloat16, enabled=kind == "autocast")


def finished(device):
    """Waits for an accelerator's queue, so that a clock reads what was done."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(device, work):
    """Seconds of a call of work: by the clock, and of processors."""
    finished(device)
    begin, processor_begin = time.perf_counter(), time.process_time()
    work()
    finished(device)
    return time.perf_counter() - begin, time.process_time() - processor_begin


def figures(times):
    """What is printed of several calls that were timed."""
    clock, processors = zip(*times)
    return {"step_s": statistics.median(clock), "min_s": min(clock), "cpu_s": statistics.median(processors)}


def peak_resident_mib():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def memory(device):
    """Peaks in MiB: resident memory, and what tensors held on a GPU."""
    peaks = {"rss_mib": peak_resident_mib()}
    if device == "cuda":
        peaks["gpu_mib"] = torch.cuda.max_memory_allocated() >> 20
    return peaks
