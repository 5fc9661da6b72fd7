"""Trains PyTorch + PEFT on a few E2E examples and decodes test inputs: time, loss and BLEU.

Input `name : X | area : Y ||`, target ` reference` and the end token, loss on the target only.
"""

import argparse
import csv
import json
import random
import sys
import time
from pathlib import Path

import sacrebleu
import torch
import transformers

import common

RATES = {"lora": 1e-3, "prefix": 5e-3, "prompt": 1e-2, "full": 5e-5}
VIRTUAL_TOKENS = {"prefix": 10, "prompt": 20}
PROMPT_TEXT = "Describe the restaurant in one sentence."
NEW_TOKENS = 80


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help=".gguf file or Hugging Face directory")
    parser.add_argument("--data", type=Path, required=True,
                        help="directory with trainset.csv and testset_w_refs.csv")
    parser.add_argument("--tuner", choices=("none", *RATES), required=True)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tests", type=int, default=100, help="distinct test inputs, in order")
    parser.add_argument("--decode-batch", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--form", choices=("float32", "autocast"), default="autocast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, help="file for the decoded texts, one a line")
    return parser.parse_args()


# The data ----------------------------------------------------------------------------------------


def rows(path):
    """Pairs of meaning representation and reference."""
    if not path.exists():
        common.fail(f"{path}: missing; --data wants the official E2E files")
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["mr"], row["ref"]) for row in csv.DictReader(file)]


def linear(meaning):
    """name[X], area[Y] becomes `name : X | area : Y ||`."""
    fields = [part.rstrip("]").split("[", 1) for part in meaning.split("], ")]
    return " | ".join(f"{name} : {value}" for name, value in fields) + " ||"


def training_examples(args, tokenizer):
    """Ids and labels of each example; the prompt is not scored."""
    chosen = random.Random(args.seed).sample(rows(args.data / "trainset.csv"), args.examples)
    examples = []
    for meaning, reference in chosen:
        prompt = tokenizer(linear(meaning)).input_ids
        target = tokenizer(" " + reference).input_ids + [tokenizer.eos_token_id]
        examples.append((prompt + target, [-100] * len(prompt) + target))
    return examples


def padded(batch, device):
    """Padding on the right, where it changes nothing: ids, labels and mask [B, T]."""
    length = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([x + [0] * (length - len(x)) for x, _ in batch])
    labels = torch.tensor([y + [-100] * (length - len(y)) for _, y in batch])
    mask = torch.tensor([[1] * len(x) + [0] * (length - len(x)) for x, _ in batch])
    return dict(input_ids=ids.to(device), labels=labels.to(device), attention_mask=mask.to(device))


# Training and decoding ---------------------------------------------------------------------------


def start_from_text(model, tokenizer):
    """A prompt's rows are the embeddings of a sentence, repeated until they are enough."""
    table = model.prompt_encoder["default"].embedding.weight
    ids = tokenizer(PROMPT_TEXT).input_ids
    ids = (ids * len(table))[:len(table)]
    table.data.copy_(model.word_embeddings(torch.tensor(ids)).detach())


def prepare(args, tokenizer):
    model = common.stored_model(args.model)
    if args.tuner == "none":
        return model.requires_grad_(False).to(args.device)
    model = common.with_tuner(model, args.tuner, VIRTUAL_TOKENS.get(args.tuner, 0))
    if args.tuner == "prompt":
        start_from_text(model, tokenizer)
    return model.to(args.device)


def train(args, model, examples):
    """AdamW with a linear decay to zero; the last epoch's mean loss."""
    optimizer = torch.optim.AdamW(common.trainable(model), lr=RATES[args.tuner], weight_decay=0.0)
    per_epoch = -(-len(examples) // args.batch)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, args.epochs * per_epoch)
    order = random.Random(args.seed)
    model.train()
    for epoch in range(args.epochs):
        order.shuffle(examples)
        losses = []
        for begin in range(0, len(examples), args.batch):
            batch = padded(examples[begin:begin + args.batch], args.device)
            with common.autocast(args.form, args.device):
                loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(common.trainable(model), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(loss.item())
        mean = sum(losses) / len(losses)
        print(f"epoch {epoch + 1}: loss {mean:.4f}", file=sys.stderr)
    return mean


def decode(args, model, tokenizer, meanings):
    """Greedy texts, in the given order. Inputs of one length run together: PEFT's virtual tokens
    would stand before the padding, and change the answers."""
    prompts = {meaning: tokenizer(linear(meaning)).input_ids for meaning in meanings}
    lengths = {}
    for meaning, prompt in prompts.items():
        lengths.setdefault(len(prompt), []).append(meaning)
    texts = {}
    model.eval()
    for group in lengths.values():
        for begin in range(0, len(group), args.decode_batch):
            part = group[begin:begin + args.decode_batch]
            ids = torch.tensor([prompts[meaning] for meaning in part], device=args.device)
            with torch.inference_mode(), common.autocast(args.form, args.device):
                output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids),
                                        do_sample=False, max_new_tokens=NEW_TOKENS,
                                        pad_token_id=tokenizer.eos_token_id)
            for meaning, tokens in zip(part, output[:, ids.shape[1]:]):
                texts[meaning] = tokenizer.decode(tokens, skip_special_tokens=True)
    return [" ".join(texts[meaning].split()) for meaning in meanings]


def bleu(texts, references):
    """Cased, 13a, with all references of each input; shorter lists are filled with None."""
    most = max(map(len, references))
    streams = [[group[i] if i < len(group) else None for group in references]
               for i in range(most)]
    return sacrebleu.corpus_bleu(texts, streams).score


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = common.stored_tokenizer(args.model)
    references = {}
    for meaning, reference in rows(args.data / "testset_w_refs.csv"):
        references.setdefault(meaning, []).append(reference)
    meanings = list(references)[:args.tests]
    model = prepare(args, tokenizer)
    result = {"tuner": args.tuner, "trainable": common.count(common.trainable(model))}
    if args.tuner != "none":
        examples = training_examples(args, tokenizer)
        begin = time.perf_counter()
        result["last_epoch_loss"] = train(args, model, examples)
        result["train_s"] = time.perf_counter() - begin
    begin = time.perf_counter()
    texts = decode(args, model, tokenizer, meanings)
    result["decode_s"] = time.perf_counter() - begin
    result["bleu"] = bleu(texts, [references[meaning] for meaning in meanings])
    result["rss_mib"] = common.peak_resident_mib()
    if args.output:
        args.output.write_text("\n".join(texts) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
