"""Makes tests/golden/models: tiny random models with their logits, loss and gradients.

Every directory is in Hugging Face form, as transformers writes it today or as older files look.
The expected values come from the files themselves, loaded again by transformers:
logits in float32, each sequence alone and unpadded; loss and gradients in float64, then rounded.
"""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from common import (DECODERS, GOLDEN, IGNORED, fill, ids, in_double, normal, scored, token_ids,
                    torch, transformers, write_json, write_tensors)
from safetensors.torch import load_file

MODELS = GOLDEN / "models"


@dataclass
class Form:
    """How a directory differs from what transformers writes today."""

    rename: Callable[[str], str] = lambda name: name
    extra: Callable[[dict], dict] = lambda tensors: {}
    config: Callable[[dict], dict] = lambda config: config
    generation: bool = True  # whether there is a generation_config.json


@dataclass
class Spec:
    name: str
    kind: type  # the class that is loaded and compared
    config: transformers.PretrainedConfig
    embedding_std: float
    form: Form = field(default_factory=Form)
    saved_kind: type = None  # the class that is written, where it is another one
    dtype: torch.dtype = torch.float32
    shard_size: str = "50GB"

    @property
    def directory(self):
        return MODELS / self.name


# The batches -------------------------------------------------------------------------------------

FIRST_ID = 4  # below lie padding, begin and end tokens
DECODER_LENGTHS = (7, 1, 12, 4)
ENCODER_LENGTHS = (6, 11, 1, 3)
SOURCE_LENGTHS = (9, 3, 14)
LABEL_LENGTHS = (5, 8, 2)


def sequences(spec, lengths, what):
    return [token_ids(length, FIRST_ID, spec.config.vocab_size, spec.name, what, i)
            for i, length in enumerate(lengths)]


def decoder_batch(spec):
    inputs = sequences(spec, DECODER_LENGTHS, "inputs")
    targets = [list(sequence) for sequence in inputs]
    targets[0][:3] = [IGNORED] * 3  # a prompt that is not scored
    targets[2][6] = IGNORED  # a gap
    return {"inputs": inputs, "targets": targets}


def masked_batch(spec):
    inputs = sequences(spec, ENCODER_LENGTHS, "inputs")
    targets = sequences(spec, ENCODER_LENGTHS, "targets")
    for row, sequence in enumerate(targets):
        for column in range(len(sequence)):
            if (row + column) % 3:
                sequence[column] = IGNORED
    return {"inputs": inputs, "targets": targets}


def seq2seq_batch(spec, source_lengths=SOURCE_LENGTHS, label_lengths=LABEL_LENGTHS):
    inputs = sequences(spec, source_lengths, "inputs")
    targets = sequences(spec, label_lengths, "targets")
    targets[0][2] = IGNORED  # the decoder then reads the padding token one step later
    return {"inputs": inputs, "targets": targets}


def batch(spec):
    config = spec.config
    if config.is_encoder_decoder:
        far = spec.name == "flan"  # its relative positions reach the logarithmic buckets
        return seq2seq_batch(spec, (9, 70, 14), (5, 48, 2)) if far else seq2seq_batch(spec)
    if config.model_type in DECODERS:
        return decoder_batch(spec)
    if spec.kind is transformers.BertModel:
        return {"inputs": sequences(spec, ENCODER_LENGTHS, "inputs")}
    return masked_batch(spec)


# The older forms ---------------------------------------------------------------------------------


def without(prefix):
    return lambda name: name.removeprefix(prefix)


def updated(drop=(), **values):
    return lambda config: {k: v for k, v in config.items() if k not in drop} | values


def position_ids(name):
    def extra(tensors):
        positions = next(v for k, v in tensors.items() if k.endswith("position_embeddings.weight"))
        return {name: torch.arange(len(positions))[None]}

    return extra


