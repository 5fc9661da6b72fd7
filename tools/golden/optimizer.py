"""Makes tests/golden/optimizer: steps of PyTorch's and transformers' optimizers on a few tensors, in float64.

adafactor.* factors every matrix (transformers has no threshold), and is what PyTorch's own Adafactor is not: with the
step's decay 1 - t^-0.8, the clip of the update's RMS, and the rate times the parameter's RMS where asked for.
"""

import shutil

from common import GOLDEN, normal, torch, transformers, write_json, write_tensors

FOLDER = GOLDEN / "optimizer"
SHAPES = ((5, 7), (11,), (4, 30), (6, 3))
STEPS, LR, CLIP = 7, 0.03, 2.5


def make(name, options, build):
    parameters = [torch.nn.Parameter(normal(shape, 0.5, name, i).double()) for i, shape in enumerate(SHAPES)]
    tensors = {f"start.{i}": p.detach().clone() for i, p in enumerate(parameters)}
    optimizer = build(parameters)
    norms = []
    for step in range(STEPS):
        for i, p in enumerate(parameters):
            # Small, then large, then small again, so that clipping does something in some steps.
            p.grad = normal(p.shape, (0.02, 0.1, 3.0)[step % 3], name, step, i).double()
            tensors[f"gradient.{step}.{i}"] = p.grad.clone()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, CLIP).item())
        optimizer.step()
        if step in (0, STEPS - 1):
            tensors |= {f"after.{step}.{i}": p.detach().clone() for i, p in enumerate(parameters)}
    assert min(norms) < CLIP < max(norms), norms
    stored = {k: v.float() for k, v in tensors.items()}
    stored |= {k + ".rest": (v - v.float()).float() for k, v in tensors.items() if "after" in k}  # what float32 has not
    write_tensors(FOLDER / f"{name}.safetensors", stored)
    return {"name": name, "options": options, "steps": STEPS, "tensors": len(SHAPES), "lr": LR, "clip": CLIP,
            "norms": norms}


def adafactor(**kind):
    return lambda p: transformers.Adafactor(p, lr=LR, relative_step=False, warmup_init=False, **kind)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    torch_optim = torch.optim
    cases = [
        make("adamw", {"optimizer": "adamw", "beta1": 0.85, "beta2": 0.97, "epsilon": 1e-6, "weight_decay": 0.1},
             lambda p: torch_optim.AdamW(p, lr=LR, betas=(0.85, 0.97), eps=1e-6, weight_decay=0.1)),
        make("sgd", {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.2},
             lambda p: torch_optim.SGD(p, lr=LR, momentum=0.9, weight_decay=0.2)),
        make("sgd_plain", {"optimizer": "sgd", "weight_decay": 0.2},
             lambda p: torch_optim.SGD(p, lr=LR, weight_decay=0.2)),
        make("adafactor", {"optimizer": "adafactor"}, adafactor(scale_parameter=False)),
        make("adafactor_scaled", {"optimizer": "adafactor", "scale_by_parameter": True, "decay_rate": 0.6, "clip": 0.7},
             adafactor(scale_parameter=True, decay_rate=-0.6, clip_threshold=0.7)),
        # Scaled by the parameter too, transformers' decay would be (T5X's and PyTorch's is not).
        make("adafactor_decay", {"optimizer": "adafactor", "weight_decay": 0.1},
             adafactor(scale_parameter=False, weight_decay=0.1)),
        make("adafactor_epsilons", {"optimizer": "adafactor", "scale_by_parameter": True, "epsilon1": 1e-3,
                                    "epsilon2": 2.0},
             adafactor(scale_parameter=True, eps=(1e-3, 2.0))),
    ]
    write_json(FOLDER / "cases.json", cases)
    for case in cases:
        print(case["name"], [round(n, 3) for n in case["norms"]])


if __name__ == "__main__":
    main()
