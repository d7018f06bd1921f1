"""Configs that are written are read back by auscult's own readers: the same model, batch, steps, rate and precision."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

import auscult
from auscult.errors import UsageError
from auscult.facts.setup import Setup
from auscult.planner.planned import PlannedRun
from auscult.planner.shapes import like, published_names
from auscult.planner.writers import dialects, documents, write
from auscult.run import Run, value_of

GPT2 = {**like("gpt2"), "vocab_size": 50_304}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "auscult": like("smollm2-135m"),
    "nanogpt": GPT2,
    "hf": like("pythia-160m"),
    "litgpt": like("smollm2-135m"),
    "torchtitan": like("qwen3-0.6b"),
}
SAME_FOLDER = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def planned(config: Mapping[str, Any], setup: Setup | None = None, **changes: Any) -> PlannedRun:
    """Return a run of round numbers."""
    setup = setup or Setup(8, 1024, 64, compiled=True)
    values: dict[str, Any] = {
        "steps": 20_000,
        "learning_rate": 6e-4,
        "min_lr": 6e-5,
        "warmup_steps": 715,
        "decay_steps": 20_000,
        "dataset": "fineweb",
        "why": ("8 sequences at once take 9.9 of 11.7 GiB; 16 would take 17.5.",),
        "gpu": "RTX 4070",
        "gpu_count": setup.gpu_count,
    }
    return PlannedRun(config, setup, **{**values, **changes})


def read_back(run: PlannedRun, dialect: str, folder: Path) -> Run:
    for document in documents(run, dialect):
        (folder / document.name).write_text(document.text, encoding="utf-8")
    return auscult.read(folder)


def expected_shape(config: Mapping[str, Any]) -> tuple[object, ...]:
    """Return layers, heads, width and vocabulary under either of their names."""
    names = (
        ("n_layer", "num_hidden_layers"),
        ("n_head", "num_attention_heads"),
        ("n_embd", "hidden_size"),
        ("vocab_size", "vocab_size"),
    )
    return tuple(config.get(one, config.get(other)) for one, other in names)


def assert_same(run: PlannedRun, dialect: str, folder: Path) -> None:
    found = read_back(run, dialect, folder)
    assert not found.problems
    shape, recipe = found.recipe.architecture, found.recipe
    assert tuple(map(value_of, (shape.n_layer, shape.n_head, shape.d_model, shape.vocab_size))) == expected_shape(
        run.config
    )
    assert value_of(shape.context) == run.setup.context
    assert value_of(recipe.batch_size) == run.setup.micro_batch
    assert value_of(recipe.max_steps) == run.steps
    assert value_of(recipe.learning_rate) == run.learning_rate
    assert value_of(recipe.min_lr) == pytest.approx(run.min_lr, rel=1e-9)
    assert value_of(recipe.warmup_steps) == run.warmup_steps
    assert value_of(recipe.weight_decay) == run.weight_decay
    assert (value_of(recipe.beta1), value_of(recipe.beta2)) == (run.beta1, run.beta2)
    assert value_of(recipe.grad_clip) == run.grad_clip
    if run.setup.precision != "fp32" or dialect != "hf":  # what hf says of fp32 is nothing
        dtype = {"amp_bf16": "bfloat16", "amp_fp16": "float16", "fp32": "float32"}[run.setup.precision]
        assert value_of(recipe.dtype) == dtype
    if dialect != "litgpt":  # litgpt always compiles, and its config has no word for it
        assert value_of(recipe.compile) is run.setup.compiled
    if dialect == "hf":  # how many processes there are, torchrun decides: one config can only say what each does
        each = found.noted["hf.gradient_accumulation_steps"].value
        assert each == run.setup.gradient_accumulation_steps
    else:
        assert value_of(recipe.gradient_accumulation_steps) == run.accumulation_over_ranks
        tokens = run.setup.micro_batch * run.accumulation_over_ranks * run.setup.context
        assert tokens == run.tokens_per_step


@pytest.mark.parametrize("dialect", dialects())
def test_a_written_config_is_read_back(dialect: str, tmp_path: Path) -> None:
    """One GPU: all that a dialect can say is the same after reading."""
    assert_same(planned(EXAMPLES[dialect]), dialect, tmp_path)


@pytest.mark.parametrize("dialect", dialects())
def test_several_gpus_are_read_back(dialect: str, tmp_path: Path) -> None:
    """Four GPUs: accumulation is summed or not, as each dialect counts it."""
    sharding: Any = {"nanogpt": "ddp", "hf": "ddp"}.get(dialect, "fsdp")
    setup = Setup(4, 1024, 32, compiled=True, sharding=sharding, data_parallel=4)
    assert_same(planned(EXAMPLES[dialect], setup), dialect, tmp_path)


@pytest.mark.parametrize("dialect", dialects())
def test_the_text_is_this(dialect: str, snapshot: SnapshotAssertion) -> None:
    """The files as they are written, word for word."""
    assert {one.name: one.text for one in documents(planned(EXAMPLES[dialect]), dialect)} == snapshot


@st.composite
def runs(draw: st.DrawFn, family: str) -> PlannedRun:
    """Draw a run of a random shape, batch and schedule."""
    head, heads = draw(st.sampled_from([32, 64, 128])), draw(st.integers(1, 40))
    layers, rows, context = draw(st.integers(1, 99)), draw(st.integers(1, 3000)), draw(st.integers(1, 9000))
    if family == "gpt2":
        shape = {"n_layer": layers, "n_head": heads, "n_embd": head * heads, "vocab_size": 50_304}
        config: Mapping[str, Any] = {"model_type": "gpt2", **shape, "n_positions": context, "bias": draw(st.booleans())}
    else:
        config = {
            "model_type": family,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "hidden_size": head * heads,
            "intermediate_size": 64 * draw(st.integers(1, 500)),
            "vocab_size": 64 * rows,
            "max_position_embeddings": context,
            "tie_word_embeddings": draw(st.booleans()),
        }
    ranks = draw(st.integers(1, 64))
    sharding: Any = "none" if ranks == 1 else "ddp" if family == "gpt2" else "fsdp"
    setup = Setup(
        *(draw(st.integers(1, 512)), context, draw(st.integers(1, 512))),
        compiled=True,
        precision=draw(st.sampled_from(["amp_bf16", "fp32"])),
        sharding=sharding,
        data_parallel=ranks,
    )
    steps, rate = draw(st.integers(2, 10**6)), draw(st.floats(1e-6, 0.1))
    return planned(
        config,
        setup,
        steps=steps,
        decay_steps=steps,
        warmup_steps=draw(st.integers(1, steps - 1)),
        learning_rate=rate,
        min_lr=rate * draw(st.floats(0, 1)),
        weight_decay=draw(st.floats(0, 1)),
        beta2=draw(st.floats(0.5, 0.9999)),
        grad_clip=draw(st.floats(1e-3, 10)),
        dataset="some/data.txt" if family == "gpt_neox" else "data",
    )


@SAME_FOLDER
@given(run=runs("gpt2"))
def test_any_nanogpt_run_comes_back(run: PlannedRun, tmp_path: Path) -> None:
    """Whatever the numbers, nanoGPT's file says them and no others."""
    assert_same(run, "nanogpt", tmp_path)


