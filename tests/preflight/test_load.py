"""Recipes are read whole or refused at their line: kinds, ranges, names, and what settings must be to each other."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from auscult.errors import BadConfig, InputError, UnreadableInput
from auscult.preflight import load_recipe
from auscult.preflight.limits import kinds, tables
from auscult.recipe import TrainingRecipe, model_settings, recipe_values
from recipe_files import recipes, toml_of

SAME_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLAIN = '[data]\npath = "tokens"\n'


def load(folder: Path, text: str) -> TrainingRecipe:
    """Write a recipe and read it."""
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return load_recipe(folder / "recipe.toml")


def refusal(folder: Path, text: str) -> BadConfig:
    """Return why a recipe is refused."""
    with pytest.raises(BadConfig) as error:
        load(folder, text)
    return error.value


# ---- what is read


@SAME_FOLDER
@given(recipe=recipes(), whole=st.booleans())
def test_any_recipe_comes_back(recipe: TrainingRecipe, whole: bool, tmp_path: Path) -> None:
    """Whatever a recipe asks for, its file says it: every value, or only those that are not the defaults."""
    text = toml_of(recipe, whole=whole)
    if recipe.name == "run" and not whole:
        recipe = dataclasses.replace(recipe, name="recipe")  # the file's stem
    assert load(tmp_path, text) == recipe


def test_what_is_not_set_has_its_default(tmp_path: Path) -> None:
    """A recipe that names its data alone is the default one, under the name of its file, its data beside it."""
    found = load(tmp_path, PLAIN)
    expected = TrainingRecipe(name="recipe")
    assert found == dataclasses.replace(
        expected, data=dataclasses.replace(expected.data, path=str(tmp_path / "tokens"))
    )


@pytest.mark.parametrize(
    "given_",
    [
        {"family": "modern"},
        {"family": "modern", "activation": "swiglu", "d_model": 640, "n_head": 5},
        {"d_model": 640, "n_head": 10},
        {"family": "modern", "tied": True, "n_kv_head": 3},
    ],
)
def test_defaults_of_a_family_are_those_of_the_settings(given_: dict[str, Any], tmp_path: Path) -> None:
    """Heads, inner width and the six settings of a family follow as ``model_settings`` says, and not by a rule of the loader."""
    keys = "\n".join(f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}" for k, v in given_.items())
    assert load(tmp_path, f"[model]\n{keys}\n{PLAIN}").model == model_settings(**given_)


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    """Underscores, exponents, whole floats, integers where a number is meant, and rounded counts of tokens."""
    found = load(
        tmp_path,
        "[model]\ncontext = 500\n[batch]\ntokens_per_step = '0.5M'\n[optimizer]\nlearning_rate = 1e-3\ngrad_clip = 1\n"
        f"[schedule]\nsteps = 2e4\nwarmup_steps = 1_000\n[evaluation]\ntokens = '1.2M'\n{PLAIN}",
    )
    assert (found.batch.tokens_per_step, found.evaluation.tokens) == (500_000, 1_200_000)
    assert (found.schedule.steps, found.schedule.warmup_steps) == (20_000, 1_000)
    assert isinstance(found.schedule.steps, int)
    assert (found.optimizer.learning_rate, found.optimizer.grad_clip) == (1e-3, 1.0)
    assert isinstance(found.optimizer.grad_clip, float)


def test_paths_are_those_of_the_recipe(tmp_path: Path) -> None:
    """Data and weights are looked for from the recipe's folder, wherever the command is started; absolute ones stay."""
    (tmp_path / "weights.safetensors").write_bytes(b"x")
    found = load(tmp_path, "[model]\nweights = 'weights.safetensors'\n[data]\npath = '../data/tokens'\n")
    assert Path(found.model.weights or "").samefile(tmp_path / "weights.safetensors")
    assert Path(found.data.path) == tmp_path / "../data/tokens"
    assert load(tmp_path, "[data]\npath = '/data/x'\n").data.path == "/data/x"


def test_the_name_is_the_files_where_none_is_given(tmp_path: Path) -> None:
    """``gpt2-124m.toml`` is the run gpt2-124m."""
    (tmp_path / "gpt2-124m.toml").write_text(PLAIN, encoding="utf-8")
    assert load_recipe(tmp_path / "gpt2-124m.toml").name == "gpt2-124m"


