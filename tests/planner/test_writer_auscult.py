"""Recipes that a plan is written as: the trainer's own loader gives back the run that was planned, and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import auscult
from auscult.architectures import build
from auscult.errors import UsageError
from auscult.facts.parameters import count_parameters
from auscult.facts.setup import Setup
from auscult.hardware import find_gpu
from auscult.planner import Request, config_of, plan
from auscult.planner.planned import PlannedRun
from auscult.planner.shapes import like, published_names
from auscult.planner.writers import documents, write
from auscult.preflight import load_recipe
from auscult.recipe import TrainingRecipe
from auscult.run import Known, value_of

GPT2 = {**like("gpt2"), "vocab_size": 50_304}
SMOL = like("smollm2-135m")
ONE = Setup(8, 1024, 64, compiled=True)
SAME_FOLDER = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def planned(config: Mapping[str, Any], setup: Setup = ONE, **changes: Any) -> PlannedRun:
    """Return a run of round numbers."""
    values: dict[str, Any] = {
        "steps": 20_000,
        "learning_rate": 6e-4,
        "min_lr": 6e-5,
        "warmup_steps": 715,
        "decay_steps": 20_000,
        "dataset": "fineweb",
        "gpu": "RTX 4070",
        "gpu_count": setup.gpu_count,
    }
    return PlannedRun(config, setup, **{**values, **changes})


def loaded(run: PlannedRun, folder: Path) -> TrainingRecipe:
    """Write a run as a recipe and load it."""
    (document,) = documents(run, "auscult")
    (folder / document.name).write_text(document.text, encoding="utf-8")
    return load_recipe(folder / document.name)


@st.composite
def runs(draw: st.DrawFn) -> PlannedRun:
    """Draw a run of a random shape, batch and schedule that the trainer can make."""
    head, kv = 2 * draw(st.integers(1, 64)), draw(st.integers(1, 6))
    heads, layers, context = kv * draw(st.integers(1, 6)), draw(st.integers(1, 99)), draw(st.integers(1, 9000))
    vocab, tied = draw(st.integers(2, 150_000)), draw(st.booleans())
    kind = draw(st.sampled_from(["gpt2", "llama", "mistral", "auscult"]))
    if kind == "gpt2":
        config: dict[str, Any] = {"model_type": "gpt2", "n_layer": layers, "n_head": heads, "n_embd": head * heads}
        config |= {
            "vocab_size": vocab,
            "n_positions": context,
            "bias": draw(st.booleans()),
            "tie_word_embeddings": tied,
        }
        config["activation_function"] = draw(st.sampled_from(["gelu_new", "gelu", "gelu_pytorch_tanh"]))
    elif kind == "auscult":
        config = {"model_type": "auscult", "n_layer": layers, "n_head": heads, "n_kv_head": kv, "d_model": head * heads}
        config |= {"d_ff": draw(st.integers(1, 9999)), "vocab_size": vocab, "context": context, "tied": tied}
        config |= {
            "position": draw(st.sampled_from(["rope", "learned"])),
            "norm": draw(st.sampled_from(["rmsnorm", "layernorm"])),
        }
        config |= {"activation": draw(st.sampled_from(["relu2", "swiglu", "gelu"])), "qk_norm": draw(st.booleans())}
        config |= {"bias": draw(st.booleans())}
    else:
        config = {"model_type": kind, "num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": vocab}
        config |= {
            "num_key_value_heads": kv,
            "hidden_size": head * heads,
            "intermediate_size": draw(st.integers(1, 9999)),
        }
        config |= {"tie_word_embeddings": tied, "rope_theta": draw(st.sampled_from([1e4, 5e5]))}
        config |= {"sliding_window": None} if kind == "mistral" else {}
    ranks, steps = draw(st.integers(1, 64)), draw(st.integers(2, 10**6))
    warmup, rate = draw(st.integers(1, steps - 1)), draw(st.floats(1e-6, 0.1))
    wsd = draw(st.booleans())
    setup = Setup(
        *(draw(st.integers(1, 512)), context, draw(st.integers(1, 512))),
        compiled=draw(st.booleans()),
        precision=draw(st.sampled_from(["amp_bf16", "fp32"])),
        checkpointing=draw(st.sampled_from(["none", "full"])),
        loss=draw(st.sampled_from(["eager", "chunked"])),
        optimizer=draw(st.sampled_from(["adamw", "muon"])),
        dropout=draw(st.sampled_from([0.0, 0.1])),
        sharding="none" if ranks == 1 else draw(st.sampled_from(["ddp", "fsdp"])),
        data_parallel=ranks,
    )
    return planned(
        config,
        setup,
        steps=steps,
        decay_steps=steps if wsd else draw(st.integers(warmup + 1, 2 * steps)),
        warmup_steps=warmup,
        learning_rate=rate,
        min_lr=rate * draw(st.floats(0, 1)),
        schedule="wsd" if wsd else "cosine",
        cooldown_steps=draw(st.integers(1, steps - warmup)) if wsd else 0,
        weight_decay=draw(st.floats(0, 1)),
        beta2=draw(st.floats(0.5, 0.9999)),
        grad_clip=draw(st.sampled_from([0.0, 1.0])),
    )


@SAME_FOLDER
@given(run=runs())
def test_any_planned_run_comes_back(run: PlannedRun, tmp_path: Path) -> None:
    """Architecture, tokens per step, micro-batch, steps, rates and schedule are those of the plan, to the last digit."""
    found = loaded(run, tmp_path)
    assert (found.batch.tokens_per_step, found.batch.micro_batch) == (run.tokens_per_step, run.setup.micro_batch)
    assert (found.model.context, found.model.dropout) == (run.setup.context, run.setup.dropout)
    schedule, optimizer, machine = found.schedule, found.optimizer, found.machine
    assert (schedule.kind, schedule.steps, schedule.warmup_steps) == (run.schedule, run.steps, run.warmup_steps)
    assert found.decay_steps == (run.cooldown_steps if run.schedule == "wsd" else run.decay_steps)
    assert (optimizer.learning_rate, schedule.min_learning_rate) == (run.learning_rate, run.min_lr)
    assert (optimizer.name, optimizer.beta2, optimizer.weight_decay, optimizer.grad_clip) == (
        *(run.setup.optimizer, run.beta2, run.weight_decay, run.grad_clip),
    )
    assert machine.dtype == {"amp_bf16": "bfloat16", "fp32": "float32"}[run.setup.precision]
    assert (machine.compile, machine.checkpointing) == (run.setup.compiled, run.setup.checkpointing)
    assert machine.cross_entropy == {"eager": "full", "chunked": "chunked"}[run.setup.loss]
    assert machine.sharding == ("fsdp" if run.setup.sharding == "fsdp" else "ddp")
    assert Path(found.data.path) == tmp_path / "fineweb"
    read = auscult.read(tmp_path / "recipe.toml")
    details = read.recipe.architecture.details
    assert isinstance(details, Known)
    asked, made = build(run.config), build(details.value)
    assert count_parameters(made).total == count_parameters(asked).total
    assert [(a.n_head, a.n_kv_head, a.qk_dim) for a, _ in made.attentions] == [
        (a.n_head, a.n_kv_head, a.qk_dim) for a, _ in asked.attentions
    ]
    assert (made.n_layer, made.d_model, made.vocab_size, made.tied) == (
        *(asked.n_layer, asked.d_model, asked.vocab_size, asked.tied),
    )
    assert value_of(read.recipe.gradient_accumulation_steps) == run.accumulation_over_ranks


@SAME_FOLDER
@given(run=runs())
def test_a_recipe_that_is_planned_again_is_the_same_model(run: PlannedRun, tmp_path: Path) -> None:
    """From recipe to plan to recipe no part of the model is lost, the base of its rotary positions included."""
    first = loaded(run, tmp_path)
    details = auscult.read(tmp_path / "recipe.toml").recipe.architecture.details
    assert isinstance(details, Known)
    assert loaded(replace(run, config=details.value), tmp_path).model == first.model


EXPRESSIBLE = {name for name in published_names() if like(name)["model_type"] in ("gpt2", "llama", "mistral")}


@pytest.mark.parametrize("name", published_names())
def test_a_published_shape_is_written_exactly_or_refused(name: str, tmp_path: Path) -> None:
    """Of every shape that --like names: either the recipe has its parameters, or the dialect says that it has not its parts."""
    config = like(name)
    setup = replace(ONE, context=config.get("n_positions", 1024))
    try:
        loaded(planned(config, setup), tmp_path)
    except UsageError:
        assert name not in EXPRESSIBLE
        return
    assert name in EXPRESSIBLE
    count = auscult.read(tmp_path / "recipe.toml").recipe.architecture.details
    assert isinstance(count, Known)
    assert count_parameters(build(count.value)).total == count_parameters(build(config)).total


REFUSED: list[tuple[Mapping[str, Any], Setup, dict[str, Any], str]] = [
    (like("qwen3-0.6b"), ONE, {}, "qwen3 model.*hf"),
    (like("pythia-160m"), ONE, {}, "gpt_neox model"),
    ({**SMOL, "attention_bias": True}, ONE, {}, "biases"),
    ({**SMOL, "mlp_bias": True}, ONE, {}, "biases"),
    ({**SMOL, "head_dim": 128}, ONE, {}, "heads that are not"),
    ({**SMOL, "hidden_act": "gelu"}, ONE, {}, "the gate gelu"),
    ({**SMOL, "rope_scaling": {"factor": 8.0}}, ONE, {}, "stretched"),
    ({**SMOL, "rope_parameters": {"rope_type": "llama3"}}, ONE, {}, "stretched"),
    ({**SMOL, "model_type": "mistral", "sliding_window": 512}, ONE, {}, "sliding window"),
    (GPT2, replace(ONE, context=512), {}, "1,024 positions"),
    ({**GPT2, "activation_function": "relu"}, ONE, {}, "activation relu"),
    (GPT2, replace(ONE, precision="bf16"), {}, "bf16 precision"),
    (GPT2, replace(ONE, precision="amp_fp16"), {}, "amp_fp16 precision"),
    (GPT2, replace(ONE, optimizer="lion"), {}, "lion.*muon"),
    (GPT2, replace(ONE, checkpointing="selective"), {}, "selective"),
    (GPT2, replace(ONE, loss="fused"), {}, "fused loss"),
    (GPT2, replace(ONE, sharding="zero1", data_parallel=2), {}, "ZeRO-1.*FSDP"),
    (GPT2, replace(ONE, tensor_parallel=2), {}, "tensor"),
    (GPT2, replace(ONE, lora_rank=8), {}, "LoRA"),
    (GPT2, ONE, {"schedule": "wsd", "cooldown_steps": 10, "decay_steps": 19_000}, "cooldown that ends at step 19,000"),
    (GPT2, ONE, {"steps": 500}, "warm-up of 715"),
]


@pytest.mark.parametrize(("config", "setup", "changes", "words"), REFUSED)
def test_what_the_trainer_has_not_is_refused(
    config: Mapping[str, Any], setup: Setup, changes: dict[str, Any], words: str
) -> None:
    """The message names what cannot be written, and what to do."""
    with pytest.raises(UsageError, match=words):
        write(planned(config, setup, **changes), "auscult")


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ['"\nseed = 1\n"', "a\\", "'''", "\u2028[model]", "# ", "é🙂", "${x}"]
)


@given(dataset=HOSTILE, why=HOSTILE, gpu=HOSTILE)
def test_strings_stay_strings(dataset: str, why: str, gpu: str) -> None:
    """A data set's name, a reason or a card's name adds no setting: TOML's own parser gives the names back whole."""
    found = tomllib.loads(write(planned(GPT2, dataset=dataset, why=(why,), gpu=gpu), "auscult"))
    usual = tomllib.loads(write(planned(GPT2), "auscult"))
    assert found["data"]["path"] == dataset
    assert found["machine"].pop("gpu", "") == (gpu if gpu.strip() else "")
    usual["machine"].pop("gpu")
    assert {name: set(table) for name, table in found.items()} == {name: set(table) for name, table in usual.items()}


def test_the_best_plan_that_can_be_written_is(tmp_path: Path) -> None:
    """On several cards the best plan shards with ZeRO-1, which the trainer has not: the next that it has is written, and said."""
    card = find_gpu("H100 SXM")
    assert card is not None
    planning = plan(Request(card, 8, params=124_000_000, tokens=2_500_000_000, dataset="tokens"))
    assert planning.plans[0].choice.setup.sharding == "zero1"
    (document,) = config_of(planning, "auscult")
    assert "not the best plan" in document.text
    (tmp_path / "recipe.toml").write_text(document.text, encoding="utf-8")
    found = load_recipe(tmp_path / "recipe.toml")
    assert found.batch.tokens_per_step == planning.plans[0].choice.setup.tokens_per_step
    with pytest.raises(UsageError, match="ZeRO-1"):
        config_of(planning, "auscult", planning.plans[0])
