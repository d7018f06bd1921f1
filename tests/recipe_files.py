"""Recipes drawn at random, and their files as a person could write them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from auscult.recipe import (
    BatchSettings,
    CheckpointSettings,
    DataSettings,
    EvaluationSettings,
    LogSettings,
    MachineSettings,
    ModelSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainingRecipe,
    model_settings,
    recipe_values,
)

__all__ = ["DEFAULT", "model_shapes", "recipes", "toml_of"]

DEFAULT = TrainingRecipe()


def toml_of(recipe: TrainingRecipe, *, whole: bool = True) -> str:
    """Return a recipe as TOML; with ``whole`` every value, else only those that are not the default of a GPT-2."""
    usual = recipe_values(DEFAULT)
    plain: list[str] = []
    tables: list[str] = []
    for name, value in recipe_values(recipe).items():
        if not isinstance(value, dict):
            plain += [f"{name} = {_toml(value)}"] if whole or value != usual[name] else []
            continue
        keys = [
            f"{key} = {_toml(one)}"
            for key, one in value.items()
            if one is not None and (whole or name == "model" or one != usual[name][key])
        ]
        tables += ["", f"[{name}]", *keys]
    return "\n".join([*plain, *tables, ""])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, int) and value > 9_999:
        return f"{value:_}"
    return repr(value)


@st.composite
def model_shapes(draw: st.DrawFn) -> ModelSettings:
    """Draw a model of any kind that a recipe can ask for."""
    kv = draw(st.integers(1, 4))
    heads = kv * draw(st.integers(1, 4))
    given: dict[str, Any] = {
        "family": draw(st.sampled_from(["gpt2", "modern"])),
        "n_layer": draw(st.integers(1, 40)),
        "n_head": heads,
        "n_kv_head": kv if draw(st.booleans()) else heads,
        "d_model": heads * 2 * draw(st.integers(1, 64)),
        "vocab_size": draw(st.integers(2, 70_000)),
        "context": draw(st.integers(1, 4096)),
        "rope_theta": draw(st.floats(1, 1e7)),
        "dropout": draw(st.sampled_from([0.0, 0.1, 0.25])),
    }
    choices: dict[str, list[Any]] = {
        "position": ["learned", "rope"],
        "norm": ["layernorm", "rmsnorm"],
        "activation": ["gelu", "gelu_tanh", "relu2", "swiglu"],
        "qk_norm": [True, False],
        "bias": [True, False],
        "tied": [True, False],
        "d_ff": [8, 1000, 4096],
    }
    for key, options in choices.items():
        if draw(st.booleans()):
            given[key] = draw(st.sampled_from(options))
    return model_settings(**given)


@st.composite
def recipes(draw: st.DrawFn) -> TrainingRecipe:
    """Draw a recipe that contradicts itself nowhere; its data lie in ``/data``."""
    model = draw(model_shapes())
    micro, passes = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    steps = draw(st.integers(2, 10**6))
    warmup = draw(st.integers(0, steps - 1))
    kind: Any = draw(st.sampled_from(["cosine", "linear", "wsd", "constant"]))
    rate = draw(st.floats(1e-6, 0.1))
    last = steps - warmup if kind == "wsd" else 2 * steps
    first = 1 if kind == "wsd" else warmup + 1
    usual = max(1, steps // 5) if kind == "wsd" else steps
    decay = None if kind == "constant" else draw(st.integers(first, last))
    if decay is not None and first <= usual <= last and draw(st.booleans()):
        decay = None
    flex = model.dropout == 0 and draw(st.booleans())
    return TrainingRecipe(
        name=draw(st.sampled_from(["run", "gpt2-124m", "a b", "é"])),
        seed=draw(st.integers(0, 2**40)),
        model=model,
        data=DataSettings(path="/data/tokens", document_mask=draw(st.booleans()), verify=draw(st.booleans())),
        batch=BatchSettings(micro * passes * model.context, micro if draw(st.booleans()) else None),
        optimizer=OptimizerSettings(
            name=draw(st.sampled_from(["adamw", "muon"])),
            learning_rate=rate,
            beta2=draw(st.floats(0.5, 0.9999)),
            weight_decay=draw(st.floats(0, 1)),
            grad_clip=draw(st.sampled_from([0.0, 1.0, 0.5])),
        ),
        schedule=ScheduleSettings(
            kind=kind,
            steps=steps,
            warmup_steps=warmup,
            decay_steps=decay,
            min_learning_rate=0.0 if kind == "constant" else rate * draw(st.floats(0, 1)),
        ),
        machine=MachineSettings(
            device=draw(st.sampled_from(["auto", "cuda"] if flex else ["auto", "cpu", "cuda"])),
            gpu=draw(st.sampled_from([None, "RTX 4070"])),
            dtype=draw(st.sampled_from(["auto", "bfloat16", "float32"])),
            compile=draw(st.booleans()),
            attention="flex" if flex else "sdpa",
        ),
        evaluation=EvaluationSettings(draw(st.integers(0, 1000)), draw(st.integers(1, 10**7))),
        checkpoint=CheckpointSettings(draw(st.integers(1, 1000)), draw(st.integers(1, 9))),
        log=LogSettings(draw(st.integers(1, 100)), draw(st.booleans()), draw(st.sampled_from([None, "project"]))),
    )
