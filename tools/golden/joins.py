"""Makes tests/golden/joins: LoRAs of one base as PEFT saves them, and what add_weighted_adapter makes of several.

Folders a, b, c are adapters; cases.json says which are joined how; expected.safetensors has, for each case, lora_A and
lora_B of every module, or the product of both where only that is defined (cat, svd). DARE's draws are ours (philox.py).
"""

import json
import shutil

import numpy as np
import peft
from common import GOLDEN, KINDS, normal, torch, write_json, write_tensors
from peft_tuners import our_module
from philox import philox, random_key

BASE = "llama_gqa"
ADAPTERS = {
    "a": peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"]),
    "b": peft.LoraConfig(r=3, lora_alpha=4, target_modules=["q_proj", "down_proj"]),
    "c": peft.LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"]),
}
CASES = {
    "average": dict(parts=["a", "b"], weights=[0.7, -0.4], how="average"),
    "cat": dict(parts=["a", "c", "b"], weights=[0.7, 1.5, -0.4], how="cat"),
    "svd": dict(parts=["a", "c"], weights=[0.7, -0.4], how="svd"),
    "ties": dict(parts=["a", "b"], weights=[1.0, 0.5], how="ties", density=0.4),
    "dare": dict(parts=["a", "b"], weights=[1.0, 0.5], how="dare", density=0.6, seed=7),
}
THEIRS = {"average": "linear", "dare": "dare_linear"}


def draw_as_ours(model, case):
    """torch.bernoulli, as tuning/join.cpp draws: first for the parts' A, then for their B."""
    names = {id(m): n for n, m in model.named_modules()}
    state = {}
    original = peft.LoraModel._generalized_task_arithmetic_weighted_adapter

    def remember(self, how, adapters, weights, target, *rest):
        parts = [i for i, a in enumerate(adapters) if a in target.lora_A]
        module = our_module(names[id(target)].removeprefix("base_model.model."))
        state["names"] = [f"{module}.lora_{side}.{i}" for side in "ab" for i in parts]
        return original(self, how, adapters, weights, target, *rest)

    def bernoulli(probability):
        key = random_key(case["seed"], state["names"].pop(0))
        word = philox(key, np.arange(probability.numel()), 0, 0, 0)[0]
        number = ((word >> np.uint64(8)).astype(np.float32) + np.float32(0.5)) * np.float32(1 / 16777216)
        return torch.tensor(number.reshape(tuple(probability.shape)) < np.float32(case["density"])).to(probability.dtype)

    peft.LoraModel._generalized_task_arithmetic_weighted_adapter = remember
    torch.bernoulli = bernoulli


def main():
    directory = GOLDEN / "joins"
    shutil.rmtree(directory, ignore_errors=True)
    model = KINDS[BASE].from_pretrained(GOLDEN / "models" / BASE, dtype=torch.float32)
    for name, config in ADAPTERS.items():
        config.task_type = "CAUSAL_LM"
        if name == "a":
            model = peft.get_peft_model(model, config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name:
            parameter.data.copy_(normal(parameter.shape, 0.3, "joins", parameter_name))
    model.save_pretrained(directory)
    for name in ADAPTERS:
        file = directory / name / "adapter_config.json"
        stored = json.loads(file.read_text())
        stored["base_model_name_or_path"] = None
        stored["target_modules"].sort()
        file.write_text(json.dumps(stored, indent=2) + "\n")
        (directory / name / "README.md").unlink(missing_ok=True)
    (directory / "README.md").unlink(missing_ok=True)
    model.double()
    expected = {}
    for name, case in CASES.items():
        if case["how"] == "dare":
            draw_as_ours(model, case)
        model.add_weighted_adapter(case["parts"], case["weights"], name, THEIRS.get(case["how"], case["how"]),
                                   density=case.get("density"))
        for module_name, module in model.named_modules():
            if not isinstance(module, peft.tuners.lora.LoraLayer) or name not in module.lora_A:
                continue
            ours = our_module(module_name.removeprefix("base_model.model."))
            a, b = module.lora_A[name].weight.detach(), module.lora_B[name].weight.detach()
            assert module.scaling[name] == 1
            if case["how"] in ("cat", "svd"):
                expected[f"{name}.{ours}"] = (b @ a).float()
            else:
                expected |= {f"{name}.{ours}.lora_a": a.float(), f"{name}.{ours}.lora_b": b.float()}
    write_tensors(directory / "expected.safetensors", expected)
    write_json(directory / "cases.json", {"base": BASE, "cases": CASES})
    print(len(expected), sorted(p.name for p in directory.iterdir()))


if __name__ == "__main__":
    main()
