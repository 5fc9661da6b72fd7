"""Makes goldens.json.xz: what the original programs answer to the inputs that the tests of the metrics use.

Needs sacrebleu, rouge_score, scikit-learn, scipy and pycocoevalcap 1.2 (with Java, for the Stanford tokenizer and
METEOR 1.5). Arguments: mteval/mteval-v13a-sig.pl of the challenge's e2e-metrics (with Perl and its XML::Twig), the E2E
development set (devset.csv) and outputs of systems for it, one line an MR, with
NAME=FILE=bleu,nist,cider,rouge,meteor, the scores that the challenge's script gave them.
"""
import csv
import json
import lzma
import math
import os
import random
import re
import subprocess
import sys
import tempfile

import pycocoevalcap
from nltk.stem.porter import PorterStemmer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF, TER
from scipy import stats
from sklearn import metrics as sk

COCO = os.path.dirname(pycocoevalcap.__file__) if pycocoevalcap.__file__ else list(pycocoevalcap.__path__)[0]


def sacrebleu_case(name, references, outputs):
    """References may differ in number; sacrebleu's own statistics are added up as it does."""
    case = {"name": name, "references": references, "outputs": outputs, "scores": {}, "sentences": {}}
    for key, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        rows = []
        for output, group in zip(outputs, references):
            rows.append(metric._extract_corpus_statistics([output], [[r] for r in group])[0])
        case["scores"][key] = metric._aggregate_and_compute(rows).score
        case["sentences"][key] = [metric._aggregate_and_compute([row]).score for row in rows]
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=True)
    found = [scorer.score_multi(group, output) for output, group in zip(outputs, references)]
    for kind in kinds:
        case["sentences"][kind] = [f[kind].fmeasure for f in found]
        case["scores"][kind] = sum(case["sentences"][kind]) / len(found)
    return case


HOSTILE = [
    "", " ", "\t", "a", ".", "...", "The cat sat on the mat.", "the the the the the the", "THE CAT",
    "It's a 3.5-star, £20-25 place (really!) & more; isn't it? \"Yes\" &amp; &quot;no&quot; <skipped> 5,000.5",
    "café naïve ÜBER straße ΟΔΥΣΣΕΥΣ İstanbul", "“quoted” ‘single’ it’s — dash – en … dots",
    "emoji 😀😀 👩‍👩‍👧 ☺ ok", "中文 没有 空格", "a\u00a0b\u2003c\u3000d", "zero\u200bwidth\ufeffmark",
    "x" * 500, "word " * 300, "a b c d e f g h i j", "j i h g f e d c b a", "f g h i j a b c d e",
    "1,000 2.5 -3 4- 5-6 a-b 7.", "tab\there", "trailing space   ", "   leading", "U.S.A. e.g. i.e.",
    "first line\nsecond line\n\nthird one here", "second line\nfirst words here\nthird one",
    "running runs ran runner easily easier happily happiness", "it runs easily and happily for the runners",
]


def text_cases(groups, outputs):
    rng = random.Random(5)
    cases = [sacrebleu_case("e2e", groups, outputs)]
    pairs = [(h, [rng.choice(HOSTILE) for _ in range(rng.randint(1, 3))]) for h in HOSTILE for _ in range(3)]
    pairs += [(h, [h]) for h in HOSTILE]
    cases.append(sacrebleu_case("hostile", [p[1] for p in pairs], [p[0] for p in pairs]))
    words = "a b c d e the of to it".split()
    shuffles = []
    for _ in range(120):
        reference = [rng.choice(words) for _ in range(rng.randint(1, 40))]
        output = list(reference)
        for _ in range(rng.randint(0, 4)):
            i, n = rng.randrange(len(output)), rng.randint(1, 6)
            piece, rest = output[i:i + n], output[:i] + output[i + n:]
            at = rng.randint(0, len(rest))
            output = rest[:at] + piece + rest[at:]
        if rng.random() < 0.5:
            output[rng.randrange(len(output))] = "zzz"
        shuffles.append((" ".join(output), [" ".join(reference)]))
    long_text = " ".join(rng.choice(words) + str(rng.randint(0, 99)) for _ in range(900))
    moved = long_text.split()
    shuffles.append((" ".join(moved[400:600] + moved[:400] + moved[600:]), [long_text]))
    shuffles.append(("a b", [long_text]))
    shuffles.append((long_text, ["b a"]))
    cases.append(sacrebleu_case("shifts", [s[1] for s in shuffles], [s[0] for s in shuffles]))
    return cases


