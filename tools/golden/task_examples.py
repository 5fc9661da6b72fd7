"""Sentences of ours, and what writes files of them: what tasks_glue.py and tasks_others.py share."""

import json

FIRST = ["The old mill stands by the river.", "Nobody saw the train leave.", 'She said "wait" and closed the door.',
         "It was, all in all, a long and tiring day!", "Did the café open at nine?", "A cat sleeps on the warm stove.",
         "They sold 3,500 apples - more than ever before.", "Rain fell for a week", "He's never been to Zürich.",
         "I do not think that this works."]
SECOND = ["A mill is near water.", "The train left unseen.", "A door was closed by her.", "The day was short.",
          "Coffee was sold before noon.", "An animal is asleep.", "Fruit was sold.", "The week was dry.",
          "Zürich is known to him.", "He doubts it."]
TEN = range(10)


def lower_first(s):
    return s[:1].lower() + s[1:]


def no_mark(s):
    return s[:-1] if s[-1] in ".,!?" else s


def tsv(folder, name, header, rows):
    lines = ["\t".join(map(str, row)) for row in ([header] if header else []) + rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def jsonl(folder, name, rows):
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def t5(**features):
    return " ".join(f"{name}: {value}" for name, value in features.items())


TASKS = {}


def task(f):
    TASKS[f.__name__] = f
    return f


def expect(answer, **texts):
    return dict(texts, answer=answer)


def pair(name1, name2, labels, cloze=None, decoder=None):
    """Expected of FIRST and SECOND under two names, T5's order being alphabetical."""
    rows = []
    for i in TEN:
        values = {name1: FIRST[i], name2: SECOND[i]}
        texts = dict(encoder=[FIRST[i], SECOND[i]], decoder=t5(**{k: values[k] for k in sorted(values)}))
        if cloze:
            texts["cloze"] = [cloze(FIRST[i], SECOND[i])]
        rows.append(expect(labels[i % len(labels)], **texts))
    return rows


def paraphrase_cloze(a, b):
    return f"{a} {{mask}}, {lower_first(b)}"


def inference_cloze(a, b):
    return f"{no_mark(a)}? {{mask}}, {lower_first(b)}"
