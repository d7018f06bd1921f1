"""W&B's binary, the console in it, and how the files of a run's folder are put together."""

from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from auscult import diagnose
from auscult.errors import InputError
from auscult.readers import Found, read_all
from auscult.readers.dialects.wandb import DIALECT
from auscult.readers.files import InputFile
from auscult.report.json import dumps
from auscult.run import Known, Run, Unknown
from readers.formats import wandb_files as wf
from wandb_runs import (
    NANOGPT,
    PRIVATE,
    binary,
    config_yaml,
    corpus_case,
    folder,
    metadata,
    nanogpt_console,
    nanogpt_rows,
    opened,
    readings,
    said,
)

RUN = "run-20250102_030405-ab12cd34"
BINARY = "run-ab12cd34.wandb"
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 3, in <module>\nRuntimeError: it broke\n'


def one_run(found: Found) -> Run:
    assert len(found.runs) == 1, [run.name for run in found.runs]
    return found.runs[0]


def points(run: Run, name: str) -> list[tuple[int, float]]:
    series = run.get(name)
    assert series is not None, name
    return list(zip(series.steps, series.values, strict=True))


def kinds(run: Run) -> dict[str, str]:
    return {notice.kind: notice.detail for notice in run.notices}


# ---- nanoGPT


def test_a_killed_run_is_in_the_binary(tmp_path: Path) -> None:
    """Without any other file the binary gives the recipe, evaluations at `iter`, the console's iterations and the card."""
    data = binary(nanogpt_rows(range(0, 151, 50)), NANOGPT, console=nanogpt_console(180), closed=False)
    run = one_run(read_all(folder(tmp_path, {BINARY: data})))
    assert run.dialect == "nanogpt"
    assert points(run, "val_loss")[-1] == (150, 4.375)
    assert points(run, "train_loss")[-1] == (180, 4.11)
    assert isinstance(run.recipe.batch_size, Known)
    assert run.recipe.batch_size.value == 4
    assert isinstance(run.recipe.gradient_accumulation_steps, Known)
    assert run.recipe.gradient_accumulation_steps.value == 8
    assert isinstance(run.machine.gpu_name, Known)
    assert run.machine.gpu_name.value == "NVIDIA L4"
    assert isinstance(run.machine.gpu_count, Unknown)
    assert run.noted["wandb.gpu_count"].value == 2
    assert "never closed" in kinds(run)["truncated_binary"]


def test_nanogpt_logs_evaluations(tmp_path: Path) -> None:
    """`train/loss` is an evaluation's, MFU is a share of an A100 and -100 no value, `_step` no step."""
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary(nanogpt_rows(range(0, 151, 50)), NANOGPT))
    loss, mfu = reading.get("train_loss_eval"), reading.get("mfu")
    assert loss is not None
    assert list(loss.steps) == [0, 50, 100, 150]
    assert loss.mode == "eval"
    assert reading.get("train_loss") is None
    assert mfu is not None
    assert list(zip(mfu.steps, mfu.values, strict=True)) == [(50, 0.25), (100, 0.25), (150, 0.25)]
    assert mfu.unit == "fraction"
    assert "A100" in mfu.convention
    assert said(reading.settings)["logged.mfu_peak_flops_per_s"] == 312e12
    assert (reading.root, reading.run_id, reading.vocabulary) == (".", "ab12cd34", "nanogpt")
    assert said(reading.raw)["max_iters"] == 500
    assert "(defaults)" not in reading.raw


def test_a_fork_that_logs_every_step_keeps_both_losses(tmp_path: Path) -> None:
    """Rows without a validation loss hold the loss of the step; those with one an evaluation's."""
    rows: list[dict[str, float]] = [*nanogpt_rows([0]), {"iter": 1, "train/loss": 4.9}, {"iter": 2, "train/loss": 4.8}]
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary(rows, NANOGPT))
    evaluated, alone = reading.get("train_loss_eval"), reading.get("train_loss")
    assert evaluated is not None
    assert alone is not None
    assert (list(evaluated.steps), list(alone.steps)) == ([0], [1, 2])


