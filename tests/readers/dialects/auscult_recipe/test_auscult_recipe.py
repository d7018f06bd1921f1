"""Recipes as runs that have not begun: what is read is what the trainer would train, and other TOML stays others'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import auscult
from auscult.architectures import build
from auscult.errors import BadConfig
from auscult.examination import Examination
from auscult.facts.parameters import count_parameters
from auscult.readers.auscult_keys import PLACES
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.recipe import ModelSettings, TrainingRecipe, recipe_values
from auscult.run import Known, Unknown, value_of
from log_files import file_of, plain
from recipe_files import recipes, toml_of

DIALECT = find_dialect("auscult_recipe")
SAME_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(text: str, name: str = "recipe.toml") -> Reading:
    """Return what the dialect reads of a recipe."""
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


def parameters_of(m: ModelSettings) -> int:
    """Count a model from its recipe, by hand: matrices, their biases, norms, tables, head."""
    bias = int(m.bias)
    width, keys, up = m.d_model, m.n_kv_head * m.head_size, 2 if m.activation == "swiglu" else 1
    outputs = width + 2 * keys, width, up * m.d_ff, width  # of the four matrices of a layer
    matrices = width * (width + 2 * keys) + width * width + width * up * m.d_ff + m.d_ff * width
    norm = width * (1 + int(m.norm == "layernorm" and m.bias))
    tables = m.vocab_size * width * (1 if m.tied else 2) + (m.context * width if m.position == "learned" else 0)
    return m.n_layer * (matrices + bias * sum(outputs) + 2 * norm) + norm + tables


@SAME_FOLDER
@given(recipe=recipes(), whole=st.booleans())
def test_any_recipe_is_read_as_it_is_trained(recipe: TrainingRecipe, whole: bool) -> None:
    """Shape, batch, optimiser and schedule are those of the recipe, whether it writes them out or leaves them to defaults."""
    reading = read(toml_of(recipe, whole=whole))
    assert not reading.problems
    m, o, s = recipe.model, recipe.optimizer, recipe.schedule
    for key in ("n_layer", "n_head", "n_kv_head", "d_model", "d_ff", "vocab_size", "context", "tied", "bias"):
        assert plain(reading, f"architecture.{key}") == getattr(m, key), key
    for key, value in (
        ("optimizer", o.name),
        ("learning_rate", o.learning_rate),
        ("beta2", o.beta2),
        ("weight_decay", o.weight_decay),
        ("grad_clip", o.grad_clip),
        ("dropout", m.dropout),
        ("schedule", s.kind),
        ("max_steps", s.steps),
        ("warmup_steps", s.warmup_steps),
        ("compile", recipe.machine.compile),
        ("log_interval", recipe.log.every_steps),
        ("init_from", "scratch"),
        ("dataset", "tokens"),
    ):
        assert plain(reading, f"recipe.{key}") == value, key
    decay = reading.settings["recipe.decay_steps"]
    if s.kind == "constant":
        assert isinstance(decay, Unknown)
    else:  # the step at which the floor is reached, whatever the recipe counts
        assert value_of(decay) == (s.steps if s.kind == "wsd" else recipe.decay_steps)
    assert plain(reading, "logged.tokens_per_step") == recipe.batch.tokens_per_step
    accumulation = reading.settings["recipe.gradient_accumulation_steps"]
    if recipe.batch.micro_batch is None:
        assert isinstance(accumulation, Unknown)
        assert "micro_batch" in accumulation.reason
    else:
        assert value_of(accumulation) == recipe.sequences_per_step // recipe.batch.micro_batch
    every = value_of(reading.settings["recipe.eval_interval"])
    assert every == (recipe.evaluation.every_steps or None)
    dtype = reading.settings["recipe.dtype"]
    assert value_of(dtype) == (None if recipe.machine.dtype == "auto" else recipe.machine.dtype)


@SAME_FOLDER
@given(recipe=recipes())
def test_any_model_has_the_parameters_of_its_parts(recipe: TrainingRecipe, tmp_path: Path) -> None:
    """The blueprint that a recipe's settings draw counts as the parts do by hand; GPT-2s are drawn as every GPT-2 is."""
    (tmp_path / "recipe.toml").write_text(toml_of(recipe), encoding="utf-8")
    run = auscult.read(tmp_path)
    count = Examination(run).parameter_count
    assert isinstance(count, Known), count
    assert count.value.total == parameters_of(recipe.model)
    details = run.recipe.architecture.details
    assert isinstance(details, Known)
    assert count_parameters(build(details.value)) == count.value
    m = recipe.model
    is_gpt2 = (m.position, m.norm, m.qk_norm, m.tied, m.n_kv_head, m.d_ff) == (
        *("learned", "layernorm", False, True, m.n_head, 4 * m.d_model),
    ) and m.activation in ("gelu", "gelu_tanh")
    assert value_of(run.recipe.architecture.family) == ("gpt2" if is_gpt2 else "auscult")


