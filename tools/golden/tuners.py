"""Makes tests/golden/tuners: adapters, prefixes and top layers in the tiny models, by PyTorch hooks.

Where PEFT has no such method, or another one, the reference is transformers' own model with a few lines around it:
adapters are forward hooks on the modules at whose place they stand, prefixes an attention function that puts rows of
keys and values in front. Kept: the tuner's start (random, nothing zero), the logits of each sequence alone, the
gradient of every tuned tensor, and the losses of a few steps of training. Arithmetic is float64.
"""

import json
import shutil
import sys
from dataclasses import dataclass, field

from common import (GOLDEN, KINDS, ids, in_double, normal, scored, torch, transformers, write_json,
                    write_tensors)
from transformers.masking_utils import eager_mask

STEPS = 4
ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
}


@dataclass
class Case:
    name: str
    model: str
    method: str
    options: dict = field(default_factory=dict)
    lr: float = 1e-2


def adapter_cases():
    for model in ("gpt2", "llama_gqa", "bert", "t5", "bart"):
        for kind in ("houlsby", "pfeiffer", "parallel"):
            # Wider where a ReLU may keep some of it dark.
            yield Case(f"{model}_{kind}", model, "adapter", {
                "kind": kind, "bottleneck": "5" if kind == "houlsby" else "8"})
        yield Case(f"{model}_lin", model, "adapter", {"kind": "lin", "bottleneck": "8"} | (
            {"layers": "1"} if model == "gpt2" else {}))
    yield Case("bert_houlsby_norms", "bert", "adapter", {
        "kind": "houlsby", "bottleneck": "4", "activation": "gelu_tanh", "norms": "1"})
    yield Case("bart_houlsby_not_cross", "bart", "adapter", {"kind": "houlsby", "bottleneck": "3", "cross": "0"})
    yield Case("gpt2_parallel_residual", "gpt2", "adapter", {
        "kind": "parallel", "bottleneck": "4", "reads": "residual", "activation": "silu"})


CASES = [
    *adapter_cases(),
    Case("bert_prefix", "bert", "prefix", {"length": "3", "init": "random"}, 5e-2),
    Case("t5_prefix", "t5", "prefix", {"length": "3", "init": "random"}, 5e-2),
    Case("bart_prefix", "bart", "prefix", {"length": "2", "init": "random"}, 5e-2),
    Case("t5_prefix_encoder", "t5", "prefix", {"length": "4", "init": "random", "sites": "encoder"}, 5e-2),
    Case("bart_prefix_cross", "bart", "prefix", {"length": "4", "init": "random", "sites": "cross"}, 5e-2),
    Case("bart_prefix_decoder", "bart", "prefix", {"length": "3", "init": "random", "sites": "decoder"}, 5e-2),
    Case("gpt2_top_layers", "gpt2", "top_layers", {"layers": "1"}),
    Case("t5_top_layers", "t5", "top_layers", {"layers": "1"}),
]


# Where sublayers are: for each its name, the norm, and the modules around -------------------------
# h_of: its output is h; read_of: its first input is what the sublayer reads; x_of: the first input of `x_of` is the
# residual stream x. Norm-first models: read = norm(x). Others: what follows is norm(x + h), and read = x.


def sublayers(model):
    kind = model.config.model_type
    if kind == "gpt2":
        for i, b in enumerate(model.transformer.h):
            at = f"decoder.layers.{i}."
            yield at + "self_attention", dict(h_of=b.attn, x_of=b.ln_1, norm=None, normed=b.ln_1)
            yield at + "feed_forward", dict(h_of=b.mlp, x_of=b.ln_2, norm=None, normed=b.ln_2)
    elif kind == "llama":
        for i, b in enumerate(model.model.layers):
            at, first, second = f"decoder.layers.{i}.", b.input_layernorm, b.post_attention_layernorm
            yield at + "self_attention", dict(h_of=b.self_attn, x_of=first, norm=None, normed=first)
            yield at + "feed_forward", dict(h_of=b.mlp, x_of=second, norm=None, normed=second)
    elif kind == "bert":
        for i, b in enumerate(model.bert.encoder.layer):
            at, a = f"encoder.layers.{i}.", b.attention
            yield at + "self_attention", dict(h_of=a.output.dropout, x_of=a.self, norm=a.output.LayerNorm)
            yield at + "feed_forward", dict(h_of=b.output.dropout, x_of=b.intermediate, norm=b.output.LayerNorm)
    elif kind == "t5":
        for stack in ("encoder", "decoder"):
            for i, b in enumerate(getattr(model, stack).block):
                places = ["self_attention", "cross_attention", "feed_forward"]
                if stack == "encoder":
                    places.remove("cross_attention")
                for place, layer in zip(places, b.layer):
                    yield f"{stack}.layers.{i}.{place}", dict(
                        h_of=layer.dropout, x_of=layer.layer_norm, norm=None, normed=layer.layer_norm)
    elif kind == "bart":
        for stack in ("encoder", "decoder"):
            for i, b in enumerate(getattr(model.model, stack).layers):
                at = f"{stack}.layers.{i}."
                yield at + "self_attention", dict(h_of=b.self_attn, x_of=b.self_attn, norm=b.self_attn_layer_norm)
                if stack == "decoder":
                    yield at + "cross_attention", dict(h_of=b.encoder_attn, x_of=b.encoder_attn,
                                                       norm=b.encoder_attn_layer_norm)
                yield at + "feed_forward", dict(h_of=b.fc2, x_of=b.fc1, norm=b.final_layer_norm)