def test_the_fuller_console_counts(tmp_path: Path) -> None:
    """`output.log` and the console in the binary are copies: the fuller one counts, and nothing is told twice."""
    data = binary(nanogpt_rows([0, 50]), NANOGPT, console=nanogpt_console(60), closed=False)
    run = one_run(read_all(folder(tmp_path, {BINARY: data, "files/output.log": nanogpt_console(90)})))
    series = run.get("train_loss")
    assert series is not None
    assert (series.count, series.file) == (10, "files/output.log")
    assert "several_copies" not in kinds(run)
    run = one_run(read_all(folder(tmp_path, {"files/output.log": nanogpt_console(30)})))
    series = run.get("train_loss")
    assert series is not None
    assert (series.count, series.file) == (7, BINARY)
    run = one_run(read_all(folder(tmp_path, {"files/output.log": nanogpt_console(60)})))
    series = run.get("train_loss")
    assert series is not None
    assert (series.count, series.file) == (7, "files/output.log"), "of equal ones the text, which can be looked at"


def test_a_config_that_is_not_nanogpts_is_read_by_common_names(tmp_path: Path) -> None:
    """A script with a few of the same names has none of nanoGPT's conventions."""
    config = {
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 16,
        "block_size": 32,
        "batch_size": 8,
        "max_iters": 100,
        "dropout": 0.1,
    }
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary([{"iter": 0, "train_loss": 3.0, "val_loss": 3.1}], config))
    assert not reading.raw
    assert said(reading.settings)["architecture.context"] == 32
    assert said(reading.settings)["recipe.max_steps"] == 100
    assert "architecture.tied" not in reading.settings


# ---- other trainers


def hf_rows(last: int) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = [
        {
            "train/loss": 4.0 - step / 100,
            "train/learning_rate": 1e-4,
            "train/epoch": step / last,
            "train/global_step": step,
        }
        for step in range(10, last + 1, 10)
    ]
    speed = last * 8 * 4 / 200.0
    summary = {
        "train/train_runtime": 200.0,
        "train/train_samples_per_second": speed,
        "train/train_steps_per_second": last / 200.0,
    }
    evaluation = {"eval/loss": 3.5, "eval/runtime": 2.0, "train/epoch": 1.0, "train/global_step": last}
    return [*rows, {**summary, "train/train_loss": 3.9, "train/epoch": 1.0, "train/global_step": last}, evaluation]


HF = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 64,
    "vocab_size": 1000,
    "n_positions": 256,
    "num_beams": 1,
    "min_length": 0,
    "do_sample": False,
    "max_length": 20,
    "_name_or_path": "/home/jdoe-account/models/gpt2",
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0.0001,
    "num_train_epochs": 1,
    "lr_scheduler_type": "linear",
    "max_grad_norm": 1.0,
    "max_steps": -1,
    "adam_beta1": 0.9,
    "warmup_steps": 5,
    "hub_token": "hf_abcdefgh",
    "output_dir": "/home/jdoe-account/out",
    "lr_scheduler_kwargs": {"min_lr": 1e-6},
}


def test_hugging_face(tmp_path: Path) -> None:
    """Steps are `train/global_step`, the last row's mean is no loss, and its speeds tell how many processes there were."""
    run = one_run(read_all(folder(tmp_path, {f"wandb/{RUN}/{BINARY}": binary(hf_rows(100), HF)})))
    train, val = run.get("train_loss"), run.get("val_loss")
    assert train is not None
    assert (train.count, train.steps[-1], round(train.values[-1], 6)) == (10, 100, 3.0)
    assert train.window.startswith("mean over the steps since")
    assert train.mode == "train"
    assert points(run, "val_loss") == [(100, 3.5)]
    assert val is not None
    assert val.mode == "eval"
    assert run.noted["hf.final_row"].value["train_loss"] == 3.9
    assert [step for step, _ in points(run, "epoch")] == list(range(10, 101, 10))
    known = {
        "accumulation": run.recipe.gradient_accumulation_steps,
        "batch": run.recipe.batch_size,
        "world": run.recipe.world_size,
        "cards": run.machine.gpu_count,
        "steps": run.recipe.max_steps,
        "layers": run.recipe.architecture.n_layer,
        "rate": run.recipe.learning_rate,
    }
    assert said(known) == {
        "accumulation": 4,
        "batch": 8,
        "world": 4,
        "cards": 4,
        "steps": 100,
        "layers": 4,
        "rate": 1e-4,
    }
    assert isinstance(run.recipe.architecture.context, Unknown)
    assert "256" in run.recipe.architecture.context.reason