@SAME_FOLDER
@given(run=runs("llama"))
def test_any_litgpt_run_comes_back(run: PlannedRun, tmp_path: Path) -> None:
    """Whatever the numbers, litgpt's file says them; small floats stay numbers in YAML."""
    assert_same(run, "litgpt", tmp_path)


@SAME_FOLDER
@given(run=runs("gpt_neox"))
def test_any_hf_run_comes_back(run: PlannedRun, tmp_path: Path) -> None:
    """Whatever the numbers, both of Hugging Face's files together say them."""
    assert_same(run, "hf", tmp_path)


@SAME_FOLDER
@given(run=runs("llama"), name=st.sampled_from(["llama-3-8b", "qwen3-0.6b", "qwen3-4b", "qwen3-32b", "llama-3-70b"]))
def test_any_torchtitan_run_comes_back(run: PlannedRun, name: str, tmp_path: Path) -> None:
    """A flavor trained in whatever way says the same in torchtitan's file."""
    assert_same(replace(run, config=like(name)), "torchtitan", tmp_path)


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["'; import os #", '"\nimport os\n"', "a\\", "'''", "\x85x: y", "\u2028[training]", "# ", "é🙂", "{}", "!!python/x"]
)


@given(text=HOSTILE, why=HOSTILE, gpu=HOSTILE)
def test_strings_stay_strings_in_python(text: str, why: str, gpu: str) -> None:
    """A data set's name, a reason or a card's name cannot add a statement: there are only literals, and the name is whole."""
    source = write(planned(GPT2, dataset=text, why=(why,), gpu=gpu), "nanogpt")
    values = {}
    for statement in ast.parse(source).body:
        assert isinstance(statement, ast.Assign)
        assert isinstance(statement.targets[0], ast.Name)
        assert isinstance(statement.value, ast.Constant)
        values[statement.targets[0].id] = statement.value.value
    plain = ast.parse(write(planned(GPT2), "nanogpt")).body
    assert len(values) == len(plain)
    assert values["dataset"] == text


