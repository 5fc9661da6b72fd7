"""Writes the seeds of tests/fuzz/corpus: small files of every format that a loader reads, made here alone.

Usage: fuzz_corpus.py OUTPUT   (needs h5py and numpy)

Several files in one seed stand behind lines "=== NAME".
"""
import base64
import json
import lzma
import os
import struct
import sys
import tempfile

import h5py
import numpy as np

out = sys.argv[1]


def put(target, name, data):
    os.makedirs(os.path.join(out, target), exist_ok=True)
    with open(os.path.join(out, target, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def files(**named):
    return b"\n".join(b"=== " + n.replace("__", ".").encode() + b"\n" + (d if isinstance(d, bytes) else d.encode())
                     for n, d in named.items())


def varint(v):
    b = b""
    while v >= 128:
        b += bytes([v & 127 | 128])
        v >>= 7
    return b + bytes([v])


def number(field, v):
    return varint(field << 3) + varint(v)


def data(field, b):
    return varint(field << 3 | 2) + varint(len(b)) + b


# A character map: "a" becomes "b", "c" becomes "\u00e9".
def charsmap():
    units = [0] * 1024
    strings = b"b\0\xc3\xa9\0"
    units[0] = 256 << 10  # the root's children: 256 ^ byte
    for byte, at, child in ((ord("a"), 0, 512), (ord("c"), 2, 513)):
        node = 256 ^ byte
        units[node] = (node ^ child) << 10 | 1 << 8 | byte
        units[child] = 1 << 31 | at
    trie = struct.pack("<1024I", *units)
    return struct.pack("<I", len(trie)) + trie + strings


def tokenizers():
    bpe = {"type": "BPE", "unk_token": "a", "vocab": {"a": 0, "b": 1, "x": 2, " ": 3, "\u00e9": 4, "ab": 5, "\u2581": 6},
           "merges": ["a b"]}
    piece = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
             "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4, "x": 5}}
    gram = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["\u2581a", -1.5], ["b", -2.0], ["ab", -2.5]]}

    def regex(r, behavior="Isolated"):
        return {"type": "Split", "pattern": {"Regex": r}, "behavior": behavior, "invert": False}

    def tokenizer(name, model, **stages):
        put("tokenizer_json", name, json.dumps({"version": "1.0", **stages, "model": model}, ensure_ascii=False))

    tokenizer("bytes", {**bpe, "unk_token": None}, pre_tokenizer={"type": "Sequence", "pretokenizers": [
        regex("(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+"), {"type": "ByteLevel"}]},
        decoder={"type": "ByteLevel"}, post_processor={"type": "ByteLevel", "trim_offsets": True})
    tokenizer("replace", bpe, normalizer={"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        {"type": "Replace", "pattern": {"Regex": "x+"}, "content": "ab"}]},
        decoder={"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    tokenizer("bert", piece, normalizer={"type": "BertNormalizer", "lowercase": True},
              pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
              post_processor={"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2]},
              added_tokens=[{"id": 0, "content": "[UNK]", "special": True}, {"id": 6, "content": "[MASK]", "lstrip": True}])
    tokenizer("pieces", gram, normalizer={"type": "Precompiled", "precompiled_charsmap":
                                          base64.b64encode(charsmap()).decode()},
              pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
              decoder={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"})
    tokenizer("words", bpe, pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Whitespace"}, {"type": "Digits", "individual_digits": True}, {"type": "Punctuation"},
        regex("(?:a|b)+", "MergedWithPrevious")]}, post_processor={"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"x": {"id": "x", "ids": [2], "tokens": ["x"]}}})

    def spm(chars):
        text = lambda p, s, t=1: data(1, data(1, p.encode()) + varint(2 << 3 | 5) + struct.pack("<f", s) + number(3, t))
        return (text("<pad>", 0, 3) + text("</s>", 0, 3) + text("<unk>", 0, 2) + text("\u2581a", -1) + text("b", -2) +
                text("user", -3, 4) + data(2, number(3, 1) + number(40, 2)) + (data(3, data(2, chars)) if chars else b""))
    put("tokenizer_spiece", "plain", spm(b""))
    put("tokenizer_spiece", "charsmap", spm(charsmap()))

    vocab = {"a": 0, "b": 1, "ab": 2, "\u0120": 3, "<|endoftext|>": 4}
    put("tokenizer_files", "gpt2", files(vocab__json=json.dumps(vocab), merges__txt="#version: 0.2\na b\n",
        tokenizer_config__json=json.dumps({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True,
                                           "bos_token": "<|endoftext|>", "unk_token": {"content": "<|endoftext|>"}})))
    put("tokenizer_files", "roberta", files(
        vocab__json=json.dumps({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "<mask>": 6}), merges__txt="",
        special_tokens_map__json=json.dumps({"sep_token": "</s>", "cls_token": "<s>",
                                             "mask_token": {"content": "<mask>", "lstrip": True}}),
        added_tokens__json=json.dumps({"<new>": 7})))
    put("tokenizer_files", "bert", files(
        vocab__txt="[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nx\n",
        tokenizer_config__json=json.dumps({"do_lower_case": False, "additional_special_tokens": ["[E]", "[F]"],
                                           "added_tokens_decoder": {"8": {"content": "[E]", "special": True}}}),
        special_tokens_map__json=json.dumps({"sep_token": "[SEP]", "unk_token": "[UNK]"})))


def safetensors(tensors, **meta):
    header, body = ({"__metadata__": meta} if meta else {}), b""
    for name, (kind, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def torch_pickle():
    """What torch.save pickles for a float32 tensor [2, 1]."""
    put("torch", "tensor",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\0\0\0storageq\x01ctorch\nFloatStorage\nq\x02X\x01\0\0\x000q\x03"
        b"X\x03\0\0\0cpuq\x04K\x02tq\x05QK\x00K\x02K\x01\x86q\x06K\x01K\x01\x86q\x07\x89ccollections\nOrderedDict\nq\x08)Rq\ttq\n"
        b"Rq\x0b.")


def weights():
    put("safetensors", "types", safetensors({
        "a": ("F32", np.arange(6, dtype="f4").reshape(2, 3)), "b": ("F16", np.ones(4, "f2")),
        "c": ("BF16", np.ones(2, "u2")), "d": ("I64", np.arange(2)), "e": ("F64", np.ones((1, 2))),
        "empty": ("F32", np.zeros((0, 3), "f4"))}, format="pt"))
    string = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()
    value = lambda k, kind, raw: string(k) + struct.pack("<I", kind) + raw
    array = lambda kind, items: struct.pack("<IQ", kind, len(items)) + b"".join(items)
    for model, tokens in (("gpt2", ["a", "b", "ab", "\u0120", "<s>"]), ("llama", ["<unk>", "<s>", "</s>", "\u2581a", "b"])):
        values = [value("general.architecture", 8, string("llama")), value("general.alignment", 4, struct.pack("<I", 32)),
                  value("llama.block_count", 4, struct.pack("<I", 1)), value("llama.context_length", 4, struct.pack("<I", 16)),
                  value("llama.embedding_length", 4, struct.pack("<I", 4)),
                  value("llama.feed_forward_length", 4, struct.pack("<I", 8)),
                  value("llama.attention.head_count", 4, struct.pack("<I", 2)),
                  value("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
                  value("tokenizer.ggml.model", 8, string(model)), value("tokenizer.ggml.pre", 8, string("default")),
                  value("tokenizer.ggml.tokens", 9, array(8, [string(t) for t in tokens])),
                  value("tokenizer.ggml.scores", 9, array(6, [struct.pack("<f", -i) for i in range(5)])),
                  value("tokenizer.ggml.merges", 9, array(8, [string("a b")])),
                  value("tokenizer.ggml.token_type", 9, array(5, [struct.pack("<i", 1 + 2 * (i == 4)) for i in range(5)])),
                  value("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 4))]
        tensors = [("token_embd.weight", [4, 5], 0, 80), ("output_norm.weight", [4], 0, 16), ("q", [32, 2], 8, 68),
                   ("r", [32], 2, 18), ("s", [32], 3, 20), ("h", [2, 2], 1, 8)]
        head, at = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)) + b"".join(values), 0
        body = b""
        for name, dims, kind, size in tensors:
            head += string(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, kind, len(body))
            body += bytes(range(size)) + b"\0" * (-size % 32)
        put("gguf", model, head + b"\0" * (-len(head) % 32) + body)
    tensor = lambda name, kind, dims, raw: data(5, (data(1, b"".join(map(varint, dims))) if dims else b"") +
                                                number(2, kind) + data(8, name.encode()) + data(9, raw))
    node = data(1, data(1, b"x") + data(1, b"W_quantized") + data(2, b"y") + data(3, b"/q/MatMul_quant") +
                data(4, b"MatMulInteger"))
    graph = (node + tensor("norm", 1, [3], np.ones(3, "f4").tobytes()) + tensor("W_quantized", 3, [2, 3], b"\1\2\x7f\x80\xff\0") +
             data(5, number(2, 1) + data(4, struct.pack("<f", 0.25)) + data(8, b"W_scale")) +
             data(5, number(2, 3) + data(5, varint(2**64 - 1)) + data(8, b"W_zero_point")))
    put("onnx", "quantised", number(1, 8) + data(2, b"seed") + data(7, graph))


def configurations():
    common = {"vocab_size": 99, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0, "initializer_range": 0.02}
    llama = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "hidden_act": "silu",
             "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "max_position_embeddings": 64,
             "rope_theta": 10000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                     "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
             "tie_word_embeddings": True, "attention_bias": False}
    bert = {"model_type": "bert", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "hidden_act": "gelu",
            "num_attention_heads": 4, "layer_norm_eps": 1e-12, "max_position_embeddings": 64, "type_vocab_size": 2}
    families = {
        "llama": llama, "qwen2": {**llama, "model_type": "qwen2", "rope_scaling": None}, "bert": bert,
        "roberta": {**bert, "model_type": "roberta", "type_vocab_size": 1, "max_position_embeddings": 66},
        "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": None,
                 "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5},
        "t5": {"model_type": "t5", "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_decoder_layers": 2,
               "num_heads": 4, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
               "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "is_encoder_decoder": True,
               "layer_norm_epsilon": 1e-6, "tie_word_embeddings": False},
        "bart": {"model_type": "bart", "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64,
                 "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "scale_embedding": True,
                 "activation_function": "gelu", "max_position_embeddings": 64, "decoder_start_token_id": 2,
                 "forced_eos_token_id": 2, "is_encoder_decoder": True}}
    for name, config in families.items():
        generation = {"eos_token_id": [2, 3], "max_length": 20, "num_beams": 4, "temperature": 0.7}
        put("config", name, files(config__json=json.dumps({**common, **config}),
                                  generation_config__json=json.dumps(generation)))
    put("batch", "all", '{"inputs": [[5, 6, 7], [8, 9]], "targets": [[5, 6, -100], [8, 9]], "tuners": [0, -1]}')
    put("batch", "plain", '{"inputs": [[1, 2, 3]]}')
    lora = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
            "target_modules": ["q_proj"], "base_model_name_or_path": "x", "fan_in_fan_out": False}
    a, b = np.ones((2, 32), "f4"), np.ones((32, 2), "f4")
    name = "base_model.model.model.layers.%d.self_attn.q_proj.lora_%s.weight"
    put("peft", "lora", files(adapter_config__json=json.dumps(lora), adapter_model__safetensors=safetensors(
        {name % (i, x): ("F32", m) for i in range(2) for x, m in (("A", a), ("B", b))})))
    put("peft", "prompt", files(
        adapter_config__json=json.dumps({"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 3,
                                         "token_dim": 32, "num_transformer_submodules": 1}),
        adapter_model__safetensors=safetensors({"prompt_embeddings": ("F32", np.ones((3, 32), "f4"))})))


def tables():
    text = 'mr,ref\r\n"name[A, B]","He said ""yes""."\n\n,"two\nlines"\n"",5" x\n'
    put("table", "csv", text)
    put("table", "tsv", "s\tl\nan \"open\t1\nhe said\t0\n")
    put("table", "xz", lzma.compress(text.encode()))
    put("table", "xz_two", lzma.compress(b"a,b\n", preset=0) + lzma.compress(b"c,d\n", preset=0))


# Files of others, and the bodies of files of ours.
def hdf5():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("contiguous", "chunks"):
            path = os.path.join(folder, name)
            with h5py.File(path, "w", libver=("v108", "v110")) as f:
                g = f.create_group("tuner")
                g.attrs["method"] = "lora"
                g.attrs["sizes"] = [1, 2, 3]
                f.attrs["scale"] = 0.5
                packed = {"chunks": (4, 4), "compression": "gzip"} if name == "chunks" else {}
                g.create_dataset("a", data=np.arange(32, dtype="f4").reshape(8, 4), track_times=False, **packed)
                f.create_dataset("ids", data=np.arange(5), track_times=False)
                f.create_dataset("words", data=["one", "two", "three"], dtype=h5py.string_dtype(), track_times=False)
                if name == "chunks":
                    f.create_dataset("fixed", data=np.array([b"ab", b"c"]), track_times=False)
                    f.create_dataset("half", data=np.ones(3, "f2"), track_times=False)
                    for i in range(12):
                        g.attrs["attribute%d" % i] = "x" * i
            with open(path, "rb") as f:
                put("hdf5", name, f.read())


tokenizers()
weights()
torch_pickle()
configurations()
tables()
hdf5()
