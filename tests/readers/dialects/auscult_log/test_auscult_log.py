"""The log of auscult's own trainer, as its journal writes it: values, seams, changes, endings, and the folder around it."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

import auscult
from auscult.checks.base import Clear
from auscult.diagnosis import Diagnosis
from auscult.errors import NotText
from auscult.examination import Examination
from auscult.facts.parameters import count_parameters
from auscult.journal import Journal
from auscult.readers import read_all
from auscult.readers.auscult_keys import METRICS
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.recipe import (
    BatchSettings,
    DataSettings,
    LogSettings,
    ScheduleSettings,
    TrainingRecipe,
    model_settings,
    recipe_digest,
    recipe_values,
)
from auscult.run import Known, Run, Seam, Series, Unknown, value_of
from log_files import file_of, notice_kinds, plain, points
from recipe_files import recipes, toml_of

DIALECT = find_dialect("auscult_log")
PARAMETERS = 119_104
"""Of the recipe below: 256·64 + 64·64 + 2·(12·64² + 2·64) + 64."""
RECIPE = TrainingRecipe(
    name="tiny",
    model=model_settings(n_layer=2, n_head=2, d_model=64, vocab_size=256, context=64, bias=False),
    data=DataSettings("/home/someone/corpus"),
    batch=BatchSettings(64 * 48),
    schedule=ScheduleSettings(steps=400, warmup_steps=10),
)
H100 = {"device": "cuda", "gpu": "NVIDIA H100 80GB HBM3", "dtype": "bfloat16", "peak_flops_per_s": 989e12}
CPU = {"device": "cpu", "gpu": None, "dtype": "float32", "peak_flops_per_s": None}
SAME_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)


def loss(step: int) -> float:
    """Return a loss as a healthy run has it, with noise that depends on the step alone."""
    return 2.0 + 3.5 * math.exp(-step / 80) + 0.01 * math.sin(7.3 * step)


def facts(recipe: TrainingRecipe, machine: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return what the trainer says before its first step."""
    said = {
        "auscult_version": "0.1",
        "torch_version": "2.13.0",
        "recipe_digest": recipe_digest(recipe),
        "parameters_total": PARAMETERS,
        "tokens_per_step": recipe.batch.tokens_per_step,
        "micro_batch": 12,
        "gradient_accumulation_steps": 2,
        "world_size": 2,
        "compiled": True,
        "flops_per_token": 835_584,
        "mfu_convention": "6N+12LdT",
        "train_tokens": 5_000_000,
        "val_tokens": 500_000,
    }
    return {**said, **machine, **changes}


def step_values(step: int, recipe: TrainingRecipe = RECIPE) -> dict[str, Any]:
    """Return what is logged of a step."""
    return {
        "step": step,
        "tokens": step * recipe.batch.tokens_per_step,
        "loss_nats_per_token": loss(step),
        "learning_rate": 6e-4 * min(1, step / 10),
        "grad_norm": 1.0 + step % 3,
        "step_time_s": 0.5,
        "tokens_per_s": recipe.batch.tokens_per_step / 0.5,
        "flops_per_s": 5e9,
        "mfu": 0.38,
        "memory_allocated_bytes": 2**30 + step,
    }


def write(
    folder: Path,
    spans: Sequence[tuple[int, int]],
    recipe: TrainingRecipe = RECIPE,
    machine: Mapping[str, Any] = H100,
    **changes: Any,
) -> Path:
    """Write a run that went from step to step, each span a process of its own; return its log."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (first, last) in enumerate(spans):
        screen = Console(file=io.StringIO())
        with Journal(
            folder,
            LogSettings(),
            steps=recipe.schedule.steps,
            first_step=first,
            console=screen,
            recipe=recipe_values(recipe),
        ) as journal:
            journal.start(facts(recipe, machine, **changes))
            for step in range(first, last + 1):
                if step % 50 == 0:
                    for split in ("train", "val"):
                        value = loss(step) + (0.05 if split == "val" else 0.0)
                        journal.evaluation(
                            {
                                "step": step,
                                "split": split,
                                "mode": "eval",
                                "loss_nats_per_token": value,
                                "tokens": 65_536,
                            }
                        )
                if step > first and step % 10 == 0:
                    journal.step(step_values(step, recipe))
            if last == recipe.schedule.steps:
                journal.end({"step": last})
        for events in (folder / "tensorboard").glob("*.0"):  # processes of one test share their identity
            events.rename(events.with_suffix(f".{number + 1}"))
    return folder / "log.jsonl"


def read(path: Path) -> Reading:
    """Return the only run in a log."""
    (reading,) = DIALECT.read(file_of(path.read_text(encoding="utf-8"), "log.jsonl"))
    return reading


def of_text(text: str) -> tuple[Reading, ...]:
    """Return the runs in a log's text."""
    return tuple(DIALECT.read(file_of(text, "log.jsonl")))


