"""Ten examples for each task beyond GLUE and SuperGLUE (see tasks.py)."""

import csv
import json
import re

from task_examples import FIRST, SECOND, TEN, expect, inference_cloze, jsonl, pair, t5, task, tsv


# Others' classes ----------------------------------------------------------------------------------------------------


@task
def snli(folder):
    labels = ["entailment", "neutral", "contradiction"]
    rows = [dict(annotator_labels=[labels[i % 3]], gold_label=labels[i % 3], sentence1=FIRST[i], sentence2=SECOND[i])
            for i in TEN]
    jsonl(folder, "snli_1.0_dev.jsonl", rows[:3] + [dict(rows[3], gold_label="-")] + rows[3:])
    return pair("premise", "hypothesis", labels, inference_cloze)


@task
def sick(folder):
    labels = ["entailment", "neutral", "contradiction"]
    tsv(folder, "SICK_trial.txt", ["pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment"],
        [[i, FIRST[i], SECOND[i], "3.5", labels[i % 3].upper()] for i in TEN])
    return pair("premise", "hypothesis", labels, inference_cloze)


def aspect_files(folder, name):
    """RoBERTa reads sentence + " " + aspect, and the mask stands in front. (Su et al. 2022)"""
    terms = ["mill", "train", "door", "day", "café", "cat", "apples", "Rain", "Zürich", "this"]
    lines, expected = [], []
    for i in TEN:
        lines += [FIRST[i].replace(terms[i], "$T$", 1), terms[i], str(i % 3 - 1)]
        words = f"{FIRST[i]} {terms[i]}"
        expected.append(expect(["negative", "moderate", "positive"][i % 3], encoder=[words], decoder=words,
                               cloze=["{mask} " + words]))
    (folder / f"{name}_Test_Gold.xml.seg").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return expected


@task
def laptop(folder):
    return aspect_files(folder, "Laptops")


@task
def restaurant(folder):
    return aspect_files(folder, "Restaurants")


@task
def movie_reviews(folder):
    for name, texts in ("neg", FIRST), ("pos", SECOND):
        (folder / name).mkdir()
        for i in TEN:  # the first eight are for training
            (folder / name / f"cv{i:03}.txt").write_text(f"{texts[i]}\n{texts[9 - i]} \n", encoding="utf-8")
    (folder / "split.train").write_text("")
    words = [[f"{texts[i]} {texts[9 - i]}" for i in range(8)] for texts in (FIRST, SECOND)]
    return [expect(label, encoder=[w], decoder=w, cloze=["{mask} " + w])
            for label, part in zip(["negative", "positive"], words) for w in part]


def tweets(folder, labels, cloze):
    (folder / "val_text.txt").write_text("".join(s + " \n" for s in FIRST), encoding="utf-8")
    (folder / "val_labels.txt").write_text("".join(f"{i % len(labels)}\n" for i in TEN), encoding="utf-8")
    return [expect(labels[i % len(labels)], encoder=[FIRST[i]], decoder=FIRST[i],
                   **({"cloze": ["{mask} " + FIRST[i]]} if cloze else {})) for i in TEN]


@task
def tweet_sentiment(folder):
    return tweets(folder, ["negative", "moderate", "positive"], True)


@task
def tweet_emotion(folder):
    return tweets(folder, ["anger", "joy", "optimism", "sadness"], False)


@task
def tweet_irony(folder):
    return tweets(folder, ["literal", "ironic"], False)


