"""Which files of a folder are one run: folders as users leave them, one trap each."""

from __future__ import annotations

import gzip
import random
import shutil
import time
from array import array
from pathlib import Path

import pytest

from auscult.errors import AmbiguousInput
from auscult.readers import Found, read, read_all
from auscult.readers.curves import Curves, pairs_to_compare
from auscult.readers.grouping import group, rank_of
from auscult.readers.reading import Reading
from auscult.run import Known, Run, Series, Unknown
from readers.run_folders import (
    CONFIG,
    curve,
    events,
    lightning,
    log,
    log_text,
    model_config,
    part,
    put,
    rows_of,
    state,
    table,
    tracked,
)


def names(found: Found) -> list[str]:
    return [run.name for run in found.runs]


def relations(found: Found) -> list[tuple[str, tuple[str, ...]]]:
    return [(r.kind, r.files) for r in found.relations]


def losses(run: Run, name: str = "train_loss") -> dict[int, float]:
    series = run.get(name)
    assert series is not None
    return dict(zip(series.steps, series.values, strict=True))


def layers(run: Run) -> int | None:
    known = run.recipe.architecture.n_layer
    return known.value if isinstance(known, Known) else None


def width(run: Run) -> int | None:
    known = run.recipe.architecture.d_model
    return known.value if isinstance(known, Known) else None


# ---- copies


def test_checkpoints_hold_prefixes_of_one_history(tmp_path: Path) -> None:
    """Checkpoints, also within checkpoints, are one run; the longest history is used, and all are named as copies."""
    whole = curve()
    for folder, last in (("checkpoint-100", 100), ("checkpoint-200", 200), ("checkpoint-200/checkpoint-50", 50)):
        state(tmp_path / folder / "trainer_state.json", part(whole, 0, last))
    state(tmp_path / "checkpoint-1000" / "trainer_state.json", whole)
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert losses(found.runs[0]) == whole
    ((kind, files),) = relations(found)
    assert kind == "copies"
    assert len(files) == 4
    assert files[0] == "checkpoint-1000/trainer_state.json"


def test_the_state_at_the_root_is_newer_than_the_checkpoints(tmp_path: Path) -> None:
    """The state that was saved last says how far the run came, and states of different ages do not disagree."""
    whole = curve()
    state(tmp_path / "checkpoint-200" / "trainer_state.json", part(whole, 0, 200))
    state(tmp_path / "trainer_state.json", whole)
    (run,) = read_all(tmp_path).runs
    assert losses(run) == whole
    assert run.noted["hf.global_step"].value == 400
    assert not [p for p in run.problems if p.kind == "settings_disagree"]


def test_first_checkpoints_have_few_rows(tmp_path: Path) -> None:
    """Checkpoints with one row each are one run by their names, though one value that agrees proves little."""
    whole = {500: 2.3126, 1000: 2.2751}
    state(tmp_path / "out" / "checkpoint-500" / "trainer_state.json", part(whole, 0, 500))
    state(tmp_path / "out" / "checkpoint-1000" / "trainer_state.json", whole)
    (run,) = read_all(tmp_path).runs
    assert losses(run) == whole


def test_two_trainings_side_by_side(tmp_path: Path) -> None:
    """Two runs of one trainer in one folder are two, each with its own config and its own checkpoints."""
    for name, seed, depth in (("a", 1, 4), ("b", 2, 8)):
        whole = curve(seed=seed)
        model_config(tmp_path / name / "config.json", depth)
        for step in (100, 200):
            state(tmp_path / name / f"checkpoint-{step}" / "trainer_state.json", part(whole, 0, step))
            model_config(tmp_path / name / f"checkpoint-{step}" / "config.json", depth)
        state(tmp_path / name / "trainer_state.json", whole)
    found = read_all(tmp_path)
    assert [layers(run) for run in found.runs] == [4, 8]
    assert [losses(run) == curve(seed=seed) for run, seed in zip(found.runs, (1, 2), strict=True)] == [True, True]
    for run, name in zip(found.runs, "ab", strict=True):
        assert all(source.startswith(f"{name}/") for source in run.sources)
    assert not [p for run in found.runs for p in run.problems]


