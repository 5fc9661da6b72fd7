"""Compares `cambium generate` with transformers' generate on real texts, token for token.

    python check_generation.py CAMBIUM MODEL_DIRECTORY TEXTS [COUNT]

TEXTS is a file with one text a line (a line may be a JSON string); the model is sequence to sequence. Every set
of options is counted on its own; inputs whose outputs differ are listed. Exit code 1 if any differs.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import torch, transformers

CASES = {
    "greedy": dict(max_new_tokens=40),
    "beam 4": dict(max_new_tokens=40, num_beams=4),
    "beam 4, penalty 2, no repeated 3-grams, at least 12": dict(
        max_new_tokens=40, num_beams=4, length_penalty=2.0, no_repeat_ngram_size=3, min_new_tokens=12),
    "beam 3, 3 results, forbidden": dict(
        max_new_tokens=24, num_beams=3, num_return_sequences=3, bad_words_ids=[[5], [3, 9], [8]]),
}
NAMES = {"max_new_tokens": "--max-new-tokens", "num_beams": "--beam", "length_penalty": "--length-penalty",
         "no_repeat_ngram_size": "--no-repeat-ngram", "min_new_tokens": "--min-new-tokens",
         "num_return_sequences": "--num-results"}


def arguments(options):
    words = []
    for name, value in options.items():
        if name == "bad_words_ids":
            words += ["--forbid", ",".join("+".join(map(str, ids)) for ids in value)]
        else:
            words += [NAMES[name], str(value)]
    return words


def ours(cambium, model, texts, options):
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "lines")
        lines.write_text("".join(json.dumps(text) + "\n" for text in texts))
        command = [cambium, "generate", "--model", model, "--input", lines, "--dtype", "f32", "--quiet", *arguments(options)]
        output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return [json.loads(line)["ids"] for line in output.splitlines()]


def theirs(model, tokenizer, texts, options):
    results = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(ids, do_sample=False, **options)
        for row in out[:, 1:].tolist():
            end = model.config.eos_token_id
            results.append(row[:row.index(end) + 1] if end in row else row)
    return results


def main(cambium, directory, texts, count=50):
    torch.set_num_threads(2)
    lines = [line for line in Path(texts).read_text().splitlines() if line][:int(count)]
    lines = [json.loads(line) if line.startswith('"') else line for line in lines]
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    failed = False
    for name, options in CASES.items():
        a, b = ours(cambium, directory, lines, options), theirs(model, tokenizer, lines, options)
        equal = sum(x == y for x, y in zip(a, b, strict=True))
        failed |= equal < len(b)
        print(f"{name}: {equal} of {len(b)} outputs equal", flush=True)
        for i, (x, y) in enumerate(zip(a, b)):
            if x != y:
                print("  output", i, "ours", x, "transformers", y)
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
