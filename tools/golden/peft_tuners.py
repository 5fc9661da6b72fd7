"""Makes those of tests/golden/tuners that PEFT computes: rsLoRA and patterns, DoRA, VeRA, (IA)3, P-tuning, and the
base's own biases and norms.

The same files as tuners.py's: a random start, the logits of each sequence alone, the gradient of every tuned tensor, and
the losses of a few steps. PEFT injects its layers into transformers' models; arithmetic is float64.
"""

import json
import re
import shutil
import sys

import numpy as np
import peft
from common import GOLDEN, KINDS, ids, in_double, is_norm, normal, torch, write_json, write_tensors
from peft.tuners.p_tuning import PromptEncoder
from philox import philox, random_key
from tuners import Case, train

BLOCKS = [  # transformers' modules and ours; {} are the numbers of layers
    (r"transformer\.h\.(\d+)\.", "decoder.layers.{}."),
    (r"model\.layers\.(\d+)\.", "decoder.layers.{}."),
    (r"bert\.encoder\.layer\.(\d+)\.", "encoder.layers.{}."),
    (r"(?:model\.)?encoder\.(?:block|layers)\.(\d+)\.", "encoder.layers.{}."),
    (r"(?:model\.)?decoder\.(?:block|layers)\.(\d+)\.", "decoder.layers.{}."),
]
PARTS = {
    "attn.c_attn": "self_attention.query_key_value", "attn.c_proj": "self_attention.output",
    "mlp.c_fc": "feed_forward.up", "mlp.c_proj": "feed_forward.down",
    "self_attn.out_proj": "self_attention.output", "encoder_attn.out_proj": "cross_attention.output",
    "fc1": "feed_forward.up", "fc2": "feed_forward.down",
    "attention.output.dense": "self_attention.output", "intermediate.dense": "feed_forward.up",
    "output.dense": "feed_forward.down",
    "layer.0.SelfAttention.o": "self_attention.output", "layer.1.EncDecAttention.o": "cross_attention.output",
}
for letter, part in {"q": "query", "k": "key", "v": "value"}.items():
    PARTS |= {f"self_attn.{letter}_proj": f"self_attention.{part}",
              f"encoder_attn.{letter}_proj": f"cross_attention.{part}",
              f"attention.self.{part}": f"self_attention.{part}",
              f"layer.0.SelfAttention.{letter}": f"self_attention.{part}",
              f"layer.1.EncDecAttention.{letter}": f"cross_attention.{part}"}
PARTS |= {"self_attn.o_proj": "self_attention.output"} | {
    f"mlp.{p}_proj": f"feed_forward.{p}" for p in ("gate", "up", "down")} | {
    f"layer.{i}.DenseReluDense.{a}": f"feed_forward.{b}" for i in (1, 2) for a, b in (("wi", "up"), ("wo", "down"))}

LORA = dict(r=3, lora_alpha=5, lora_dropout=0.0)
QV = {"llama_gqa": ["q_proj", "v_proj"], "bart": ["q_proj", "v_proj"], "bert": ["query", "value"], "t5": ["q", "v"],
      "gpt2": ["c_attn"]}
KV = {"llama_gqa": (["k_proj", "v_proj", "down_proj"], ["down_proj"]), "bart": (["k_proj", "v_proj", "fc2"], ["fc2"]),
      "bert": (["key", "value", r"layer.\d.output.dense"], [r"layer.\d.output.dense"]),
      "t5": (["k", "v", "wo"], ["wo"]), "gpt2": (["c_attn", "mlp.c_proj"], ["mlp.c_proj"])}


def peft_cases():
    for model in KINDS:
        ours = {"targets": "query_key_value"} if model == "gpt2" else {}
        conv = dict(fan_in_fan_out=model == "gpt2", target_modules=QV[model])
        yield Case(f"{model}_dora", model, "dora", {"rank": "3", "alpha": "5"} | ours), \
            peft.LoraConfig(use_dora=True, **LORA, **conv)
        yield Case(f"{model}_vera", model, "vera", {"rank": "6", "seed": "4"} | ours, 5e-2), \
            peft.VeraConfig(r=6, **conv)
        targets, feed = KV[model]
        if model == "bert":  # its names end alike: "output.dense" is that of attention, too
            targets = r".*(key|value|layer\.\d+\.output\.dense)"
            feed = r".*layer\.\d+\.output\.dense"
        yield Case(f"{model}_ia3", model, "ia3", {"targets": "query_key_value,down"} if model == "gpt2" else {}), \
            peft.IA3Config(target_modules=targets, feedforward_modules=feed, fan_in_fan_out=model == "gpt2")
    yield Case("llama_rslora_patterns", "llama_gqa", "lora", {
        "rank": "3", "alpha": "5", "rslora": "1", "targets": "query,value,down",
        "rank_pattern": "layers.0.self_attention.query:2,down:4", "alpha_pattern": "value:7"}), \
        peft.LoraConfig(use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
                        rank_pattern={"layers.0.self_attn.q_proj": 2, "down_proj": 4}, alpha_pattern={"v_proj": 7},
                        **LORA)
    yield Case("bart_rslora", "bart", "lora", {"rank": "3", "alpha": "5", "rslora": "1"}), \
        peft.LoraConfig(use_rslora=True, target_modules=QV["bart"], **LORA)


