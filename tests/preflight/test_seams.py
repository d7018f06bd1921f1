"""A changed recipe on resume: what is free, what must be accepted, what cannot be, and what the sentences say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.preflight import Seams, learning_rate_at, seams
from auscult.preflight.limits import kinds
from auscult.recipe import ScheduleSettings, TrainingRecipe, recipe_from_values, recipe_values
from recipe_files import recipes

BEFORE = TrainingRecipe()
SHAPES = {"wte.weight": (50304, 768), "h.0.ln_1.weight": (768,)}


def changed(path: str, value: Any) -> TrainingRecipe:
    """Return the recipe with one setting changed, by ``table.key``."""
    table, _, key = path.rpartition(".")
    if not table:
        return replace(BEFORE, **{key: value})
    return replace(BEFORE, **{table: replace(getattr(BEFORE, table), **{key: value})})


def look(now: TrainingRecipe, *, step: int = 500, before: TrainingRecipe = BEFORE, **more: Any) -> Seams:
    return seams(before, now, step, **{"shapes_before": SHAPES, "shapes_now": SHAPES, **more})


@given(recipes(), st.integers(0, 10**6))
def test_a_recipe_that_is_the_same_has_no_seam(recipe: TrainingRecipe, step: int) -> None:
    """Through JSON's values and back, equal recipes differ in nothing, at any step of the run."""
    found = look(recipe_from_values(recipe_values(recipe)), before=recipe, step=min(step, recipe.schedule.steps))
    assert found == Seams((), ())


FREE = {
    "name": "other",
    "batch.micro_batch": 4,
    "data.path": "elsewhere",
    "data.verify": False,
    "machine.device": "cpu",
    "machine.gpu": "H200",
    "machine.compile": False,
    "machine.attention": "flex",
    "machine.checkpointing": "full",
    "machine.cross_entropy": "chunked",
    "machine.sharding": "fsdp",
    "model.weights": "x.safetensors",
    "evaluation.every_steps": 7,
    "evaluation.tokens": 1024,
    "checkpoint.every_steps": 7,
    "checkpoint.keep": 1,
    "log.every_steps": 1,
    "log.tensorboard": False,
    "log.wandb": "p",
    "log.trackio": "p",
}
OTHER = {
    "seed": 1,
    "data.document_mask": True,
    "batch.tokens_per_step": 983_040,
    "optimizer.name": "muon",
    "optimizer.learning_rate": 3e-4,
    "optimizer.beta1": 0.8,
    "optimizer.beta2": 0.99,
    "optimizer.eps": 1e-6,
    "optimizer.weight_decay": 0.0,
    "optimizer.momentum": 0.9,
    "optimizer.grad_clip": 0.0,
    "schedule.kind": "wsd",
    "schedule.steps": 2000,
    "schedule.warmup_steps": 10,
    "schedule.decay_steps": 900,
    "schedule.min_learning_rate": 1e-5,
    "machine.dtype": "float32",
    "model.family": "modern",
    "model.n_layer": 6,
    "model.n_head": 6,
    "model.n_kv_head": 4,
    "model.d_model": 384,
    "model.d_ff": 2048,
    "model.vocab_size": 50257,
    "model.context": 512,
    "model.position": "rope",
    "model.norm": "rmsnorm",
    "model.activation": "gelu",
    "model.qk_norm": True,
    "model.bias": False,
    "model.tied": False,
    "model.rope_theta": 5e5,
    "model.dropout": 0.1,
}


def test_every_setting_is_judged() -> None:
    """A new setting of a recipe must be put on one side: these lists know all of them."""
    assert set(FREE) | set(OTHER) == set(kinds())
    assert not set(FREE) & set(OTHER)


@pytest.mark.parametrize("path", FREE)
def test_what_changes_no_mathematics_is_free(path: str) -> None:
    """Where it runs, how it is carried out, what is written and measured beside it: no seam."""
    assert look(changed(path, FREE[path])) == Seams((), ())


@pytest.mark.parametrize("path", OTHER)
def test_what_changes_the_mathematics_is_told(path: str) -> None:
    """Every other setting is named, in a change or as what makes it impossible."""
    found = look(changed(path, OTHER[path]))
    said = " ".join((*found.impossible, *found.changes))
    assert (path if path != "optimizer.name" else "the optimiser was adamw and is muon") in said


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (
            changed("optimizer.learning_rate", 3e-4),
            "optimizer.learning_rate changed: at step 500 the learning rate goes from 0.000352 to 0.000176",
        ),
        (
            replace(BEFORE, schedule=ScheduleSettings(kind="cosine", steps=2000)),
            "schedule.steps changed: at step 500 the learning rate goes from 0.000352 to 0.000537",
        ),
        (
            changed("seed", 1),
            "seed was 1337 and is 1: the order of the data changes, and some sequences are seen twice in this epoch, others not",
        ),
    ],
)
def test_sentences(now: TrainingRecipe, sentence: str) -> None:
    """What was, what is, and the rates on both sides of the seam."""
    assert look(now).changes == (sentence,)


def test_a_schedule_that_differs_only_later_says_so() -> None:
    """Within the stable part of wsd, more steps change nothing now: the sentence does not claim a jump."""
    before = replace(BEFORE, schedule=ScheduleSettings(kind="wsd", steps=1000, decay_steps=100))
    now = replace(before, schedule=replace(before.schedule, steps=3000))
    assert look(now, before=before).changes == (
        "schedule.steps changed: the learning rate at step 500 stays 0.0006, what follows differs",
    )


@given(recipes(), recipes(), st.integers(0, 10**6))
def test_a_jump_is_told_exactly_where_there_is_one(one: TrainingRecipe, two: TrainingRecipe, step: int) -> None:
    """Between any two schedules the sentence says 'goes from' just when the rates of the step differ."""
    now = replace(
        one, optimizer=replace(one.optimizer, learning_rate=two.optimizer.learning_rate), schedule=two.schedule
    )
    told = [change for change in look(now, before=one, step=step).changes if "the learning rate" in change]
    if one.schedule == now.schedule and one.optimizer == now.optimizer:
        assert told == []
    else:
        jumps = learning_rate_at(one, step) != learning_rate_at(now, step)
        assert len(told) == 1
        assert ("goes from" in told[0]) == jumps


def test_tensors_are_named() -> None:
    """Of another shape, missing, or too many: how many differ, the first of them by name, and the rest counted."""
    now = {**{f"h.{i}.w": (3, 4) for i in range(5)}, "wte.weight": (50304, 384)}
    found = look(changed("model.d_model", 384), shapes_now=now)
    assert found.impossible == (
        "7 tensors differ: wte.weight is 50304 × 768 in the checkpoint and 50304 × 384 in the recipe;"
        " h.0.w is not in the checkpoint; h.1.w is not in the checkpoint, and 4 more",
    )
    found = look(BEFORE, shapes_now={"wte.weight": (50304, 768)})
    assert found.impossible == ("1 tensor differs: h.0.ln_1.weight is in the checkpoint and not in the recipe",)


def test_a_run_beyond_its_end_is_impossible() -> None:
    """A checkpoint after the new last step cannot be taken up; one at it can."""
    now = changed("schedule.steps", 400)
    assert look(now).impossible == ("the run is at step 500 and would have 400 steps in all",)
    assert look(now, step=400).impossible == ()


def test_other_data_is_a_change() -> None:
    """Whatever the path, the fingerprint decides."""
    assert look(BEFORE, same_data=False).changes == ("the training data is not what it was: its fingerprint differs",)
