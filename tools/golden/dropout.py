"""Makes tests/golden/dropout: loss, logits and gradients of the tiny models while they drop.

transformers runs its own training mode; only the random numbers are ours. Each call of dropout is told by the module
that calls it, and how often it did: that gives the name of the place in our models, whose mask philox.py computes. So a
place that is missing, too many, or elsewhere shows in the numbers. Arithmetic is float64; a matrix's gradient is kept
as its sums over rows and over columns.
"""

import json
import re
import shutil
import sys

from common import (GOLDEN, KINDS, ids, in_double, scored, torch, transformers, write_json, write_tensors)
from philox import dropout_factors, random_key

SEED, STEP = 11, 3
DROPOUT = torch.nn.functional.dropout

# folder -> its class, and rates that differ from place to place where the model can tell them apart
CASES = {
    "models/gpt2": (KINDS["gpt2"], dict(embd_pdrop=0.1, attn_pdrop=0.2, resid_pdrop=0.3)),
    "models/llama_gqa": (KINDS["llama_gqa"], dict(attention_dropout=0.2)),
    "models/bert": (KINDS["bert"], dict(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)),
    "models/t5": (KINDS["t5"], dict(dropout_rate=0.1)),
    "models/flan": (KINDS["t5"], dict(dropout_rate=0.3)),
    "models/bart": (KINDS["bart"], dict(dropout=0.3, attention_dropout=0.2, activation_dropout=0.1)),
    "classification/bert": (transformers.BertForSequenceClassification,
                            dict(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)),
    "classification/roberta": (transformers.RobertaForSequenceClassification,
                               dict(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1)),
}

# (the calling module, the number of its call; None: any) -> our name of the place. "attention" places drop
# probabilities, one mask a head.
PLACES = [
    (r"transformer\.drop", 0, r"decoder.embedding"),
    (r"transformer\.h\.(\d+)\.attn", 0, r"decoder.layers.\1.self_attention"),
    (r"transformer\.h\.(\d+)\.attn\.attn_dropout", 0, r"decoder.layers.\1.self_attention"),
    (r"transformer\.h\.(\d+)\.attn\.resid_dropout", 0, r"decoder.layers.\1.self_attention.residual"),
    (r"transformer\.h\.(\d+)\.mlp\.dropout", 0, r"decoder.layers.\1.feed_forward.residual"),
    (r"model\.layers\.(\d+)\.self_attn", 0, r"decoder.layers.\1.self_attention"),
    (r"(?:ro)?bert\w*\.embeddings\.dropout", 0, r"encoder.embedding"),
    (r"(?:ro)?bert\w*\.encoder\.layer\.(\d+)\.attention\.self", 0, r"encoder.layers.\1.self_attention"),
    (r"(?:ro)?bert\w*\.encoder\.layer\.(\d+)\.attention\.output\.dropout", 0,
     r"encoder.layers.\1.self_attention.residual"),
    (r"(?:ro)?bert\w*\.encoder\.layer\.(\d+)\.output\.dropout", 0, r"encoder.layers.\1.feed_forward.residual"),
    (r"dropout", 0, r"classifier"),
    (r"classifier\.dropout", 0, r"classifier.input"),
    (r"classifier\.dropout", 1, r"classifier"),
    (r"(encoder|decoder)\.dropout", 0, r"\1.embedding"),
    (r"(encoder|decoder)\.dropout", 1, r"\1.result"),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.0\.SelfAttention", 0, r"\1.layers.\2.self_attention"),
    (r"decoder\.block\.(\d+)\.layer\.1\.EncDecAttention", 0, r"decoder.layers.\1.cross_attention"),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.0\.dropout", 0, r"\1.layers.\2.self_attention.residual"),
    (r"(encoder|decoder)\.block\.(\d+)\.layer\.\d\.DenseReluDense\.dropout", 0, r"\1.layers.\2.feed_forward.activation"),
    (r"encoder\.block\.(\d+)\.layer\.1\.dropout", 0, r"encoder.layers.\1.feed_forward.residual"),
    (r"decoder\.block\.(\d+)\.layer\.1\.dropout", 0, r"decoder.layers.\1.cross_attention.residual"),
    (r"decoder\.block\.(\d+)\.layer\.2\.dropout", 0, r"decoder.layers.\1.feed_forward.residual"),
    (r"model\.(encoder|decoder)", 0, r"\1.embedding"),
    (r"model\.(encoder|decoder)\.layers\.(\d+)\.self_attn", 0, r"\1.layers.\2.self_attention"),
    (r"model\.decoder\.layers\.(\d+)\.encoder_attn", 0, r"decoder.layers.\1.cross_attention"),
    (r"model\.(encoder|decoder)\.layers\.(\d+)", 0, r"\1.layers.\2.self_attention.residual"),
    (r"model\.encoder\.layers\.(\d+)", 1, r"encoder.layers.\1.feed_forward.activation"),
    (r"model\.encoder\.layers\.(\d+)", 2, r"encoder.layers.\1.feed_forward.residual"),
    (r"model\.decoder\.layers\.(\d+)", 1, r"decoder.layers.\1.cross_attention.residual"),
    (r"model\.decoder\.layers\.(\d+)", 2, r"decoder.layers.\1.feed_forward.activation"),
    (r"model\.decoder\.layers\.(\d+)", 3, r"decoder.layers.\1.feed_forward.residual"),
]