def old_bert_name(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta")


def old_roberta_tensors(tensors):
    d = len(tensors["lm_head.dense.bias"])
    return position_ids("roberta.embeddings.position_ids")(tensors) | {
        "roberta.pooler.dense.weight": normal((d, d), 0.2, "roberta_old", "pooler.weight"),
        "roberta.pooler.dense.bias": normal((d,), 0.2, "roberta_old", "pooler.bias"),
        "lm_head.decoder.weight": tensors["roberta.embeddings.word_embeddings.weight"].clone(),
        "lm_head.decoder.bias": tensors["lm_head.bias"].clone(),
    }


def old_gpt2_tensors(tensors):
    """The causal mask that older files store with every layer."""
    positions = len(tensors["wpe.weight"])
    mask = torch.ones(positions, positions).tril()[None, None]
    layers = [name for name in tensors if name.endswith("attn.c_attn.weight")]
    return {name.replace("c_attn.weight", "bias"): mask.clone() for name in layers}


def old_t5_tensors(tensors):
    """Three copies of the embedding, and a bias that T5 1.0 stored but never read."""
    cross = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    own = tensors["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    copies = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    shared = {name: tensors["shared.weight"].clone() for name in copies}
    return shared | {cross: normal(own.shape, 1.0, "t5_old", cross)}


def own_head(tensors):
    """T5 1.1: a head of its own."""
    shape = tensors["shared.weight"].shape
    return {"lm_head.weight": normal(shape, 1.5 / shape[1] ** 0.5, "own_head")}


def head_beside(table):
    """A head of its own, whatever the configuration says of tying."""
    def extra(tensors):
        shape = tensors[table].shape
        return {"lm_head.weight": normal(shape, 1.5 / shape[1] ** 0.5, "head_beside", table)}

    return extra


def value_head(tensors):
    return {"v_head.summary.weight": normal((1, tensors["transformer.wte.weight"].shape[1]), 1.0, "value_head")}


def old_bart_tensors(tensors):
    names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    return {name: tensors["shared.weight"].clone() for name in names}


OLD_LLAMA = updated(drop=("rope_parameters", "dtype", "head_dim"), rope_theta=10000.0,
                    rope_scaling=None, torch_dtype="float32", transformers_version="4.41.2")
OLD_GPT2 = updated(drop=("dtype", "transformers_version", "scale_attn_weights", "use_cache",
                         "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "n_inner",
                         "tie_word_embeddings", "add_cross_attention", "pad_token_id"), n_ctx=24)
OLD_BERT = updated(drop=("dtype", "tie_word_embeddings", "add_cross_attention", "is_decoder"),
                   architectures=["BertForMaskedLM"], gradient_checkpointing=False,
                   position_embedding_type="absolute", transformers_version="4.6.0.dev0")
OLD_ROBERTA = updated(drop=("dtype", "tie_word_embeddings", "transformers_version"))
OLD_T5 = updated(drop=("dtype", "tie_word_embeddings", "scale_decoder_outputs", "dense_act_fn",
                       "is_gated_act", "relative_attention_max_distance", "num_decoder_layers"),
                 n_positions=512, output_past=True)
OLD_T5_1_1 = updated(drop=("dtype", "scale_decoder_outputs", "dense_act_fn", "is_gated_act"),
                     tie_word_embeddings=False, output_past=True)
OLD_BART = updated(drop=("dtype", "tie_word_embeddings", "forced_eos_token_id"),
                   architectures=["BartModel"], gradient_checkpointing=False,
                   normalize_before=False, add_final_layer_norm=False, add_bias_logits=False,
                   normalize_embedding=True, num_hidden_layers=2, torch_dtype="float32")

# Sizes under the names that all classes share, and tokens that no row has.
COMMON_GPT2 = lambda config: updated(
    drop=("n_embd", "n_layer", "n_head", "n_positions", "dtype"), hidden_size=config["n_embd"],
    num_hidden_layers=config["n_layer"], num_attention_heads=config["n_head"],
    max_position_embeddings=config["n_positions"], bos_token_id=50256, eos_token_id=50256)(config)
# What BART's class knows by itself.
BARE_BART = updated(drop=("decoder_start_token_id", "forced_eos_token_id", "is_encoder_decoder",
                          "pad_token_id", "activation_function", "scale_embedding", "dtype"))


# The models --------------------------------------------------------------------------------------


def llama(**values):
    rope = {"rope_type": "default", "rope_theta": values.pop("theta", 1e4)}
    return transformers.LlamaConfig(max_position_embeddings=64, rope_parameters=rope, **values)


def t5(**values):
    return transformers.T5Config(decoder_start_token_id=0, **values)


def bart(**values):
    return transformers.BartConfig(max_position_embeddings=32, **values)


def specs():
    t = transformers
    gpt2 = dict(bos_token_id=1, eos_token_id=2)
    return [
        Spec("llama_gqa", t.LlamaForCausalLM, llama(
            vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
            tie_word_embeddings=True), 0.4),
        Spec("llama_bias", t.LlamaForCausalLM, llama(
            vocab_size=61, hidden_size=18, intermediate_size=30, num_hidden_layers=3,
            num_attention_heads=3, num_key_value_heads=1, head_dim=8, attention_bias=True,
            rms_norm_eps=1e-6, theta=1e5), 1.0),
        Spec("llama_sharded", t.LlamaForCausalLM, llama(
            vocab_size=70, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=6, rms_norm_eps=1e-3), 1.0,
            Form(config=OLD_LLAMA), shard_size="32KB"),
        Spec("llama_bf16", t.LlamaForCausalLM, llama(
            vocab_size=64, hidden_size=16, intermediate_size=40, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, theta=1e5, tie_word_embeddings=True),
            0.5, dtype=torch.bfloat16),
        Spec("llama_own_head", t.LlamaForCausalLM, llama(
            vocab_size=48, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True), 0.8,
            Form(extra=head_beside("model.embed_tokens.weight"),
                 config=updated(rope_parameters={"rope_type": "default"}, rope_theta=500.0))),
        Spec("mistral", t.MistralForCausalLM, t.MistralConfig(
            vocab_size=44, hidden_size=16, intermediate_size=24, num_hidden_layers=2, head_dim=6,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            sliding_window=16), 1.0),
        Spec("qwen2", t.Qwen2ForCausalLM, t.Qwen2Config(
            vocab_size=46, hidden_size=16, intermediate_size=28, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6}), 0.5),
        Spec("gpt2_common", t.GPT2LMHeadModel, t.GPT2Config(
            vocab_size=42, n_embd=12, n_layer=2, n_head=3, n_positions=16, **gpt2), 0.5,
            Form(extra=value_head, config=COMMON_GPT2, generation=False)),
        Spec("gpt2", t.GPT2LMHeadModel, t.GPT2Config(
            vocab_size=80, n_embd=24, n_layer=2, n_head=3, n_positions=40, **gpt2), 0.4),
        Spec("gpt2_inner", t.GPT2LMHeadModel, t.GPT2Config(
            vocab_size=57, n_embd=20, n_layer=3, n_head=5, n_positions=32, n_inner=36,
            layer_norm_epsilon=1e-3, **gpt2), 0.4),
        Spec("gpt2_inverse", t.GPT2LMHeadModel, t.GPT2Config(
            vocab_size=50, n_embd=16, n_layer=3, n_head=2, n_positions=16,
            scale_attn_by_inverse_layer_idx=True, **gpt2), 0.5),
        Spec("gpt2_old", t.GPT2LMHeadModel, t.GPT2Config(
            vocab_size=52, n_embd=16, n_layer=2, n_head=4, n_positions=24, **gpt2), 0.5,
            Form(without("transformer."), old_gpt2_tensors, OLD_GPT2)),
        Spec("bert", t.BertForMaskedLM, t.BertConfig(
            vocab_size=75, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=40, max_position_embeddings=32, layer_norm_eps=1e-5), 0.5),
        Spec("bert_old", t.BertForMaskedLM, t.BertConfig(
            vocab_size=66, hidden_size=20, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=24), 0.5,
            Form(old_bert_name, position_ids("bert.embeddings.position_ids"), OLD_BERT),
            saved_kind=t.BertForPreTraining),
        Spec("bert_base", t.BertModel, t.BertConfig(
            vocab_size=58, hidden_size=18, num_hidden_layers=3, num_attention_heads=3,
            intermediate_size=48, max_position_embeddings=16, type_vocab_size=3), 0.5,
            Form(extra=position_ids("embeddings.position_ids"))),
        Spec("roberta", t.RobertaForMaskedLM, t.RobertaConfig(
            vocab_size=72, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
            intermediate_size=44, max_position_embeddings=34, type_vocab_size=1,
            layer_norm_eps=1e-5), 0.5),
        Spec("roberta_old", t.RobertaForMaskedLM, t.RobertaConfig(
            vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=18, type_vocab_size=1,
            layer_norm_eps=1e-5), 0.5, Form(extra=old_roberta_tensors, config=OLD_ROBERTA)),
        Spec("t5", t.T5ForConditionalGeneration, t5(
            vocab_size=90, d_model=24, d_kv=8, d_ff=40, num_layers=2, num_heads=3), 1.5),
        Spec("t5_old", t.T5ForConditionalGeneration, t5(
            vocab_size=56, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4), 1.5,
            Form(extra=old_t5_tensors, config=OLD_T5)),
        Spec("t5_1_1", t.T5ForConditionalGeneration, t5(
            vocab_size=62, d_model=20, d_kv=6, d_ff=28, num_layers=3, num_decoder_layers=2,
            num_heads=5, relative_attention_num_buckets=8, relative_attention_max_distance=20,
            feed_forward_proj="gated-gelu", tie_word_embeddings=False), 1.0,
            Form(extra=own_head, config=OLD_T5_1_1)),
        Spec("flan", t.T5ForConditionalGeneration, t5(
            vocab_size=64, d_model=16, d_kv=10, d_ff=36, num_layers=2, num_heads=3,
            relative_attention_num_buckets=40, relative_attention_max_distance=150,
            layer_norm_epsilon=1e-5, feed_forward_proj="gated-gelu",
            tie_word_embeddings=False), 1.0, Form(extra=own_head)),
        Spec("t5_own_head", t.T5ForConditionalGeneration, t5(
            vocab_size=50, d_model=12, d_kv=4, d_ff=20, num_layers=2, num_heads=3,
            feed_forward_proj="gated-gelu", dense_act_fn="gelu"), 1.5,
            Form(extra=head_beside("shared.weight"))),
        Spec("bart_bare", t.BartForConditionalGeneration, bart(
            vocab_size=40, d_model=12, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=20,
            decoder_ffn_dim=20, encoder_attention_heads=3, decoder_attention_heads=2), 0.4,
            Form(config=BARE_BART, generation=False)),
        Spec("bart", t.BartForConditionalGeneration, bart(
            vocab_size=84, d_model=24, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=40,
            decoder_ffn_dim=32, encoder_attention_heads=3, decoder_attention_heads=4), 0.4),
        Spec("bart_old", t.BartForConditionalGeneration, bart(
            vocab_size=60, d_model=16, encoder_layers=2, decoder_layers=3, encoder_ffn_dim=48,
            decoder_ffn_dim=24, encoder_attention_heads=2, decoder_attention_heads=4,
            scale_embedding=True, forced_eos_token_id=None), 0.4,
            Form(without("model."), old_bart_tensors, OLD_BART), saved_kind=t.BartModel),
    ]


# Writing -----------------------------------------------------------------------------------------


def write_model(spec):
    """Saves with transformers, then rewrites what the form asks for."""
    model = (spec.saved_kind or spec.kind)(spec.config).to(spec.dtype)
    fill(model, spec.embedding_std, spec.name)
    shutil.rmtree(spec.directory, ignore_errors=True)
    model.save_pretrained(spec.directory, max_shard_size=spec.shard_size)

    config_file = spec.directory / "config.json"
    config = spec.form.config(json.loads(config_file.read_text()))
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    if not spec.form.generation:
        (spec.directory / "generation_config.json").unlink()
    weights_file = spec.directory / "model.safetensors"
    if weights_file.exists():
        tensors = load_file(weights_file)
        tensors = {spec.form.rename(name): value for name, value in tensors.items()}
        write_tensors(weights_file, tensors | spec.form.extra(tensors))


def stored(spec):
    """All tensors of the directory, whether it is sharded or not."""
    tensors = {}
    for file in sorted(spec.directory.glob("model*.safetensors")):
        tensors |= load_file(file)
    return tensors


def load(spec, dtype=torch.float32):
    model, report = spec.kind.from_pretrained(spec.directory, output_loading_info=True, dtype=dtype)
    assert not report["missing_keys"], (spec.name, report)
    return model.eval()


# Expected values ---------------------------------------------------------------------------------


def logits_of(model, sequence, targets):
    """[T, V] of one sequence; for seq2seq T counts its labels."""
    labels = {"labels": ids(targets)} if model.config.is_encoder_decoder else {}
    return model(input_ids=ids(sequence), **labels).logits[0]


def outputs(spec, model, cases):
    inputs, targets = cases["inputs"], cases.get("targets")
    with torch.no_grad():
        if targets is None:
            states = [model(input_ids=ids(sequence)) for sequence in inputs]
            hidden = {f"hidden.{i}": s.last_hidden_state[0] for i, s in enumerate(states)}
            return hidden | {f"pooled.{i}": s.pooler_output[0] for i, s in enumerate(states)}
        values = {f"logits.{i}": logits_of(model, *pair)
                  for i, pair in enumerate(zip(inputs, targets))}
        if spec.config.is_encoder_decoder:
            start = ids([spec.config.decoder_start_token_id])
            values |= {f"first_step.{i}": model(input_ids=ids(x), decoder_input_ids=start).logits[0]
                       for i, x in enumerate(inputs)}
        return values


def batch_loss(model, cases):
    """Mean over the scored tokens of the whole batch."""
    is_decoder = model.config.model_type in DECODERS
    pairs = list(zip(cases["inputs"], cases["targets"]))
    sums = [scored(logits_of(model, *pair), pair[1], is_decoder) for pair in pairs]
    return sum(total for total, _ in sums) / sum(count for _, count in sums)


def gradients(spec, model, cases):
    """The loss, and its gradient for every stored tensor that it reads, under the stored name."""
    model = in_double(model)
    parameters = dict(model.named_parameters())
    if "final_logits_bias" in dict(model.named_buffers()):
        parameters["final_logits_bias"] = model.final_logits_bias.requires_grad_()
    loss = batch_loss(model, cases)
    loss.backward()
    names = stored(spec)
    values = {spec.form.rename(name): p.grad for name, p in parameters.items()}
    return loss, {f"gradients.{k}": v.float() for k, v in values.items() if k in names}


def expected(spec, cases):
    values = outputs(spec, load(spec), cases)
    if "targets" in cases:
        loss, slopes = gradients(spec, load(spec), cases)
        values |= {"loss": loss.float()} | slopes
    return values


# Checks ------------------------------------------------------------------------------------------

UNREAD = ("v_head.", "position_ids", ".attn.bias", "pooler.", "seq_relationship.", "lm_head.decoder.",
          "EncDecAttention.relative_attention_bias", "embed_tokens.weight")


def unread(spec, name):
    """Stored, but without a gradient of its own: buffers, other heads, copies of tied tables."""
    return (any(part in name for part in UNREAD) and name != "model.embed_tokens.weight"
            or spec.name == "t5_old" and name == "lm_head.weight")


def check(spec, cases, values):
    """A second way to the same numbers, and that they are large enough to show mistakes."""
    model = spec.kind.from_pretrained(spec.directory, dtype=torch.float32,
                                      attn_implementation="eager").eval()
    exact = outputs(spec, in_double(load(spec)), cases)
    for name, value in outputs(spec, model, cases).items():
        torch.testing.assert_close(value, values[name], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(exact[name].float(), values[name], rtol=1e-5, atol=1e-5)
        assert 0.3 < value.std() < 6, (spec.name, name, value.std())
    if "targets" not in cases:
        return
    loss = batch_loss(model, cases)
    loss.backward()
    torch.testing.assert_close(loss, values["loss"], rtol=1e-6, atol=0)
    slopes = {k.removeprefix("gradients."): v for k, v in values.items() if "gradients." in k}
    absent = {name for name in stored(spec) if name not in slopes and not unread(spec, name)}
    assert not absent, (spec.name, absent)
    largest = max(slope.abs().max() for slope in slopes.values())
    for name, parameter in model.named_parameters():
        slope = slopes[spec.form.rename(name)]
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-4, atol=2e-6 * largest.item())
        no_effect = name.endswith(("key.bias", "k_proj.bias")) and spec.name not in ("llama_bias", "qwen2")
        assert no_effect or slope.abs().max() > 1e-4, (spec.name, name, slope.abs().max())


def buckets():
    """T5's bucket of each relative position (key - query), where float32 logarithms decide."""
    bucket = transformers.models.t5.modeling_t5.T5Attention._relative_position_bucket
    tables = []
    for count, distance in ((32, 128), (8, 20), (40, 150), (16, 64), (32, 100)):
        for both in (True, False):
            table = bucket(torch.arange(-200, 201), both, count, distance)
            tables.append({"buckets": count, "max_distance": distance, "bidirectional": both,
                           "first": -200, "table": table.tolist()})
    return {"tables": tables}


def main(names):
    for spec in specs():
        if names and spec.name not in names:
            continue
        write_model(spec)
        cases = batch(spec)
        values = expected(spec, cases)
        check(spec, cases, values)
        write_json(spec.directory / "cases.json", cases)
        write_tensors(spec.directory / "expected.safetensors", values)
        size = sum(f.stat().st_size for f in spec.directory.iterdir())
        print(f"{spec.name}: {size // 1024} KB, loss {values.get('loss', torch.nan)}")
    write_json(MODELS / "t5_buckets.json", buckets())


if __name__ == "__main__":
    main(sys.argv[1:])
