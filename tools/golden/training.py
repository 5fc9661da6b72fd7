"""Makes tests/golden/training: ten AdamW steps of tiny models, tuned whole or through PEFT.

The models are those of tests/golden/models. Everything runs in float64, because Adam divides a
gradient by its own size: in float32 the noise of a gradient that is zero becomes a step. What a
plain float32 run differs by is measured and stored beside the results.
"""

import json
import shutil
import sys
from dataclasses import dataclass, field

import peft
from common import (GOLDEN, IGNORED, KINDS, ids, in_double, normal, scored, token_ids,
                    torch, transformers, write_json, write_tensors)
from safetensors.torch import load_file

TRAINING = GOLDEN / "training"
STEPS = 10
LENGTHS = (6, 9, 4, 11, 5, 7, 8)  # with batches of three: 3, 3, 1, then from the start
BATCH_SIZE = 3
BETAS = (0.9, 0.999)
EPSILON = 1e-8

DECODERS = ("llama_gqa", "gpt2")


@dataclass
class Case:
    name: str
    model: str
    method: str
    lr: float
    options: dict = field(default_factory=dict)
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: int = 0
    clip: float = 1.0

    @property
    def directory(self):
        return TRAINING / self.name


LINEAR = dict(schedule="linear", warmup=3)
QUERY_VALUE = dict(targets=["q_proj", "v_proj"])
CASES = [
    Case("llama_full", "llama_gqa", "full", 1e-3, weight_decay=0.1, **LINEAR),
    Case("gpt2_full", "gpt2", "full", 1e-3, clip=0.0),
    Case("bart_full", "bart", "full", 1e-3, **LINEAR),
    Case("llama_lora", "llama_gqa", "lora", 1e-2, dict(rank=5, alpha=8, zero=True) | QUERY_VALUE),
    Case("llama_lora_linear", "llama_gqa", "lora", 1e-2, dict(rank=3, alpha=16) | QUERY_VALUE,
         weight_decay=0.1, clip=6.0, **LINEAR),
    Case("gpt2_lora_fused", "gpt2", "lora", 1e-2, dict(rank=4, alpha=16, targets=["c_attn"]),
         weight_decay=0.1, **LINEAR),
    Case("gpt2_lora", "gpt2", "lora_parts", 1e-2, dict(rank=4, alpha=8), weight_decay=0.1),
    Case("bert_lora", "bert", "lora", 1e-3, dict(rank=8, alpha=16, targets=["query", "value"])),
    Case("t5_lora", "t5", "lora", 1e-2, dict(rank=2, alpha=4, targets=["q", "v"]), **LINEAR),
    Case("llama_prompt", "llama_gqa", "prompt", 1e-2, dict(length=5)),
    Case("gpt2_prompt", "gpt2", "prompt", 1e-2, dict(length=4), weight_decay=0.1, **LINEAR),
    Case("llama_prefix", "llama_gqa", "prefix", 1e-2, dict(length=3), weight_decay=0.1, **LINEAR),
    Case("gpt2_prefix", "gpt2", "prefix", 1e-2, dict(length=5)),
]


# The data ----------------------------------------------------------------------------------------


def batch(case, config):
    """The sequences in their order. A decoder's first token is no target: PEFT's prompts and its
    prefixes disagree on whether the last virtual token predicts it."""
    def draw(what, low=4):
        return [token_ids(length, low, config.vocab_size, case.name, what, i)
                for i, length in enumerate(LENGTHS)]

    inputs = draw("inputs")
    if case.model in DECODERS:
        targets = [[IGNORED] * (1 + i % 3) + x[1 + i % 3:] for i, x in enumerate(inputs)]
    else:
        targets = draw("targets")
        if not config.is_encoder_decoder:
            targets = [[t if i % 2 else IGNORED for i, t in enumerate(row)] for row in targets]
        else:
            targets = [row[:3 + i % 4] for i, row in enumerate(targets)]
    return {"inputs": inputs, "targets": targets}


# The tuners --------------------------------------------------------------------------------------