def test_defaults_say_that_they_are() -> None:
    """What is not set comes from the trainer's defaults, and what is set from its line."""
    reading = read('[data]\npath = "x"\n[model]\nn_layer = 3\n[schedule]\nsteps = 500\n')
    layers, rate = reading.settings["architecture.n_layer"], reading.settings["recipe.learning_rate"]
    assert isinstance(layers, Known)
    assert layers.source.place == "recipe.toml:4"
    assert isinstance(rate, Known)
    assert rate.source.how == "default"
    assert "auscult train" in (rate.source.formula or "")


def test_comments_and_the_name_may_claim_something(tmp_path: Path) -> None:
    """A recipe whose comment and name say 350M and whose model has 124M contradicts itself before step 0."""
    text = (
        'name = "gpt2-350m"\n[model]  # ~350M parameters\nn_layer = 12  # "quoted # no comment"\n[data]\npath = "a#b"\n'
    )
    reading = read(text)
    assert [c.text for c in reading.comments] == ["# ~350M parameters", '# "quoted # no comment"', "gpt2-350m"]
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    found = auscult.diagnose(auscult.read(tmp_path)).findings
    assert "MDL001" in {finding.code for finding in found}


def test_what_no_recipe_has_is_told(tmp_path: Path) -> None:
    """An unknown setting, an impossible value: the rest is read, and each is a problem at its line."""
    reading = read("[model]\nn_layer = 0\nn_layers = 12\n[schedule]\nsteps = 10\nkind = 'wsd'\n")
    told = {(p.kind, p.source.line) for p in reading.problems}
    assert told == {("impossible_value", 2), ("unknown_setting", 3)}
    assert isinstance(reading.settings["architecture.n_layer"], Unknown)
    assert isinstance(reading.settings["architecture.details"], Unknown)


def test_rounded_tokens_are_read() -> None:
    """``"0.5M"`` is the same number to the reader as to the loader."""
    reading = read(
        '[model]\ncontext = 500\n[batch]\ntokens_per_step = "0.5M"\nmicro_batch = 10\n[schedule]\nsteps = 9\n'
    )
    assert plain(reading, "logged.tokens_per_step") == 500_000
    assert plain(reading, "recipe.gradient_accumulation_steps") == 100
    assert not reading.problems


def test_places_are_settings_of_a_recipe() -> None:
    """Every place that a canonical setting is said to have is one of the recipe's."""
    flat: dict[str, Any] = {}
    for name, value in recipe_values(TrainingRecipe()).items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    assert set(PLACES.values()) <= set(flat)


TITAN = '[job]\ndump_folder = "x"\n[model]\nname = "llama3"\nflavor = "8B"\n[optimizer]\nname = "AdamW"\nlr = 8e-4\n[training]\nsteps = 10\n[metrics]\nlog_freq = 1\n[checkpoint]\nenable = true\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.toml", TITAN),
        ("pyproject.toml", '[project]\nname = "x"\n[tool.ruff]\nline-length = 120\n[build-system]\nrequires = []\n'),
        ("Cargo.toml", '[package]\nname = "x"\n[dependencies]\nlog = "0.4"\n'),
        ("auscult.toml", 'gpu = "RTX 4070"\n'),
        ("data.toml", '[data]\npath = "x"\n[server]\nport = 1\nhost = "y"\n'),
        ("notes.txt", "[model]\nn_layer = 1\nn_head = 1\nd_model = 8\n"),
    ],
)
def test_other_toml_is_not_a_recipe(name: str, text: str) -> None:
    """Jobs of torchtitan, projects of Python and Rust, and auscult's own settings are none of its recipes."""
    _score, dialect = recognise(file_of(text, name))
    assert dialect is None or dialect.name != "auscult_recipe"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("recipe.toml", '[data]\npath = "x"\n'),
        ("modern.toml", '[data]\npath = "x"\n[model]\nfamily = "modern"\n[schedule]\nsteps = 10\n'),
        ("dotted.toml", 'data.path = "x"\nmodel.n_layer = 2\nschedule.steps = 10\n'),
    ],
)
def test_a_recipe_is_recognised(name: str, text: str) -> None:
    """A few settings are enough, under any name and in either way of writing tables; fewer under the usual name."""
    score, dialect = recognise(file_of(text, name))
    assert dialect is DIALECT
    assert score >= 0.5


def test_a_toml_without_any_of_its_settings_is_refused() -> None:
    """Read as a recipe by order, a file that is none says what was expected."""
    with pytest.raises(BadConfig, match="no setting of a recipe"):
        read("[a]\nb = 1\n")