def base_cases():
    for model in ("gpt2", "bert", "bart"):
        yield Case(f"{model}_bitfit", model, "bitfit"), lambda name: name.endswith(".bias")
    for model in KINDS:
        yield Case(f"{model}_layer_norm", model, "layer_norm"), \
            lambda name: is_norm(name) or "layer_norm" in name or "layernorm_embedding" in name


def prompt_cases():
    for model in ("gpt2", "bert", "t5"):
        for encoder in ("mlp", "lstm"):
            yield Case(f"{model}_p_tuning_{encoder}", model, "p_tuning", {
                "length": "4", "encoder": encoder, "hidden": "6"}), encoder


def our_module(name):
    for pattern, ours in BLOCKS:
        if found := re.match(pattern, name):
            return ours.format(found[1]) + PARTS[name[found.end():]]
    raise KeyError(name)


SUFFIXES = {"lora_A.default.weight": "lora_a", "lora_B.default.weight": "lora_b",
            "lora_magnitude_vector.default.weight": "magnitude", "vera_lambda_d.default": "vera_d",
            "vera_lambda_b.default": "vera_b", "ia3_l.default": "ia3"}


def uniform(shape, seed, name, bound):
    """tuning/options.h: fill_uniform."""
    n = np.arange(int(np.prod(shape)))
    word = philox(random_key(seed, name), n, 0, 0, 0)[0]
    number = ((word >> np.uint64(8)).astype(np.float32) + np.float32(0.5)) * np.float32(1 / 16777216)
    return torch.tensor(bound * (2 * number.astype(np.float64) - 1)).reshape(shape).float().double()


def set_vera_pair(model, seed):
    for module in model.modules():
        for name in ("vera_A", "vera_B"):
            if hasattr(module, name) and "default" in getattr(module, name):
                matrix = getattr(module, name)["default"]
                ours = uniform(tuple(matrix.shape), seed, name.lower().replace("_", "."),
                               (3 / matrix.shape[1]) ** 0.5)
                matrix.data = ours


def inject(case, model, config):
    peft.get_peft_model(model, config)  # in place
    model.double()
    if case.method == "vera":
        set_vera_pair(model, int(case.options["seed"]))
    values = {}
    for name, p in model.named_parameters():
        module, suffix = next(((name[:-len(s) - 1], ours) for s, ours in SUFFIXES.items() if name.endswith(s)), (0, 0))
        if not module:
            continue
        change = normal(p.shape, 0.3, case.name, name).double()
        p.data = p.data * (1 + change) if suffix in ("magnitude", "ia3") else change
        p.data = p.data.float().double()
        values[f"{our_module(module)}.{suffix}"] = p
    return values


def insert_prompt(case, model, encoder):
    """Rows of PEFT's prompt encoder in front of what the encoder, or the only stack, reads."""
    length, width = int(case.options["length"]), model.config.hidden_size
    network = PromptEncoder(peft.PromptEncoderConfig(
        encoder_reparameterization_type=encoder.upper(), encoder_hidden_size=int(case.options["hidden"]),
        num_virtual_tokens=length, token_dim=width, num_transformer_submodules=1, encoder_num_layers=2,
        encoder_dropout=0.0)).double()
    network.lstm_head = network.lstm_head.double() if encoder == "lstm" else None
    stack = {"gpt2": "decoder", "bert": "encoder", "t5": "encoder"}[case.model]
    values = {}
    for name, p in network.named_parameters():
        p.data = normal(p.shape, 0.4, case.name, name).float().double()
        values[f"{stack}.prompt.{name}"] = p
    forward = model.forward
    table = model.get_input_embeddings()

    def with_prompt(input_ids, **named):
        rows = network(torch.arange(length)[None])
        out = forward(inputs_embeds=torch.cat((rows, table(input_ids)), 1), **named)
        if not model.config.is_encoder_decoder:
            out.logits = out.logits[:, length:]
        return out

    model.forward = with_prompt
    return values


def flat(name, tensor):
    """Vectors as ours: PEFT has some as one row or column."""
    return tensor.reshape(-1) if name.endswith((".ia3", ".magnitude")) else tensor


def choose(case, model, chosen):
    return {name: p for name, p in model.named_parameters() if chosen(name)}


def make(case, how, add):
    folder = GOLDEN / "models" / case.model
    cases = json.loads((folder / "cases.json").read_text())
    model = in_double(KINDS[case.model].from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval())
    tuned = add(case, model, how)
    model.eval()
    start = {name: flat(name, p.detach().float().clone()) for name, p in tuned.items()}
    losses, values, gradients = train(model, cases, tuned, case.lr)
    expected = values | {f"gradients.{k}": flat(k, g.float()) for k, g in gradients.items()}
    assert abs(losses[-1] - losses[0]) > 0.003, (case.name, losses)
    directory = GOLDEN / "tuners" / case.name
    shutil.rmtree(directory, ignore_errors=True)
    if add is not choose:
        write_tensors(directory / "initial.safetensors", start)
    write_tensors(directory / "expected.safetensors", expected)
    write_json(directory / "case.json", {"model": case.model, "method": case.method, "options": case.options,
                                         "lr": case.lr, "loss": losses})
    print(case.name, [round(x, 4) for x in losses])


if __name__ == "__main__":
    groups = ((peft_cases, inject), (base_cases, choose), (prompt_cases, insert_prompt))
    for cases, add in groups:
        for case, how in cases():
            if not sys.argv[1:] or any(re.fullmatch(a, case.name) for a in sys.argv[1:]):
                make(case, how, add)