@given(text=HOSTILE, why=HOSTILE, gpu=HOSTILE)
def test_strings_stay_strings_in_toml_yaml_and_json(text: str, why: str, gpu: str) -> None:
    """The other formats' own parsers give the name back whole, and no key more than a harmless name gives."""
    changes: dict[str, Any] = {"dataset": text, "why": (why,), "gpu": gpu, "tokenizer": text}
    titan = tomllib.loads(write(planned(EXAMPLES["torchtitan"], **changes), "torchtitan"))
    assert titan["training"]["dataset"] == titan["model"]["hf_assets_path"] == text
    plain = tomllib.loads(write(planned(EXAMPLES["torchtitan"], tokenizer="x"), "torchtitan"))
    assert {key: set(table) for key, table in titan.items()} == {key: set(table) for key, table in plain.items()}
    lit = yaml.safe_load(write(planned(EXAMPLES["litgpt"], **changes), "litgpt"))
    assert lit["tokenizer_dir"] == text
    assert lit["data"] == text or lit["data"]["init_args"]["data_path"] == text
    assert set(lit) == set(yaml.safe_load(write(planned(EXAMPLES["litgpt"], tokenizer="x"), "litgpt")))
    arguments = json.loads(write(planned(EXAMPLES["hf"], **changes), "hf"))
    assert text in (arguments.get("dataset_name"), arguments.get("train_file"))


def test_bytes_that_are_no_text_are_refused() -> None:
    """A name with half a surrogate pair, as an undecodable argument has, is refused rather than written as something else."""
    for dialect in dialects():
        with pytest.raises(UsageError, match="not text"):
            write(planned(EXAMPLES[dialect], dataset="a\udc80"), dialect)