class Adapter(torch.nn.Module):
    def __init__(self, case, name, width, h_of, x_of, norm, normed=None):
        super().__init__()
        o, kind, b = case.options, case.options["kind"], int(case.options["bottleneck"])
        shapes = {"down.weight": (b, width), "down.bias": (b,), "up.weight": (width, b), "up.bias": (width,)}
        if kind == "lin":
            shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
        self.values = {f"{name}.adapter.{part}": torch.nn.Parameter(
            normal(shape, 0.3, case.name, name, part).double()) for part, shape in shapes.items()}
        self.down, self.down_bias, self.up, self.up_bias, *self.own_norm = self.values.values()
        self.scale = 4.0 if kind == "parallel" else 1.0
        self.activation = ACTIVATIONS[o.get("activation", "gelu" if kind == "houlsby" else "relu")]
        self.reads = o.get("reads", {"houlsby": "h", "pfeiffer": "sum", "parallel": "input", "lin": "sum"}[kind])
        self.norm = [norm]  # in a list, so that it is no part of this module
        self.x = self.read = None
        x_of.register_forward_pre_hook(self.see_stream, with_kwargs=True)
        if normed is not None:
            normed.register_forward_hook(self.see_normed)
        h_of.register_forward_hook(self.change)

    def see_stream(self, module, arguments, named):
        self.x = self.read = arguments[0] if arguments else named["hidden_states"]

    def see_normed(self, module, arguments, output):
        self.read = output

    def change(self, module, arguments, output):
        h = output[0] if isinstance(output, tuple) else output
        if self.reads == "sum":
            r = self.x + h
            r = self.norm[0](r) if self.norm[0] is not None else r
        else:
            r = {"h": h, "input": self.read, "residual": self.x}[self.reads]
        if self.own_norm:
            r = torch.nn.functional.layer_norm(r, r.shape[-1:], *self.own_norm, eps=1e-5)
        a = self.activation(r @ self.down.T + self.down_bias)
        h = h + self.scale * (a @ self.up.T + self.up_bias)
        return (h, *output[1:]) if isinstance(output, tuple) else h


def add_adapters(case, model):
    values, kind = {}, case.options["kind"]
    for name, where in sublayers(model):
        if kind != "houlsby" and not name.endswith("feed_forward"):
            continue
        if "layers" in case.options and f".layers.{case.options['layers']}." not in name:
            continue
        if case.options.get("cross") == "0" and name.endswith("cross_attention"):
            continue
        values |= Adapter(case, name, model.config.hidden_size, **where).values
    return values


# Prefixes ----------------------------------------------------------------------------------------


