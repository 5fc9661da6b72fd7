"""SST-2 with a sequence-to-sequence model and PEFT's prompt tuning: accuracy on dev before and after, as one JSON object.

    python sst2.py --model DIR --data DIR [--steps 200] [--length 20] [--lr 0.3] [--batch 16] [--no-shuffle] [--text T]

The same setting as `cambium train --task sst2 --tuner prompt`: "sentence: ..." to "positive" or "negative", loss on
all target tokens, AdamW without decay, a constant learning rate, gradients clipped to 1. The answer is the label whose first
token is more probable at the first step of the decoder. With --no-shuffle both take the examples in the order of the file, with --text
both prompts start from the embeddings of that text's tokens, repeated (`--option init=text --option text=T`).
"""

import argparse
import csv
import json
import time
from pathlib import Path

import peft
import torch
import transformers

WORDS = ["negative", "positive"]


def rows(path):
    with open(path, newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["sentence"].strip(), int(row["label"])) for row in table]


def encode(tokenizer, batch):
    texts = [f"sentence: {sentence}" for sentence, _ in batch]
    return tokenizer(texts, return_tensors="pt", padding=True)


@torch.no_grad()
def accuracy(model, tokenizer, examples, batch):
    words = [tokenizer(word, add_special_tokens=False).input_ids[0] for word in WORDS]
    right = 0
    for i in range(0, len(examples), batch):
        part = examples[i:i + batch]
        inputs = encode(tokenizer, part)
        start = torch.zeros(len(part), 1, dtype=torch.long)
        logits = model(**inputs, decoder_input_ids=start).logits[:, 0][:, words]
        right += (logits.argmax(1) == torch.tensor([label for _, label in part])).sum().item()
    return right / len(examples)


def start_from(model, tokenizer, text):
    """The prompt's rows become the embeddings of the text's tokens, repeated; without the end token that PEFT's TEXT start has."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    rows = model.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        rows.copy_(model.get_input_embeddings().weight[[ids[i % len(ids)] for i in range(len(rows))]])


def train(model, tokenizer, examples, args):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=args.lr, weight_decay=0)
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(args.seed)).tolist()
    if args.no_shuffle:
        order = list(range(len(examples)))
    losses = []
    for step in range(args.steps):
        part = [examples[order[(step * args.batch + k) % len(order)]] for k in range(args.batch)]
        labels = tokenizer([WORDS[label] for _, label in part], return_tensors="pt", padding=True).input_ids
        labels[labels == tokenizer.pad_token_id] = -100
        loss = model(**encode(tokenizer, part), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    for name, value in (("steps", 200), ("length", 20), ("batch", 16), ("seed", 0), ("threads", 2), ("limit-dev", 872)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--lr", type=float, default=0.3)
    parser.add_argument("--no-shuffle", action="store_true")
    parser.add_argument("--text", default="", help="what the prompt starts from (default: tokens drawn from the vocabulary)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(args.model, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    folder = Path(args.data)
    train_file = folder / "train_full.tsv" if (folder / "train_full.tsv").exists() else folder / "train.tsv"
    dev = rows(folder / "dev.tsv")[:args.limit_dev]
    result = {"zero_shot": accuracy(model.eval(), tokenizer, dev, 64)}
    if args.steps:
        config = peft.PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=args.length,
                                         prompt_tuning_init="SAMPLE_VOCAB", tokenizer_name_or_path=args.model)
        model = peft.get_peft_model(model, config)
        if args.text:
            start_from(model, tokenizer, args.text)
        start = time.time()
        losses = train(model, tokenizer, rows(train_file), args)
        result |= {"seconds": time.time() - start, "last_loss": sum(losses[-20:]) / len(losses[-20:]),
                   "accuracy": accuracy(model.eval(), tokenizer, dev, 64)}
    print(json.dumps(vars(args) | result))


if __name__ == "__main__":
    main()
