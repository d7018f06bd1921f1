"""Mutation of any one number in the config or the log changes what depends on it, and nothing else.

The table says, for groups of figures in the JSON, which inputs they depend on. A hypothesis picks one input and a new
value; every group that does not depend on it must stay as it was, to the last digit, and at least one figure that does
must change.
"""

from __future__ import annotations

import copy
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import auscult
from auscult.readers import given_by_options
from auscult.report.json import dumps
from made_up import CONFIG, Log, MadeUpRun, flat, healthy_log

SHAPE = {"n_layer", "n_embd", "block_size", "bias"}
PER_STEP = {"batch_size", "gradient_accumulation_steps", "block_size"}
LOSSES = {"log:val", "log:train_eval", "log:train"}
DEPENDS: dict[str, set[str]] = {
    "run.parameters.total": SHAPE,
    "run.parameters.embedding": {"n_embd"},
    "run.parameters.position": {"n_embd", "block_size"},
    "run.parameters.non_embedding": {"n_layer", "n_embd", "bias"},
    "run.budget.tokens_per_step": PER_STEP,
    "run.budget.tokens_seen": PER_STEP,
    "run.budget.tokens_planned": PER_STEP | {"max_iters"},
    "run.budget.chinchilla_ratio": PER_STEP | {"n_layer", "n_embd", "bias"},
    "run.throughput.flops_per_token": SHAPE,
    "run.throughput.step_time_s": {"log:time", "eval_interval"},
    "run.throughput.tokens_per_s": PER_STEP | {"log:time", "eval_interval"},
    "run.throughput.mfu_logged": {"log:mfu", "eval_interval"},
    "run.hardware.peak_flops_per_s": set(),
    "run.steps.last": set(),
    "run.steps.planned": {"max_iters"},
    "curve.noise_sd": {"log:val", "warmup_iters"},
    "curve.slope_nats_per_efold": {"log:val", "warmup_iters"},
    "curve.val_minus_train": {"log:val", "log:train_eval", "warmup_iters"},
    "curve.dropout_cost": {"log:train", "log:train_eval"},
    "curve.learning_rate_at_last_step": {"learning_rate", "min_lr", "warmup_iters", "lr_decay_iters"},
    "curve.learning_rate_share": {"learning_rate", "min_lr", "warmup_iters", "lr_decay_iters"},
    "curve.expected_loss": PER_STEP | SHAPE | {"learning_rate", "min_lr", "warmup_iters", "lr_decay_iters"},
    "forecast.final_step": {"max_iters"},
    **{
        f"run.recipe.{name}": {key}
        for name, key in {
            "batch_size": "batch_size",
            "gradient_accumulation_steps": "gradient_accumulation_steps",
            "learning_rate": "learning_rate",
            "min_lr": "min_lr",
            "warmup_steps": "warmup_iters",
            "decay_steps": "lr_decay_iters",
            "weight_decay": "weight_decay",
            "beta1": "beta1",
            "beta2": "beta2",
            "grad_clip": "grad_clip",
            "dropout": "dropout",
        }.items()
    },
    **{
        f"run.architecture.{name}": {key}
        for name, key in {
            "n_layer": "n_layer",
            "n_head": "n_head",
            "d_model": "n_embd",
            "context": "block_size",
            "bias": "bias",
        }.items()
    },
}
INPUTS = sorted(set().union(*DEPENDS.values()))
CONFIG_INPUTS = [name for name in INPUTS if not name.startswith("log:")]


def diagnose(config: dict[str, object], log: Log) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = auscult.read(MadeUpRun(Path(folder) / "run").write(config, log), given=given_by_options(gpu="RTX 4070"))
        return flat(json.loads(dumps(auscult.diagnose(run))))


@functools.cache
def base() -> dict[str, Any]:
    return diagnose({}, LOG)


LOG = healthy_log()


