"""What a run is made of: whose word counts for a setting, and every point of a series with its place."""

from __future__ import annotations

import random
import time
import tracemalloc
from array import array
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.readers import given_by_options, read, read_all
from auscult.readers.assembly import assemble, put_together
from auscult.readers.given import Given
from auscult.readers.grouping import Group, group
from auscult.readers.reading import ECHO, FILE, FRAMEWORK, SCRIPT, TRACKER, Reading
from auscult.run import Known, Quantity, Run, Series, Source, Unknown
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

AUTHORITIES = (ECHO, FRAMEWORK, TRACKER, FILE, SCRIPT)
READ, DEFAULT, UNKNOWN = "read", "default", "unknown"
WHO = {ECHO: "echo", FRAMEWORK: "framework", TRACKER: "tracker", FILE: "file", SCRIPT: "script"}


def quantity(state_: str, value: int, file: str) -> Quantity[int]:
    if state_ == UNKNOWN:
        return Unknown(f"{file} sets it in a way that cannot be read")
    return Known(value, Source("read", file, 1) if state_ == READ else Source("default", formula=f"default of {file}"))


def says(authority: int, state_: str, value: int) -> Reading:
    file = WHO[authority]
    return Reading(
        "nanogpt", file, "log", settings={"recipe.batch_size": quantity(state_, value, file)}, authority=authority
    )


def who_wins(high: tuple[int, str], low: tuple[int, str]) -> str:
    """The table: a value that was read, else what cannot be read, else a default; and of two alike the more trusted."""
    order = {READ: 0, UNKNOWN: 1, DEFAULT: 2}
    return WHO[high[0]] if order[high[1]] <= order[low[1]] else WHO[low[0]]


@pytest.mark.parametrize(("high", "low"), list(combinations(AUTHORITIES, 2)))
@pytest.mark.parametrize(("first", "second"), list(product((READ, DEFAULT, UNKNOWN), repeat=2)))
def test_whose_word_counts(high: int, low: int, first: str, second: str) -> None:
    """For every two authorities, and whether each read it, has a default or cannot tell, one wins, in any order."""
    readings = [says(high, first, 16), says(low, second, 8)]
    for order in (readings, readings[::-1]):
        run = assemble("x", Group(histories=order), Given(), ())
        found = run.recipe.batch_size
        winner = who_wins((high, first), (low, second))
        if isinstance(found, Unknown):
            assert found.reason.startswith(winner)
        else:
            assert winner in found.source.place
            assert found.value == (16 if winner == WHO[high] else 8)
        disagree = [p.kind for p in run.problems]
        assert disagree == (["settings_disagree"] if first == second == READ else [])


@pytest.mark.parametrize(("high", "low"), list(combinations(AUTHORITIES, 2)))
def test_two_files_that_agree(high: int, low: int) -> None:
    """Files that say the same do not disagree; where a config says it too, it is the place where it can be changed."""
    run = assemble("x", Group(histories=[says(high, READ, 16), says(low, READ, 16)]), Given(), ())
    assert isinstance(run.recipe.batch_size, Known)
    assert run.recipe.batch_size.source.file == ("file" if FILE in (high, low) else WHO[high])
    assert run.problems == ()


def test_what_a_person_says_wins(tmp_path: Path) -> None:
    """Options win over an auscult.toml, and that over what the files say."""
    rows = rows_of(curve())
    tracked(tmp_path / "run-20250101_101010-abc12345", "abc12345", rows)
    put(
        tmp_path / "run-20250101_101010-abc12345" / "files" / "wandb-metadata.json",
        '{"gpu": "Tesla T4", "gpu_count": 1, "os": "Linux", "python": "3.11", "program": "train.py"}',
    )
    assert repr(read(tmp_path).machine.gpu_name).startswith("Known('Tesla T4'")
    put(tmp_path / "auscult.toml", 'gpu = "A100"\ngpus = 2\n')
    run = read(tmp_path)
    assert (repr(run.machine.gpu_name), repr(run.machine.gpu_count)) == (
        "Known('A100', auscult.toml:1)",
        "Known(2, auscult.toml:2)",
    )
    run = read(tmp_path, given=given_by_options(gpu="H100"))
    assert (repr(run.machine.gpu_name), repr(run.machine.gpu_count)) == (
        "Known('H100', --gpu)",
        "Known(2, auscult.toml:2)",
    )