# ---- what is read


def test_every_value_of_every_step_is_read(tmp_path: Path) -> None:
    """Each number that the journal writes stands in a series, exactly, with its line, unit, mode and scope."""
    reading = read(write(tmp_path, [(0, 400)]))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    assert len(steps) == 40
    for name, metric in METRICS.items():
        assert points(reading, metric.name) == [(line["step"], line[name]) for line in steps], name
    for series, split in (("val_loss", "val"), ("train_loss_eval", "train")):
        found = [line for line in lines if line["event"] == "evaluation" and line["split"] == split]
        assert points(reading, series) == [(line["step"], line["loss_nats_per_token"]) for line in found]
    loss_, val = reading.get("train_loss"), reading.get("val_loss")
    assert loss_ is not None
    assert val is not None
    assert (loss_.split, loss_.mode, loss_.unit, loss_.scope) == ("train", "train", "nats_per_token", "global")
    assert (val.split, val.mode, val.unit, val.window) == (
        "val",
        "eval",
        "nats_per_token",
        "the same 65,536 tokens each time",
    )
    assert lines[val.lines[3] - 1]["loss_nats_per_token"] == val.values[3]


def test_the_first_line_says_what_is_trained_on_what(tmp_path: Path) -> None:
    """Recipe, micro-batch, ranks, card, precision, parameters, data and the convention behind the MFU."""
    reading = read(write(tmp_path, [(0, 400)]))
    expected = {
        "architecture.family": "gpt2",
        "architecture.bias": False,
        "recipe.batch_size": 12,
        "recipe.gradient_accumulation_steps": 4,
        "recipe.world_size": 2,
        "recipe.dtype": "bfloat16",
        "recipe.compile": True,
        "recipe.max_steps": 400,
        "recipe.decay_steps": 400,
        "recipe.dataset": "corpus",
        "recipe.run_name": "tiny",
        "machine.gpu_name": "NVIDIA H100 80GB HBM3",
        "machine.gpu_count": 2,
        "data.train_tokens": 5_000_000,
        "data.val_tokens": 500_000,
        "logged.parameters": (PARAMETERS, PARAMETERS),
        "logged.parameters_convention": "total",
        "logged.tokens_per_step": 3072,
        "logged.mfu_peak_flops_per_s": 989e12,
    }
    assert {key: plain(reading, key) for key in expected} == expected
    mfu = reading.get("mfu")
    assert mfu is not None
    assert mfu.convention == "6N+12LdT, of 989 TFLOP/s a card"
    assert "someone" not in repr(reading.settings)
    assert [c.text for c in reading.comments] == ["tiny"]


@SAME_FOLDER
@given(recipe=recipes())
def test_any_recipe_is_read_from_the_log_as_from_its_file(recipe: TrainingRecipe, tmp_path_factory: Any) -> None:
    """The first line gives the same settings as the recipe's file: all of them, and none contradicts the other."""
    folder = tmp_path_factory.mktemp("run")
    of_log = read(write(folder, [(0, 20)], recipe, micro_batch=recipe.batch.micro_batch or 1)).settings
    (of_file,) = find_dialect("auscult_recipe").read(file_of(toml_of(recipe), "recipe.toml"))
    settled = {"recipe.dtype", "recipe.compile", "machine.gpu_name"}  # by the machine
    said = {key: quantity.value for key, quantity in of_file.settings.items() if isinstance(quantity, Known)}
    assert len(said) > 25
    assert {key: value_of(of_log[key]) for key in said.keys() - settled} == {k: said[k] for k in said.keys() - settled}


def test_on_the_processor_there_is_no_card(tmp_path: Path) -> None:
    """A run without a card says so, instead of asking for its name; no MFU has a peak."""
    reading = read(write(tmp_path, [(0, 100)], machine=CPU))
    card = reading.settings["machine.gpu_name"]
    assert isinstance(card, Unknown)
    assert "processor" in card.reason
    assert "logged.mfu_peak_flops_per_s" not in reading.settings