# ---- what is refused, and where


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[mode]\nn_layer = 12\n", 1, r"no table \[mode\].*write \[model\]"),
        ("seed = 1\n\n[training]\n", 3, r"no table \[training\].*Expected \[model\], \[data\]"),
        ("[model]\nn_layers = 12\n", 2, "no setting 'n_layers' in .model..*write n_layer"),
        ("n_layer = 12\n", 1, r"'n_layer' above the tables.*write n_layer under \[model\]"),
        ("[model]\nlearning_rate = 1e-3\n", 2, r"write learning_rate under \[optimizer\]"),
        ("[model]\n\nn_embd = 768\n", 3, r"'n_embd'.*write d_model"),
        ("[optimizer]\nlr = 1e-3\n", 2, "write learning_rate"),
        ("[schedule]\nmax_iters = 5\n", 2, "write steps"),
        ("[model]\nzzz = 5\n", 2, "choose one of family, n_layer"),
        ("[model.extra]\nx = 1\n", 1, "no setting 'extra'"),
        ("[[model]]\nn_layer = 1\n", 1, "model is a table"),
        ('"model.n_layer" = 1\n', 1, "no setting 'model.n_layer'"),
        ("model = 3\n", 1, "model is a table"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(text: str, line: int, words: str, tmp_path: Path) -> None:
    """Unknown tables and settings are told at their line, with the nearest name, also under the name of another trainer."""
    error = refusal(tmp_path, text)
    assert error.where == f"{tmp_path / 'recipe.toml'}:{line}"
    assert re.search(words, str(error)), str(error)


@pytest.mark.parametrize(
    ("table", "setting", "words"),
    [
        ("model", "n_layer = 'twelve'", "whole number from 1 to 10,000, found 'twelve'"),
        ("model", "n_layer = 12.5", "whole number.*found 12.5"),
        ("model", "n_layer = true", "whole number.*found true"),
        ("model", "n_layer = 0", "from 1"),
        ("model", "n_layer = [1]", "found a list"),
        ("model", "bias = 1", "true or false, found 1"),
        ("model", "bias = {a = 1}", "found a table"),
        ("model", "dropout = 1.0", "from 0 and below 1, found 1.0"),
        ("model", "dropout = nan", "found nan"),
        ("model", "activation = 'gelu_new'", "one of gelu, gelu_tanh, relu2, swiglu, found 'gelu_new'"),
        ("model", "family = 3", "one of gpt2, modern"),
        ("optimizer", "learning_rate = 0.0", "above 0"),
        ("optimizer", "learning_rate = inf", "found inf"),
        ("optimizer", "beta2 = 1", "below 1"),
        ("optimizer", "learning_rate = '1e-3'", "a number above 0 to 100, found '1e-3'"),
        ("batch", "tokens_per_step = '1.5'", "whole number.*found '1.5'"),
        ("batch", "tokens_per_step = 'many'", "found 'many'"),
        ("schedule", "steps = 10000000000", "from 1 to 1,000,000,000"),
        ("checkpoint", "every_steps = 0", "from 1"),
        ("data", "path = ''", "a string, found ''"),
        ("machine", "dtype = 'float16'", "one of auto, bfloat16, float32"),
    ],
)
def test_a_value_of_another_kind_is_refused_at_its_line(table: str, setting: str, words: str, tmp_path: Path) -> None:
    """Wrong kinds, ranges and words are told with what is expected and what stands there."""
    error = refusal(tmp_path, f"# a recipe\n[{table}]\n{setting}  # here\n")
    assert error.where == f"{tmp_path / 'recipe.toml'}:3"
    assert re.search(words, str(error)), str(error)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[model]\nd_model = 100\n", 2, r"d_model = 100 cannot be shared among n_head = 12 \(the default\).*96 or 108"),
        ("[model]\nn_head = 7\n", 2, r"d_model = 768 \(the default\).*n_head = 7"),
        ("[model]\nn_head = 12\nn_kv_head = 5\n", 3, "n_kv_head one of 1, 2, 3, 4, 6, 12"),
        ("[model]\nposition = 'rope'\nd_model = 36\nn_head = 12\n", 4, "= 3 wide.*pairs"),
        (
            "[batch]\ntokens_per_step = 500_000\n",
            2,
            r"500,000 is no whole number of.*context = 1024 \(the.*499712 or 500736",
        ),
        ("[model]\ncontext = 1000\n", 2, r"491,520 \(the default\).*choose 491000 or 492000"),
        ("[batch]\ntokens_per_step = 100\n", 2, "choose 1024$|choose 1024\\."),
        ("[batch]\nmicro_batch = 7\n", 2, "does not divide the 480 sequences.*choose 6 or 8"),
        ("[batch]\nmicro_batch = 1000\n", 2, "choose 1 or 480|choose 480"),
        ("[model]\ndropout = 0.1\n[machine]\nattention = 'flex'\n", 2, "FlexAttention has no dropout"),
        ("[machine]\nattention = 'flex'\ndevice = 'cpu'\n", 2, "FlexAttention has no backward pass on a CPU"),
        ("[schedule]\nsteps = 50\n", 2, r"warmup_steps = 100 \(the default\), steps = 50"),
        ("[schedule]\nwarmup_steps = 1000\n", 2, r"steps = 1000 \(the default\).*below 1,000"),
        ("[schedule]\ndecay_steps = 100\n", 2, "decay ends before the warm-up"),
        ("[schedule]\nkind = 'wsd'\ndecay_steps = 950\n", 3, "from 1 to 900"),
        ("[schedule]\nkind = 'wsd'\nwarmup_steps = 900\n", 3, "begins before the warm-up ends"),
        ("[schedule]\nkind = 'constant'\ndecay_steps = 10\n", 3, "constant"),
        ("[schedule]\nkind = 'constant'\nmin_learning_rate = 1e-5\n", 3, "constant"),
        ("[schedule]\nmin_learning_rate = 1e-3\n", 2, "0.001 is above the peak, learning_rate = 0.0006"),
        ("[model]\nweights = 'none.safetensors'\n", 2, "no file .*none.safetensors"),
        ("name = '../other'\n", 1, "no name for a run"),
        ("name = '.'\n", 1, "no name for a run"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(text: str, line: int, words: str, tmp_path: Path) -> None:
    """Each rule tells the line most to blame, what the other value is and where it comes from, and a value that would do."""
    error = refusal(tmp_path, text + ("" if "[data]" in text else PLAIN))
    assert error.where == f"{tmp_path / 'recipe.toml'}:{line}", str(error)
    assert re.search(words, str(error)), str(error)


def test_a_recipe_without_data_is_refused(tmp_path: Path) -> None:
    """Where the tokens are has no default."""
    assert "where the tokens are" in str(refusal(tmp_path, "seed = 1\n"))


@SAME_FOLDER
@given(tokens=st.integers(1, 10**7), context=st.integers(1, 10**4))
def test_the_tokens_that_are_proposed_are_the_nearest_that_do(tokens: int, context: int, tmp_path: Path) -> None:
    """Both numbers are multiples of the context, the one below and the one above, and both are accepted."""
    assume(tokens % context)
    text = "[model]\ncontext = {}\n[batch]\ntokens_per_step = {}\n" + PLAIN
    hint = refusal(tmp_path, text.format(context, tokens)).hint or ""
    proposed = [int(word) for word in hint.removeprefix("choose ").split(" or ")]
    assert proposed == [n for n in (tokens - tokens % context, tokens + context - tokens % context) if n]
    for number in proposed:
        assert load(tmp_path, text.format(context, number)).batch.tokens_per_step == number


# ---- whatever the file


def test_every_setting_has_a_kind_and_every_number_a_range() -> None:
    """A setting that is added to the dataclasses cannot be forgotten: numbers need a range, and defaults must lie in it."""
    values = recipe_values(TrainingRecipe(name="x"))
    flat = {f"{t}.{k}": v for t in tables() for k, v in values[t].items()} | {"name": "x", "seed": values["seed"]}
    assert set(flat) == set(kinds())
    for path, kind in kinds().items():
        if kind.type in (int, float):
            assert math.isfinite(kind.low), path
            assert math.isfinite(kind.high), path
        if flat[path] is not None and path != "data.path":
            assert kind.checked(flat[path]) == flat[path]


@pytest.mark.parametrize("text", ["[model", "a = \n", "x = 1\nx = 2\n", "[model]\nn_layer = 1\n[model]\n"])
def test_what_is_not_toml_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    """TOML that cannot be read is an error of the file, at its line."""
    assert "TOML" in str(refusal(tmp_path, text))


def test_an_empty_recipe_is_told(tmp_path: Path) -> None:
    """A file of no bytes asks for nothing; the message says what the least is."""
    assert "empty" in str(refusal(tmp_path, ""))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing recipe, and a folder in its place."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UnreadableInput):
            load_recipe(path)


VALUES = (
    st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["gpt2", "flex", "wsd", "0.5M", "cuda", "nan", "1e9999"])
)


@SAME_FOLDER
@given(values=st.dictionaries(st.sampled_from(sorted(kinds())), VALUES, max_size=8))
def test_any_values_are_read_or_refused(values: dict[str, Any], tmp_path: Path) -> None:
    """Whatever stands under the names that there are: a recipe that holds it, or an error of ours with its place."""
    lines = []
    for path, value in values.items():
        table, _, key = path.rpartition(".")
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        if isinstance(value, str):
            shown = '"' + "".join(f"\\U{ord(ch):08X}" for ch in value if not 0xD800 <= ord(ch) < 0xE000) + '"'
        lines.append(f"{table}.{key} = {shown}" if table else f"{key} = {shown}")
    text = "\n".join(lines)
    found, refused = None, None
    try:
        found = load(tmp_path, text)
    except InputError as error:
        refused = error
    if refused is not None:
        assert (refused.where or "").startswith(str(tmp_path))
    if found is not None:
        assert found.batch.tokens_per_step % found.model.context == 0


@SAME_FOLDER
@given(text=st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_read_or_refused(text: str, tmp_path: Path) -> None:
    """A stranger's text is a recipe or an error of ours, never a traceback."""
    try:
        load(tmp_path, text)
    except InputError:
        return
