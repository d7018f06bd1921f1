"""`auscult fix` of a recipe in TOML: the value changes where it stands, the layout stays, and the result can be trained."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auscult
from auscult.checks.base import Edit
from auscult.diagnosis import Diagnosis
from auscult.errors import UsageError
from auscult.preflight import load_recipe
from auscult.prescription import fixed_config, unverified_comments
from auscult.prescription.rewrite_toml import apply_to_toml
from auscult.prose import say
from auscult.readers.dialects.auscult_recipe import read_recipe
from auscult.run import ConfigText
from recipe_files import recipes, toml_of

NARROW = """\
# model: ~3.3M parameters
[model]
n_layer = 4
n_head = 4
d_model = 128            # narrow, 0.9M by itself
vocab_size = 320
context = 256

[data]
path = "data"

[batch]
tokens_per_step = 3072   # 12 sequences of 256

[schedule]
steps = 40               # a trial
decay_steps = 4_000
"""


def diagnosed(path: Path) -> Diagnosis:
    return auscult.diagnose(auscult.read(path))


def fixed(path: Path) -> str:
    diagnosis = diagnosed(path)
    return fixed_config(diagnosis.examination, diagnosis.prescription)


def written(folder: Path, text: str, name: str = "narrow.toml") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def config_of(text: str) -> ConfigText:
    config = read_recipe(text, "a.toml", None).config
    assert config is not None
    return config


def edit(key: str, after: Any) -> Edit:
    return Edit(key, None, after, say("asked for"), "safe", key.rpartition(".")[2])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auscult", "fix", *arguments], capture_output=True, text=True, check=False
    )


def test_values_change_in_place_and_what_is_missing_is_added_to_its_table(tmp_path: Path) -> None:
    """Width and decay change on their lines; the warm-up, left to its default of 100, is added behind the schedule's last key."""
    text = fixed(written(tmp_path, NARROW))
    assert text == NARROW.replace("d_model = 128", "d_model = 256").replace(
        "decay_steps = 4_000\n", "decay_steps = 40\nwarmup_steps = 1\n"
    )


def test_the_result_can_be_trained_and_has_the_findings_no_more(tmp_path: Path) -> None:
    """The trainer's own loader takes it, a second fix is empty, and no finding is left that fix can mend."""
    path = written(tmp_path, fixed(written(tmp_path, NARROW)), "wide.toml")
    recipe = load_recipe(path)
    assert (recipe.model.d_model, recipe.schedule.decay_steps, recipe.schedule.warmup_steps) == (256, 40, 1)
    assert fixed(path) == path.read_text()
    assert not {f.code for f in diagnosed(path).findings} & {"MDL001", "SCH001", "SCH004"}


def test_edits_name_the_keys_of_the_file(tmp_path: Path) -> None:
    """Findings, edits and the first screen say what stands in a recipe, not what nanoGPT calls it."""
    diagnosis = diagnosed(written(tmp_path, NARROW))
    keys = {e.key for e in diagnosis.prescription.edits}
    assert keys == {"model.d_model", "schedule.decay_steps", "schedule.warmup_steps"}
    finding = diagnosis.find("MDL001")
    assert finding is not None
    assert "set d_model = 256 and start again" in str(finding.action)
    told = " ".join(str(t) for f in diagnosis.findings for t in (f.headline, f.message, f.meaning, f.action))
    assert not any(word in told for word in ("n_embd", "warmup_iters", "lr_decay_iters", "max_iters"))


def test_a_stale_comment_beside_a_change_is_told(tmp_path: Path) -> None:
    """A number beside an edited value that no claim covers is the user's to check."""
    diagnosis = diagnosed(written(tmp_path, NARROW))
    [line] = unverified_comments(diagnosis.examination, diagnosis.prescription)
    assert line.startswith("narrow.toml:5  # narrow, 0.9M by itself")


def test_a_false_comment_is_corrected(tmp_path: Path) -> None:
    """A claim of tokens that arithmetic refutes is rewritten; the rest of its line stays."""
    text = "[model]\nn_layer = 4\nn_head = 4\nd_model = 128\nvocab_size = 320\ncontext = 256\n\n[batch]\ntokens_per_step = 4096\n\n# ~3B tokens seen\n[schedule]\nsteps = 1000\n"
    assert fixed(written(tmp_path, text)) == text.replace("~3B tokens", "~0.0041B tokens")


