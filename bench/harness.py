"""What the scripts in this folder share: running programs that print JSON, and saying where and when that was."""

import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUSY = 0.3  # of a processor: with more than that at work, times say little


def add_arguments(parser, rounds, steps):
    parser.add_argument("--program", default=str(ROOT / "build/bin/cambium"))
    parser.add_argument("--steps", type=int, default=steps, help="timed steps of each run, after a warm-up")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=900, metavar="SECONDS", help="of one program; what takes longer is left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single result")


def ours(args, what, options, dtype):
    """What runs cambium's side: `bench step` or `bench generate`."""
    return [args.program, "bench", what, *options, *repeated(args), "--dtype", dtype, "--json"]


def peer(args, what, options, form):
    return [args.python, str(ROOT / "bench/peers" / f"{what}.py"), *options, *repeated(args), "--form", form]


def repeated(args):
    return ["--steps", str(args.steps), "--threads", str(args.threads)]


def run(command, threads, timeout):
    """The last line of what a program prints, as JSON; None if it takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    except subprocess.TimeoutExpired:
        return None
    except OSError as error:
        sys.exit(f"error: {command[0]}: {error.strerror}")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
        sys.exit(f"error: {' '.join(command)}\nexited with {done.returncode}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def median(results, key):
    values = [r[key] for r in results if r is not None]
    return statistics.median(values) if values else float("nan")


def git(*arguments):
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    """Of the checkout, which is not told whether the program was built from it."""
    name = git("rev-parse", "--short", "HEAD") or "unknown"
    return name + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def where(args):
    """Machine, commit, command and peaks, as lines of Markdown."""
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"note: other work may be running here (a load of {load:.1f} in the last minute)", file=sys.stderr)
    peak = run([args.program, "bench", "peak", "--json", "--threads", str(args.threads)], args.threads, args.timeout)
    if peak is None:
        sys.exit(f"error: `{args.program} bench peak` takes more than {args.timeout:.0f} s")
    low = f"{peak['bf16_flops'] / 1e9:.0f} GFLOP/s" if peak["bf16_flops"] else "widened to float32"
    lines = [f"{peak['machine']}; {len(os.sched_getaffinity(0))} processors; level {peak['level']}.",
             f"Commit {commit()}, {datetime.date.today()}: `{' '.join([os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]])}`.",
             f"At most: float32 {peak['f32_flops'] / 1e9:.0f} GFLOP/s, bfloat16 {low}, memory {peak['read_bytes_s'] / 1e9:.0f} GB/s."]
    return "\n".join(lines) + "\n", peak


def write_json(args, peak, results):
    if args.json:
        whole = {"commit": commit(), "date": str(datetime.date.today()), "peak": peak, "results": results}
        args.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
