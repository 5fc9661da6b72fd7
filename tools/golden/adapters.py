"""Makes tests/golden/adapters: PEFT adapters as PEFT saves them, and the logits that they give.

Each folder is what `save_pretrained` writes (adapter_config.json, adapter_model.safetensors) with
random values of ours, beside expected.json: the base (a folder of tests/golden/models), inputs and
targets, and expected.safetensors: logits in float64 arithmetic, a tensor a sequence, and, where what PEFT saves is
what it trains, "after.NAME": the same tensors after a step of gradient descent (rate 0.1) on the mean loss of all
scored tokens.
"""

import json
import shutil
import sys

import peft
from common import (GOLDEN, KINDS, ids, in_double, normal, token_ids, torch, write_json,
                    write_tensors)

TASKS = {"llama_gqa": "CAUSAL_LM", "llama_own_head": "CAUSAL_LM", "gpt2": "CAUSAL_LM", "bart": "SEQ_2_SEQ_LM",
         "t5": "SEQ_2_SEQ_LM", "bert": "FEATURE_EXTRACTION"}
CLASSES = KINDS | {"llama_own_head": KINDS["llama_gqa"]}
LORA = dict(r=2, lora_alpha=3)
CASES = {
    "llama_all_rslora": ("llama_gqa", peft.LoraConfig(
        r=4, lora_alpha=6, use_rslora=True, lora_dropout=0.1, target_modules="all-linear")),
    "llama_one_layer": ("llama_gqa", peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"], layers_to_transform=[1])),
    "gpt2_lora": ("gpt2", peft.LoraConfig(
        r=3, lora_alpha=5, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)),
    "bart_lora": ("bart", peft.LoraConfig(
        r=2, lora_alpha=3, target_modules=["q_proj", "k_proj", "v_proj", "out_proj", "fc1"])),
    "t5_prompt": ("t5", peft.PromptTuningConfig(num_virtual_tokens=4)),
    "bert_prompt": ("bert", peft.PromptTuningConfig(num_virtual_tokens=3)),
    "llama_projected_prefix": ("llama_gqa", peft.PrefixTuningConfig(
        num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=12)),
    "llama_patterns": ("llama_gqa", peft.LoraConfig(
        r=3, lora_alpha=5, use_rslora=True, target_modules=r".*\.layers\.\d+\.(self_attn\.[qv]_proj|mlp\.down_proj)",
        rank_pattern={r"layers\.0\.self_attn\.q_proj": 2, "down_proj": 4}, alpha_pattern={"[qv]_proj": 7})),
    "llama_excluded": ("llama_gqa", peft.LoraConfig(
        target_modules=["q_proj", "o_proj", "up_proj"], layers_to_transform=0, layers_pattern="layers",
        exclude_modules=["layers.0.self_attn.o_proj"], **LORA)),
    "llama_norms_saved": ("llama_gqa", peft.LoraConfig(
        target_modules=["v_proj"], modules_to_save=["norm"], **LORA)),
    "llama_head_saved": ("llama_own_head", peft.LoraConfig(
        target_modules=["v_proj"], modules_to_save=["lm_head", "embed_tokens"], **LORA)),
    "gpt2_biases": ("gpt2", peft.LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True, bias="all", **LORA)),
    "bart_lora_biases": ("bart", peft.LoraConfig(target_modules=["q_proj", "fc2"], bias="lora_only", **LORA)),
    "gpt2_all_linear": ("gpt2", peft.LoraConfig(target_modules="all-linear", fan_in_fan_out=True, **LORA)),
    "gpt2_dora": ("gpt2", peft.LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True, use_dora=True, **LORA)),
    "bert_dora": ("bert", peft.LoraConfig(
        target_modules=["query", "value", "intermediate.dense"], use_dora=True,
        rank_pattern={"layer.1.attention.self.query": 1}, **LORA)),
    "llama_adalora": ("llama_gqa", peft.AdaLoraConfig(
        init_r=3, target_r=2, total_step=10, lora_alpha=5, target_modules=["q_proj", "down_proj"])),
    "gpt2_ia3": ("gpt2", peft.IA3Config()),
    "bert_ia3": ("bert", peft.IA3Config()),
    "t5_ia3": ("t5", peft.IA3Config()),
    "bart_ia3": ("bart", peft.IA3Config()),
    "llama_vera": ("llama_gqa", peft.VeraConfig(r=5, target_modules=["q_proj", "v_proj", "down_proj"])),
    "t5_vera_by_key": ("t5", peft.VeraConfig(
        r=4, target_modules=["q", "wi"], save_projection=False, projection_prng_key=2**33 + 17)),
    "llama_norms": ("llama_gqa", peft.LNTuningConfig()),
    "bart_norms": ("bart", peft.LNTuningConfig()),
    "bert_norms": ("bert", peft.LNTuningConfig(target_modules=r"bert\..*LayerNorm")),
    "gpt2_prompt": ("gpt2", peft.PromptTuningConfig(num_virtual_tokens=2)),
    "gpt2_p_tuning": ("gpt2", peft.PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=5)),
    "t5_p_tuning": ("t5", peft.PromptEncoderConfig(
        num_virtual_tokens=2, encoder_hidden_size=5, encoder_reparameterization_type="LSTM")),
    "gpt2_prefix": ("gpt2", peft.PrefixTuningConfig(num_virtual_tokens=3)),
    "bart_prefix": ("bart", peft.PrefixTuningConfig(num_virtual_tokens=3, num_attention_heads=4)),
}
FACTORS = ("lora_magnitude", "ia3_l", "base_layer", "modules_to_save", "ln_tuning")  # that start near one, or as the base's
LENGTHS = (6, 9)