def test_dropout_is_measured_in_both_modes(tmp_path: Path) -> None:
    """With dropout each split is evaluated with it off and on; the two are different series."""
    path = write(tmp_path, [(0, 0)])
    with path.open("a", encoding="utf-8") as log:
        for mode, value in (("eval", 5.0), ("train", 5.2)):
            for split in ("train", "val"):
                said = {
                    "event": "evaluation",
                    "step": 1,
                    "split": split,
                    "mode": mode,
                    "loss_nats_per_token": value,
                    "tokens": 9,
                }
                log.write(json.dumps(said) + "\n")
    reading = read(path)
    for name, mode, value in (
        ("val_loss", "eval", 5.0),
        ("train_loss_eval", "eval", 5.0),
        ("val_loss_train_mode", "train", 5.2),
        ("train_loss_eval_train_mode", "train", 5.2),
    ):
        series = reading.get(name)
        assert series is not None
        assert (series.mode, series.values[-1]) == (mode, value)


def test_evaluations_of_another_size_are_told(tmp_path: Path) -> None:
    """An evaluation of another number of tokens stays in its series, and that it is of another is said."""
    path = write(tmp_path, [(0, 100)])
    said = {"event": "evaluation", "step": 150, "split": "val", "mode": "eval", "loss_nats_per_token": 3.0, "tokens": 9}
    (reading,) = of_text(path.read_text(encoding="utf-8") + json.dumps(said) + "\n")
    assert [step for step, _value in points(reading, "val_loss")] == [0, 50, 100, 150]
    assert [n.detail for n in reading.notices if n.kind == "evaluation_changed"] == [
        "evaluations of the val split are of another number of tokens from step 150 on"
    ]


def test_not_a_number_and_not_measured_are_two_things(tmp_path: Path) -> None:
    """A loss that was NaN is a NaN in the series; an MFU that was not measured is no point at all."""
    path = write(tmp_path, [(0, 20)])
    with Journal(
        tmp_path, LogSettings(), steps=400, first_step=20, console=Console(file=io.StringIO()), recipe={}
    ) as journal:
        journal.step({**step_values(30), "loss_nats_per_token": math.nan, "mfu": None})
    reading = read(path)
    assert math.isnan(points(reading, "train_loss")[-1][1])
    assert points(reading, "train_loss")[-1][0] == 30
    assert [step for step, _value in points(reading, "mfu")] == [10, 20]


# ---- resumed, changed, begun again


def test_a_resumed_run_is_one_run_with_its_seam(tmp_path: Path) -> None:
    """Killed at 237, taken up at 200; killed at 333, taken up at 300: two seams, and the last pass over each step counts."""
    reading = read(write(tmp_path, [(0, 237), (200, 333), (300, 400)]))
    assert [(s.step_before, s.step_after) for s in reading.seams] == [(230, 200), (330, 300)]
    assert notice_kinds(reading) == {"resumed"}
    series = reading.get("train_loss")
    assert series is not None
    assert series.count == 23 + 13 + 10
    assert list(series.latest_pass().steps) == list(range(10, 401, 10))
    assert (series.steps[20], series.steps[23]) == (210, 210)
    assert series.latest_pass().lines[20] == series.lines[23] > series.lines[20]


def test_a_clean_stop_leaves_a_seam_without_a_step_back(tmp_path: Path) -> None:
    """Saved at step 237 and taken up there: nothing was made twice, and nothing goes backwards."""
    reading = read(write(tmp_path, [(0, 237), (237, 400)]))
    assert [(s.step_before, s.step_after) for s in reading.seams] == [(230, 237)]
    run = auscult.read(tmp_path)
    assert "LOG001" not in {finding.code for finding in auscult.diagnose(run).findings}


@given(cuts=st.lists(st.tuples(st.integers(1, 399), st.integers(1, 60)), min_size=1, max_size=30))
@SAME_FOLDER
def test_however_often_a_run_is_killed_it_stays_one(cuts: list[tuple[int, int]], tmp_path_factory: Any) -> None:
    """Dozens of kills, each followed by a resume from some steps before: one run, a seam for each, no interleaved ranks."""
    spans, first = [], 0
    for last, back in sorted(cuts):
        if last > first:
            spans.append((first, last))
            first = max(0, last - back)
    folder = tmp_path_factory.mktemp("run")
    write(folder, [*spans, (first, 400)])
    (reading,) = of_text((folder / "log.jsonl").read_text(encoding="utf-8"))
    assert notice_kinds(reading) <= {"resumed"}
    series = reading.get("train_loss")
    assert series is not None
    assert list(series.latest_pass().steps) == list(range(10, 401, 10))
    assert len(reading.seams) <= len(spans)