def test_seeds_share_their_first_loss_only(tmp_path: Path) -> None:
    """Runs from one initialisation start with the same loss and are not one."""
    for seed in (1, 2, 3):
        log(tmp_path / f"seed{seed}.log", {**curve(seed=seed), 0: 10.8734}, ms=90 + seed)
    found = read_all(tmp_path)
    assert names(found) == ["seed1.log", "seed2.log", "seed3.log"]
    assert found.relations == ()


def test_seeds_that_died_after_their_first_loss(tmp_path: Path) -> None:
    """Of runs that show nothing but the loss of one initialisation, different times say that they are two."""
    for ms in (90, 95):
        log(tmp_path / f"lr{ms}.log", {0: 10.8734}, ms=ms)
    assert len(read_all(tmp_path).runs) == 2


def test_differences_in_the_fourth_decimal(tmp_path: Path) -> None:
    """Curves that never differ by more than 0.0005 are two runs, as nondeterminism leaves them."""
    one = curve()
    two = {step: round(loss + (step // 10 % 9 - 4) * 1e-4, 4) for step, loss in one.items()}
    log(tmp_path / "a.log", one)
    log(tmp_path / "b.log", two)
    assert len(read_all(tmp_path).runs) == 2


def test_a_collapse_is_no_agreement(tmp_path: Path) -> None:
    """Two runs that both collapse to a loss of exactly 0, or to NaN, agree in nothing else and stay two."""
    for value in (0.0, float("nan")):
        for seed in (1, 2):
            losses_ = {s: v if s < 50 else value for s, v in curve(seed=seed).items()}
            log(tmp_path / f"seed{seed}.log", losses_)
        assert len(read_all(tmp_path).runs) == 2


def test_curves_printed_with_one_decimal_look_alike(tmp_path: Path) -> None:
    """Two seeds whose losses are printed with one decimal are not taken for copies."""
    for seed in (1, 2):
        coarse = {step: round(v, 1) for step, v in curve(seed=seed, noise=0.02).items()}
        table(tmp_path / f"seed{seed}.csv", coarse)
    assert len(read_all(tmp_path).runs) == 2


@pytest.mark.parametrize("last", [50, 200, 390])
def test_a_truncated_copy(tmp_path: Path, last: int) -> None:
    """The same log twice, once cut, is one run as long as the longer."""
    log(tmp_path / "a.log", part(curve(), 0, last))
    log(tmp_path / "b.log", curve())
    found = read_all(tmp_path)
    assert [losses(run) for run in found.runs] == [curve()]
    assert relations(found) == [("copies", ("b.log", "a.log"))]


def test_copies_cut_at_either_end(tmp_path: Path) -> None:
    """A copy without its end and one without its beginning give the whole curve, each point with its own place."""
    whole = curve()
    log(tmp_path / "a.log", part(whole, 0, 300))
    log(tmp_path / "b.log", part(whole, 100, 400))
    (run,) = read_all(tmp_path).runs
    series = run.get("train_loss")
    assert series is not None
    assert losses(run) == whole
    assert len(series) == len(whole)
    assert list(series.steps) == sorted(whole)
    assert {series.source(i).place for i in (0, len(series) - 1)} == {"a.log:1", "b.log:31"}
    assert run.seams == ()


def test_a_log_and_its_archive(tmp_path: Path) -> None:
    """A log and its .gz are one run."""
    path = log(tmp_path / "train.log", curve())
    (tmp_path / "train.log.gz").write_bytes(gzip.compress(path.read_bytes()))
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert relations(found) == [("copies", ("train.log", "train.log.gz"))]


def test_a_branch_is_a_run_of_its_own(tmp_path: Path) -> None:
    """A run that was branched off another's checkpoint shares its beginning and is another run."""
    trunk, branch = curve(800), {**part(curve(800), 0, 400), **part(curve(800, seed=9), 410, 800)}
    state(tmp_path / "trunk" / "trainer_state.json", trunk)
    state(tmp_path / "decay" / "trainer_state.json", branch)
    assert len(read_all(tmp_path).runs) == 2


def test_what_was_done_again_after_a_checkpoint(tmp_path: Path) -> None:
    """A tracker's file that goes beyond the checkpoint that the run was taken up from is of the same run."""
    whole, abandoned = curve(), part(curve(seed=9), 160, 200)
    state(tmp_path / "trainer_state.json", whole)
    events(tmp_path / "runs" / "Jan01_10-00-00_node" / "events.out.tfevents.1.x", {**part(whole, 0, 150), **abandoned})
    events(tmp_path / "runs" / "Jan02_10-00-00_node" / "events.out.tfevents.2.x", part(whole, 160, 400))
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert losses(found.runs[0]) == whole


# ---- a tracker beside a trainer


@pytest.mark.parametrize("counter", ["iter", None])
def test_a_tracker_beside_the_log(tmp_path: Path, counter: str | None) -> None:
    """A W&B folder and the log of one run are one run, also where W&B's own counter is all that its rows have."""
    whole = {step: loss for step, loss in curve().items() if step}
    log(tmp_path / "train.log", whole)
    tracked(tmp_path / "wandb" / "run-20250101_101010-abc12345", "abc12345", rows_of(whole, counter))
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert found.runs[0].dialect == "nanogpt"
    assert losses(found.runs[0]) == whole
    assert found.runs[0].get("train_loss") is not None
    loss = found.runs[0].get("train_loss")
    assert loss is not None
    assert loss.axis == "step"


def test_two_tracked_runs_and_two_logs(tmp_path: Path) -> None:
    """With two runs each W&B folder goes with its own log, though its counter says nothing."""
    for seed, run_id in ((1, "aaaaaaaa"), (2, "bbbbbbbb")):
        whole = curve(seed=seed)
        log(tmp_path / f"train{seed}.log", whole)
        tracked(tmp_path / "wandb" / f"run-2025010{seed}_101010-{run_id}", run_id, rows_of(whole, None))
    found = read_all(tmp_path)
    assert len(found.runs) == 2
    for run, seed, run_id in zip(found.runs, (1, 2), ("aaaaaaaa", "bbbbbbbb"), strict=True):
        assert losses(run) == curve(seed=seed)
        assert f"train{seed}.log" in run.sources
        assert any(run_id in source for source in run.sources)


def test_a_copy_of_the_latest_run(tmp_path: Path) -> None:
    """W&B's ``latest-run``, copied as a folder, is no other run."""
    folder = tracked(tmp_path / "wandb" / "run-20250101_101010-abc12345", "abc12345", rows_of(curve()))
    tracked(tmp_path / "wandb" / "run-20250102_101010-def12345", "def12345", rows_of(curve(seed=2)))
    shutil.copytree(folder, tmp_path / "wandb" / "latest-run")
    found = read_all(tmp_path)
    assert len(found.runs) == 2
    assert [losses(run) for run in found.runs] in ([curve(), curve(seed=2)], [curve(seed=2), curve()])


def test_a_tracked_run_that_was_resumed(tmp_path: Path) -> None:
    """Two W&B folders with one id are one run with a seam, whichever of their names comes first."""
    whole, again = part(curve(), 0, 250), part(curve(seed=5), 200, 400)
    tracked(tmp_path / "wandb" / "run-20250102_101010-abc12345", "abc12345", rows_of(whole))
    tracked(tmp_path / "wandb" / "run-20250101_101010-abc12345", "abc12345", rows_of(again))
    found = read_all(tmp_path)
    (run,) = found.runs
    assert losses(run) == {**whole, **again}
    assert [(s.step_before, s.step_after) for s in run.seams] == [(250, 200)]
    ((kind, files),) = relations(found)
    assert kind == "resumed"
    assert [f.split("/")[1] for f in files] == ["run-20250102_101010-abc12345", "run-20250101_101010-abc12345"]


def test_an_identity_used_twice(tmp_path: Path) -> None:
    """Where one id was started anew, both passes are one run, and neither is dropped in silence."""
    for day in (1, 2):
        tracked(tmp_path / f"run-2025010{day}_101010-abc12345", "abc12345", rows_of(curve(seed=day)))
    (run,) = read_all(tmp_path).runs
    series = run.get("train_loss")
    assert series is not None
    assert len(series) == 2 * len(curve())
    assert len(run.seams) == 1


def test_a_log_with_both_passes_of_a_resumed_run(tmp_path: Path) -> None:
    """A log that went on after a resume holds what two W&B folders hold one part of each."""
    one, two = part(curve(), 0, 250), part(curve(seed=5), 200, 400)
    put(tmp_path / "train.log", log_text(one) + log_text(two))
    tracked(tmp_path / "wandb" / "run-20250101_101010-abc12345", "abc12345", rows_of(one))
    tracked(tmp_path / "wandb" / "run-20250102_101010-abc12345", "abc12345", rows_of(two))
    (run,) = read_all(tmp_path).runs
    assert losses(run) == {**one, **two}
    assert len(run.series[0]) == len(one) + len(two)
    assert [(s.step_before, s.step_after) for s in run.seams] == [(250, 200)]


def test_steps_counted_from_another_number(tmp_path: Path) -> None:
    """A tracker whose steps are one less than the log's holds the same history, and adds no point to it."""
    whole = {step: loss for step, loss in curve().items() if step}
    log(tmp_path / "train.log", whole)
    events(tmp_path / "tb" / "events.out.tfevents.1.x", {step - 1: loss for step, loss in whole.items()})
    (run,) = read_all(tmp_path).runs
    assert losses(run) == whole


def test_event_files_of_a_resumed_run(tmp_path: Path) -> None:
    """The Hugging Face trainer makes a folder of events for every start; those that go on are one run."""
    one, two = part(curve(), 0, 200), part(curve(seed=5), 160, 400)
    events(tmp_path / "runs" / "Jan01_10-00-00_node1" / "events.out.tfevents.1.x", one)
    events(tmp_path / "runs" / "Feb02_11-00-00_node7" / "events.out.tfevents.2.y", two)
    found = read_all(tmp_path)
    (run,) = found.runs
    assert set(losses(run)) == set(one) | set(two)
    assert [(s.step_before, s.step_after) for s in run.seams] == [(200, 160)]


def test_an_event_file_without_losses(tmp_path: Path) -> None:
    """An event file of evaluations alone belongs to the run in whose folder the trainer made it."""
    state(tmp_path / "trainer_state.json", curve())
    events(tmp_path / "runs" / "Jan01_10-00-00_node" / "events.out.tfevents.1.x", {400: 0.81}, "eval/accuracy")
    (run,) = read_all(tmp_path).runs
    assert run.get("eval/accuracy") is not None
    assert len(run.sources) == 2


# ---- a run in several files


def test_a_rotated_log(tmp_path: Path) -> None:
    """train.log.2, train.log.1 and train.log are one run in the order of their steps, with every point's own place."""
    whole = curve(600)
    log(tmp_path / "train.log.2", part(whole, 0, 200))
    log(tmp_path / "train.log.1", part(whole, 210, 400))
    log(tmp_path / "train.log", part(whole, 410, 600))
    found = read_all(tmp_path)
    (run,) = found.runs
    series = run.get("train_loss")
    assert series is not None
    assert losses(run) == whole
    assert relations(found) == [("resumed", ("train.log.2", "train.log.1", "train.log"))]
    for index, step in enumerate(series.steps):
        file, first = next((f, a) for f, a, b in PARTS if a <= step <= b)
        assert series.source(index).place == f"{file}:{(step - first) // 10 + 1}"


PARTS = (("train.log.2", 0, 200), ("train.log.1", 210, 400), ("train.log", 410, 600))


def test_a_resumed_log_that_overlaps(tmp_path: Path) -> None:
    """A log that begins at the last checkpoint, before the other's end, is the same run with a seam."""
    one, two = part(curve(600), 0, 350), part(curve(600, seed=7), 300, 600)
    log(tmp_path / "train.log", one)
    log(tmp_path / "train_resumed.log", two)
    (run,) = read_all(tmp_path).runs
    assert losses(run) == {**one, **two}
    assert [(s.step_before, s.step_after, s.source.place) for s in run.seams] == [(350, 300, "train_resumed.log:1")]


def test_seeds_that_were_resumed(tmp_path: Path) -> None:
    """With two runs in two parts each, names tell which part goes on with which."""
    for seed in (1, 2):
        log(tmp_path / f"seed{seed}_part1.log", part(curve(600, seed=seed), 0, 300))
        log(tmp_path / f"seed{seed}_part2.log", part(curve(600, seed=seed + 5), 310, 600))
    found = read_all(tmp_path)
    assert relations(found) == [("resumed", (f"seed{seed}_part1.log", f"seed{seed}_part2.log")) for seed in (1, 2)]


def test_parts_that_fit_two_runs_are_left_apart(tmp_path: Path) -> None:
    """Where a part may go on with either of two runs, it goes with none."""
    for number, (seed, first, last) in enumerate([(1, 0, 300), (2, 0, 300), (6, 310, 600), (7, 310, 600)], 1):
        log(tmp_path / f"log_{number}.txt", part(curve(600, seed=seed), first, last))
    found = read_all(tmp_path)
    assert len(found.runs) == 4
    assert found.relations == ()


@pytest.mark.parametrize("second", ["other_model.log", "seed2.log", "b/train.log"])
def test_what_starts_late_under_another_name_is_no_part(tmp_path: Path, second: str) -> None:
    """A log whose beginning is missing does not go on with a run of another name or folder."""
    log(tmp_path / "seed1.log", part(curve(600), 0, 350))
    log(tmp_path / second, part(curve(600, seed=7), 300, 600))
    assert len(read_all(tmp_path).runs) == 2


def test_versions_that_go_on(tmp_path: Path) -> None:
    """Lightning's version_1 that counts on from version_0 is the same run."""
    lightning(tmp_path / "lightning_logs" / "version_0", curve(599, every=50, first=49))
    lightning(tmp_path / "lightning_logs" / "version_1", curve(1199, every=50, first=649, seed=4))
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert [kind for kind, _files in relations(found)] == ["resumed"]


def test_versions_that_start_anew(tmp_path: Path) -> None:
    """Lightning's version_1 that starts at the beginning is another run, each with its own settings, at any interval."""
    lightning(tmp_path / "lightning_logs" / "version_0", curve(599, every=50, first=49), lr=1e-3)
    lightning(tmp_path / "lightning_logs" / "version_1", curve(1199, every=100, first=99, seed=4), lr=5e-4)
    found = read_all(tmp_path)
    assert len(found.runs) == 2
    assert [getattr(run.recipe.learning_rate, "value", None) for run in found.runs] == [1e-3, 5e-4]


# ---- ranks


def test_logs_of_all_ranks(tmp_path: Path) -> None:
    """Logs named after ranks, of equal steps and nearly equal losses, are one run: rank 0's is kept, none is averaged."""
    for rank in range(8):
        noisy = {step: round(v * (1 + rank / 1000), 4) for step, v in curve().items()}
        log(tmp_path / f"rank{rank}.log", noisy)
    found = read_all(tmp_path)
    (run,) = found.runs
    assert losses(run) == curve()
    loss = run.get("train_loss")
    assert loss is not None
    assert loss.scope == "rank"
    (notice,) = [n for n in run.notices if n.kind == "ranks_interleaved"]
    assert notice.count == 8
    assert "rank0.log" in notice.detail
    assert found.relations == ()


def test_ranks_that_print_the_same(tmp_path: Path) -> None:
    """Ranks that print a reduced loss hold one history."""
    for rank in range(4):
        log(tmp_path / f"attempt_0/{rank}/stdout.log", curve())
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert [kind for kind, _files in relations(found)] == ["copies"]


def test_ranks_of_adapters_are_runs(tmp_path: Path) -> None:
    """A sweep over the rank of an adapter names ranks too; they are not counted from 0, and every one is a run."""
    for rank in (8, 16, 32):
        log(tmp_path / f"lora_rank{rank}.log", {s: round(v * (1 + rank / 9000), 4) for s, v in curve().items()})
    assert len(read_all(tmp_path).runs) == 3


def test_ranks_whose_losses_are_far_apart(tmp_path: Path) -> None:
    """Files named after ranks with losses of different models are different runs."""
    for rank in range(2):
        log(tmp_path / f"rank_{rank}.log", {s: round(v * (1 + rank / 3), 4) for s, v in curve().items()})
    assert len(read_all(tmp_path).runs) == 2


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("rank3.log", ("#.log", 3)),
        ("logs/local_rank_12/out.txt", ("logs/#/out.txt", 12)),
        ("x/attempt_0/5/stderr.log", ("x/attempt_#/stderr.log", 5)),
        ("train.proc-1.log", ("train.#.log", 1)),
        ("crank3.log", None),
        ("rank3b.log", None),
        ("gpu3.log", None),
        ("r3.log", None),
    ],
)
def test_what_names_a_rank(file: str, wanted: tuple[str, int] | None) -> None:
    """Only names that say rank or process name one: a sweep puts one run on each GPU."""
    assert rank_of(file) == wanted


# ---- configs


def test_one_config_for_many_runs(tmp_path: Path) -> None:
    """A config above several runs is each one's."""
    put(tmp_path / "config" / "train_x.py", CONFIG)
    for seed in (1, 2, 3):
        log(tmp_path / f"seed{seed}" / "train.log", curve(seed=seed))
    assert [width(run) for run in read_all(tmp_path).runs] == [384] * 3


def test_a_config_in_every_run_folder(tmp_path: Path) -> None:
    """A config beside each log is that run's, and one of a run that did not begin is a run of its own."""
    for seed in (1, 2):
        put(tmp_path / f"run{seed}" / "config.py", CONFIG.replace("384", str(384 * seed)))
        log(tmp_path / f"run{seed}" / "train.log", curve(seed=seed))
    put(tmp_path / "run3" / "config.py", CONFIG.replace("384", "1536"))
    log(tmp_path / "run4" / "train.log", curve(seed=4))
    found = read_all(tmp_path)
    assert {run.sources[0].split("/")[0]: width(run) for run in found.runs} == {
        "run1": 384,
        "run2": 768,
        "run3": 1536,
        "run4": None,
    }


def test_two_configs_and_one_log(tmp_path: Path) -> None:
    """Of two configs neither is guessed; where one's name fits the log, or its folder, it is that one."""
    for name, size in (("small", 384), ("wide", 768)):
        put(tmp_path / "config" / f"train_{name}.py", CONFIG.replace("384", str(size)))
    path = log(tmp_path / "train.log", curve())
    (run,) = read_all(tmp_path).runs
    assert isinstance(run.recipe.batch_size, Unknown)
    assert "2 configs may be this run's" in run.recipe.batch_size.reason
    for place in ("wide.log", "out-wide/train.log"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        path = path.rename(tmp_path / place)
        (run,) = read_all(tmp_path).runs
        assert width(run) == 768


def test_configs_that_say_the_same(tmp_path: Path) -> None:
    """Two copies of one config do not make it ambiguous."""
    for name in ("a", "b"):
        put(tmp_path / f"{name}.py", CONFIG)
    log(tmp_path / "x.log", curve())
    (run,) = read_all(tmp_path).runs
    assert width(run) == 384


def test_configs_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """Configs and runs in folders side by side go together where names leave one choice only."""
    for seed, name in ((1, "narrow"), (2, "wide")):
        put(tmp_path / "experiments" / f"train_{name}.py", CONFIG.replace("384", str(384 * seed)))
        log(tmp_path / "outputs" / name / "train.log", curve(seed=seed))
    log(tmp_path / "outputs" / "other" / "train.log", curve(seed=3))
    assert {run.name.split("/")[1]: width(run) for run in read_all(tmp_path).runs} == {
        "narrow": 384,
        "wide": 768,
        "other": None,
    }


def test_one_config_and_runs_at_different_depths(tmp_path: Path) -> None:
    """A config of several runs is each one's, however deep their logs lie."""
    put(tmp_path / "config" / "x.py", CONFIG)
    for seed, place in enumerate(("a.log", "logs/b.log", "out/csv/c.log")):
        log(tmp_path / place, curve(seed=seed))
    assert [width(run) for run in read_all(tmp_path).runs] == [384] * 3
    log(tmp_path / "other" / "d.log", curve(seed=9))
    assert [run.name for run in read_all(tmp_path).runs if width(run) is None] == ["other/d.log"]


def test_a_copy_of_a_run_with_another_config(tmp_path: Path) -> None:
    """Where a history is copied together with its config and the two configs differ, neither is guessed."""
    for name, size in (("run", "384"), ("backup_run", "768")):
        put(tmp_path / name / "config.py", CONFIG.replace("384", size))
        log(tmp_path / name / "train.log", curve())
    (run,) = read_all(tmp_path).runs
    assert isinstance(run.recipe.architecture.d_model, Unknown)
    assert "backup_run/config.py, run/config.py" in run.recipe.architecture.d_model.reason


def test_several_tracked_configs_without_a_history(tmp_path: Path) -> None:
    """Configs of W&B runs that left no history are not laid at the door of a log that lies about, one alone is."""
    values = {"learning_rate": 0.001, "batch_size": 12, "n_layer": 6, "max_iters": 5000}
    text = "".join(f"{key}:\n  value: {value}\n" for key, value in values.items())
    log(tmp_path / "train.log", curve())
    put(tmp_path / "wandb" / "run-20250101_101010-aaaaaaaa" / "files" / "config.yaml", text)
    (run,) = read_all(tmp_path).runs
    assert layers(run) == 6
    put(tmp_path / "wandb" / "run-20250102_101010-bbbbbbbb" / "files" / "config.yaml", text.replace("6", "8"))
    runs = {run.name: run for run in read_all(tmp_path).runs}
    assert layers(runs.pop("train.log")) is None
    assert sorted(layers(run) or 0 for run in runs.values()) == [6, 8]


# ---- names and places


def test_files_of_one_name_from_two_folders(tmp_path: Path) -> None:
    """Files that are named one by one and share a name are told apart by as much of their paths as is needed."""
    for name, seed, size in (("a", 1, 384), ("b", 2, 768)):
        log(tmp_path / name / "train.log", curve(seed=seed))
        put(tmp_path / name / "config.py", CONFIG.replace("384", str(size)))
    paths = [tmp_path / name / file for file in ("train.log", "config.py") for name in ("a", "b")]
    found = read_all(*paths)
    assert names(found) == ["a/train.log", "b/train.log"]
    assert [width(run) for run in found.runs] == [384, 768]
    found = read_all(tmp_path / "a", tmp_path / "b")
    assert [width(run) for run in found.runs] == [384, 768]
    assert [run.sources for run in found.runs] == [(f"{n}/config.py", f"{n}/train.log") for n in "ab"]


def test_names_are_unique_and_any_end_will_do(tmp_path: Path) -> None:
    """Every run has a name of its own, in the order of the files, and can be named by the end of it."""
    for i in range(12):
        log(tmp_path / f"run{i}" / "train.log", curve(seed=i))
    found = read_all(tmp_path)
    assert len(set(names(found))) == 12
    assert names(found) == names(read_all(tmp_path))
    assert read(tmp_path, run="run7/train.log").name == "run7/train.log"
    with pytest.raises(AmbiguousInput, match="several runs end in"):
        read(tmp_path, run="train.log")


def test_links_to_what_was_read(tmp_path: Path) -> None:
    """A link or a hard link to a log is no other run, and the log keeps its own place beside its config."""
    path = log(tmp_path / "z" / "train.log", curve())
    put(tmp_path / "z" / "config.py", CONFIG)
    (tmp_path / "a.log").symlink_to(path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "latest.log").symlink_to(path)
    found = read_all(tmp_path)
    assert [run.sources for run in found.runs] == [("z/config.py", "z/train.log")]
    assert found.relations == ()


def test_a_bad_file_among_good_ones(tmp_path: Path) -> None:
    """An empty log and a damaged archive are reported, and the rest is read."""
    log(tmp_path / "good.log", curve())
    (tmp_path / "empty.log").touch()
    (tmp_path / "bad.log.gz").write_bytes(b"\x1f\x8b\x08" + b"\xff" * 40)
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert losses(found.runs[0]) == curve()
    assert sorted(str(e.where) for e in found.unread) == ["bad.log.gz", "empty.log"]


# ---- many and large


def made_up(count: int, points: int, *, digits: int = 4) -> list[Reading]:
    """Readings of so many logs with equal first losses."""
    found = []
    for number in range(count):
        rng = random.Random(number)
        steps = array("q", range(0, 10 * points, 10))
        values = array("d", [10.8734, *(round(3 + 5 / (1 + s / 50) + rng.gauss(0, 0.05), digits) for s in steps[1:])])
        file = f"run{number}/train.log"
        series = Series("train_loss", "train", "train", "nats_per_token", "a batch", file, steps, values, steps)
        found.append(Reading("nanogpt", file, "log", series=(series,)))
        found.append(Reading("nanogpt_config", f"run{number}/config.py", "config"))
    return found


@pytest.mark.parametrize(("count", "points", "limit"), [(200, 500, 2.0), (2000, 60, 8.0)])
def test_many_runs_are_grouped_fast(count: int, points: int, limit: float) -> None:
    """Hundreds and thousands of runs are told apart without comparing each with each."""
    readings = made_up(count, points)
    start = time.perf_counter()
    groups = group(readings)
    assert time.perf_counter() - start < limit
    assert len(groups) == count
    assert all(len(g.companions) == 1 for g in groups)


def test_copies_are_found_among_many() -> None:
    """Whole, cut, thinned and reprinted copies are found among hundreds of runs by the index alone."""
    readings = [r for r in made_up(300, 100) if r.role == "log"]
    twin = readings[17].series[0]
    for number, order in enumerate([range(100), range(60), range(0, 100, 5)]):
        some = twin.take(list(order))
        values = array("d", [round(v, 3) if number == 2 else v for v in some.values])
        copy = Series(
            "train_loss", "train", "train", "nats_per_token", "", f"c{number}.log", some.steps, values, some.steps
        )
        readings.append(Reading("jsonl", f"c{number}.log", "log", series=(copy,)))
    assert {(17, 300), (17, 301), (17, 302)} <= set(pairs_to_compare(readings))
    groups = group(readings)
    assert len(groups) == 300
    assert [len(g.histories) for g in groups if any(r.file == "c0.log" for r in g.histories)] == [4]


def test_many_configs_beside_one_another_and_many_runs() -> None:
    """Hundreds of configs in one folder find their runs by name, fast; a run that none fits is told how many there are."""
    readings = [r for r in made_up(301, 60) if r.role == "log"]
    readings += [Reading("nanogpt_config", f"configs/run{n}.py", "config") for n in range(300)]
    start = time.perf_counter()
    groups = group(readings)
    assert time.perf_counter() - start < 2
    for g in groups[:300]:
        assert [c.file.partition("/")[2] for c in g.companions] == [g.histories[0].file.partition("/")[0] + ".py"]
    assert [len(g.ambiguous) for g in groups] == [0] * 300 + [300]


def test_many_tracked_runs_whose_steps_are_rows() -> None:
    """Hundreds of records that count rows find the logs with the same values in the same order."""
    logs = [r for r in made_up(200, 60) if r.role == "log"]
    rows = []
    for number, one in enumerate(logs):
        values = one.series[0].values
        count = array("q", range(len(values)))
        rows.append(
            Reading(
                "wandb", f"w{number}", "metrics",
                series=(Series("train_loss", "train", "train", "nats_per_token", "", f"w{number}", count, values, count, axis="row"),),
            )
        )  # fmt: skip
    start = time.perf_counter()
    groups = group([*logs, *rows])
    assert time.perf_counter() - start < 3
    assert [[r.file for r in g.histories] for g in groups] == [[f"w{n}", f"run{n}/train.log"] for n in range(200)]


@pytest.mark.parametrize("kind", ["coarse", "collapsed", "in parts", "identical"])
def test_crowds_are_grouped_fast(kind: str) -> None:
    """Curves that share most of their values, or could all go on with one another, take no quadratic time either."""
    found = []
    for r in made_up(400, 60, digits=1 if kind == "coarse" else 4):
        if r.role != "log":
            continue
        number, series = int(r.file[3:].partition("/")[0]), r.series[0]
        steps, values = series.steps, series.values
        if kind == "collapsed":
            values = array("d", [v if s < 20 else 0.0 for s, v in zip(steps, values, strict=True)])
        elif kind == "in parts":
            steps = array("q", [s + 600 * (number % 2) for s in steps])
        elif kind == "identical":
            values = made_up(1, 60)[0].series[0].values
        file = f"log{number}.txt"
        one = Series("train_loss", "train", "train", "nats_per_token", "", file, steps, values, steps)
        found.append(Reading("nanogpt", file, "log", series=(one,)))
    start = time.perf_counter()
    groups = group(found)
    assert time.perf_counter() - start < 3
    assert len(groups) == (1 if kind == "identical" else 400)


def test_long_curves_are_compared_in_bounded_time() -> None:
    """Curves of 262,144 points are compared on a sample of equal steps, whatever their intervals."""
    rng = random.Random(3)
    steps = array("q", range(2**18))
    values = array("d", (round(3 + rng.gauss(0, 0.05), 4) for _ in steps))
    one = Series("train_loss", "train", "train", "nats_per_token", "", "a", steps, values, steps)
    other = array("d", (round(3 + rng.gauss(0, 0.05), 4) for _ in steps))
    two = Series("train_loss", "train", "train", "nats_per_token", "", "b", steps, other, steps)
    sparse = one.take(range(0, 2**18, 4))
    curves = Curves()
    start = time.perf_counter()
    assert curves.compare(one, sparse).same is True
    assert curves.compare(one, two).same is False
    assert time.perf_counter() - start < 2