def add_adapter(name, model, config, task):
    config.task_type = task
    model = peft.get_peft_model(model, config).double().eval()
    for parameter_name, parameter in model.named_parameters():
        if "ranknum" in parameter_name:
            parameter.requires_grad_(False)  # PEFT 0.21.2 lets AdaLoRA's count of ranks train, and does not save it
        if parameter.requires_grad:
            change = normal(parameter.shape, 0.2, name, parameter_name)
            of_base = any(f in parameter_name for f in FACTORS) or (
                parameter_name.endswith(".bias") and not parameter_name.startswith("prompt_encoder"))
            parameter.data.copy_((parameter.data * (1 + change)).float() if of_base else change)
    return model


def logits(model, sequence, targets):
    labels = {"labels": ids(targets)} if targets else {}
    inputs = {"input_ids": ids(sequence), "attention_mask": torch.ones(1, len(sequence))}
    if isinstance(model, peft.PeftModel) and isinstance(model.base_model, peft.AdaLoraModel):
        model = model.get_base_model()  # its own adds a term to the loss, here there is none
    out = model(**inputs, **labels).logits[0]
    return out[-(len(targets) or len(sequence)):]  # without virtual rows


def stored_values(model):
    return {k: v.detach().float().clone() for k, v in peft.get_peft_model_state_dict(model).items()}


def values_after_a_step(model, data, task):
    """After p - 0.1 g, g the gradient of the mean loss of all scored tokens."""
    total = count = 0
    for i, sequence in enumerate(data["inputs"]):
        targets = data["targets"][i]
        rows, wanted = logits(model, sequence, targets), torch.tensor(targets or sequence)
        if task == "CAUSAL_LM":
            rows, wanted = rows[:-1], wanted[1:]
        total = total + torch.nn.functional.cross_entropy(rows, wanted, reduction="sum")
        count += len(wanted)
    (total / count).backward()
    for p in model.parameters():
        if p.requires_grad and p.grad is not None:
            p.data -= 0.1 * p.grad
    return stored_values(model)


def make(name):
    base, config = CASES[name]
    directory = GOLDEN / "adapters" / name
    shutil.rmtree(directory, ignore_errors=True)
    model = in_double(CLASSES[base].from_pretrained(GOLDEN / "models" / base, dtype=torch.float32))
    model = add_adapter(name, model, config, TASKS[base])
    vocabulary = model.config.vocab_size
    data = {"base": base, "inputs": [], "targets": []}
    expected = {}
    for i, length in enumerate(LENGTHS):
        sequence = token_ids(length, 4, vocabulary, name, "inputs", i)
        seq2seq = TASKS[base] == "SEQ_2_SEQ_LM"
        targets = token_ids(3 + i, 4, vocabulary, name, "targets", i) if seq2seq else []
        data["inputs"].append(sequence)
        data["targets"].append(targets)
        with torch.no_grad():
            expected[str(i)] = logits(model, sequence, targets).float()
    values = stored_values(model)
    model.save_pretrained(directory)
    network = config.peft_type == "P_TUNING" or getattr(config, "prefix_projection", False)
    if not network:
        after = values_after_a_step(model, data, TASKS[base])
        expected |= {f"after.{k}": v for k, v in after.items() if not torch.equal(v, values[k])}
    if not any(data["targets"]):
        del data["targets"]
    (directory / "README.md").unlink(missing_ok=True)
    write_tensors(directory / "adapter_model.safetensors", values)
    stored = json.loads((directory / "adapter_config.json").read_text())
    stored["base_model_name_or_path"] = None  # a path of the machine that made it
    if name == "gpt2_all_linear":
        stored["target_modules"] = "all-linear"  # as a person writes it
    for field in ("target_modules", "feedforward_modules"):
        if isinstance(stored.get(field), list):
            stored[field].sort()
    (directory / "adapter_config.json").write_text(json.dumps(stored, indent=2) + "\n")
    write_json(directory / "expected.json", data)
    write_tensors(directory / "expected.safetensors", expected)
    print(name, {k: tuple(v.shape) for k, v in list(values.items())[:2]}, len(expected))


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