def test_the_script_the_config_and_the_echo(tmp_path: Path) -> None:
    """A script's default gives way to the config, and the config to what the log says was overridden: that is reported."""
    script = CONFIG + "dropout = 0.25\nexec(open('configurator.py').read())\ndef get_batch(split): pass\n"
    put(tmp_path / "train.py", script)
    put(tmp_path / "config" / "train_x.py", "n_layer = 6\nbatch_size = 8\n")
    put(tmp_path / "train.log", "Overriding: batch_size = 4\n" + log_text(curve()))
    run = read(tmp_path)
    assert repr(run.recipe.architecture.n_layer) == "Known(6, config/train_x.py:1)"
    assert repr(run.recipe.batch_size) == "Known(4, train.log:1)"
    assert repr(run.recipe.dropout) == "Known(0.25, train.py:5)"
    told = [p.message for p in run.problems if p.kind == "settings_disagree"]
    assert "batch_size: 4 at train.log:1, 8 at config/train_x.py:2" in told


def test_a_config_keeps_its_authority_among_other_vocabularies() -> None:
    """What is read from a config in the trainer's own words counts as a config's, also where its log says something else."""
    config = Reading(
        "nanogpt_config", "train_x.py", "config", vocabulary="nanogpt", authority=FILE,
        raw={"batch_size": Known(8, Source("read", "train_x.py", 1))},
    )  # fmt: skip
    echo = Reading(
        "nanogpt", "train.log", "log", vocabulary="nanogpt", authority=ECHO,
        raw={"learning_rate": Known(1e-3, Source("read", "train.log", 1))},
    )  # fmt: skip
    tracker = says(TRACKER, READ, 16)
    run = assemble("x", Group(histories=[echo, tracker], companions=[config]), Given(), ())
    assert isinstance(run.recipe.batch_size, Known)
    assert run.recipe.batch_size.value == 16
    assert isinstance(run.recipe.learning_rate, Known)
    assert run.recipe.learning_rate.value == 1e-3


def test_states_of_different_ages(tmp_path: Path) -> None:
    """The tokens and epochs of an older checkpoint do not contradict those of the newest, which count."""
    found = []
    for age, reached in ((1, 100), (2, 200)):
        whole = part(curve(), 0, reached)
        series = series_of(whole, f"s{age}")
        found.append(
            Reading(
                "hf_trainer", f"s{age}", "metrics", series=(series,), authority=FRAMEWORK,
                settings={"logged.epochs": Known(float(age), Source("read", f"s{age}", 1))},
            )
        )  # fmt: skip
    (each,) = group(found)
    run = assemble("x", each, Given(), ())
    assert isinstance(run.logged.epochs, Known)
    assert run.logged.epochs.value == 2.0
    assert run.problems == ()


# ---- series


def series_of(values: dict[int, float], file: str, name: str = "train_loss", axis: str = "step") -> Series:
    numbers = array("d", values.values())
    steps = array("q", values)
    return Series(
        name,
        "train",
        "train",
        "nats_per_token",
        "",
        file,
        steps,
        numbers,
        array("q", range(1, len(steps) + 1)),
        axis=axis,
    )


def reading(values: dict[int, float], file: str, dialect: str = "nanogpt", **others: dict[int, float]) -> Reading:
    series = [series_of(values, file), *(series_of(v, file, name) for name, v in others.items())]
    return Reading(dialect, file, "log", series=tuple(series))