def broken_case():
    """Invalid UTF-8, as Python's errors='replace' reads it; the inputs are stored in hexadecimal."""
    raw = [(b"ok \xff\xfe then", b"ok \xff then"), (b"\xc3", b"\xc3\xa9"), (b"\xe2\x82 a \xf0\x9f\x98", b"\xe2\x82\xac a"),
           (b"\xed\xa0\x80 b", b"b"), (b"\xf8\x88\x80\x80\x80", b"x"), (b"\x80\x80 c d", b"c d"), (b"nul \x00 byte", b"nul byte")]
    case = sacrebleu_case("broken", [[r.decode("utf-8", "replace")] for _, r in raw],
                          [o.decode("utf-8", "replace") for o, _ in raw])
    case["hex"] = True
    case["references"] = [[r.hex()] for _, r in raw]
    case["outputs"] = [o.hex() for o, _ in raw]
    return case


def label_cases():
    rng = random.Random(7)
    cases = []
    for labels in (["0", "1"], ["no", "yes"], ["a", "b", "c"], ["0", "1", "2", "3", "4", "5"], ["1"], ["0"]):
        for n in (1, 7, 200):
            truth = [rng.choice(labels) for _ in range(n)]
            guess = [t if rng.random() < 0.6 else rng.choice(labels) for t in truth]
            seen = sorted(set(truth) | set(guess))
            positive = "1" if "1" in seen or seen == ["0"] else seen[-1]
            binary = sk.f1_score([t == positive for t in truth], [g == positive for g in guess], zero_division=0)
            macro = sk.f1_score(truth, guess, average="macro", zero_division=0)
            cases.append({"references": truth, "outputs": guess, "accuracy": sk.accuracy_score(truth, guess),
                          "f1": binary if len(seen) <= 2 else macro, "f1_macro": macro,
                          "matthews": sk.matthews_corrcoef(truth, guess)})
    return cases


def number_cases():
    rng = random.Random(11)
    cases = []
    for n in (2, 3, 10, 100):
        x = [rng.gauss(0, 1) for _ in range(n)]
        y = [a + rng.gauss(0, 1) for a in x]
        z = [float(rng.randint(0, 3)) for _ in range(n)]
        z[0] = z[-1] + 1
        for a, b in ((x, y), (x, z)):
            cases.append({"x": a, "y": b, "pearson": float(stats.pearsonr(a, b)[0]),
                          "spearman": float(stats.spearmanr(a, b)[0])})
    students = [[t, df, float(stats.t.cdf(t, df) - stats.t.cdf(-t, df))]
                for df in (1, 2, 3, 4, 5, 9, 10, 29, 100, 1001) for t in (0.0, 0.1, 1.0, 2.5, 12.0)]
    values = [0.61, 0.64, 0.6, 0.66, 0.63]
    interval = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values))
    return {"correlations": cases, "students": students, "values": values, "interval": [float(v) for v in interval]}


