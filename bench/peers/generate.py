"""Times greedy or beam generation of transformers: a stored model or random weights in a shape."""

import argparse
import json

import torch

import common


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="directory in Hugging Face form, or a .gguf file")
    source.add_argument("--shape", choices=set(common.SHAPES) - {"roberta-base"})
    parser.add_argument("--tuner", choices=common.TUNERS, default="full", help="full: none")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="one result for each")
    parser.add_argument("--length", type=int, default=32, help="tokens of every prompt")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3, help="timed calls, after one of warm-up")
    parser.add_argument("--form", choices=("float32", "bfloat16"), default="float32", help="type of the weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args()


def load(args):
    dtype = common.weights_of(args.form)
    model = (common.stored_model(args.model, dtype) if args.model
             else common.random_model(args.shape).to(dtype))
    return common.with_tuner(model, args.tuner).to(args.device).eval()


def seconds_of(model, args, batch):
    """One call, by the clock and of processors; the end token is forbidden until the last step, so that every call is as long."""
    ids = torch.randint(4, model.config.vocab_size, (batch, args.length), device=args.device)

    @torch.inference_mode()
    def call():
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                       num_beams=args.beam, min_new_tokens=args.new_tokens,
                       max_new_tokens=args.new_tokens, pad_token_id=0)

    return common.timed(args.device, call)


def main():
    args = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = load(args)
    for batch in args.batch:
        figures = common.figures([seconds_of(model, args, batch) for _ in range(1 + args.steps)][1:])
        print(json.dumps({"form": args.form, "batch": batch, **figures,
                          "tok_s": batch * args.new_tokens / figures["step_s"],
                          "trainable": common.count(common.trainable(model)),
                          **common.memory(args.device)}), flush=True)


if __name__ == "__main__":
    main()