def place_of(module, call):
    for pattern, number, place in PLACES:
        match = re.fullmatch(pattern, module)
        if match and number == call:
            return match.expand(place)
    raise KeyError((module, call))


class Masks:
    """Stands in for torch's dropout in one run over one sequence."""

    def __init__(self, model):
        self.stack, self.calls, self.seen, self.sequence = [], {}, set(), 0
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda m, a, name=name: self.stack.append(name))
            module.register_forward_hook(lambda m, a, out: self.leave())

    def leave(self):
        self.stack.pop()

    def start(self, sequence):
        self.sequence, self.calls = sequence, {}

    def __call__(self, x, p=0.5, training=True, inplace=False):
        assert training
        module = self.stack[-1]
        call = self.calls[module] = self.calls.get(module, -1) + 1
        place = place_of(module, call)
        self.seen.add((place, p))
        key = random_key(SEED, "dropout." + place, STEP)
        if p == 0:
            return x
        if x.dim() == 4:  # probabilities [1, heads, queries, keys]
            masks = [dropout_factors(p, key, range(x.shape[2]), self.sequence, x.shape[3], h)
                     for h in range(x.shape[1])]
            return x * torch.stack([torch.tensor(m) for m in masks])[None]
        rows = x.reshape(-1, x.shape[-1])
        mask = torch.tensor(dropout_factors(p, key, range(len(rows)), self.sequence, x.shape[-1]))
        return (rows * mask).reshape(x.shape)


def run(model, masks, cases, kind):
    """The values of all sequences, and the mean loss over what is scored."""
    values, total, count = {}, 0, 0
    for i, sequence in enumerate(cases["inputs"]):
        masks.start(i)
        if "classes" in cases:
            logits = model(input_ids=ids(sequence)).logits[0]
            total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(cases["classes"][i]))
            count += 1
        else:
            labels = {"labels": ids(cases["targets"][i])} if model.config.is_encoder_decoder else {}
            logits = model(input_ids=ids(sequence), **labels).logits[0]
            loss, tokens = scored(logits, cases["targets"][i], kind in ("llama", "gpt2"))
            total, count = total + loss, count + tokens
        values[f"logits.{i}"] = logits.detach().float()
    return values, total / count


def sums(gradient):
    """What is kept of a gradient: itself, or a matrix's sums over rows and over columns."""
    return gradient if gradient.dim() < 2 else torch.cat((gradient.sum(0), gradient.sum(1)))


def make(name):
    kind, rates = CASES[name]
    folder = GOLDEN / name
    cases = json.loads((folder / "cases.json").read_text())
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **rates)
    model = in_double(model).train()
    masks = Masks(model)
    torch.nn.functional.dropout = masks
    values, loss = run(model, masks, cases, model.config.model_type)
    torch.nn.functional.dropout = DROPOUT
    loss.backward()
    values |= {f"gradients.{k}": sums(p.grad).float() for k, p in model.named_parameters() if p.grad is not None}
    values["loss"] = loss.detach().float()[None]
    target = GOLDEN / "dropout" / name.replace("/", "_")
    shutil.rmtree(target, ignore_errors=True)
    write_tensors(target / "expected.safetensors", values)
    write_json(target / "case.json", {"model": name, "config": rates, "seed": SEED, "step": STEP})
    print(name, loss.item(), len(masks.seen), "places", sorted({p for _, p in masks.seen}))


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
