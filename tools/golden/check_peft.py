"""Loads adapters that `cambium convert T DIR --to peft` wrote with real PEFT, and compares logits.

    check_peft.py CAMBIUM [CASE ...]

For each folder of tests/golden/adapters: the program makes a checkpoint of PEFT's directory, writes it as PEFT's again,
PEFT loads that on the same base, and its logits must be those that are stored. Then tuners of our own: the program trains
them for a step, writes them, and PEFT's logits must be those of `cambium forward`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import peft
from adapters import CLASSES, LENGTHS, TASKS, logits
from common import GOLDEN, in_double, token_ids, torch
from safetensors.torch import load_file

OWN = [("gpt2", "lora", ["rank=2", "alpha=5"]), ("gpt2", "ia3", []), ("gpt2", "layer_norm", []), ("gpt2", "prompt", ["init=random", "length=3"]),
       ("gpt2", "p_tuning", ["length=3", "hidden=5"]), ("gpt2", "prefix", ["init=random", "reparametrize=1", "hidden=6", "length=3"]),
       ("gpt2", "p_tuning_v2", ["length=3"]), ("gpt2", "lora+bitfit", ["lora.rank=2"]), ("gpt2", "vera", ["rank=4", "targets=query_key_value"]),
       ("llama_gqa", "lora", ["rank=2", "targets=query,down,gate", "rank_pattern=layers.1.self_attention.query:1", "rslora=1"]),
       ("llama_gqa", "dora", ["rank=2"]), ("llama_gqa", "vera", ["rank=4", "seed=3"]), ("llama_gqa", "prefix", ["init=random", "length=2"]),
       ("llama_own_head", "lora+full", ["full.only=head.,decoder.final_norm"]), ("llama_gqa", "full", ["only=decoder.final_norm"]),
       ("bart", "lora+bitfit", []), ("bart", "ia3", []), ("bart", "layer_norm", []), ("t5", "prompt", ["init=random", "length=3"]),
       ("t5", "lora", ["targets=query,value,up"]), ("t5", "ia3", []), ("bert", "ia3", []), ("bert", "dora", ["rank=2", "targets=query,up"]),
       ("bert", "lora+bitfit", []), ("bert", "layer_norm", [])]


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)


def peft_logits(base, directory, sequences, targets):
    model = in_double(CLASSES[base].from_pretrained(GOLDEN / "models" / base, dtype=torch.float32))
    model = peft.PeftModel.from_pretrained(model, directory).double().eval()
    with torch.no_grad():
        return [logits(model, s, t).float().numpy() for s, t in zip(sequences, targets)]


def difference(ours, reference):
    return max(np.abs(a - b).max() / max(1, np.abs(b).max()) for a, b in zip(ours, reference))


def check_stored(cambium, name, folder):
    directory = GOLDEN / "adapters" / name
    data = json.loads((directory / "expected.json").read_text())
    expected = load_file(directory / "expected.safetensors")
    base = data["base"]
    run(cambium, "convert", directory, folder / "t.h5", "--model", GOLDEN / "models" / base)
    run(cambium, "convert", folder / "t.h5", folder / "out", "--to", "peft")
    seen = peft_logits(base, folder / "out", data["inputs"], data.get("targets", [[]] * len(LENGTHS)))
    return difference(seen, [expected[str(i)].numpy() for i in range(len(seen))])


def check_own(cambium, base, method, options, folder):
    vocabulary = json.loads((GOLDEN / "models" / base / "config.json").read_text())["vocab_size"]
    inputs = [token_ids(n, 4, vocabulary, base, method, n) for n in LENGTHS]
    targets = [token_ids(3 + i, 4, vocabulary, base, method, "t", i) for i in range(2)] if TASKS[base] == "SEQ_2_SEQ_LM" else inputs
    (folder / "batch.json").write_text(json.dumps({"inputs": inputs, "targets": targets}))
    model = GOLDEN / "models" / base
    run(cambium, "train", "--model", model, "--tuner", method, *sum((["--option", o] for o in options), []), "--batches",
        folder / "batch.json", "--steps", "3", "--lr", "0.05", "--output", folder / "run", "--dtype", "f32", "--quiet")
    run(cambium, "convert", folder / "run" / "tuner.h5", folder / "out", "--to", "peft")
    run(cambium, "forward", "--model", model, "--tuner", folder / "run" / "tuner.h5", "--input", folder / "batch.json",
        "--output", folder / "out.h5", "--dtype", "f32")
    with h5py.File(folder / "out.h5") as file:
        ours = [file[f"logits/{i}"][()] for i in range(2)]
    return difference(ours, peft_logits(base, folder / "out", inputs, targets if targets is not inputs else [[], []]))


if __name__ == "__main__":
    program, wanted = sys.argv[1], sys.argv[2:]
    worst = 0
    cases = [(p.name, check_stored, (p.name,)) for p in sorted((GOLDEN / "adapters").iterdir())]
    cases += [(f"{base} {method} {' '.join(options)}", check_own, (base, method, options)) for base, method, options in OWN]
    for name, check, arguments in cases:
        if wanted and not any(w in name for w in wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            result = check(program, *arguments, Path(folder))
        print(f"{name:50} {result:.1e}" + ("" if result <= 2e-5 else "  FAILS"), flush=True)
        worst = max(worst, result)
    sys.exit(worst > 2e-5)
