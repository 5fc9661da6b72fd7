"""Ten examples for each task of GLUE and SuperGLUE (see tasks.py)."""

import re

from task_examples import (FIRST, SECOND, TEN, expect, inference_cloze, jsonl, lower_first, no_mark, pair,
                           paraphrase_cloze, t5, task, tsv)


# GLUE ---------------------------------------------------------------------------------------------------------------


@task
def sst2(folder):
    tsv(folder, "dev.tsv", ["sentence", "label"], [[FIRST[i] + " ", i % 2] for i in TEN])
    return [expect(["negative", "positive"][i % 2], encoder=[FIRST[i]], decoder=t5(sentence=FIRST[i]),
                   cloze=[FIRST[i] + " It was {mask}."]) for i in TEN]


@task
def cola(folder):
    tsv(folder, "dev.tsv", None, [["zz01", i % 2, "*" if i % 2 == 0 else "", FIRST[i]] for i in TEN])
    return [expect(["unacceptable", "acceptable"][i % 2], encoder=[FIRST[i]], decoder=t5(sentence=FIRST[i]),
                   cloze=[FIRST[i] + " This is {mask}."]) for i in TEN]


@task
def mrpc(folder):
    tsv(folder, "dev.tsv", ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        [[i % 2, 100 + i, 200 + i, FIRST[i], SECOND[i]] for i in TEN])
    return pair("sentence1", "sentence2", ["not_equivalent", "equivalent"], paraphrase_cloze)


@task
def qqp(folder):
    rows = [[i, 2 * i, 2 * i + 1, FIRST[i], SECOND[i], i % 2] for i in TEN]
    tsv(folder, "dev.tsv", ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
        rows[:4] + [[99, 1, 2, "A row that broke off"]] + rows[4:])
    return pair("question1", "question2", ["not_duplicate", "duplicate"], paraphrase_cloze)


def mnli_files(folder, name):
    labels = ["entailment", "neutral", "contradiction"]
    head = ["index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse",
            "sentence1_parse", "sentence2_parse", "sentence1", "sentence2", "label1", "label2", "label3", "label4",
            "label5", "gold_label"]
    tsv(folder, name, head, [[i, i, i, "fiction", "( )", "( )", "(R )", "(R )", FIRST[i], SECOND[i]] +
                             ["neutral"] * 5 + [labels[i % 3]] for i in TEN])
    return pair("premise", "hypothesis", labels, inference_cloze)


@task
def mnli(folder):
    return mnli_files(folder, "dev_matched.tsv")


@task
def mnli_mismatched(folder):
    return mnli_files(folder, "dev_mismatched.tsv")


@task
def qnli(folder):
    labels = ["entailment", "not_entailment"]
    tsv(folder, "dev.tsv", ["index", "question", "sentence", "label"],
        [[i, FIRST[i], SECOND[i], labels[i % 2]] for i in TEN])
    return pair("question", "sentence", labels, inference_cloze)


@task
def rte(folder):
    labels = ["entailment", "not_entailment"]
    tsv(folder, "dev.tsv", ["index", "sentence1", "sentence2", "label"],
        [[i, FIRST[i], SECOND[i], labels[i % 2]] for i in TEN])
    return pair("sentence1", "sentence2", labels, inference_cloze)


@task
def wnli(folder):
    tsv(folder, "dev.tsv", ["index", "sentence1", "sentence2", "label"],
        [[i, FIRST[i], SECOND[i], i % 2] for i in TEN])
    return pair("sentence1", "sentence2", ["not_entailment", "entailment"], inference_cloze)


@task
def stsb(folder):
    scores = ["5.000", "0.0", "3.75", "2.5", "1.111", "4.9", "0.5", "3.2", "2.083", "4.0"]
    tsv(folder, "dev.tsv", ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1",
                            "sentence2", "score"],
        [[i, "main", "f", "2012", i, "none", "none", FIRST[i], SECOND[i], scores[i]] for i in TEN])
    answers = ["%.1f" % (round(float(s) * 5) / 5) for s in scores]
    return [dict(e, answer=a) for e, a in zip(pair("sentence1", "sentence2", [""]), answers)]

# SuperGLUE ----------------------------------------------------------------------------------------------------------


@task
def boolq(folder):
    jsonl(folder, "val.jsonl", [dict(question=SECOND[i][:-1].lower(), passage=FIRST[i], idx=i, label=i % 2 == 1)
                                for i in TEN])
    return [expect(["False", "True"][i % 2], encoder=[FIRST[i], SECOND[i][:-1].lower()],
                   decoder=t5(passage=FIRST[i], question=SECOND[i][:-1].lower()),
                   cloze=[f"{FIRST[i]}. Question: {SECOND[i][:-1].lower()}? Answer: {{mask}}."]) for i in TEN]


@task
def cb(folder):
    labels = ["entailment", "contradiction", "neutral"]
    jsonl(folder, "val.jsonl", [dict(premise=FIRST[i], hypothesis=SECOND[i], label=labels[i % 3], idx=i) for i in TEN])
    return [dict(e, cloze=[f'"{no_mark(SECOND[i])}" ?', f'{{mask}}, "{no_mark(FIRST[i])}"'])
            for i, e in enumerate(pair("premise", "hypothesis", labels))]


