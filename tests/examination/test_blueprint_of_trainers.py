"""Blueprints from the configs and logs of trainers, against counts that were published or that trainers printed."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.examination import Examination
from auscult.run import Known, Unknown

TINY_LLAMA, PYTHIA_160M, SMOLLM2_135M = 1_100_048_384, 162_322_944, 134_515_008
LITGPT = """model_name: tiny-llama-1.1b
out_dir: out
precision: bf16-mixed
train:
  global_batch_size: 512
  micro_batch_size: 4
  max_tokens: 3000000000
  tie_embeddings: false
"""
LITGPT_MODEL = """block_size: 2048
bias: true
mlp_class_name: GptNeoxMLP
n_embd: 768
n_head: 12
n_layer: 12
name: pythia-160m
norm_class_name: LayerNorm
padded_vocab_size: 50304
vocab_size: 50254
"""
OLMO = """run_name: small
model:
  d_model: 2048
  n_heads: 16
  n_layers: 16
  mlp_ratio: 8
  weight_tying: false
  include_bias: false
  layer_norm_type: rms
  attention_layer_norm: true
  norm_after: true
  rope: true
  max_sequence_length: 4096
  vocab_size: 100278
  embedding_size: 100352
optimizer:
  name: adamw
scheduler:
  name: cosine_with_warmup
evaluators: []
data:
  paths: []
max_duration: 1e9T
global_train_batch_size: 512
device_train_microbatch_size: 4
fsdp:
  precision: pure
"""
NEOX = """{
  "pipe-parallel-size": 1, "model-parallel-size": 1, "gpt-j-residual": true, "rotary-pct": 0.25,
  "num-layers": 6, "hidden-size": 512, "num-attention-heads": 8, "seq-length": 2048, "max-position-embeddings": 2048,
  "pos-emb": "rotary", "no-weight-tying": true, "padded_vocab_size": 50304, "norm": "layernorm",
  "output-layer-parallelism": "column", "attention-config": [[["flash"], 6]], "bias-gelu-fusion": true,
  "scaled-upper-triang-masked-softmax-fusion": true, "init_method": "small_init",
  "optimizer": {"type": "Adam", "params": {"lr": 0.001}}, "train-iters": 1000, "lr-decay-style": "cosine",
  "train_micro_batch_size_per_gpu": 4
}
"""
NANOTRON = """general:
  project: p
model:
  make_vocab_size_divisible_by: 1
  model_config:
    is_llama_config: true
    hidden_size: 576
    intermediate_size: 1536
    num_attention_heads: 9
    num_hidden_layers: 30
    num_key_value_heads: 3
    tie_word_embeddings: true
    vocab_size: 49152
optimizer:
  clip_grad: 1.0
parallelism:
  dp: 2
  tp: 1
  pp: 1
tokens:
  batch_accumulation_per_replica: 1
  micro_batch_size: 4
  sequence_length: 2048
  train_steps: 100
"""
FOUNDRY = """max_seq_len: 2048
model:
  name: mpt_causal_lm
  d_model: 4096
  n_heads: 32
  n_layers: 32
  expansion_ratio: 4
  max_seq_len: 2048
  vocab_size: 50432
  no_bias: true
  attn_config:
    alibi: true
train_loader:
  name: text
optimizer:
  name: decoupled_lionw
  lr: 3.0e-4
algorithms:
  gradient_clipping: {}
max_duration: 100ba
global_train_batch_size: 256
fsdp_config:
  sharding_strategy: FULL_SHARD
callbacks: {}
"""


def examined(folder: Path, name: str, text: str) -> Examination:
    """Return the examination of a file of this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return Examination(auscult.read(path))