def test_the_command_shows_writes_and_replaces(tmp_path: Path) -> None:
    """A diff by default; --write beside the recipe; --in-place the recipe itself, its line ends kept."""
    path = written(tmp_path, NARROW.replace("\n", "\r\n"))
    before = path.read_bytes()
    shown = run(str(path))
    assert (shown.returncode, path.read_bytes()) == (0, before)
    assert "-d_model = 128 " in shown.stdout
    assert "+d_model = 256 " in shown.stdout
    assert "model.d_model: 128 → 256" in shown.stderr
    assert run(str(path), "--write", "wide.toml").returncode == 0
    assert run(str(path), "--in-place").returncode == 0
    new = path.read_bytes()
    assert new == (tmp_path / "wide.toml").read_bytes()
    assert new.count(b"\r\n") == new.count(b"\n") == before.count(b"\n") + 1


@pytest.mark.parametrize(
    ("text", "key", "value", "after"),
    [
        ("seed = 1\n", "model.d_model", 64, "seed = 1\n\n[model]\nd_model = 64\n"),
        ("seed = 1", "model.dropout", 0.0, "seed = 1\n\n[model]\ndropout = 0.0\n"),
        ("model.n_layer = 2 # few\nseed = 1\n", "model.d_model", 64, "model.n_layer = 2 # few\nmodel.d_model = 64\nseed = 1\n"),
        ("[model]\n[batch]\nmicro_batch = 2\n", "model.d_model", 64, "[model]\nd_model = 64\n[batch]\nmicro_batch = 2\n"),
        ("[ model ] # it\nn_layer=2\n", "model.n_layer", 3, "[ model ] # it\nn_layer=3\n"),
        ('[model]\n  n_layer = 2\n  "d_model" = 6_4 # d_model = 1\n', "model.d_model", 65, '[model]\n  n_layer = 2\n  "d_model" = 65 # d_model = 1\n'),
        ('[data]\npath = "a#b=1" # c\n', "data.path", "x", '[data]\npath = "x" # c\n'),
    ],
)  # fmt: skip
def test_layouts(text: str, key: str, value: Any, after: str) -> None:
    """Tables that are not there, dotted keys, empty tables, quoted keys, marks of comments within strings."""
    assert apply_to_toml(config_of(text), [edit(key, value)]) == after


@pytest.mark.parametrize(
    "text",
    [
        "model = { n_layer = 2, d_model = 64 }\n",
        '"model.d_model" = 64\n[model]\nn_layer = 2\n',
        "seed = 1\nmodel = 3\n",
    ],
)
def test_what_cannot_be_rewritten_is_said(text: str) -> None:
    """An inline table, a quoted name with a dot, a table's name taken by a value: refused with the line to write by hand."""
    with pytest.raises(UsageError, match=r"a\.toml: model\.d_model .* by hand"):
        apply_to_toml(config_of(text), [edit("model.d_model", 128)])


@settings(deadline=None, max_examples=60)
@given(recipes(), st.booleans(), st.integers(1, 4096), st.sampled_from((0.0, 1e-5)), st.booleans())
def test_only_what_is_edited_changes(recipe: Any, whole: bool, width: int, floor: float, windows: bool) -> None:
    """Of any recipe, in whole or in part, the parsed values are the old ones but for the edited, and no line is lost."""
    text = toml_of(recipe, whole=whole)
    text = text.replace("\n", "\r\n") if windows else text
    edits = [edit("model.d_model", width), edit("schedule.min_learning_rate", floor), edit("schedule.warmup_steps", 7)]
    after = apply_to_toml(config_of(text), edits)
    wanted = tomllib.loads(text)
    wanted["model"]["d_model"] = width
    wanted.setdefault("schedule", {}).update(min_learning_rate=floor, warmup_steps=7)
    assert tomllib.loads(after) == wanted
    kept = [line for line in text.splitlines() if not line.startswith(("d_model", "min_learning_rate", "warmup_steps"))]
    left = iter(after.splitlines())
    assert all(line in left for line in kept)  # in their order


def test_a_log_of_the_trainer_alone_asks_for_its_recipe(tmp_path: Path) -> None:
    """Without a config there is nothing to rewrite, and what is missing is a recipe, no train_*.py."""
    (tmp_path / "log.jsonl").write_text(
        '{"event": "start", "time_unix_s": 1.0, "step": 0, "recipe": {"model": {"n_layer": 2}}}\n'
        '{"event": "step", "time_unix_s": 2.0, "step": 1, "loss_nats_per_token": 5.0}\n'
    )
    with pytest.raises(UsageError, match=r"from a log alone\. Give the recipe\.toml"):
        fixed(tmp_path / "log.jsonl")


def test_a_config_of_another_trainer_is_not_called_a_log(tmp_path: Path) -> None:
    """A config that cannot be rewritten is named as what was read; "a log alone" would be untrue."""
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64}')
    with pytest.raises(UsageError, match=r"no config that can be rewritten among config\.json") as told:
        fixed(tmp_path / "config.json")
    assert "log alone" not in str(told.value)