def test_three_files_each_point_with_its_place(tmp_path: Path) -> None:
    """A series over three files, resumed twice, says for every point which line of which file it is."""
    pieces = {"run.log": (0, 250, 1), "run_2.log": (200, 450, 2), "run_10.log": (400, 700, 3)}
    for name, (first, last, seed) in pieces.items():
        log(tmp_path / name, part(curve(700, seed=seed), first, last))
    found = read_all(tmp_path)
    (run,) = found.runs
    assert [(r.kind, r.files) for r in found.relations] == [("resumed", tuple(pieces))]
    for name in ("train_loss", "step_time_s"):
        series = run.get(name)
        assert series is not None
        assert len(series) == sum((last - first) // 10 + 1 for first, last, _seed in pieces.values())
        assert series.count == len(series)
        for index, step in enumerate(series.steps):
            source = series.source(index)
            assert source.file is not None
            assert source.line is not None
            line = (tmp_path / source.file).read_text().splitlines()[source.line - 1]
            assert line.startswith(f"iter {step}: ")
    assert [(s.step_before, s.step_after) for s in run.seams] == [(250, 200), (450, 400)]
    latest = run.series[0].latest_pass()
    assert latest.source(latest.steps.index(230)).file == "run_2.log"


def test_other_metrics_come_from_whoever_has_them() -> None:
    """Of two records of one run each gives the metrics that only it has, and the fuller one those that both have."""
    whole = curve()
    sparse = {step: loss for step, loss in whole.items() if step % 50 == 0}
    one = reading(whole, "train.log", step_time_s=dict.fromkeys(whole, 0.5))
    two = reading(sparse, "metrics.csv", "csv", grad_norm={step: 1 + step / 1000 for step in sparse})
    (each,) = group([one, two])
    made = put_together("x", each, Given(), ())
    files = {s.name: s.file for s in made.run.series}
    assert files == {"train_loss": "train.log", "step_time_s": "train.log", "grad_norm": "metrics.csv"}
    assert made.copies == ("train.log", "metrics.csv")


def test_two_records_of_other_metrics_are_not_put_one_after_another() -> None:
    """A metric that two programs recorded over slightly different spans is taken from one of them."""
    whole = curve()
    late = {step: loss for step, loss in whole.items() if step >= 20}
    speeds = {step: 100.0 + step % 7 for step in whole if step <= 380}
    other = {step: 104.0 + step % 5 for step in late}
    (each,) = group([reading(whole, "train.log", speed=speeds), reading(late, "m.csv", "csv", speed=other)])
    run = assemble("x", each, Given(), ())
    speed = run.get("speed")
    assert speed is not None
    assert len(speed) in (len(speeds), len(other))
    assert not speed.files


def test_parts_of_a_metric_that_only_a_tracker_has() -> None:
    """Where the log holds the whole run and a tracker two parts, a metric that only the tracker has is whole too."""
    one, two = part(curve(), 0, 250), part(curve(seed=5), 260, 400)
    parts = [
        Reading("wandb", f"{n}.wandb", "metrics", run_id="abc", root=f"run-{n}", series=(
            series_of(values, f"{n}.wandb"), series_of({s: 1 + s / 1000 for s in values}, f"{n}.wandb", "grad_norm"),
        ))
        for n, values in (("1", one), ("2", two))
    ]  # fmt: skip
    (each,) = group([reading({**one, **two}, "train.log"), *parts])
    run = assemble("x", each, Given(), ())
    norms, losses = run.get("grad_norm"), run.get("train_loss")
    assert norms is not None
    assert losses is not None
    assert list(norms.steps) == sorted({**one, **two})
    assert norms.files == ("1.wandb", "2.wandb")
    assert losses.files == ()
    assert run.seams == ()


def test_steps_are_worth_more_than_rows() -> None:
    """A loss over steps is preferred to the same over rows, though not one last value to a whole curve."""
    whole = curve()
    by_row = Reading(
        "csv", "m.csv", "metrics", series=(series_of(dict(enumerate(whole.values())), "m.csv", axis="row"),)
    )
    run = assemble("x", Group(histories=[by_row, reading(whole, "train.log")]), Given(), ())
    assert [(s.file, s.axis) for s in run.series] == [("train.log", "step")]
    run = assemble("x", Group(histories=[by_row, reading({400: whole[400]}, "summary.json")]), Given(), ())
    assert [(s.file, s.axis) for s in run.series] == [("m.csv", "row")]


def test_a_metric_of_another_rank_only() -> None:
    """What only another rank recorded is taken from it, and nothing of what the main one has."""
    main, other = curve(), {s: v + 0.001 for s, v in curve().items()}
    (each,) = group([reading(main, "rank0.log"), reading(other, "rank1.log", val_loss={0: 10.9, 400: 3.5})])
    run = assemble("x", each, Given(), ())
    assert {s.name: (s.file, s.scope) for s in run.series} == {
        "train_loss": ("rank0.log", "rank"),
        "val_loss": ("rank1.log", "unknown"),
    }


def long_readings(points: int) -> list[Reading]:
    """A log, its copy and the log of the resumed run, half as long."""
    rng = random.Random(5)
    values = {step: round(3 + 5 / (1 + step / 1000) + rng.gauss(0, 0.05), 4) for step in range(points)}
    again = {step: round(3 + rng.gauss(0, 0.05), 4) for step in range(points - 1000, points + points // 2)}
    return [reading(values, "train.log"), reading(values, "copy.log"), reading(again, "train_resumed.log")]


def test_long_series_are_joined_in_bounded_time() -> None:
    """Copies and parts of 262,144 points are joined within seconds."""
    readings = long_readings(2**18)
    start = time.perf_counter()
    (each,) = group(readings)
    made = put_together("x", each, Given(), ())
    took = time.perf_counter() - start
    assert len(made.run.series[0]) == 2**18 + 1000 + 2**17
    assert made.copies == ("copy.log", "train.log")
    assert made.parts == ("copy.log", "train_resumed.log")
    assert took < 10


def test_long_series_are_joined_in_bounded_memory() -> None:
    """Joining takes memory of the order of the series themselves: here three of 0.8 to 1.2 MB."""
    readings = long_readings(2**15)
    group(long_readings(2000))  # what is loaded at first use is not counted
    tracemalloc.start()
    (each,) = group(readings)
    put_together("x", each, Given(), ())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


# ---- the order of files


def folder_of_everything(root: Path) -> list[Reading]:
    """What a folder with something of every kind holds, as readings in the order of the files."""
    from auscult.readers import _Search

    one, two = part(curve(), 0, 250), part(curve(seed=5), 200, 400)
    put(root / "a" / "config.py", CONFIG)
    log(root / "a" / "train.log", one)
    log(root / "a" / "train_resumed.log", two)
    tracked(root / "a" / "wandb" / "run-20250101_101010-abc12345", "abc12345", rows_of(one), {"batch_size": 12})
    for step in (100, 200, 400):
        state(root / "b" / f"checkpoint-{step}" / "trainer_state.json", part(curve(seed=2), 0, step))
        model_config(root / "b" / f"checkpoint-{step}" / "config.json", 8)
    events(root / "b" / "runs" / "Jan01_10-00-00_node" / "events.out.tfevents.1.x", curve(seed=2))
    for version, seed in ((0, 3), (1, 4)):
        lightning(root / "c" / f"version_{version}", curve(seed=seed))
    table(root / "d" / "metrics.csv", curve(seed=6))
    for rank in range(3):
        log(root / "e" / f"rank{rank}.log", {s: round(v * (1 + rank / 999), 4) for s, v in curve(seed=7).items()})
    for number, (seed, first, last) in enumerate([(8, 0, 300), (9, 0, 300), (10, 310, 600)]):
        log(root / "f" / f"log_{number}.txt", part(curve(600, seed=seed), first, last))
    put(root / "f" / "one.py", CONFIG)
    put(root / "f" / "two.py", CONFIG.replace("16", "32"))
    search = _Search(None)
    search.add(str(root))
    return search.readings


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Reading]:
    return folder_of_everything(tmp_path_factory.mktemp("everything"))


def outcome(readings: list[Reading]) -> dict[object, object]:
    """All that a report could show of the runs, whatever their order."""
    return {
        tuple(sorted(r.file for r in each.readings)): said(put_together("x", each, Given(), ()).run)
        for each in group(readings)
    }


def said(run: Run) -> object:
    series = [
        (s.name, s.file, s.files, list(s.steps), [repr(v) for v in s.values], list(s.lines), list(s.origins), s.window)
        for s in run.series
    ]
    noted = {key: repr(value) for key, value in run.noted.items()}
    facts = (run.recipe, run.machine, run.data, run.logged, run.seams, run.notices, run.problems, run.config)
    return run.dialect, sorted(series, key=repr), noted, [repr(fact) for fact in facts]


@settings(database=None, derandomize=True, deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=st.randoms(use_true_random=False))
def test_the_order_of_files_decides_nothing(everything: list[Reading], seed: random.Random) -> None:
    """Whatever the order in which files are found, they make the same runs with the same settings and series."""
    shuffled = list(everything)
    seed.shuffle(shuffled)
    assert outcome(shuffled) == outcome(everything)


def test_the_order_of_runs_is_that_of_the_files(everything: list[Reading]) -> None:
    """Runs come in the order of their first files, always."""
    firsts = [g.histories[0].file[0] for g in group(everything)]
    assert firsts == sorted(firsts)
    assert [len(list(some)) for some in (firsts,)] == [9]