def test_a_changed_recipe_is_told(tmp_path: Path) -> None:
    """Resumed with another learning rate: still one run, the later value holds, and the change is said with its step."""
    write(tmp_path, [(0, 200)])
    other = dataclasses.replace(RECIPE, optimizer=dataclasses.replace(RECIPE.optimizer, learning_rate=3e-4))
    reading = read(write(tmp_path, [(200, 400)], other))
    assert plain(reading, "recipe.learning_rate") == 3e-4
    (notice,) = [n for n in reading.notices if n.kind == "recipe_changed"]
    assert notice.detail == "the recipe changed at step 200: optimizer.learning_rate 0.0006 → 0.0003"
    finding = {f.code: f for f in auscult.diagnose(auscult.read(tmp_path)).findings}["LOG023"]
    assert "0.0006 → 0.0003" in str(finding.message)


def test_begun_again_from_step_0_it_is_the_same_run(tmp_path: Path) -> None:
    """Killed before its first checkpoint and started again: one run from its start, not two."""
    reading = read(write(tmp_path, [(0, 130), (0, 400)]))
    assert [(s.step_before, s.step_after) for s in reading.seams] == [(130, 0)]
    series = reading.get("train_loss")
    assert series is not None
    assert len(series.latest_pass()) == 40


def test_another_recipe_from_step_0_is_another_run(tmp_path: Path) -> None:
    """A second recipe started in the same folder is a run of its own, with its own settings and name."""
    write(tmp_path, [(0, 130)])
    other = dataclasses.replace(
        RECIPE, name="wide", optimizer=dataclasses.replace(RECIPE.optimizer, learning_rate=1e-3)
    )
    first, second = of_text(write(tmp_path, [(0, 400)], other).read_text(encoding="utf-8"))
    assert (plain(first, "recipe.learning_rate"), plain(second, "recipe.learning_rate")) == (6e-4, 1e-3)
    assert [[c.text for c in r.comments] for r in (first, second)] == [["tiny"], ["wide"]]
    assert len(points(first, "train_loss")) == 13


def test_on_another_card_the_mfu_is_another_metric(tmp_path: Path) -> None:
    """Resumed on an A100: its MFU is a share of another peak, and does not continue the first."""
    write(tmp_path, [(0, 200)])
    reading = read(
        write(tmp_path, [(200, 400)], machine={**H100, "gpu": "NVIDIA A100-SXM4-80GB", "peak_flops_per_s": 312e12})
    )
    first, second = reading.get("mfu"), reading.get("mfu (2)")
    assert first is not None
    assert second is not None
    assert (len(first), len(second)) == (20, 20)
    assert second.convention == "6N+12LdT, of 312 TFLOP/s a card"


# ---- how it ended


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("stopped by SIGINT after step 40 of 400, and saved", "interrupted"),
        ("stopped by SIGTERM after step 40 of 400, and saved", "killed"),
        ("CUDA out of memory: a micro-batch of 1 does not fit", "out_of_memory"),
    ],
)
def test_why_it_stopped_is_read(reason: str, kind: str, tmp_path: Path) -> None:
    """A signal or lack of memory is told as for any other trainer."""
    path = write(tmp_path, [(0, 40)])
    with Journal(
        tmp_path, LogSettings(), steps=400, first_step=40, console=Console(file=io.StringIO()), recipe={}
    ) as journal:
        journal.stop(reason)
    assert kind in notice_kinds(read(path))


def test_a_loss_that_was_not_finite_ends_the_series(tmp_path: Path) -> None:
    """The step at which training stopped for its loss is logged in the stop alone: it is the last of its series."""
    path = write(tmp_path, [(0, 200)])
    with Journal(
        tmp_path, LogSettings(), steps=400, first_step=200, console=Console(file=io.StringIO()), recipe={}
    ) as journal:
        journal.stop("Step 203: loss nan", {"step": 203, "loss_nats_per_token": math.nan, "grad_norm": math.inf})
    last = points(read(path), "train_loss")[-1]
    assert last[0] == 203
    assert math.isnan(last[1])
    diagnosis = auscult.diagnose(auscult.read(tmp_path))
    assert diagnosis.status == "diverged"


