"""Makes tests/golden/adapters: PEFT adapters as PEFT saves them, and the logits that they give.

Each folder is what `save_pretrained` writes (adapter_config.json, adapter_model.safetensors) with
random values of ours, beside expected.json: the base (a folder of tests/golden/models), inputs and
targets, and expected.safetensors: logits in float64 arithmetic, a tensor a sequence.
"""

import json
import shutil
import sys

import peft
from common import (GOLDEN, KINDS, ids, in_double, normal, token_ids, torch, write_json,
                    write_tensors)

TASKS = {"llama_gqa": "CAUSAL_LM", "gpt2": "CAUSAL_LM", "bart": "SEQ_2_SEQ_LM",
         "t5": "SEQ_2_SEQ_LM", "bert": "FEATURE_EXTRACTION"}
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
}
LENGTHS = (6, 9)


def add_adapter(name, model, config, task):
    config.task_type = task
    model = peft.get_peft_model(model, config).double().eval()
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(normal(parameter.shape, 0.2, name, parameter_name))
    return model


def logits(model, sequence, targets):
    labels = {"labels": ids(targets)} if targets else {}
    inputs = {"input_ids": ids(sequence), "attention_mask": torch.ones(1, len(sequence))}
    out = model(**inputs, **labels).logits[0]
    return out[-(len(targets) or len(sequence)):]  # without virtual rows


def make(name):
    base, config = CASES[name]
    directory = GOLDEN / "adapters" / name
    shutil.rmtree(directory, ignore_errors=True)
    model = in_double(KINDS[base].from_pretrained(GOLDEN / "models" / base, dtype=torch.float32))
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
    if not any(data["targets"]):
        del data["targets"]
    values = {k: v.detach().float().clone() for k, v in peft.get_peft_model_state_dict(model).items()}
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)
    write_tensors(directory / "adapter_model.safetensors", values)
    stored = json.loads((directory / "adapter_config.json").read_text())
    stored["base_model_name_or_path"] = None  # a path of the machine that made it
    if isinstance(stored.get("target_modules"), list):
        stored["target_modules"].sort()
    (directory / "adapter_config.json").write_text(json.dumps(stored, indent=2) + "\n")
    write_json(directory / "expected.json", data)
    write_tensors(directory / "expected.safetensors", expected)
    print(name, {k: tuple(v.shape) for k, v in list(values.items())[:2]})


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