class PartLora(torch.nn.Module):
    """LoRA on query and value alone of GPT-2's fused projection, as in the LoRA paper.

    y[:, part] += alpha / rank * B A x, with A [rank, d] and B [d, rank]; PEFT can only adapt the
    whole projection, key included.
    """

    def __init__(self, base, rank, alpha, *key):
        super().__init__()
        self.base, self.scale, self.width = base, alpha / rank, base.weight.shape[0]
        shapes = {"A": (rank, self.width), "B": (self.width, rank)}
        self.lora = torch.nn.ModuleDict({part: torch.nn.ParameterDict({
            side: normal(shape, 0.3, *key, part, side).to(base.weight.dtype)
            for side, shape in shapes.items()}) for part in ("query", "value")})

    def forward(self, x):
        parts = list(self.base(x).split(self.width, dim=-1))
        for place, part in ((0, "query"), (2, "value")):
            lora = self.lora[part]
            parts[place] = parts[place] + self.scale * (x @ lora["A"].T) @ lora["B"].T
        return torch.cat(parts, dim=-1)


def add_part_lora(case, model):
    model.requires_grad_(False)
    for i, block in enumerate(model.transformer.h):
        block.attn.c_attn = PartLora(block.attn.c_attn, case.options["rank"],
                                     case.options["alpha"], case.name, i)
    return model


def peft_config(case):
    options, length = case.options, case.options.get("length")
    task = {"bert": None, "t5": "SEQ_2_SEQ_LM"}.get(case.model, "CAUSAL_LM")
    if case.method == "prompt":
        return peft.PromptTuningConfig(task_type=task, num_virtual_tokens=length)
    if case.method == "prefix":
        return peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=length)
    return peft.LoraConfig(task_type=task, r=options["rank"], lora_alpha=options["alpha"],
                           target_modules=options["targets"], lora_dropout=0.0,
                           fan_in_fan_out=case.model == "gpt2")


def add_peft(case, model):
    """PEFT's own tuner with starting values of ours, which no version of it can change."""
    model = peft.get_peft_model(model, peft_config(case)).double()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            zero = case.options.get("zero") and "lora_B" in name
            std = 0.1 if case.model == "t5" else 0.3  # T5 does not scale its attention scores
            value = normal(parameter.shape, 0.0 if zero else std, case.name, name)
            parameter.data.copy_(value)
    return model


def tuned(case, model):
    if case.method == "full":
        return model
    if case.method == "lora_parts":
        return add_part_lora(case, model)
    return add_peft(case, model)


# Training ----------------------------------------------------------------------------------------


def mean_loss(model, pairs, is_decoder):
    """Mean over the scored tokens of the batch; each sequence runs alone, so nothing is padded."""
    total, count = 0.0, 0
    for sequence, targets in pairs:
        labels = {"labels": ids(targets)} if model.config.is_encoder_decoder else {}
        logits = model(input_ids=ids(sequence), **labels).logits[0]
        loss, tokens = scored(logits[-len(targets):], targets, is_decoder)  # without virtual rows
        total, count = total + loss, count + tokens
    return total / count


def learning_rates(case, optimizer):
    if case.schedule == "linear":
        return transformers.get_linear_schedule_with_warmup(optimizer, case.warmup, STEPS)
    return transformers.get_constant_schedule(optimizer)


def batches(data):
    """Batch after batch in the given order, the short last one too, then from the start."""
    pairs = list(zip(data["inputs"], data["targets"]))
    while True:
        for begin in range(0, len(pairs), BATCH_SIZE):
            yield pairs[begin:begin + BATCH_SIZE]