def copa_files(folder):
    jsonl(folder, "val.jsonl", [dict(premise=FIRST[i], choice1=SECOND[i], choice2=SECOND[9 - i],
                                     question=["cause", "effect"][i % 2], label=i // 2 % 2, idx=i) for i in TEN])


@task
def copa(folder):
    copa_files(folder)
    rows = []
    for i in TEN:
        asks = ["cause", "effect"][i % 2]
        rows.append(expect(["choice1", "choice2"][i // 2 % 2], encoder=[f"{FIRST[i]} {asks}", f"{SECOND[i]} {SECOND[9 - i]}"],
                           decoder=t5(choice1=SECOND[i], choice2=SECOND[9 - i], premise=FIRST[i], question=asks)))
    return rows


@task
def copa_lm(folder):
    copa_files(folder)
    return [expect(lower_first([SECOND[i], SECOND[9 - i]][i // 2 % 2]),
                   decoder=no_mark(FIRST[i]) + [" because", " so"][i % 2]) for i in TEN]


@task
def wic(folder):
    words = ["mill", "train", "door", "day", "open", "cat", "sell", "week", "be", "think"]
    jsonl(folder, "val.jsonl", [dict(word=words[i], sentence1=FIRST[i], sentence2=SECOND[i], idx=i, label=i % 2 == 1,
                                     start1=0, start2=0, end1=1, end2=1, version=1.1) for i in TEN])
    return [expect(["False", "True"][i % 2], encoder=[f"{words[i]}: {FIRST[i]}", SECOND[i]],
                   decoder=f"sentence1: {FIRST[i]} sentence2: {SECOND[i]} word: {words[i]}",
                   cloze=[f'"{FIRST[i]}" / "{SECOND[i]}" Similar sense of "{words[i]}"? {{mask}}.']) for i in TEN]


@task
def wsc(folder):
    rows, expected = [], []
    for i in TEN:
        first = ["Anna", "Ben", "Carla", "Dan", "Ellen"][i % 5]
        words = f"{first} thanked the neighbour because she had {['helped', 'called', 'waited'][i % 3]} .".split(" ")
        place = words.index("she")
        rows.append(dict(text=" ".join(words), target=dict(span1_index=0, span1_text=first, span2_index=place,
                                                           span2_text="she"), idx=i, label=i % 2 == 1))
        marked = " ".join(words[:place] + ["*she*"] + words[place + 1:])
        expected.append(expect(["False", "True"][i % 2], encoder=[marked, first], decoder=f"text: {marked} noun: {first}"))
    jsonl(folder, "val.jsonl", rows)
    return expected


@task
def multirc(folder):
    rows, expected = [], []
    for p in range(2):
        text = f"<b>Sent 1: </b>{FIRST[p]}<br><b>Sent 2: </b>{FIRST[p + 2]}<br>"
        plain = re.sub("<(/)?b>", "", text.replace("<br>", " "))
        questions = []
        for q in range(2):
            answers = [dict(text=SECOND[(p + q + a) % 10], idx=a, label=(p + a) % 2) for a in range(2 + (q == 0))]
            questions.append(dict(question=f"What about {q}?", answers=answers, idx=q))
            for a in answers:
                expected.append(expect(["False", "True"][a["label"]], encoder=[plain, f"What about {q}? {a['text']}"],
                                       decoder=f"question: What about {q}? answer: {a['text']} paragraph: {plain}",
                                       cloze=[f"{plain}. Question: What about {q}? Is it {a['text']}? {{mask}}."]))
        rows.append(dict(idx=p, version=1.1, passage=dict(text=text, questions=questions)))
    jsonl(folder, "val.jsonl", rows)
    return expected


@task
def record(folder):
    rows, expected = [], []
    for i in TEN:
        text = f"Zürich and Ann met Bob in Oslo{['', '.'][i % 2]}\n@highlight\n{FIRST[i]}\n@highlight\nAnn left"
        names = ["Zürich", "Ann", "Bob", "Oslo"]
        spans = [dict(start=text.index(n), end=text.index(n) + len(n) - 1) for n in names + ["Ann"]]
        query = f"@placeholder went home, {i}"
        answers = [["Bob"], ["Ann", "Bob", "Ann"]][i % 2]
        rows.append(dict(source="x", passage=dict(text=text, entities=spans), idx=i,
                         qas=[dict(query=query, idx=i, answers=[dict(start=0, end=1, text=a) for a in answers])]))
        plain = re.sub(r"(\.|\?|\!|\"|\')\n@highlight\n", r"\1 ", text)
        plain = re.sub(r"\n@highlight\n", ". ", plain)
        unique = sorted(set(answers))
        expected.append(dict(decoder=f"query: {query} entities: {', '.join(sorted(names))} passage: {plain}",
                             targets=unique, references=unique))
    jsonl(folder, "val.jsonl", rows)
    return expected
