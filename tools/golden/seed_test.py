"""Makes tests/golden/statistics/seed_test.json: scores of two systems by seed and text, and what a resampling over both
says of their difference. Written from the definition in experiments/lib/statistics.h with NumPy's random numbers and
SciPy's distributions; needs neither of our programs nor PyTorch."""

import json
from pathlib import Path

import numpy as np
from scipy import stats

PATH = Path(__file__).resolve().parents[2] / "tests" / "golden" / "statistics" / "seed_test.json"
SAMPLES = 400_000


def resampled(values, counts, rng):
    """values [2, K, N] and counts [N]: a score is sum(values) / sum(counts) over texts."""
    _, seeds, texts = values.shape
    times = rng.multinomial(texts, np.full(texts, 1 / texts), size=SAMPLES)  # [SAMPLES, N]
    draws = max(1, seeds - 1)
    chosen = rng.multinomial(draws, np.full(seeds, 1 / seeds), size=SAMPLES)  # [SAMPLES, K]
    by_seed = times @ (values[0] - values[1]).T / (times @ counts)[:, None]  # [SAMPLES, K]
    return (chosen * by_seed).sum(axis=1) / draws


def expected(values, counts, rng):
    seeds = values.shape[1]
    a, b = (values.sum(axis=2) / counts.sum()).mean(axis=1)
    d = resampled(values, counts, rng)
    error = d.std(ddof=1)
    distribution = stats.t(seeds - 1) if seeds > 1 else stats.norm
    wide = (d - d.mean()) * distribution.ppf(0.975) / stats.norm.ppf(0.975)
    low, high = a - b + np.quantile(wide, [0.025, 0.975])
    return {
        "a": a,
        "b": b,
        "low": low,
        "high": high,
        "p": np.mean(np.abs(wide) >= abs(a - b)),
        "standard_error": error,
        "detectable": (distribution.ppf(0.975) + distribution.ppf(0.8)) * error,
    }


def case(name, seeds, texts, difference, of_seeds, of_texts):
    """Deviations: of a system from seed to seed, and of a text's difference between the systems."""
    rng = np.random.default_rng(sum(map(ord, name)))
    counts = rng.integers(1, 6, texts)
    common = rng.normal(0.5, 0.2, texts)
    values = np.empty((2, seeds, texts))
    for system, shift in enumerate((difference, 0)):
        own = common + shift + rng.normal(0, of_texts / 2**0.5, texts)
        for k in range(seeds):
            values[system, k] = (own + rng.normal(0, of_seeds) + rng.normal(0, 0.05, texts)) * counts
    values = values.round(3)
    return {"name": name, "values": values.tolist(), "counts": counts.tolist(), **expected(values, counts, rng)}


def main():
    cases = [
        case("seeds differ", 6, 30, 0.06, 0.05, 0.02),
        case("texts differ", 5, 40, 0.06, 0.002, 0.3),
        case("both differ", 8, 25, 0.08, 0.05, 0.2),
        case("two seeds", 2, 30, 0.1, 0.02, 0.05),
        case("one seed", 1, 40, 0.06, 0.1, 0.2),
    ]
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