def squad_cases():
    """The definition of the official script for SQuAD 1.1."""
    def words(text):
        text = "".join(c for c in text.lower() if c not in set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    def f1(output, answer):
        output, answer = words(output), words(answer)
        left, common = list(answer), 0
        for word in output:
            if word in left:
                left.remove(word)
                common += 1
        if common == 0:
            return 0
        precision, recall = common / len(output), common / len(answer)
        return 2 * precision * recall / (precision + recall)

    texts = ["The cat", "cat", "a cat sat", "cats", "", "the", "1,000 dollars", "1000 dollars!", "über die straße",
             "Über Die Straße", "a-b", "ab", "theatre an éa", "l'a", "x the y", "中 the 文", "the_x", "a a a cat"]
    cases = []
    for output in texts:
        for answers in ([texts[0], texts[2]], [output], ["1000 dollars"], ["ÜBER straße", "x y"], ["éa theatre"]):
            cases.append({"output": output, "answers": answers,
                          "exact_match": 100 * max(float(words(output) == words(a)) for a in answers),
                          "f1": 100 * max(f1(output, a) for a in answers)})
    return cases


def porter_cases(texts):
    words = set(re.findall(r"[a-z0-9]+", " ".join(texts).lower()))
    stems = ["rat", "hop", "fall", "agre", "happ", "pla", "relat", "sensitiv", "y", "syzyg", "bl", "xyl", "operat", "a", "tr", "dies", "generaliz"]
    ends = ["", "s", "es", "ies", "sses", "ed", "ied", "eed", "ing", "ingly", "y", "ational", "tional", "enci", "anci", "izer", "bli", "abli",
            "alli", "entli", "eli", "ousli", "ization", "ation", "ator", "alism", "iveness", "fulness", "ousness", "aliti",
            "iviti", "biliti", "fulli", "logi", "icate", "ative", "alize", "iciti", "ical", "ful", "ness", "al", "ance",
            "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "sion", "ou", "ism", "ate", "iti", "ous",
            "ive", "ize", "e", "ll", "lle"]
    words |= {s + e for s in stems for e in ends}
    words |= set("sky skies dying lying tying news innings outings cannings howe proceed exceed succeed ties tied".split())
    stemmer = PorterStemmer()
    return {w: stemmer.stem(w) for w in sorted(words) if w}


LINES = """It cannot be: 'twas gonna "tis" 'tis wanna-be.
He said "hello" and 'bye' (maybe) [x] {y} a/b and/or 1/2 ½ £20 €30 $40 ¥5 50¢ C$5 US$7 #5 #tag @name
Mr. Smith went to St. Louis. He lives on Main St. Then etc. And etc. and Inc. Ltd. U.S. The U.S. is. U.K.
don't can't won't I'll we've they're he'd d'Artagnan O'Brien rock'n'roll l'eau y'all o'clock '90s 1990s 90's
1,000.50 -5 +7 10:30 a.m. 5 p.m. 3-5 20-25 £20-25 £20-£25 5-star 2.5-3 1-800-555-1234 123-4567 555-1234
wait... no.. yes.... a -- b --- c — d – e -f g- h---- i _ __ snake_case a_b * ** *** a*b
what?! no!! eh? !? a=b a+b 5% 5 % A&M AT&T R&D &amp; &lt; > < >> http://a.com/b www.x.org foo.com e@mail.com
café naïve Ünder “quoted” ‘single’ it’s don’t « x » … • · © ® ™ ° é中文 😀 emoji ☺ ½
:) :-( ;) <b>bold</b> 3/4 5 12/25/2014 2014-12-25
A.B. C.D. X. I. Said I. He e.g. this i.e. that vs. the No. 5 no. 5 No. Korea pp. 3 fig. 4
food.It centre.The it!Yes so?no 5.It 5out 3of5 e20-e25 low-priced,family-friendly moderate price,high. a.b.c
the '' quotes `` here ' there ` dot . , ; : ! ? - -- ...
call 555.123.4567 now or 555-123-4567 now
it is 1.2.3 or 1,2,3 or 1.234.567 or 12.345.6789 or 10:30:15 or 1-2-3 or 1-56-3
¡hola! ‚x‚ a¿ ˜ ¨ ¸ ` ´ † ‡ ‰ ™ √ ∞ → ♥ ¿
A&M AT&T B&B's Q&A: R&D, pro-life anti-war C.D.s S&P-500 Cap'n c'est
it 's ; they 're ; do n't ; 's and/or/not a/b/c/d 24/7/365 his/her km/h £5/m w/o 1/2/3
in the city center., a place near the river. , and it's the children's
a price of 20-25 L.
The Plough is near. 3500 m. It is 5 m. high
   two  blanks   and a tab\there
""".split("\n")


def stanford(lines):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        jar = os.path.join(COCO, "tokenizer", "stanford-corenlp-3.4.1.jar")
        out = subprocess.run(["java", "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines",
                              "-lowerCase", file.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    tokens = out.stdout.decode("utf-8").split("\n")[:len(lines)]
    return [[t for t in line.rstrip().split(" ") if t and t not in PUNCTUATIONS] for line in tokens]


def meteor_scores(references, outputs):
    index = range(len(outputs))
    total, each = Meteor().compute_score({i: references[i] for i in index}, {i: [outputs[i]] for i in index})
    return total, each


# Stems, synonyms, paraphrases, function words, order, repetitions, dots, apostrophes, nothing.
METEOR_PAIRS = [
    ("the cat sat on the mat", "on the mat sat the cat"), ("a b c d", "d c b a"), ("", "the cat"), ("the cat", ""),
    ("", ""), ("dogs run quickly", "the dog runs quick"), ("a big car", "a large automobile"),
    ("he is not far from the river", "it is close to the river"), ("it is situated in", "it can be found in"),
    ("the the the the", "the the"), ("children are welcome", "kids are welcome"), ("mice", "mouse"),
    ("it 's n't", "it is not"), ("u.s. and u.k.", "us and uk"), ("mr. smith", "mr smith"), ("no. 5", "number 5"),
    ("wait ... what", "wait what"), ("low-priced", "low priced"), ("5,000 is 5000", "5000 is 5,000"),
    ("wonderful helpful", "wonder help"), ("the better one", "the good one"), ("café über", "cafe uber"),
    ("one two three four five six", "six five four three two one"), ("cost is average", "average price"),
    ("x y x y x y x y", "y x y x y x y x y x"), ("high quality food at low prices", "cheap food of high quality"),
    ("in the centre of the city", "in the city centre"), ("customers rate it five out of five", "rated 5 out of 5 by customers"),
]


def e2e_counts(references, outputs):
    """BLEU and NIST as the challenge's mteval-v13a-sig.pl counts them, in 40 lines: that script divides by zero where all
    references of an output are empty."""
    def tokens(s):
        for a, b in (("<skipped>", ""), ("-\n", ""), ("\n", " "), ("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
            s = s.replace(a, b)
        s = " " + "".join(c.lower() if "A" <= c <= "Z" else c for c in s) + " "
        s = re.sub(r"([{-~[-` -&(-+:-@/])", r" \1 ", s)
        s = re.sub(r"([^0-9])([.,])", r"\1 \2 ", s)
        s = re.sub(r"([.,])([^0-9])", r" \1 \2", s)
        return re.sub(r"([0-9])(-)", r"\1 \2 ", s).split()

    def grams(t, n):
        counts = {}
        for i in range(len(t) - n + 1):
            counts[tuple(t[i:i + n])] = counts.get(tuple(t[i:i + n]), 0) + 1
        return counts

    references = [[tokens(r) for r in g] for g in references]
    outputs = [tokens(o) for o in outputs]
    every = {(): sum(len(r) for g in references for r in g)}
    for g in references:
        for r in g:
            for n in range(1, 6):
                for k, c in grams(r, n).items():
                    every[k] = every.get(k, 0) + c
    hits, info, total, closest = [0] * 5, [0.0] * 5, [0] * 5, 0
    for g, o in zip(references, outputs):
        closest += min((abs(len(r) - len(o)), len(r)) for i, r in enumerate(g) if r or i == 0)[1]
        for n in range(1, 6):
            total[n - 1] += max(len(o) - n + 1, 0)
            allowed = [grams(r, n) for r in g]
            for k, c in grams(o, n).items():
                h = min(c, max(a.get(k, 0) for a in allowed))
                hits[n - 1] += h
                info[n - 1] += h * math.log2(every[k[:-1]] / every[k]) if h else 0
    ratio = total[0] * sum(bool(r) for g in references for r in g) / len(references) / every[()]
    beta = -math.log(0.5) / math.log(1.5) ** 2
    nist = sum(i / max(t, 1) for i, t in zip(info, total)) * math.exp(-beta * math.log(min(1, ratio)) ** 2) if ratio else 0
    smooth, logs = 1, 0
    for h, t in zip(hits[:4], total[:4]):
        smooth *= 2 if t and not h else 1
        logs += math.log(h / t if h else 1 / (smooth * t)) if t else 0
    return math.exp(logs / 4 + min(0, 1 - closest / total[0])) if total[0] else 0, nist


def mteval(script, references, outputs):
    """BLEU and NIST of mteval-v13a-sig.pl itself, called as measure_scores.py does, but with all digits."""
    with tempfile.TemporaryDirectory() as folder:
        def sgm(kind, systems):
            body = "".join('<doc docid="test" genre="news" origlang="any" sysid="%s%d">\n<p>\n%s</p>\n</doc>\n' % (
                kind, n, "".join('<seg id="%d">%s</seg>\n' % (i + 1, t) for i, t in enumerate(texts)))
                for n, texts in enumerate(systems))
            path = os.path.join(folder, kind + ".sgm")
            with open(path, "w", encoding="utf-8") as out:
                out.write('<%sset setid="e2e" srclang="any" trglang="en">\n%s</%sset>' % (kind, body, kind))
            return path
        width = max(map(len, references))
        files = [sgm("ref", [[g[n] if n < len(g) else "" for g in references] for n in range(width)]),
                 sgm("src", [[""] * len(outputs)]), sgm("tst", [outputs])]
        subprocess.run(["perl", script, "-r", files[0], "-s", files[1], "-t", files[2], "-f", os.path.join(folder, "log"),
                        "--metricsMATR"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return {kind.lower(): float(open(os.path.join(folder, kind + "-sys.scr")).read().split("\t")[2])
                for kind in ("BLEU", "NIST")}


def mteval_cases(script):
    full = ["The red pub near the river serves cheap food .", "A quiet cafe in the city centre for families .",
            "There is an old inn that offers Indian dishes ."]
    one = [[x] for x in full]
    groups = [[full[0], "The red pub .", ""], [full[1], "A cafe for families in the centre of the city ."], [full[2]]]
    cases = [("as the references", one, full),
             ("one empty", one, [full[0].replace("cheap ", ""), "", full[2].replace("old ", "")]),
             ("two empty", one, [full[0], "", ""]), ("all empty but a word", one, ["pub", "", ""]),
             ("short", one, [full[0], "a quiet", "inn"]),
             ("all shorter than four words", one, ["the red pub", "a quiet", "old inn"]),
             ("no match at all", one, ["x y z v w", "u t s r", "q p o n m"]),
             ("words but no pairs", one, ["food pub river cheap red", "cafe quiet families", "dishes inn old"]),
             ("groups of several lengths", groups, ["the red pub serves food .", "a cafe for families .",
                                                    "there is an inn that offers dishes and more of it ."]),
             ("letters beyond ASCII", [["CAFÉ Ümlaut is ÉTÉ there today"], ["straße und CAFÉ"]],
              ["café Ümlaut is été there today", "STRASSE und CAFÉ"])]
    return [{"name": n, "references": r, "outputs": o, "scores": mteval(script, r, o)} for n, r, o in cases]


def e2e_case(references, outputs):
    words = stanford([r for g in references for r in g])
    groups, at = [], 0
    for g in references:
        groups.append([" ".join(w) for w in words[at:at + len(g)]])
        at += len(g)
    texts = [" ".join(w) for w in stanford(outputs)]
    index = range(len(outputs))
    gts, res = {i: groups[i] for i in index}, {i: [texts[i]] for i in index}
    bleu, nist = e2e_counts(references, outputs)
    meteor, meteors = meteor_scores(groups, texts)
    rouge, rouges = Rouge().compute_score(gts, res)
    cider, ciders = Cider().compute_score(gts, res)
    return {"references": references, "outputs": outputs,
            "scores": {"bleu": bleu, "nist": nist, "meteor": meteor, "rouge_l": float(rouge), "cider": float(cider)},
            "meteor": meteors, "rouge_l": [float(r) for r in rouges], "cider": [float(c) for c in ciders]}


def main():
    groups = {}
    for row in csv.DictReader(open(sys.argv[2], encoding="utf-8", newline="")):
        groups.setdefault(row["mr"], []).append(row["ref"])
    references = list(groups.values())
    systems = {}
    for argument in sys.argv[3:]:
        name, path, scores = argument.split("=")
        outputs = open(path, encoding="utf-8").read().split("\n")[:len(references)]
        systems[name] = {"outputs": outputs,
                         "scores": dict(zip(("bleu", "nist", "cider", "rouge_l", "meteor"), map(float, scores.split(","))))}
    first = next(iter(systems.values()))["outputs"]
    small, small_outputs = references[:60], list(first[:60])
    hostile = e2e_case(small[:24] + [["", "a b"], ["the cat"], [""]], [small_outputs[(i * 5) % 24] for i in range(22)] +
                       ["", ".", "£20 !! (x)", "The mat. Sat!", ""])
    goldens = {
        "texts": text_cases(small, small_outputs) + [broken_case()],
        "labels": label_cases(),
        "numbers": number_cases(),
        "squad": squad_cases(),
        "porter": porter_cases([r for g in small for r in g]),
        "ptb": [[line, tokens] for line, tokens in zip(LINES, stanford(LINES))],
        "meteor": [{"output": o, "reference": r, "score": s} for (o, r), s in
                   zip(METEOR_PAIRS, meteor_scores([[r] for _, r in METEOR_PAIRS], [o for o, _ in METEOR_PAIRS])[1])],
        "e2e_hostile": hostile,
        "mteval": mteval_cases(sys.argv[1]),
        "e2e": {"references": references, "systems": systems},
    }
    text = json.dumps(goldens, ensure_ascii=False, sort_keys=True)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "goldens.json.xz")
    with lzma.open(path, "wb", preset=9 | lzma.PRESET_EXTREME) as out:
        out.write(text.encode("utf-8", "surrogatepass"))
    print(path, len(text), os.path.getsize(path))


main()