@pytest.mark.parametrize(
    ("name", "text", "published"),
    [
        ("pretrain.yaml", LITGPT, TINY_LLAMA),
        ("pretrain.yaml", LITGPT.replace("embeddings: false", "embeddings: true"), TINY_LLAMA - 32000 * 2048),
        ("model_config.yaml", LITGPT_MODEL, PYTHIA_160M),
        ("olmo.yaml", OLMO, 1_484_916_736),
        ("pythia.yml", NEOX, 70_426_624),
        ("nanotron.yaml", NANOTRON, SMOLLM2_135M),
        ("mpt.yaml", FOUNDRY, 6_649_286_656),
    ],
)
def test_a_trainers_config_has_the_published_count(tmp_path: Path, name: str, text: str, published: int) -> None:
    """TinyLlama, Pythia, OLMo 2, SmolLM2 and MPT 7B as their trainers' configs give them, against their checkpoints."""
    exam = examined(tmp_path, name, text)
    assert isinstance(exam.parameter_count, Known), exam.parameter_count
    assert exam.parameter_count.value.total == published
    assert name in {leaf.file for leaf in exam.parameter_count.source.leaves()}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("pretrain.yaml", LITGPT.replace("tiny-llama-1.1b", "a-model-of-mine"), "not among those known"),
        ("olmo.yaml", OLMO.replace("norm_after: true", "norm_after: false"), "not those of a released OLMo"),
        ("olmo.yaml", OLMO.replace("include_bias: false", "include_bias: true"), "not those of a released OLMo"),
        ("pythia.yml", NEOX.replace('"pos-emb": "rotary", ', ""), "not rotary"),
        ("pythia.yml", NEOX.replace('"rotary", ', '"rotary", "gpt_j_tied": true, '), "gpt_j_tied"),
        ("pythia.yml", NEOX.replace('"layernorm"', '"rmsnorm"'), "norm, activation, biases or heads"),
        ("pythia.yml", NEOX.replace('"padded_vocab_size": 50304, ', ""), "needs vocab_size"),
        (
            "nanotron.yaml",
            NANOTRON.replace("    hidden", "    moe_config:\n      num_experts: 8\n    hidden"),
            "plain Llama",
        ),
        ("nanotron.yaml", NANOTRON.replace("is_llama_config", "is_qwen2_config"), "nanotron config does not say"),
        (
            "mpt.yaml",
            FOUNDRY.replace("    alibi: true", "    alibi: true\n  block_overrides:\n    order: []"),
            "block_over",
        ),
        ("mpt.yaml", FOUNDRY.replace("    alibi: true", "    attn_type: of_mine"), "attn_type"),
    ],
)
def test_a_model_that_no_family_is_known_to_be_is_not_counted(tmp_path: Path, name: str, text: str, why: str) -> None:
    """Switches that make another model than the one that is drawn leave it unknown, and are named."""
    exam = examined(tmp_path, name, text)
    assert isinstance(exam.parameter_count, Unknown), exam.parameter_count
    assert why in exam.parameter_count.reason


def test_llm_foundrys_defaults_are_not_those_of_transformers(tmp_path: Path) -> None:
    """Without a word on it llm-foundry learns positions and has biases: more than transformers' MPT."""
    plain = examined(tmp_path, "mpt.yaml", FOUNDRY.replace("  no_bias: true\n  attn_config:\n    alibi: true\n", ""))
    assert isinstance(plain.parameter_count, Known)
    biases = 32 * 9 * 4096 + 65 * 4096
    assert plain.parameter_count.value.total == 6_649_286_656 + biases + 2048 * 4096
    assert plain.parameter_count.value.position == 2048 * 4096


def titan(model: str, count: int) -> str:
    """Return a log of torchtitan's that names a model and prints its size."""
    steps = "".join(
        f"[titan] 2026-01-01 00:00:0{n} - root - INFO - step: {n:2}  loss: {10 - n:8.5f}  grad_norm:  1.0000  "
        "memory: 10.50GiB(13.12%)  tps: 1,234  tflops: 56.78  mfu: 12.50%\n"
        for n in range(1, 6)
    )
    return f"[titan] 2026-01-01 00:00:00 - root - INFO - Model {model} size: {count:,} total parameters\n{steps}"


@pytest.mark.parametrize(
    ("model", "count"), [("qwen3 14B", 14_768_307_200), ("graph_trainer/deepseek_v3 debugmodel", 33_014_016)]
)
def test_torchtitan_names_a_model_of_its_tables(tmp_path: Path, model: str, count: int) -> None:
    """The sizes that two public logs print are those of the models they name; a fork under that name is not counted."""
    exam = examined(tmp_path, "run.log", titan(model, count))
    assert isinstance(exam.parameter_count, Known), exam.parameter_count
    assert exam.parameter_count.value.total == count
    fork = examined(tmp_path, "run.log", titan(model, count + 4096)).parameter_count
    assert isinstance(fork, Unknown)
    assert f"{count:,}" in fork.reason
    assert isinstance(examined(tmp_path, "run.log", titan("mine 3M", 3_000_000)).parameter_count, Unknown)
