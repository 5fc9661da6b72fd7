"""Checks exports: what `cambium convert` writes in Hugging Face form is loaded by transformers and computes the same.

    python check_export.py CAMBIUM [DIRECTORY ...]

CAMBIUM is the program; the models are those of tests/golden by default. Each goes to our form and back, because
that way nothing can be copied. All tensors must have equal bits, and logits agree to 1e-5 (where a file lies in memory
decides how products are added up). What transformers generates must be the same, and so must its settings of generation,
its tokens and its chat template where the model has a tokenizer. Exit code 1 if one differs.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import GOLDEN, ids, token_ids, torch, transformers

CLASSES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
           "qwen2": "Qwen2ForCausalLM", "t5": "T5ForConditionalGeneration",
           "bart": "BartForConditionalGeneration", "bert": "BertForMaskedLM", "roberta": "RobertaForMaskedLM"}


def kind_of(directory):
    """The class of the exported model; its configuration names it."""
    config = json.loads((directory / "config.json").read_text())
    return getattr(transformers, config.get("architectures", [CLASSES[config["model_type"]]])[0])


def outputs(model, sequence, labels):
    given = {"labels": ids(labels)} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        result = model(input_ids=ids(sequence), **given)
    return result.logits if "logits" in result else result.last_hidden_state


def beside_weights(before, after, original, exported):
    """What differs in generation and texts."""
    problems = []
    if before.can_generate():
        a, b = (vars(m.generation_config) for m in (before, after))
        skip = ("transformers_version", "_from_model_config", "_original_object_hash")
        problems += [f"generation's {k}: {a.get(k)} and {b.get(k)}" for k in sorted(a | b)
                     if k not in skip and a.get(k) != b.get(k) and (original / "generation_config.json").exists()]
        given = ids([5, 6, 7, 8])
        # Where no file names the start, transformers begins with bos, whatever the class says.
        start = {"decoder_start_token_id": before.config.decoder_start_token_id} if before.config.is_encoder_decoder else {}
        texts = []
        for model in (before, after):
            try:
                texts.append(model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=8,
                                            do_sample=False, **start)[0].tolist())
            except ValueError as error:
                texts.append(str(error))
        if texts[0] != texts[1]:
            problems.append(f"generates {texts[1]}, not {texts[0]}")
    if any((original / name).exists() for name in ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model")):
        a, b = (transformers.AutoTokenizer.from_pretrained(d) for d in (original, exported))
        text = "The cat <s> sat.\n 12345 caf\u00e9"
        if a(text).input_ids != b(text).input_ids or a.chat_template != b.chat_template:
            problems.append("the tokenizer differs")
    return problems


def check(cambium, original, folder):
    exported = folder / "exported"
    for pair in ((original, folder / "model.h5"), (folder / "model.h5", exported)):
        subprocess.run([cambium, "convert", "--quiet", *map(str, pair)], check=True)
    kind = kind_of(exported)
    before = kind.from_pretrained(original, dtype=torch.float32).eval()
    after, report = kind.from_pretrained(exported, output_loading_info=True, dtype=torch.float32)
    after.eval()
    high = before.config.vocab_size
    largest = 0.0
    for i, length in enumerate((5, 1, 9)):
        sequence = token_ids(length, 4, high, original.name, "export", i)
        labels = token_ids(length + 1, 4, high, original.name, "labels", i)
        largest = max(largest, (outputs(before, sequence, labels) - outputs(after, sequence, labels)).abs().max().item())
    # transformers' masked LMs have no pooler, but files do.
    problems = [f"{k}: {sorted(v)[:3]}" for k, v in report.items() if v and not all("pooler." in name for name in v)]
    stored = after.state_dict()
    problems += [f"{name} differs" for name, value in before.state_dict().items() if not torch.equal(value, stored[name])]
    return kind.__name__, largest, problems + beside_weights(before, after, original, exported)


def main(cambium, names):
    folders = [Path(name) for name in names] or sorted(
        p.parent for p in GOLDEN.glob("*/*/config.json") if list(p.parent.glob("model*.safetensors")))
    failed = 0
    for original in folders:
        with tempfile.TemporaryDirectory() as folder:
            kind, largest, problems = check(cambium, original, Path(folder))
        good = largest < 1e-5 and not problems
        failed += not good
        print(f"{'equal' if good else 'DIFFERENT':10} {original.parent.name}/{original.name} {kind}", largest or "", *problems)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