def attention_with_prefix(module, query, key, value, attention_mask, scaling=None, position_bias=None, **kwargs):
    """softmax(scores of the prefix and of the tokens) over their values; prefix columns have neither mask nor bias."""
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    for added in (position_bias, attention_mask):
        if added is not None:
            scores = scores + added[..., :scores.shape[-1]]
    rows = getattr(module, "prefix_rows", None)  # [2, P, heads, size]
    if rows is not None:
        pk, pv = rows[0].transpose(0, 1)[None], rows[1].transpose(0, 1)[None]
        seen = query @ pk.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        scores, value = torch.cat((seen, scores), -1), torch.cat((pv, value), 2)
    weights = torch.softmax(scores, -1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


def attentions(model):
    """Of each group the attention modules, layer by layer."""
    if model.config.model_type == "bert":
        return {"encoder": [b.attention.self for b in model.bert.encoder.layer]}
    if model.config.model_type == "t5":
        return {"encoder": [b.layer[0].SelfAttention for b in model.encoder.block],
                "decoder": [b.layer[0].SelfAttention for b in model.decoder.block],
                "cross": [b.layer[1].EncDecAttention for b in model.decoder.block]}
    return {"encoder": [b.self_attn for b in model.model.encoder.layers],
            "decoder": [b.self_attn for b in model.model.decoder.layers],
            "cross": [b.encoder_attn for b in model.model.decoder.layers]}


def heads_of(config, group):
    side = "encoder" if group == "encoder" else "decoder"
    heads = getattr(config, f"{side}_attention_heads", None) or config.num_attention_heads
    return heads, getattr(config, "d_kv", None) or config.hidden_size // heads


def add_prefixes(case, model):
    length, values = int(case.options["length"]), {}
    wanted = case.options.get("sites", "all")
    for group, modules in attentions(model).items():
        if wanted not in ("all", group):
            continue
        heads, size = heads_of(model.config, group)
        shape = (len(modules), 2, length, heads, size)
        rows = torch.nn.Parameter(normal(shape, 0.7, case.name, group).double())
        values[f"{group}.prefix"] = rows
        for i, module in enumerate(modules):  # a view that backward goes through, made anew in each pass
            module.register_forward_pre_hook(lambda m, a, rows=rows, i=i: setattr(m, "prefix_rows", rows[i]))
        if group == "decoder" and model.config.model_type == "bart":  # its tokens stand behind the prefix
            table = model.model.decoder.embed_positions
            forward = table.forward

            def moved(inputs, past=0, position_ids=None):
                return forward(inputs, past + length, position_ids if position_ids is None else position_ids + length)

            table.forward = moved
    return values


# Top layers --------------------------------------------------------------------------------------


def top_layers(case, model):
    """The last layers of a model and what is behind them."""
    parts = {"gpt2": ("transformer.h.1.", "transformer.ln_f."),
             "t5": ("decoder.block.1.", "decoder.final_layer_norm.")}[case.model]
    return {name: p for name, p in model.named_parameters() if name.startswith(parts)}


# Files -------------------------------------------------------------------------------------------


def mean_loss(model, cases):
    total, count, values = 0, 0, {}
    decoder = model.config.model_type in ("llama", "gpt2")
    for i, (sequence, targets) in enumerate(zip(cases["inputs"], cases["targets"])):
        labels = {"labels": ids(targets)} if model.config.is_encoder_decoder else {}
        logits = model(input_ids=ids(sequence), use_cache=False, **labels).logits[0] \
            if model.config.model_type != "bert" else model(input_ids=ids(sequence)).logits[0]
        loss, tokens = scored(logits, targets, decoder)
        total, count = total + loss, count + tokens
        values[f"logits.{i}"] = logits.detach().float()
    return total / count, values


def train(model, cases, trained, lr):
    """Losses of the steps; logits and gradients of the first."""
    for p in model.parameters():
        p.requires_grad_(False)
    for p in trained.values():
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained.values(), lr=lr, weight_decay=0.0)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss, logits = mean_loss(model, cases)
        loss.backward()
        if step == 0:
            values, gradients = logits, {k: p.grad.clone() for k, p in trained.items()}
        losses.append(loss.item())
        optimizer.step()
    return losses, values, gradients


def make(case):
    folder = GOLDEN / "models" / case.model
    cases = json.loads((folder / "cases.json").read_text())
    implementation = "prefix" if case.method == "prefix" else "eager"
    model = KINDS[case.model].from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    for module in model.modules():  # stacks have configurations of their own
        if hasattr(module, "config"):
            module.config._attn_implementation = implementation
    model = in_double(model)
    add = {"adapter": add_adapters, "prefix": add_prefixes, "top_layers": top_layers}[case.method]
    before = mean_loss(model, cases)[0].item()
    tuned = add(case, model)
    start = {name: value.detach().float().clone() for name, value in tuned.items()}
    trained = dict(tuned)
    if case.options.get("norms"):
        trained |= {name: p for name, p in model.named_parameters()
                    if "LayerNorm" in name}
    losses, values, gradients = train(model, cases, trained, case.lr)
    expected = values | {f"gradients.{k}": gradients[k].float() for k in tuned}
    smallest = min((g.abs().max().item(), k) for k, g in gradients.items())
    assert case.method == "top_layers" or abs(losses[0] - before) > 0.01, (case.name, before, losses)
    assert abs(losses[-1] - losses[0]) > 0.01, (case.name, losses)
    directory = GOLDEN / "tuners" / case.name
    shutil.rmtree(directory, ignore_errors=True)
    if case.method != "top_layers":
        write_tensors(directory / "initial.safetensors", start)
    write_tensors(directory / "expected.safetensors", expected)
    write_json(directory / "case.json", {"model": case.model, "method": case.method, "options": case.options,
                                         "lr": case.lr, "loss": losses})
    print(case.name, [round(x, 4) for x in losses], "smallest gradient", smallest)


transformers.AttentionInterface.register("prefix", attention_with_prefix)
transformers.AttentionMaskInterface.register("prefix", eager_mask)

if __name__ == "__main__":
    for case in CASES:
        if not sys.argv[1:] or case.name in sys.argv[1:]:
            make(case)
