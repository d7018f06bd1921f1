"""LOG001: steps that go backwards in one file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Seam, Source
from made_up import Log, MadeUpRun, healthy_log


def ask(path: Path) -> Outcome:
    return judge(auscult.read(path))


def judge(run: Run) -> Outcome:
    item = find_check("LOG001")
    assert item is not None
    return examine(item, Examination(run))


def later(first: int, last: int) -> Log:
    log = healthy_log(last, seed=2)
    return Log(
        {step: row for step, row in log.evaluations.items() if step >= first},
        {step: row for step, row in log.iterations.items() if step >= first},
    )


def append(folder: Path, log: Log) -> None:
    with (folder / "train.log").open("a") as stream:
        stream.write(log.text().partition("\n")[2])


def test_found(made_up: MadeUpRun) -> None:
    """A run to 4,000 that goes on from 3,000: one seam, at the first record of the second part."""
    folder = made_up.write({}, healthy_log(4_000))
    append(folder, later(3_000, 6_000))
    outcome = ask(folder)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG001", "info")
    assert found.numbers == {"seams": 1, "steps_repeated": 1_000}
    assert "taken up again" in str(found.meaning)
    assert "from 4,000 to 3,000" in str(found.message)
    # the header, 41 iterations and 9 evaluations, then the evaluation of step 3,000
    assert [e.place for e in found.evidence] == ["train.log:52"]
    assert "split the file" in str(found.action)


def test_found_at_every_seam(made_up: MadeUpRun) -> None:
    """Two restarts are two seams, each with its line: 52, and after 31 iterations and 7 evaluations more, 90."""
    folder = made_up.write({}, healthy_log(4_000))
    append(folder, later(3_000, 6_000))
    append(folder, later(5_000, 8_000))
    found = ask(folder).finding
    assert found is not None
    assert found.numbers == {"seams": 2, "steps_repeated": 2_000}
    assert [e.place for e in found.evidence] == ["train.log:52", "train.log:90"]


def test_found_where_an_evaluation_is_repeated(made_up: MadeUpRun) -> None:
    """A resume that evaluates its own step again repeats it: the same step twice is a seam too."""
    folder = made_up.write({}, healthy_log(4_000))
    append(folder, Log(later(4_000, 6_000).evaluations))
    found = ask(folder).finding
    assert found is not None
    assert found.numbers == {"seams": 1}


def test_clear(made_up: MadeUpRun) -> None:
    """Steps of a healthy log only go forward, also across a seam that leaves a gap."""
    folder = made_up.write({}, healthy_log(4_000))
    assert ask(folder).word == "clear"
    append(folder, later(4_500, 6_000))
    assert ask(folder).word == "clear"


def test_clear_where_an_iteration_is_printed_twice(made_up: MadeUpRun) -> None:
    """The same `iter` line twice (two ranks, a progress bar) is no restart: only a repeated evaluation is."""
    folder = made_up.write({}, healthy_log(4_000))
    append(folder, Log(iterations=later(4_000, 4_000).iterations))
    assert ask(folder).word == "clear"


def test_found_without_seams(made_up: MadeUpRun) -> None:
    """Where a reader tells no seams and a series goes back all the same, that is a warning."""
    run = auscult.read(made_up.write({}, healthy_log(4_000)))
    series = run.get("train_loss")
    assert series is not None
    twice = series.take([*range(len(series)), *range(10, len(series))])
    found = judge(replace(run, series=(twice,))).finding
    assert found is not None
    assert found.severity == "warning"
    assert found.numbers == {"seams": 1}
    assert "from 4,000 to 1,000" in str(found.message)


def test_clear_where_several_processes_take_turns(made_up: MadeUpRun) -> None:
    """Steps of two processes in one file are LOG006's, not a restart at every line."""
    run = auscult.read(made_up.write({}, healthy_log(4_000)))
    series = run.get("train_loss")
    assert series is not None
    turns = series.take([i for pair in zip(range(1, 41), range(40), strict=True) for i in pair])
    notice = Notice("ranks_interleaved", Source("read", "train.log", 5), 40, 90, "no rank is named")
    outcome = judge(replace(run, series=(turns,), notices=(notice,)))
    assert outcome.word == "clear"
    assert "LOG006" in str(outcome.reason)


def test_clear_where_the_run_goes_on_in_another_file(made_up: MadeUpRun) -> None:
    """A seam that goes forward repeats nothing."""
    run = auscult.read(made_up.write({}, healthy_log(4_000)))
    assert judge(replace(run, seams=(Seam(2_000, 2_100, Source("read", "two.log", 1)),))).word == "clear"


def test_clear_where_the_last_evaluation_is_the_trainers_final_one(made_up: MadeUpRun) -> None:
    """A final evaluation at the last step, or written at step 0 by LitGPT, is no restart."""
    run = auscult.read(made_up.write({}, healthy_log(4_000)))
    series = run.get("val_loss")
    assert series is not None
    final = series.take([*range(len(series)), len(series) - 1])
    assert judge(replace(run, series=(final,))).word == "clear"
    at_zero = series.take([*range(1, len(series)), 0])
    notice = Notice("final_validation_at_step_0", Source("read", "metrics.csv", 9))
    assert judge(replace(run, series=(at_zero,), notices=(notice,))).word == "clear"
    assert judge(replace(run, series=(at_zero,))).word == "found"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has no steps."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(folder)
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)


def test_many_seams_do_not_take_long(made_up: MadeUpRun) -> None:
    """Two runs interleaved in one file go back at every other line; 2,500 seams a series are counted in well under a second."""
    folder = made_up.write({}, healthy_log(500))
    with (folder / "train.log").open("a") as stream:
        for step in range(450, 2_950):
            for here in (step + 100, step):
                stream.write(f"iter {here}: loss 3.0000, time 9.00ms, mfu 3.00%\n")
    exam = Examination(auscult.read(folder))
    item = find_check("LOG001")
    assert item is not None
    start = time.process_time()
    found = examine(item, exam).finding
    assert time.process_time() - start < 0.5
    assert found is not None
    assert found.numbers["seams"] >= 2_500