def other_value(name: str, draw: st.DrawFn) -> object:
    """Draw a sane value for a config key that differs from the base."""
    value = CONFIG[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        step = 6 * 64 if name == "n_embd" else 1
        return draw(st.integers(1, 40).map(lambda k: k * step).filter(lambda v: v != value))
    assert isinstance(value, float)
    return draw(st.floats(0.01, 0.98).map(lambda x: round(value * x, 9)).filter(lambda v: v != value))


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, dict[str, object], Log]:
    """One input with a new value: a key of the config, or one number of one line in the second half of the log."""
    name = draw(st.sampled_from(INPUTS))
    log = copy.deepcopy(LOG)
    if name in CONFIG:
        return name, {name: other_value(name, draw)}, log
    shift = draw(st.floats(0.01, 0.2))
    if name in ("log:val", "log:train_eval"):
        step = draw(st.sampled_from([s for s in log.evaluations if s > 14_000]))
        train, val = log.evaluations[step]
        log.evaluations[step] = (train, val + shift) if name == "log:val" else (train + shift, val)
    else:
        evaluated = name == "log:time"
        step = draw(
            st.sampled_from([s for s in log.iterations if s > 14_000 and not (evaluated and s in log.evaluations)])
        )
        loss, ms, mfu = log.iterations[step]
        log.iterations[step] = {
            "log:train": (loss + shift, ms, mfu),
            "log:time": (loss, ms * (1 + shift), mfu),
            "log:mfu": (loss, ms, mfu + shift),
        }[name]
    return name, {}, log


def points_that_differ(log: Log) -> int:
    """How many points of all series read differently from the base log."""
    with tempfile.TemporaryDirectory() as folder:
        series = auscult.read(MadeUpRun(Path(folder) / "run").write({}, log)).series
        plain = auscult.read(MadeUpRun(Path(folder) / "base").write({}, LOG)).series
    return sum(a != b for s, t in zip(series, plain, strict=True) for a, b in zip(s.values, t.values, strict=True))


def group(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    return {
        path: value for path, value in values.items() if path == prefix or path.startswith((f"{prefix}.", f"{prefix}["))
    }


@settings(max_examples=120, deadline=None)
@given(mutation=mutations())
def test_one_number_changes_what_depends_on_it_and_nothing_else(mutation: tuple[str, dict[str, object], Log]) -> None:
    """Every group that does not depend on the mutated number is unchanged; a series or a figure that does, changes."""
    name, config, log = mutation
    mutated = diagnose(config, log)
    for prefix, inputs in DEPENDS.items():
        if name not in inputs:
            assert group(prefix, mutated) == group(prefix, base()), f"{prefix} changed with {name}"
    series = {path: value for path, value in mutated.items() if path.startswith("run.series")}
    if name in CONFIG_INPUTS:
        assert series == {path: value for path, value in base().items() if path.startswith("run.series")}
        changed = [
            prefix
            for prefix, inputs in DEPENDS.items()
            if name in inputs and group(prefix, mutated) != group(prefix, base())
        ]
        assert changed or name == "eval_interval", f"nothing changed with {name}"  # it may reclassify no step at all
    else:
        assert points_that_differ(log) == 1, f"{name} changed more than its own point"


def test_each_input_reaches_what_depends_on_it() -> None:
    """A clear change of each input changes each figure that the table says depends on it (no dead row in the table)."""
    strong: dict[str, object] = {
        "n_layer": 12, "n_embd": 768, "block_size": 512, "bias": True, "batch_size": 8, "gradient_accumulation_steps": 16,
        "max_iters": 30_000, "learning_rate": 5e-4, "min_lr": 2e-4, "n_head": 12, "weight_decay": 0.05, "beta1": 0.8,
        "beta2": 0.95, "grad_clip": 0.5, "dropout": 0.2, "lr_decay_iters": 40_000, "warmup_iters": 4_000,
    }  # fmt: skip
    weak = {("eval_interval", prefix) for prefix in DEPENDS} | {
        ("warmup_iters", "curve.learning_rate_at_last_step"),  # the run ends at the floor: warm-up cannot move it
        ("warmup_iters", "curve.learning_rate_share"),
        ("warmup_iters", "curve.noise_sd"),  # the window starts later, the second half is the same
        ("warmup_iters", "curve.expected_loss"),
        ("learning_rate", "curve.learning_rate_at_last_step"),  # as above: the floor is min_lr
        ("learning_rate", "curve.expected_loss"),
    }
    for name, value in strong.items():
        mutated = diagnose({name: value}, LOG)
        for prefix, inputs in DEPENDS.items():
            if name in inputs and (name, prefix) not in weak:
                assert group(prefix, mutated) != group(prefix, base()), f"{prefix} does not change with {name}"
