"""Makes tests/golden/classification: tiny BERT and RoBERTa with classification heads, their scores, loss and gradients,
and beside each (NAME_peft) a LoRA adapter of PEFT's with a head of its own, as PEFT saves it, with the scores of both."""

import shutil

import peft
from common import GOLDEN, fill, ids, in_double, normal, token_ids, torch, transformers, write_json, write_tensors

FOLDER = GOLDEN / "classification"
LENGTHS = (6, 1, 9, 4)


def specs():
    t = transformers
    size = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                layer_norm_eps=1e-5)
    yield "bert", t.BertForSequenceClassification, t.BertConfig(
        vocab_size=70, max_position_embeddings=32, num_labels=3, **size)
    yield "roberta", t.RobertaForSequenceClassification, t.RobertaConfig(
        vocab_size=64, max_position_embeddings=34, type_vocab_size=1, num_labels=2, **size)


def scores(model, inputs):
    return torch.cat([model(input_ids=ids(sequence)).logits for sequence in inputs])  # [B, C]


def adapter(name, kind, inputs):
    folder = FOLDER / (name + "_peft")
    shutil.rmtree(folder, ignore_errors=True)
    model = kind.from_pretrained(FOLDER / name)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4))
    for parameter_name, p in model.named_parameters():
        if p.requires_grad:
            p.data.copy_(normal(p.shape, 0.3, name, parameter_name))
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    model = in_double(model.eval())
    with torch.no_grad():
        write_tensors(folder / "expected.safetensors", {"scores": scores(model, inputs).float()})


def pairs(folder, model, inputs):
    """pairs.json, pairs.safetensors: the same inputs as two segments each, whose second one begins in the middle."""
    types = [[0] * (len(i) - len(i) // 2) + [1] * (len(i) // 2) for i in inputs]
    with torch.no_grad():
        values = [model(input_ids=ids(i), token_type_ids=torch.tensor([t])).logits for i, t in zip(inputs, types)]
    write_json(folder / "pairs.json", {"types": types})
    write_tensors(folder / "pairs.safetensors", {"scores": torch.cat(values).float()})


def main():
    for name, kind, config in specs():
        folder = FOLDER / name
        model = kind(config)
        fill(model, 0.5, "classification_" + name)
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        inputs = [token_ids(n, 4, config.vocab_size, name, "classes", i) for i, n in enumerate(LENGTHS)]
        classes = [i % config.num_labels for i in range(len(inputs))]
        model = in_double(kind.from_pretrained(folder).eval())
        loss = torch.nn.functional.cross_entropy(scores(model, inputs), torch.tensor(classes))
        loss.backward()
        values = {f"gradients.{k}": p.grad.float() for k, p in model.named_parameters()}
        with torch.no_grad():
            values |= {"scores": scores(model, inputs).float(), "loss": loss.float()[None]}
        write_json(folder / "cases.json", {"inputs": inputs, "classes": classes})
        write_tensors(folder / "expected.safetensors", values)
        if config.type_vocab_size > 1:
            pairs(folder, model, inputs)
        adapter(name, kind, inputs)
        print(name, loss.item(), classes)


if __name__ == "__main__":
    main()