def test_a_run_that_stopped_early_does_not_tell_its_processes(tmp_path: Path) -> None:
    """The speeds in the last row are of the planned steps; where fewer were made they say nothing of the batch."""
    rows = [row for row in hf_rows(100) if row["train/global_step"] <= 60 or "train/train_runtime" in row]
    rows[-1]["train/global_step"] = 60
    run = one_run(read_all(folder(tmp_path, {BINARY: binary(rows, HF)})))
    assert isinstance(run.recipe.gradient_accumulation_steps, Unknown)


def test_lightning(tmp_path: Path) -> None:
    """Steps are `trainer/global_step`; the epoch's mean is a series of its own."""
    rows: list[dict[str, float]] = [
        {"train_loss_step": 4.0 - i / 10, "trainer/global_step": 49 + 50 * i, "epoch": i // 2} for i in range(4)
    ]
    rows += [
        {"train_loss_epoch": 3.9, "trainer/global_step": 199, "epoch": 1},
        {"val_loss": 3.6, "trainer/global_step": 199, "epoch": 1},
    ]
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary(rows, {"d_model": 64, "lr": 1e-3, "betas": [0.9, 0.95]}))
    train, mean = reading.get("train_loss"), reading.get("train_loss_epoch")
    assert train is not None
    assert list(train.steps) == [49, 99, 149, 199]
    assert train.mode == "train"
    assert mean is not None
    assert "from 0" in mean.convention
    assert said(reading.settings)["recipe.beta2"] == 0.95


def test_evaluations_beside_steps(tmp_path: Path) -> None:
    """A training loss in the rows of validations, at steps that have one of their own, is an evaluation's."""
    rows: list[dict[str, float]] = []
    for step in range(0, 40, 10):
        rows += [{"step": step, "train_loss": 4.1, "val_loss": 4.2}, {"step": step, "train_loss": 4.0, "mfu": 0.3}]
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary(rows, {"lr": 1e-3}))
    assert {s.name: (s.count, s.mode) for s in reading.series} == {
        "train_loss_eval": (4, "eval"),
        "train_loss": (4, "train"),
        "val_loss": (4, "eval"),
        "mfu": (4, "unknown"),
    }


def test_the_trackers_own_step(tmp_path: Path) -> None:
    """W&B's `_step` counts rows, unless the script sets it, which a stride shows."""
    rows = [{"loss": 4.0}, {"loss": 3.9}, {"loss": float("nan")}]
    (counted,) = readings(DIALECT, tmp_path / "a", BINARY, binary(rows))
    loss = counted.get("train_loss")
    assert loss is not None
    assert (loss.axis, list(loss.steps)) == ("row", [0, 1, 2])
    assert math.isnan(loss.values[-1])
    assert [n.kind for n in counted.notices] == ["tracker_steps"]
    (made,) = readings(DIALECT, tmp_path / "b", BINARY, binary(rows, steps=[100, 200, 300]))
    loss = made.get("train_loss")
    assert loss is not None
    assert (loss.axis, list(loss.steps)) == ("step", [100, 200, 300])


def test_steps_that_start_again_with_each_epoch_are_no_steps(tmp_path: Path) -> None:
    """Where the counter counts batches of an epoch, rows are counted, and it is said."""
    rows: list[dict[str, float]] = [
        {"epoch": e, "step": s, "loss": 4.0 - e} for e in range(3) for s in range(0, 40, 10)
    ]
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary(rows))
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.axis, list(loss.steps)) == ("row", list(range(12)))
    assert "steps_within_epoch" in {n.kind for n in reading.notices}


def test_rows_without_a_step_and_a_step_back(tmp_path: Path) -> None:
    """A row without a step stands at that of the row before it; a return to an earlier step is a seam."""
    rows: list[dict[str, float]] = [{"step": s, "loss": 4.0} for s in (10, 20, 30)]
    rows += [{"val_loss": 4.4}, {"step": 20, "loss": 3.9}, {"step": 30, "loss": 3.8}]
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary(rows))
    val = reading.get("val_loss")
    assert val is not None
    assert list(val.steps) == [30]
    assert [(seam.step_before, seam.step_after) for seam in reading.seams] == [(30, 20)]
    assert "rows_without_step" in {n.kind for n in reading.notices}


