"""Makes tests/golden/generation: what transformers' generate answers on the models of tests/golden/models.

Every input is generated alone and unpadded. End tokens are chosen so that texts do end: one that the
model likes to write after a few steps.
"""

import json
import sys
from collections import Counter

from common import GOLDEN, ids, token_ids, torch, transformers, write_json

KINDS = {
    "llama_gqa": transformers.LlamaForCausalLM,
    "gpt2": transformers.GPT2LMHeadModel,
    "t5": transformers.T5ForConditionalGeneration,
    "t5_1_1": transformers.T5ForConditionalGeneration,
    "flan": transformers.T5ForConditionalGeneration,
    "bart": transformers.BartForConditionalGeneration,
    "bart_old": transformers.BartForConditionalGeneration,
}
LENGTHS = (5, 1, 9, 3)


def cases(often):
    """Options by name; `often` are tokens that the model writes a lot."""
    words = [[often[0]], [often[1], often[0]], [often[2], often[1]]]
    return {
        "greedy": dict(max_new_tokens=12),
        "one": dict(max_new_tokens=1),
        "least": dict(max_new_tokens=12, min_new_tokens=7),
        "no_repeat": dict(max_new_tokens=14, no_repeat_ngram_size=2),
        "forbidden": dict(max_new_tokens=10, bad_words_ids=words),
        "beam": dict(max_new_tokens=12, num_beams=4),
        "several": dict(max_new_tokens=10, num_beams=3, num_return_sequences=3, length_penalty=2.0),
        "short": dict(max_new_tokens=10, num_beams=5, length_penalty=-0.5, num_return_sequences=2),
        "all": dict(max_new_tokens=11, num_beams=4, no_repeat_ngram_size=2, min_new_tokens=4,
                    length_penalty=0.5, bad_words_ids=words, num_return_sequences=2),
    }


def free_running(model, inputs):
    """The tokens that greedy texts without an end have among their best three, the commonest first."""
    count = Counter()
    for sequence in inputs:
        out = model.generate(ids(sequence), max_new_tokens=12, eos_token_id=None, do_sample=False,
                             return_dict_in_generate=True, output_logits=True)
        for logits in out.logits[3:]:
            count.update(logits[0].topk(3).indices.tolist())
    return [token for token, _ in count.most_common()]


def answers(model, sequence, options, eos):
    """[{ids, score}] for beams, [{ids, log_probabilities}] for greedy; new tokens alone."""
    beams = options.get("num_beams", 1)
    out = model.generate(ids(sequence), do_sample=False, eos_token_id=eos, pad_token_id=0,
                         return_dict_in_generate=True, output_logits=True, output_scores=True, **options)
    skip = 1 if model.config.is_encoder_decoder else len(sequence)
    results = []
    for k, tokens in enumerate(out.sequences[:, skip:].tolist()):
        ends = [i for i, token in enumerate(tokens) if token in eos]
        tokens = tokens[:ends[0] + 1] if ends else tokens
        result = {"ids": tokens}
        if beams > 1:
            # An output that ended early is padded; its score counts its own length.
            result["score"] = out.sequences_scores[k].item()
        else:
            steps = zip(out.logits, out.scores, tokens)
            result["log_probabilities"] = [own_probability(*step) for step in steps]
        results.append(result)
    return results


def own_probability(logits, scores, token):
    """What the model itself gives the token; a token that a rule forces has 1."""
    forced = torch.isfinite(scores[0]).sum() == 1
    return 0.0 if forced else torch.log_softmax(logits[0].float(), 0)[token].item()


def golden(name, kind):
    model = kind.from_pretrained(GOLDEN / "models" / name, dtype=torch.float32).eval()
    low, high = 4, model.config.vocab_size
    inputs = [token_ids(length, low, high, name, "generation", i) for i, length in enumerate(LENGTHS)]
    often = free_running(model, inputs)
    eos = [often[2], often[-1]]
    entries = []
    for case, options in cases(often).items():
        with torch.no_grad():
            results = [answers(model, sequence, options, eos) for sequence in inputs]
        entries.append({"name": case, "inputs": inputs, "options": options | {"eos_token_ids": eos},
                        "results": results})
    return {"model": name, "cases": entries}


def main(names):
    for name, kind in KINDS.items():
        if names and name not in names:
            continue
        value = golden(name, kind)
        write_json(GOLDEN / "generation" / f"{name}.json", value)
        lengths = Counter(len(r["ids"]) for c in value["cases"] for i in c["results"] for r in i)
        print(name, json.dumps(dict(sorted(lengths.items()))))


if __name__ == "__main__":
    main(sys.argv[1:])