def train(case, model, data):
    """Ten steps without dropout; the log of them."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=case.lr, betas=BETAS, eps=EPSILON,
                                  weight_decay=case.weight_decay)
    schedule = learning_rates(case, optimizer)
    log = {"lr": [], "loss": [], "grad_norm": []}
    for _, pairs in zip(range(STEPS), batches(data)):
        optimizer.zero_grad()
        loss = mean_loss(model, pairs, case.model in DECODERS)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, case.clip or torch.inf)
        log["lr"].append(optimizer.param_groups[0]["lr"])
        log["loss"].append(loss.item())
        log["grad_norm"].append(norm.item())
        optimizer.step()
        schedule.step()
    return log


# Files -------------------------------------------------------------------------------------------


def parameters_of(case, model):
    """What trains, under the names of its file: PEFT's, the model's, or layers.0.query.A."""
    if isinstance(model, peft.PeftModel):
        values = peft.get_peft_model_state_dict(model)
    else:
        values = {name.replace("transformer.h", "layers").replace("attn.c_attn.lora.", "")
                  if case.method == "lora_parts" else name: parameter
                  for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: value.detach().float().clone() for name, value in values.items()}


def write_state(case, model, when):
    """initial or final: a PEFT adapter directory, or one file of tensors."""
    values = parameters_of(case, model)
    if not isinstance(model, peft.PeftModel):
        write_tensors(case.directory / f"{when}.safetensors", values)
        return
    directory = case.directory / when
    write_tensors(directory / "adapter_model.safetensors", values)
    config = model.peft_config["default"]
    config.base_model_name_or_path, config.inference_mode = None, True
    config.save_pretrained(directory)
    config.inference_mode = False
    stored = json.loads((directory / "adapter_config.json").read_text())
    if isinstance(stored.get("target_modules"), list):
        stored["target_modules"].sort()  # PEFT writes a set, whose order changes from run to run
    (directory / "adapter_config.json").write_text(json.dumps(stored, indent=2) + "\n")


def load(case):
    directory = GOLDEN / "models" / case.model
    return KINDS[case.model].from_pretrained(directory, dtype=torch.float32).eval()


def reloaded(case):
    """The stored start in float32, through the libraries' own loading."""
    model = load(case)
    if case.method in ("full", "lora_parts"):
        return tuned(case, model)
    config = peft.PeftConfig.from_pretrained(case.directory / "initial")
    config.inference_mode = False
    model = peft.get_peft_model(model, config)
    state = load_file(case.directory / "initial" / "adapter_model.safetensors")
    peft.set_peft_model_state_dict(model, state)
    return model.eval()


def differences(a, b):
    """Per tensor, where it shows: biases of keys have no effect, so only noise moves them."""
    largest = {name: (a[name] - b[name]).abs().max().item() for name in a}
    return {name: value for name, value in largest.items() if value > 1e-5}


def without_effect(name):
    """A key's bias adds the same to all scores of a query."""
    return name.endswith("k_proj.bias")


def check(case, log, final):
    """Trains again from the files in float32; returns how far that ends from the float64 run."""
    model = reloaded(case)
    data = json.loads((case.directory / "batch.json").read_text())
    again = train(case, model, data)
    assert max(log["loss"]) - min(log["loss"]) > 0.02, (case.name, log["loss"])
    largest = max(abs(a - b) for a, b in zip(log["loss"], again["loss"]))
    assert largest < 1e-4, (case.name, largest)
    return {"loss": largest, "parameters": differences(final, parameters_of(case, model))}


def make(case):
    shutil.rmtree(case.directory, ignore_errors=True)
    model = tuned(case, in_double(load(case))).eval()
    data = batch(case, model.config)
    write_json(case.directory / "batch.json", data)
    if case.method != "full":
        write_state(case, model, "initial")
    start = parameters_of(case, model)
    log = train(case, model, data)
    write_state(case, model, "final")
    final = parameters_of(case, model)
    still = [name for name in final if torch.equal(final[name], start[name])
             and not without_effect(name)]
    assert not still, (case.name, still)
    float32 = check(case, log, final)
    write_json(case.directory / "case.json", {
        "model": case.model, "method": case.method, "options": case.options,
        "optimizer": {"name": "adamw", "lr": case.lr, "betas": list(BETAS), "eps": EPSILON,
                      "weight_decay": case.weight_decay},
        "schedule": case.schedule, "warmup": case.warmup, "clip": case.clip,
        "batch_size": BATCH_SIZE, "steps": STEPS} | log | {"float32_difference": float32})
    norms = log["grad_norm"]
    print(f"{case.name}: loss {log['loss'][0]:.4f} .. {log['loss'][-1]:.4f}, "
          f"norms {min(norms):.3f} .. {max(norms):.3f}, float32 {float32}")


def main(names):
    for case in CASES:
        if not names or case.name in names:
            make(case)


if __name__ == "__main__":
    main(sys.argv[1:])