def test_a_line_that_is_cut_is_left_out_and_said(tmp_path: Path) -> None:
    """A log that ends within a line: the whole lines are read, and the cut one is a problem."""
    text = write(tmp_path, [(0, 100)]).read_text(encoding="utf-8")
    cut = text[: text.rindex('"loss_nats_per_token"') + 25]
    (reading,) = of_text(cut)
    assert len(points(reading, "train_loss")) == 9 or len(points(reading, "val_loss")) == 2
    assert [p.kind for p in reading.problems] == ["broken_record"]
    assert "truncated" in notice_kinds(reading)


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "step", "step": -1, "loss_nats_per_token": 2.0}',
        '{"event": "step", "step": 1.5, "loss_nats_per_token": 2.0}',
        '{"event": "step", "loss_nats_per_token": 2.0}',
        '{"event": "step", "step": 10}',
        '{"event": "evaluation", "step": 10, "split": "val", "loss_nats_per_token": 2.0}',
        '{"event": "evaluation", "step": 10, "split": "test", "mode": "eval", "loss_nats_per_token": 2.0}',
        '{"event": "other", "step": 10}',
        '{"event": ["step"]}',
        "{}",
        "{{",
    ],
)
def test_a_line_that_says_nothing_whole_is_a_problem(line: str, tmp_path: Path) -> None:
    """Lines that are no events, or lack what an event must say, are counted and not guessed."""
    text = write(tmp_path, [(0, 20)]).read_text(encoding="utf-8")
    (reading,) = of_text(text + line + "\n")
    assert [p.kind for p in reading.problems] == ["broken_record"]
    assert len(points(reading, "train_loss")) == 2


def test_without_a_whole_line_it_is_refused() -> None:
    """A file that holds none of its events is an error of ours."""
    with pytest.raises(NotText):
        of_text('{"event": "note", "time_unix_s": 1.5, "text": "x"}\n')


# ---- the folder


