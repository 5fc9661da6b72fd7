"""Makes tests/golden/transfer: prompts as torch.save writes them with made-up results of zero-shot transfer, and what
NumPy and SciPy make of them (expected.json). Needs none of our programs."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

ROOT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "transfer"
TASKS = ["IMDB", "MNLI", "QQP", "SST2", "squad"]
LENGTH, WIDTH = 3, 7


def indicators(p, q):
    rows = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    return {
        "E_concat": 1 / (1 + np.linalg.norm(p - q)),
        "E_avg": 1 / (1 + np.linalg.norm(p[:, None] - q[None], axis=-1).mean()),
        "C_concat": (p * q).sum() / ((p * p).sum() * (q * q).sum()) ** 0.5,
        "C_avg": (rows(p) @ rows(q).T).mean(),
    }


def correlations(values, scores):
    """[target, source] both; the four conventions."""
    n = len(scores)
    relative = scores / np.diag(scores)[:, None]
    known = np.isfinite(scores)
    others = known & ~np.eye(n, dtype=bool)
    per_target = lambda mask: np.nanmean([spearmanr(values[t][mask[t]], scores[t][mask[t]])[0] for t in range(n)])
    pooled = lambda mask: spearmanr(values[mask], relative[mask])[0]
    return [per_target(others), per_target(known), pooled(others), pooled(known)]


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    rng = np.random.default_rng(7)
    prompts = {t: rng.normal(size=(LENGTH, WIDTH)).astype(np.float32) for t in TASKS}
    prompts["SST2"] = (prompts["IMDB"] + 0.3 * prompts["SST2"]).astype(np.float32)
    saved = {f"{t}PromptTiny": p for t, p in prompts.items()}
    saved |= {n: rng.normal(size=(LENGTH, WIDTH)).astype(np.float32) for n in ["randomPromptTiny", "recastnerPromptTiny", "IMDBPromptAlone"]}
    for name, values in saved.items():
        folder = ROOT / "task_prompt_emb" / name
        folder.mkdir(parents=True)
        torch.save(torch.tensor(values), folder / "task_prompt")

    scores = rng.integers(2, 9, (len(TASKS), len(TASKS))) / 10 + 0.05 * np.eye(len(TASKS))
    scores[4, :] = 0.5  # a target that tells sources apart by its own prompt alone
    scores[4, 4] = 0.9
    scores[2, 3] = math.nan
    lines = ["set\ttarget_task\tprompt_from\tvalue"]
    for t, target in enumerate(TASKS):
        for s, source in enumerate(TASKS):
            if math.isfinite(scores[t, s]):
                lines.append(f"main\t{target}PromptTiny\t{source}PromptTiny\tacc={scores[t, s]:.4f}")
        lines.append(f"main\t{target}PromptTiny\trandomPromptTiny\tacc=0.1")
        lines.append(f"other\t{target}PromptTiny\tIMDBPromptTiny\tacc=0.9999")
    (ROOT / "results.tsv").write_text("\n".join(lines) + "\n")

    expected = {}
    pairs = [[indicators(prompts[t].astype(float), prompts[s].astype(float)) for s in TASKS] for t in TASKS]
    for name in pairs[0][0]:
        values = np.array([[pair[name] for pair in row] for row in pairs])
        values = (values + values.T) / 2  # equal values are ties, whatever the order of their sums
        expected[name] = {"values": values.tolist(), "correlations": correlations(values, scores)}
    (ROOT / "expected.json").write_text(json.dumps({"tasks": TASKS, "indicators": expected}, indent=1) + "\n")


if __name__ == "__main__":
    main()
