"""Makes tests/golden/tokenizers: small tokenizers, and what transformers' make of ordinary and hostile texts.

Texts: ordinary.json (lines of State of the Union addresses, public domain) and the hostile ones below. The vocabularies
are trained here on the ordinary lines; T5's is the model that ships with the project (experiments/data/t5).
Usage: python tools/golden/tokenization.py
"""

import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may depend on a model hub
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "tokenizers"

HOSTILE = [
    "", " ", "\t", "\n", "\r\n", " \n \n", "a  b   c    d ", "one\r\ntwo\n\n\nthree\rfour",
    "👨‍👩‍👧‍👦 family 👍🏽 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "e\u0301 a\u0308\u0323 ñ n\u0303 Å A\u030a q\u0307\u0323", "中文字符 日本語テキスト 한국어 ㌔ ｶﾞ",
    "العربية עברית \u200fRTL\u200e", "don't I'll you've we're he'd I'M DON'T 'tis '' 's's do not",
    "1234567890 12 3.14 1,000,000 ٣٤٥ ²³ ½ Ⅷ ①", "a\x00b\x01c\x7f\x1b[0m\x85\xa0\xad", "\x00", "\u180e x\u180ey \u180e",
    "\ufeffBOM \ufffd \ufffe \u0378 \ue000", "<|endoftext|> a <|endoftext|>b<|im_start|>user<|im_end|>",
    "<s>x</s> <mask> a<mask>b  <mask>  c <pad><unk>", "[CLS] x [SEP] [MASK]a[MASK] [UNK][PAD] [mask]",
    "<extra_id_0> x <extra_id_99> y<extra_id_5>z </s> <pad> <unk> <extra_id_100>", "x" * 100 + " " + "x" * 101, "ab" * 100,
    " " * 300 + "x", "x" + " " * 300, "\n" * 100, "İstanbul ŞÇĞ ß ẞ ŒÆ ΑΣΣ ς Ǆ", "ﬁ ﬂ Ａｂｃ ﷺ", "t̷̢̛h̶̡e̴͘",
    "a\u2028b\u2029c\u3000d\u2003e", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈", "…—–‘’“”«» \u166d \u2e52", "$100 €20 ^~`|<>= +-*/ @#%&_",
    "def f(x):\n    return x  # comment\n\tif y:\n\t\tpass", "http://a.b/c?d=e&f=g", "\u0600123 \u0600a क्षि நி กำ", "▁x ▁ ▁▁y",
    "Ġhello ĠĊ <0x41>", "##ing ## x##y", "<|endoftext|", "<<|endoftext|>>", "wordADDED ADDED xADDEDx  ADDED  y",
]


def byte_level(words=None, **options):
    t = Tokenizer(models.BPE(**options))
    t.pre_tokenizer = words or pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return t


def train(tokenizer, trainer, lines):
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def bpe_trainer(special, size=700):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                               initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def write(folder, name, value):
    (folder / name).write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


def gpt2(folder, lines):
    train(byte_level(), bpe_trainer(["<|endoftext|>"]), lines).model.save(str(folder))
    write(folder, "config.json", {"model_type": "gpt2"})


def roberta(folder, lines):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    train(byte_level(), bpe_trainer(special), lines).model.save(str(folder))
    write(folder, "config.json", {"model_type": "roberta"})
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    write(folder, "tokenizer_config.json", {"tokenizer_class": "RobertaTokenizer", "mask_token": mask})


def smollm(folder, lines):
    """Digits one by one, and tokens added by a user."""
    words = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t = train(byte_level(words), bpe_trainer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]), lines)
    from tokenizers import AddedToken
    t.add_tokens([AddedToken("ADDED", single_word=True, lstrip=True, rstrip=True, normalized=False)])
    t.save(str(folder / "tokenizer.json"))
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})


def llama3(folder, lines):
    """Llama 3's words, whole words first, a beginning token, NFC."""
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
               r"\s+(?!\S)|\s+")
    words = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t = byte_level(words, ignore_merges=True)
    t.normalizer = normalizers.NFC()
    train(t, bpe_trainer(["<|begin_of_text|>", "<|endoftext|>"]), lines)
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                            processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])])
    t.save(str(folder / "tokenizer.json"))
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})


def bert(folder, lines, lower):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    alphabet = ["x", "##x", "中", "e", "é", "ß", "∑", "a", "b", "##b"]
    train(t, trainers.WordPieceTrainer(vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False), lines)
    t.model.save(str(folder))
    write(folder, "config.json", {"model_type": "bert"})
    write(folder, "tokenizer_config.json", {"do_lower_case": lower, "tokenizer_class": "BertTokenizer"})


def unigram(folder, lines):
    """Metaspace over the whole text, without a character map."""
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    t.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]
    train(t, trainers.UnigramTrainer(vocab_size=500, special_tokens=special, unk_token="<unk>", show_progress=False), lines)
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    t.save(str(folder / "tokenizer.json"))
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})


def t5(folder, lines):
    shutil.copy(ROOT / "experiments" / "data" / "t5" / "spiece.model", folder)
    write(folder, "config.json", {"model_type": "t5"})


def byte_range(text, span):
    return [len(text[:at].encode()) for at in span]


def main():
    ordinary = json.loads((GOLDEN / "ordinary.json").read_text(encoding="utf-8"))
    texts = ordinary + HOSTILE
    write(GOLDEN, "texts.json", texts)
    kinds = {"gpt2": gpt2, "roberta": roberta, "smollm": smollm, "llama3": llama3, "unigram": unigram, "t5": t5,
             "bert_uncased": lambda folder, lines: bert(folder, lines, True), "bert_cased": lambda folder, lines: bert(folder, lines, False)}
    for name, make in kinds.items():
        folder = GOLDEN / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder, ordinary)
        t = AutoTokenizer.from_pretrained(folder)
        encoded = [t(text, return_offsets_mapping=True) for text in texts]
        ids = [e["input_ids"] for e in encoded]
        write(folder, "cases.json", {
            "ids": ids, "plain_first": [t(text, add_special_tokens=False)["input_ids"][:4] for text in texts],
            "decoded": [t.decode(one) for one in ids], "skipped": [t.decode(one, skip_special_tokens=True) for one in ids],
            "spans": [[byte_range(text, s) for s in e["offset_mapping"]] for text, e in zip(texts, encoded)]
            if name.startswith("bert") else []})
        if name == "t5":
            (folder / "spiece.model").unlink()  # the test takes the one that ships


if __name__ == "__main__":
    main()
