#!/usr/bin/env python3
"""Puts finished pre-training runs into a folder for others: models in bfloat16, how each came about, loss curves, hashes.

    tools/release.py RELEASE RUN... [--program build/bin/cambium]

RELEASE/NAME is a model in Hugging Face form (NAME is the run's directory), with its pretraining.json; RELEASE/README.md lists
all of them, losses.svg shows their losses (needs gnuplot), SHA256SUMS is for `sha256sum -c`. Copied into
~/.cache/cambium/models, a model is known by its name.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

SMOOTHED = 25  # steps of the mean that the curves show
SHOWN = 150    # points of a curve


def training_losses(run):
    """(step, mean loss of the last steps) of a run."""
    losses = [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    apart = max(1, len(losses) // SHOWN)
    return [(step, sum(losses[max(0, step - SMOOTHED):step]) / min(step, SMOOTHED)) for step in range(1, len(losses) + 1, apart)]


def draw(runs, path):
    """A panel for each objective: training losses as lines, dev losses as points."""
    objectives = list(dict.fromkeys(facts["objective"] for _, facts in runs))
    script = [f"set terminal svg size 900,{360 * len(objectives)} dynamic background rgb 'white' font 'sans-serif,14'",
              f"set output '{path}'", f"set multiplot layout {len(objectives)},1",
              "set grid; set xlabel 'step'; set ylabel 'loss a scored token'; set key top right"]
    for objective in objectives:
        lines, data = [], []
        for color, (run, facts) in enumerate([r for r in runs if r[1]["objective"] == objective], start=1):
            for style, points in ((f"lines lw 1.5 lc {color} title '{run.name}'", training_losses(run)),
                                  (f"points pt 7 ps 0.6 lc {color} title '{run.name}, dev'",
                                   [(d["step"], d["loss"]) for d in facts.get("dev", [])])):
                if points:
                    lines.append(f"'-' with {style}")
                    data += [f"{step} {loss}" for step, loss in points] + ["e"]
        script += [f"set title '{objective}'", "plot " + ", ".join(lines), *data]
    script.append("unset multiplot")
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


def origin(model):
    """runs/NAME/model as NAME."""
    return Path(model).parent.name if model.endswith("/model") else model


def table(runs, release):
    rows = ["| model | goes on from | objective | parameters | trained | steps | tokens of a step | dev loss | dev perplexity | seconds |",
            "|---|---|---|---|---|---|---|---|---|---|"]
    for run, f in runs:
        dev = f["dev"][-1] if f.get("dev") else {"loss": float("nan"), "perplexity": float("nan")}
        seconds = "?" if f["seconds"] is None else f"{f['seconds']:.0f}"
        rows.append(f"| {run.name} | {origin(f['model'])} | {f['objective']} | {f['parameters']:,} | {f['trained']:,} | {f['steps']:,} "
                    f"| {f['batch_size']} x {f['length']} | {dev['loss']:.3f} | {dev['perplexity']:.1f} | {seconds} |")
    (release / "README.md").write_text("# Models from `pretrain`\n\n" + "\n".join(rows) + "\n\n![losses](losses.svg)\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--program", default=str(Path(__file__).parent.parent / "build/bin/cambium"))
    args = parser.parse_args()
    unfinished = [str(run) for run in args.runs if not (run / "pretraining.json").exists()]
    if unfinished:
        sys.exit(f"error: {', '.join(unfinished)}: no finished run of pretrain (no pretraining.json)")
    if args.release.exists():
        sys.exit(f"error: {args.release} is there: give a new folder")

    runs = [(run, json.loads((run / "pretraining.json").read_text(encoding="utf-8"))) for run in args.runs]
    args.release.mkdir(parents=True)
    for run, _ in runs:
        subprocess.run([args.program, "convert", str(run / "model"), str(args.release / run.name), "--dtype", "bf16"], check=True)
        shutil.copy(run / "pretraining.json", args.release / run.name)
    table(runs, args.release)
    if shutil.which("gnuplot"):
        draw(runs, args.release / "losses.svg")
    else:
        print("note: there is no gnuplot (Debian: gnuplot-nox): losses.svg is left out", file=sys.stderr)
    files = sorted(p for p in args.release.rglob("*") if p.is_file())
    sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(args.release)}\n" for p in files)
    (args.release / "SHA256SUMS").write_text(sums, encoding="utf-8")
    print(f"{args.release}: {len(runs)} models, {sum(p.stat().st_size for p in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