def ethics(folder, name, header, rows):
    with open(folder / name, "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([header] + rows)


@task
def ethics_deontology(folder):
    ethics(folder, "deontology_test.csv", ["label", "scenario", "excuse"], [[i % 2, FIRST[i], SECOND[i]] for i in TEN])
    return [expect(["unacceptable", "acceptable"][i % 2], encoder=[FIRST[i], SECOND[i]],
                   decoder=f"{FIRST[i]} {SECOND[i]}", cloze=["{mask} " + FIRST[i], SECOND[i]]) for i in TEN]


@task
def ethics_justice(folder):
    ethics(folder, "justice_test.csv", ["label", "scenario"], [[i % 2, FIRST[i]] for i in TEN])
    return [expect(["unacceptable", "acceptable"][i % 2], encoder=[FIRST[i]], decoder=FIRST[i],
                   cloze=["{mask} " + FIRST[i]]) for i in TEN]


def sentence(label, words, cloze):
    return expect(label, encoder=[words], decoder=t5(sentence=words), cloze=[cloze.format(words, mask="{mask}")])


@task
def sst5(folder):
    labels = ["terrible", "bad", "okay", "good", "great"]
    (folder / "stsa.fine.dev").write_text("".join(f"{i % 5} {FIRST[i]}\n" for i in TEN), encoding="utf-8")
    return [sentence(labels[i % 5], FIRST[i], "{} It was {mask}.") for i in TEN]


def by_class(folder, first, second, labels, cloze):
    """Ten lines a class, of which the first eight are for training."""
    for name, texts in (first, FIRST), (second, SECOND):
        (folder / name).write_bytes("".join(s + " \n" for s in texts).encode("latin-1"))
    (folder / "split.train").write_text("")
    parts = sorted(zip(labels, (FIRST, SECOND)))  # classes come in the order of their names
    return [sentence(label, s, cloze) for label, texts in parts for s in texts[:8]]


@task
def subjectivity(folder):
    return by_class(folder, "quote.tok.gt9.5000", "plot.tok.gt9.5000", ["subjective", "objective"],
                    "{} This is {mask}.")


@task
def sentence_polarity(folder):
    return by_class(folder, "rt-polarity.neg", "rt-polarity.pos", ["negative", "positive"], "{} It was {mask}.")


@task
def trec(folder):
    labels = dict(DESC="Description", ENTY="Entity", ABBR="Expression", HUM="Human", LOC="Location", NUM="Number")
    keys = list(labels)
    (folder / "TREC_10.label").write_bytes("".join(f"{keys[i % 6]}:kind {FIRST[i]}\n" for i in TEN).encode("latin-1"))
    return [sentence(labels[keys[i % 6]], FIRST[i], "{mask}: {}") for i in TEN]


# Texts --------------------------------------------------------------------------------------------------------------


def facts(i):
    return [(f"Subject_{i}", ["bornIn", "likesTo"][i % 2], '"1932-07-27"'), (f"A & B <{i}>", "partOf", "Zürich")][:1 + i % 2]


def linearised(triples, lower=False):
    return " | ".join(f"{s} : {r.lower() if lower else r} : {o}" for s, r, o in triples) + " ||"


def webnlg_files(folder, categories):
    escape = lambda s: s.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    lines, expected = ["<?xml version='1.0' encoding='UTF-8'?>", "<benchmark><!-- ours -->", "  <entries>"], []
    for i in TEN:
        category = ["Airport", "Food", "Artist", "Athlete"][i % 4]
        lines.append(f'    <entry category="{category}" eid="Id{i}" size="{len(facts(i))}"><modifiedtripleset>')
        lines += [f"      <mtriple>{escape(' | '.join(t))}</mtriple>" for t in facts(i)] + ["</modifiedtripleset>"]
        texts = [(FIRST[i], "good"), (SECOND[i], "toFix"), (SECOND[9 - i], "good")]
        lines += [f'      <lex comment="{c}" lid="Id{k}">{escape(t)}</lex>' for k, (t, c) in enumerate(texts)]
        lines.append("    </entry>")
        if category in categories:
            expected.append(dict(decoder=linearised(facts(i)), targets=[FIRST[i], SECOND[9 - i]],
                                 references=[t for t, _ in texts]))
    (folder / "test").mkdir()
    (folder / "split.test").write_text("")
    (folder / "test" / "testdata_with_lex.xml").write_text("\n".join(lines + ["  </entries>", "</benchmark>"]) + "\n",
                                                           encoding="utf-8")
    return expected


@task
def webnlg(folder):
    return webnlg_files(folder, ["Airport", "Food", "Artist", "Athlete"])


@task
def webnlg_seen(folder):
    return webnlg_files(folder, ["Airport", "Food"])


@task
def webnlg_unseen(folder):
    return webnlg_files(folder, ["Artist", "Athlete"])


@task
def dart(folder):
    rows = [dict(tripleset=[list(t) for t in facts(i)], subtree_was_extended=False,
                 annotations=[dict(source="ours", text=FIRST[i]), dict(source="ours", text=SECOND[i])]) for i in TEN]
    (folder / "dart-v1.1.1-full-dev.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    return [dict(decoder=linearised(facts(i), True), targets=[FIRST[i], SECOND[i]], references=[FIRST[i], SECOND[i]])
            for i in TEN]


@task
def dialogsum(folder):
    rows = [dict(fname=f"test_{i}", dialogue=f"#Person1#: {FIRST[i]}\n#Person2#: {SECOND[i]}",
                 **{f"summary{k}": f"{SECOND[i]} {k}" for k in (1, 2, 3)}, topic1="a") for i in TEN]
    jsonl(folder, "dialogsum.test.jsonl", rows)
    (folder / "split.test").write_text("")
    return [dict(decoder=f"#Person1#: {FIRST[i]} #Person2#: {SECOND[i]}", targets=[f"{SECOND[i]} {k}" for k in (1, 2, 3)],
                 references=[f"{SECOND[i]} {k}" for k in (1, 2, 3)]) for i in TEN]


def padded(s):
    return re.sub(r"\s+", " ", re.sub(r"([!-/:-@\[-`{-~])", r" \1 ", s)).strip()


def questions(i):
    words = FIRST[i].split()
    return f"What about {words[1]}?", [words[-1], FIRST[i]]


def asked(i):
    question, answers = questions(i)
    return dict(decoder=f"question: {padded(question)} context: {padded(FIRST[i])}", targets=[padded(answers[0])],
                references=answers)


@task
def squad(folder):
    paragraphs = []
    for i in TEN:
        question, answers = questions(i)
        paragraphs.append(dict(context=FIRST[i], qas=[dict(id=str(i), question=question, answers=[
            dict(text=a, answer_start=FIRST[i].index(a)) for a in answers])]))
    data = [dict(title="ours", paragraphs=paragraphs[:4]), dict(title="ours too", paragraphs=paragraphs[4:])]
    (folder / "dev-v1.1.json").write_text(json.dumps(dict(version="1.1", data=data), ensure_ascii=False), encoding="utf-8")
    return [asked(i) for i in TEN]


@task
def mrqa(folder):
    rows = [dict(header=dict(dataset="ours", split="dev"))]
    for i in TEN:
        question, answers = questions(i)
        rows.append(dict(id=str(i), context=FIRST[i], qas=[dict(qid=str(i), question=question, answers=answers,
                                                                detected_answers=[])]))
    jsonl(folder, "dev.jsonl", rows)
    return [asked(i) for i in TEN]