def test_names_of_metrics_are_bounded(tmp_path: Path) -> None:
    """Of hundreds of keys without a usual name some are kept, and the rest is counted; losses are always kept."""
    row = {**{f"layer_{i}/ratio": 1.0 for i in range(300)}, "loss": 3.0, "step": 1, "system.cpu": 3.0, "user": 2.0}
    (reading,) = readings(DIALECT, tmp_path, BINARY, binary([row]))
    assert len(reading.series) == 61
    assert reading.get("train_loss") is not None
    assert next(n.count for n in reading.notices if n.kind == "columns_left_out") == 240


# ---- damage, and runs without metrics


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (wf.HEADER, "header of 7 bytes"),
        (b"step,loss\n1,2\n", "does not begin as W&B's do"),
        (binary(nanogpt_rows([0]), NANOGPT)[:-25], "never closed"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    """An empty file, one with its header alone, one of something else, and one that was cut each say so."""
    reading = readings(DIALECT, tmp_path, BINARY, data)[0]
    assert [n.kind for n in reading.notices if words in n.detail] == ["truncated_binary"]


def test_damaged_bytes_are_counted(tmp_path: Path) -> None:
    """What contradicts its checksum is left out, and how many bytes they are is a problem."""
    data = bytearray(binary(nanogpt_rows(range(0, 500, 50)), NANOGPT))
    data[len(data) // 2] ^= 255
    reading = readings(DIALECT, tmp_path, BINARY, bytes(data))[0]
    assert [p.kind for p in reading.problems] == ["unread_bytes"]
    assert "checksums" in next(n.detail for n in reading.notices if n.kind == "truncated_binary")


def test_a_run_without_metrics_says_so(tmp_path: Path) -> None:
    """A run that crashed before its first evaluation has a recipe, a traceback, and no metric."""
    data = binary([], NANOGPT, console=TRACEBACK)
    found = read_all(
        folder(
            tmp_path,
            {BINARY: data, "files/output.log": TRACEBACK, "files/wandb-summary.json": '{"_wandb":{"runtime":4}}'},
        )
    )
    run = one_run(found)
    assert {"no_metrics", "traceback"} <= kinds(run).keys()
    assert next(n.count for n in run.notices if n.kind == "traceback") == 1
    assert isinstance(run.recipe.learning_rate, Known)
    diagnose(run)


def test_a_console_alone_is_read_for_what_happened(tmp_path: Path) -> None:
    """`output.log` of a trainer that no dialect knows still tells of a crash, when W&B's files lie beside it."""
    files: dict[str, str | bytes] = {
        "files/output.log": "hello\n" + TRACEBACK,
        "files/wandb-metadata.json": metadata(),
        "files/config.yaml": config_yaml({"lr": 1e-3}),
    }
    run = one_run(read_all(folder(tmp_path, files)))
    assert "traceback" in kinds(run)


# ---- several folders


def test_a_copy_of_a_folder_is_the_same_run(tmp_path: Path) -> None:
    """`latest-run` as a real copy has the same id: one run, and the copies are named."""
    data = binary(nanogpt_rows(range(0, 301, 50)), NANOGPT, console=nanogpt_console(300))
    text = {"files/config.yaml": config_yaml(NANOGPT), "files/output.log": nanogpt_console(300)}
    folder(tmp_path / "wandb" / RUN, {BINARY: data, **text})
    shutil.copytree(tmp_path / "wandb" / RUN, tmp_path / "wandb" / "latest-run")
    found = read_all(tmp_path)
    run = one_run(found)
    assert len(points(run, "val_loss")) == 7
    assert [relation.kind for relation in found.relations] == ["copies"]
    assert not run.problems


def test_a_resumed_run_is_one(tmp_path: Path) -> None:
    """A second folder with the same id goes on where the first stopped: one curve, with its seam."""
    first = binary(nanogpt_rows(range(0, 201, 50)), NANOGPT, console=nanogpt_console(230))
    lines = nanogpt_console(500).splitlines(keepends=True)
    rest = "".join(line for line in lines if int(line.split()[1].rstrip(":")) >= 200)
    second = binary(nanogpt_rows(range(200, 501, 50)), NANOGPT, console=rest, first_step=5)
    folder(tmp_path, {f"wandb/{RUN}/{BINARY}": first, f"wandb/run-20250103_030405-ab12cd34/{BINARY}": second})
    folder(tmp_path, {"wandb/run-20250103_030405-ab12cd34/files/output.log": rest})
    found = read_all(tmp_path)
    run = one_run(found)
    assert {relation.kind for relation in found.relations} == {"resumed"}
    assert points(run, "train_loss")[-1][0] == 500
    assert [(seam.step_before, seam.step_after) for seam in run.seams] == [(230, 200)]


def test_each_folder_keeps_its_own_config(tmp_path: Path) -> None:
    """Runs side by side stay apart; one that died before it wrote anything is a run without history, not a rival config."""
    slow, fast = {**NANOGPT, "learning_rate": 0.001}, {**NANOGPT, "learning_rate": 0.004}
    rows = nanogpt_rows([0, 50, 100])
    other = [{**row, "val/loss": row["val/loss"] + 0.5, "train/loss": row["train/loss"] + 0.5} for row in rows]
    files: dict[str, str | bytes] = {
        "wandb/run-20250101_000000-aaaaaaaa/run-aaaaaaaa.wandb": binary(rows, slow, run_id="aaaaaaaa"),
        "wandb/run-20250101_000000-aaaaaaaa/files/config.yaml": config_yaml(slow),
        "wandb/run-20250102_000000-bbbbbbbb/run-bbbbbbbb.wandb": binary(other, fast, run_id="bbbbbbbb"),
        "wandb/run-20250102_000000-bbbbbbbb/files/config.yaml": config_yaml(fast),
        "wandb/run-20250103_000000-cccccccc/files/config.yaml": config_yaml({**NANOGPT, "learning_rate": 0.009}),
        "wandb/run-20250103_000000-cccccccc/files/wandb-metadata.json": metadata("config/train_thing.py"),
    }
    found = read_all(folder(tmp_path, files))
    rates = [run.recipe.learning_rate.value for run in found.runs if isinstance(run.recipe.learning_rate, Known)]
    assert rates == [0.001, 0.004, 0.009]
    assert not any(run.problems for run in found.runs)


# ---- privacy


def test_no_report_names_a_person_or_a_machine(tmp_path: Path) -> None:
    """E-mail, user, host and folders stand in every file of a run's folder, and in no report."""
    config = {
        **NANOGPT,
        "dataset": "/home/jdoe-account/data/fables",
        "wandb_entity": "jdoe-account",
        "author": "jane.doe@example.org",
    }
    console = f"saving checkpoint to /home/jdoe-account/out\n{nanogpt_console(100)}{TRACEBACK.replace('x.py', '/home/jdoe-account/x.py')}"
    debug = (
        "2025-01-01 10:00:00,000 INFO    MainThread:1 [wandb_init.py:setup_run_log_directory():714] Logging user logs to"
        f" /home/jdoe-account/thing/wandb/{RUN}/logs/debug.log\nconfig: {config!r}\n"
    )
    files: dict[str, str | bytes] = {
        BINARY: binary(nanogpt_rows([0, 50, 100]), config, console=console, closed=False),
        "files/config.yaml": config_yaml(config),
        "files/output.log": console,
        "files/wandb-metadata.json": metadata(
            "config/train_thing.py", "--wandb_entity=jdoe-account", "--out_dir=/home/jdoe-account/o"
        ),
        "files/wandb-summary.json": json.dumps({**nanogpt_rows([100])[0], "host": 3, "_wandb": {"runtime": 9}}),
        "logs/debug.log": debug,
    }
    run = one_run(read_all(folder(tmp_path / "thing", files)))
    text = dumps(diagnose(run)) + repr(run) + repr((run.recipe, run.noted, run.notices, run.problems, run.series))
    for private in ("jdoe", "jane.doe", "secret-host", "/home/", "github.com", *PRIVATE.values()):
        assert private not in text, private
    assert isinstance(run.recipe.dataset, Known)
    assert run.recipe.dataset.value == "fables"


# ---- recognising, and strangers' bytes


def test_sniff(tmp_path: Path) -> None:
    """The binary is known by its first bytes or its name, also when it is empty; other files are not claimed."""
    assert DIALECT.sniff(opened(tmp_path, BINARY, binary())) == 1.0
    assert DIALECT.sniff(opened(tmp_path, "copy.bin", binary())) == 1.0
    assert DIALECT.sniff(opened(tmp_path, "run-empty.wandb", b"")) == 1.0
    assert DIALECT.sniff(opened(tmp_path, "a/output.log", "hello\n")) == 0.0
    folder(tmp_path, {"files/wandb-metadata.json": metadata()})
    assert DIALECT.sniff(opened(tmp_path, "files/output.log", "hello\n")) == 0.5
    assert DIALECT.sniff(opened(tmp_path, "files/notes.log", "hello\n")) == 0.0


SOUND = binary(hf_rows(60), HF, console=nanogpt_console(40))


@settings(database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_bytes_are_they_are_read_or_refused(data: st.DataObject) -> None:
    """A file that is cut, overwritten or made up gives readings or an error of ours."""
    content = bytearray(SOUND[: data.draw(st.integers(0, len(SOUND)))])
    for _edit in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
    file = InputFile(BINARY, lambda: io.BytesIO(bytes(content)), len(content))
    try:
        for reading in DIALECT.read(file):
            for series in reading.series:
                assert len(series.steps) == len(series.values) == len(series.lines) > 0
    except InputError:
        pass


@settings(database=None, derandomize=True, deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(
                (
                    "iter step epoch train/loss val/loss lr mfu train/global_step loss_scale grad_norm tokens eval/loss"
                    + " train/train_runtime train/epoch train/train_steps_per_second"
                ).split()
            ),
            st.one_of(st.floats(), st.integers(-5, 2**70)),
        ),
        max_size=12,
    )
)
@example(rows=[{"iter": 0.0}, {"iter": 0.0, "train/global_step": -1.0, "step": 0.0, "epoch": float("inf")}, {}])
def test_whatever_is_logged_gives_series(rows: list[dict[str, float]]) -> None:
    """Rows of any keys with any numbers, NaN, infinities and huge steps among them, give series of whole points."""
    file = InputFile(BINARY, lambda: io.BytesIO(content), 1)
    content = binary(rows, HF)
    for reading in DIALECT.read(file):
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0


# ---- real runs


@pytest.mark.parametrize(
    ("case", "last", "rows"),
    [
        ("nanogpt-124m-on-shakespeare-memorised", 2000, 11),
        ("nanogpt-nomlp-2xl4-killed", 0, 1),
        ("nanogpt-owt-124m-30k-val-gap", 30000, 31),
        ("nanogpt-parliament-vocab1k-healthy", 7000, 29),
        ("nanogpt-shakespeare-bpe1k-tiny", 4999, 11),
        ("nanogpt-wandb-unclosed-h200", 6000, 4),
        ("hf-gpt2-wikitext-three-formats", 73, 1),
    ],
)
def test_real_runs(case: str, last: int, rows: int) -> None:
    """Real folders give one run each, its validations at the trainer's own steps, and the recipe of their facts."""
    root = corpus_case(case)
    run = one_run(read_all(root))
    val = run.get("val_loss")
    assert val is not None
    assert (val.steps[-1], val.count) == (last, rows)
    facts = json.loads((root / "facts.json").read_text(encoding="utf-8"))["facts"]
    for key in ("batch_size", "learning_rate", "weight_decay", "grad_clip", "dropout", "dtype"):
        wanted, found = facts.get(f"recipe.{key}"), getattr(run.recipe, key)
        if wanted is not None:
            assert isinstance(found, Known), key
            assert found.value == (pytest.approx(wanted) if isinstance(wanted, int | float) else wanted)
    assert isinstance(run.machine.gpu_name, Known) or case.startswith("hf-")


@pytest.mark.parametrize(
    ("case", "kind"), [("nanogpt-wandb-7-byte-file", "truncated_binary"), ("nanogpt-wandb-no-history", "no_metrics")]
)
def test_real_runs_without_metrics(case: str, kind: str) -> None:
    """A file of seven bytes and a run without a row are told as what they are."""
    assert kind in kinds(one_run(read_all(corpus_case(case))))
