"""Times a training step (forward, backward, AdamW) of PyTorch + PEFT on random weights, in each form that its users run."""

import argparse
import json

import torch

import common

WARM_UP = 2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=common.SHAPES, required=True)
    parser.add_argument("--tuner", choices=common.TUNERS, required=True)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10, help="timed steps, after two of warm-up")
    parser.add_argument("--form", choices=common.FORMS, default="float32", help="of weights and products (README.md says more)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args()


def random_batch(args, config):
    """Ids and labels [B, T]: every token a target, for RoBERTa one a sequence."""
    shape = (args.batch, args.length)
    ids = torch.randint(4, config.vocab_size, shape)
    labels = torch.randint(4, config.vocab_size, shape) if config.is_encoder_decoder else ids
    if config.model_type == "roberta":
        masked = torch.arange(args.length) == torch.randint(args.length, (args.batch, 1))
        labels = torch.where(masked, ids, -100)
    return ids.to(args.device), labels.to(args.device)


def loss_of(model, ids, labels):
    if model.config.model_type != "roberta":
        return model(input_ids=ids, labels=labels).loss
    # PEFT's wrapper of encoders puts virtual tokens in front, but not in front of the labels.
    logits = model(input_ids=ids).logits[:, -ids.shape[1]:]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def main():
    args = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    kind, _, compiled = args.form.partition("-")
    base = common.random_model(args.shape).to(common.weights_of(kind))
    model = common.with_tuner(base, args.tuner).to(args.device).train()
    parameters = common.trainable(model)
    loss_function = torch.compile(loss_of) if compiled else loss_of
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0)

    def step(ids, labels):
        with common.autocast(kind, args.device):
            loss = loss_function(model, ids, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    batches = (random_batch(args, model.config) for _ in range(WARM_UP + args.steps))
    times = [common.timed(args.device, lambda: step(*batch)) for batch in batches]
    figures = common.figures(times[WARM_UP:])
    print(json.dumps({"form": args.form, **figures, "first_s": times[0][0],
                      "tok_s": args.batch * args.length / figures["step_s"],
                      "trainable": common.count(parameters),
                      **common.memory(args.device)}))


if __name__ == "__main__":
    main()