ONE = Setup(8, 1024, 64, compiled=True)
REFUSED: list[tuple[str, Mapping[str, Any], Setup, dict[str, Any], str]] = [
    ("nanogpt", like("llama-3.2-1b"), ONE, {}, "llama model.*litgpt"),
    ("nanogpt", GPT2, replace(ONE, checkpointing="full"), {}, "checkpointing.*hf"),
    ("nanogpt", GPT2, replace(ONE, precision="bf16"), {}, "weights in bf16"),
    ("nanogpt", GPT2, replace(ONE, optimizer="muon"), {}, "muon"),
    ("nanogpt", GPT2, replace(ONE, sharding="fsdp", data_parallel=2), {}, "sharding"),
    ("nanogpt", GPT2, replace(ONE, context=512), {}, "1,024 positions"),
    ("nanogpt", {**GPT2, "vocab_size": 65}, ONE, {"dataset": None}, "vocabulary of 65"),
    ("nanogpt", {**GPT2, "n_inner": 1024}, ONE, {}, "MLP"),
    ("nanogpt", GPT2, ONE, {"schedule": "wsd", "cooldown_steps": 100}, "schedule"),
    ("nanogpt", GPT2, replace(ONE, lora_rank=8), {}, "LoRA"),
    ("litgpt", GPT2, ONE, {}, "gpt2 model"),
    ("litgpt", EXAMPLES["litgpt"], replace(ONE, compiled=False), {}, "torch.compile"),
    ("litgpt", EXAMPLES["litgpt"], replace(ONE, precision="amp_fp16"), {}, "fp16"),
    ("litgpt", EXAMPLES["litgpt"], replace(ONE, sharding="ddp", data_parallel=2), {}, "ddp on 2"),
    ("litgpt", EXAMPLES["litgpt"], ONE, {"decay_steps": 30_000}, "decay of 30,000"),
    ("litgpt", EXAMPLES["litgpt"], ONE, {"grad_clip": 0.0}, "clipping"),
    ("litgpt", EXAMPLES["litgpt"], replace(ONE, dropout=0.1), {}, "dropout"),
    ("torchtitan", GPT2, ONE, {}, "gpt2 shape.*llama3 8B.*nanogpt"),
    ("torchtitan", like("smollm2-135m"), ONE, {}, "llama shape.*litgpt"),
    ("torchtitan", EXAMPLES["torchtitan"], replace(ONE, sharding="zero1", data_parallel=2), {}, "ZeRO-1"),
    ("torchtitan", EXAMPLES["torchtitan"], replace(ONE, loss="fused"), {}, "fused loss"),
    ("hf", {**GPT2, "bias": False}, ONE, {}, "without biases.*nanogpt"),
    ("hf", GPT2, replace(ONE, checkpointing="selective"), {}, "selective.*torchtitan"),
    ("hf", GPT2, replace(ONE, tensor_parallel=2), {}, "tensor"),
    ("hf", GPT2, ONE, {"dataset": None}, "without data"),
    ("hf", like("llama-3.2-1b"), replace(ONE, dropout=0.1), {}, "dropout"),
    ("axolotl", GPT2, ONE, {}, "expected one of auscult, hf, litgpt, nanogpt, torchtitan"),
]


@pytest.mark.parametrize(("dialect", "config", "setup", "changes", "words"), REFUSED)
def test_what_a_dialect_cannot_say_is_refused(
    dialect: str, config: Mapping[str, Any], setup: Setup, changes: dict[str, Any], words: str
) -> None:
    """The message names what cannot be written, and where it can."""
    with pytest.raises(UsageError, match=words):
        write(planned(config, setup, **changes), dialect)


def test_a_cooldown_is_written_where_there_is_one() -> None:
    """A constant rate with a cooldown over the last fifth: its steps in both dialects that have such a schedule."""
    changes: dict[str, Any] = {"schedule": "wsd", "cooldown_steps": 4_000}
    titan = tomllib.loads(write(planned(EXAMPLES["torchtitan"], **changes), "torchtitan"))["lr_scheduler"]
    assert titan == {
        "warmup_steps": 715,
        "decay_type": "linear",
        "decay_ratio": 0.2,
        "min_lr_factor": pytest.approx(0.1),
    }
    arguments = json.loads(write(planned(EXAMPLES["hf"], **changes), "hf"))
    assert arguments["lr_scheduler_type"] == "warmup_stable_decay"
    assert arguments["lr_scheduler_kwargs"] == {"num_decay_steps": 4_000, "min_lr_ratio": pytest.approx(0.1)}


def test_gpt2_trains_without_dropout_unless_told() -> None:
    """GPT-2's config has dropout 0.1 by default, so 0 is written."""
    config = json.loads(documents(planned(GPT2), "hf")[1].text)
    assert [config[key] for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop")] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", published_names())
def test_every_published_shape_has_a_dialect(name: str) -> None:
    """Whatever --like names can be written for Hugging Face at the least."""
    assert json.loads(documents(planned(like(name)), "hf")[1].text)["model_type"] == like(name)["model_type"]


def test_contradictions_are_the_callers_mistake() -> None:
    """A run whose numbers contradict each other is not made."""
    for changes in (
        {"warmup_steps": 20_000},
        {"min_lr": 1e-2},
        {"gpu_count": 3},
        {"schedule": "wsd"},
        {"cooldown_steps": 5},
        {"schedule": "wsd", "cooldown_steps": 19_999},
    ):
        with pytest.raises(ValueError, match=r"must|shares|cooldown"):
            planned(GPT2, **changes)