def tensors(shapes: Mapping[str, Sequence[int]], **metadata: str) -> bytes:
    """Return a file of safetensors whose data are zeros."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    at = 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(at)


def shapes(*, biases: bool) -> dict[str, tuple[int, ...]]:
    """Return the tensors of the recipe's model, as Hugging Face's GPT-2 has them."""
    width, found = 64, {"wte.weight": (256, 64), "wpe.weight": (64, 64), "ln_f.weight": (64,)}
    for layer in range(2):
        here = f"h.{layer}."
        found |= {f"{here}ln_1.weight": (width,), f"{here}ln_2.weight": (width,)}
        found |= {f"{here}attn.c_attn.weight": (width, 3 * width), f"{here}attn.c_proj.weight": (width, width)}
        found |= {f"{here}mlp.c_fc.weight": (width, 4 * width), f"{here}mlp.c_proj.weight": (4 * width, width)}
    if biases:
        found |= {name.replace(".weight", ".bias"): (s[-1],) for name, s in found.items() if name[0] in "hl"}
    return {f"transformer.{name}": shape for name, shape in found.items()}


def whole_folder(folder: Path) -> Path:
    """Write all that the trainer leaves of a run that was resumed once."""
    write(folder, [(0, 237), (200, 400)])
    (folder / "recipe.toml").write_text(toml_of(RECIPE), encoding="utf-8")
    (folder / "run.json").write_text(
        json.dumps({"parameters_total": PARAMETERS, "recipe": recipe_values(RECIPE)}, indent=1)
    )
    state = {f"model.{name}": shape for name, shape in shapes(biases=False).items()}
    state |= {f"optimizer.{name}.exp_avg": shape for name, shape in shapes(biases=False).items()}
    for step in (200, 400):
        home = folder / "checkpoints" / f"step-{step:08d}"
        home.mkdir(parents=True)
        (home / "shard-00001-model-00001-of-00001.safetensors").write_bytes(
            tensors(state, DCP_SHARDING_INFO=json.dumps(state))
        )
        (home / "checkpoint.json").write_text(
            json.dumps({"step": step, "recipe": recipe_values(RECIPE), "files": {}}, indent=1)
        )
    (folder / "weights").mkdir()
    (folder / "weights" / "model.safetensors").write_bytes(tensors(shapes(biases=True), biases="zero"))
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 2, "n_head": 2, "n_embd": 64}
    config |= {"vocab_size": 256, "n_positions": 64, "activation_function": "gelu_new", "tie_word_embeddings": True}
    (folder / "weights" / "config.json").write_text(json.dumps(config, indent=1))
    return folder


def test_a_whole_folder_is_one_run(tmp_path: Path) -> None:
    """Log, event files of two processes, checkpoints, weights and the recipe speak of one run and contradict nothing."""
    found = read_all(whole_folder(tmp_path))
    (run,) = found.runs
    assert not found.unread
    assert run.dialect == "auscult_log"
    assert not run.problems
    assert {series.file for series in run.series} == {"log.jsonl"}
    assert {series.name for series in run.series} == {m.name for m in METRICS.values()} | {
        "val_loss",
        "train_loss_eval",
    }
    assert run.seams == (Seam(230, 200, run.seams[0].source),)
    assert value_of(run.recipe.learning_rate) == RECIPE.optimizer.learning_rate
    count = Examination(run).parameter_count
    assert isinstance(count, Known)
    assert count.value.total == PARAMETERS


def test_the_event_files_alone_mean_the_same(tmp_path: Path) -> None:
    """Without its log, the event files give the same series under the same names, in the same modes."""
    write(tmp_path, [(0, 400)])
    log = read(tmp_path / "log.jsonl")
    (tmp_path / "log.jsonl").unlink()
    run = auscult.read(tmp_path)

    def meaning(series: Series) -> tuple[object, ...]:
        return series.name, series.split, series.mode, series.unit, series.scope, tuple(series.steps)

    assert {meaning(s) for s in run.series} == {meaning(s) for s in log.series}
    for series in run.series:
        exact = log.get(series.name)
        assert exact is not None
        assert series.values == pytest.approx(exact.values, rel=1e-6)


def test_the_generic_reader_does_not_take_it(tmp_path: Path) -> None:
    """JSON lines of this trainer are its own dialect's, those of others stay the generic one's."""
    text = write(tmp_path, [(0, 50)]).read_text(encoding="utf-8")
    for name in ("log.jsonl", "x.log", "out.txt"):
        assert recognise(file_of(text, name))[1] is DIALECT
    other = "".join(json.dumps({"step": step, "train/loss": loss(step)}) + "\n" for step in range(50))
    _score, dialect = recognise(file_of(other, "log.jsonl"))
    assert dialect is not None
    assert dialect.name == "jsonl"


def diagnosed(run: Run) -> Diagnosis:
    """Diagnose a run."""
    return auscult.diagnose(run)


def clear(diagnosis: Diagnosis) -> set[str]:
    """Return the checks that were made and found nothing."""
    return {outcome.check.code for outcome in diagnosis.outcomes if isinstance(outcome.verdict, Clear)}


def test_a_finished_run_is_diagnosed(tmp_path: Path) -> None:
    """Parameters match what the trainer counted, the budget is whole, the schedule ended with the run, the speed is known."""
    diagnosis = diagnosed(auscult.read(whole_folder(tmp_path)))
    exam = Examination(auscult.read(tmp_path))
    assert diagnosis.status == "finished"
    assert value_of(exam.tokens_per_step) == 3072
    assert value_of(exam.tokens_seen) == 400 * 3072
    assert value_of(exam.epochs) == pytest.approx(400 * 3072 / 5_000_000)
    assert value_of(exam.step_time_s) == 0.5
    assert value_of(exam.mfu_logged_peak) == 989e12
    assert {"MDL006", "LOG004", "LOG005", "LOG019"} <= clear(
        diagnosis
    )  # MDL006: the model has the parameters that were logged


def test_a_modern_run_is_diagnosed(tmp_path: Path) -> None:
    """A model that is no GPT-2 has its parameters, FLOPs and budget from its blueprint."""
    model = model_settings(
        family="modern", n_layer=2, n_head=4, n_kv_head=2, d_model=64, vocab_size=256, context=64, activation="swiglu"
    )
    recipe = dataclasses.replace(RECIPE, model=model)
    write(tmp_path, [(0, 400)], recipe, parameters_total=131_392)
    exam = Examination(auscult.read(tmp_path))
    model_ = exam.model
    assert isinstance(model_, Known)
    assert model_.value.family == "auscult"
    assert count_parameters(model_.value).total == 131_392
    assert isinstance(exam.flops_per_token, Known)
    assert "MDL006" in clear(diagnosed(exam.run))


def test_a_count_that_is_another_models_is_found(tmp_path: Path) -> None:
    """Where the trainer counts other parameters than its recipe has, that is a finding, not a silence."""
    write(tmp_path, [(0, 400)], parameters_total=PARAMETERS + 64 * 64)
    assert "MDL006" in {finding.code for finding in diagnosed(auscult.read(tmp_path)).findings}
