"""LOG005: lines and statements that were left out rather than guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.log.record_unreadable import SHOWN
from auscult.examination import Examination
from auscult.run import Notice, Problem, Source
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("LOG005")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found_in_a_log(made_up: MadeUpRun) -> None:
    """A loss cut to "3" in the middle of a number: information, at the first such line."""
    folder = made_up.write({}, SHORT)
    with (folder / "train.log").open("a") as log:
        log.write("iter 4100: loss 3\niter 4200: lo\niter 4300: loss 3.1234, time 2000.00ms, mfu 11.90%\n")
    outcome = ask(folder)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG005", "info")
    assert found.numbers == {"left_out": 2}
    # after the header, 41 iterations and 9 evaluations
    assert [e.place for e in found.evidence] == ["train.log:52"]
    assert "metric lines cut or garbled: 2" in str(found.message)


def test_found_in_a_config(made_up: MadeUpRun) -> None:
    """A value set by a call is a warning, for it is unknown now; an import beside it is not; nothing was executed."""
    folder = made_up.write({}, SHORT, "import os\nn_layer = os.cpu_count()\n")
    config = folder / "train_narrow.py"
    config.write_text(config.read_text().replace("n_layer = 6\n", ""))
    outcome = ask(folder)
    found = outcome.finding
    assert found is not None
    assert found.severity == "warning"
    assert found.numbers == {"left_out": 2}
    assert [e.place for e in found.evidence] == ["train_narrow.py:1", "train_narrow.py:2"]
    assert "nothing there was executed or guessed" in str(found.meaning)


def test_found_statements_that_set_nothing(made_up: MadeUpRun) -> None:
    """An import alone loses no value: information."""
    found = ask(made_up.write({}, SHORT, "import os\n")).finding
    assert found is not None
    assert found.severity == "info"


def test_found_shows_a_few_and_counts_the_rest(made_up: MadeUpRun) -> None:
    """Of seven imports four are shown and three are counted; the evidence has all."""
    found = ask(made_up.write({}, SHORT, "import os\n" * 7)).finding
    assert found is not None
    assert found.numbers == {"left_out": 7}
    assert len(found.evidence) == 7
    assert str(found.message).endswith(f"and {7 - SHOWN} more")
    found = ask(made_up.write({}, SHORT, "import os\n" * SHOWN)).finding
    assert found is not None
    assert "more" not in str(found.message)


def test_found_whatever_was_left_out(made_up: MadeUpRun) -> None:
    """A kind of problem that no check knows, and a config that is pickled, are told here."""
    run = auscult.read(made_up.write({}, SHORT))
    problem = Problem("journal_not_read", "its last rows are not read", Source("read", "a.db"))
    notice = Notice("training_args_pickled", Source("read", "training_args.bin"), 1, 0, "it is a pickle")
    item = find_check("LOG005")
    assert item is not None
    outcome = examine(item, Examination(replace(run, problems=(problem,), notices=(notice,))))
    found = outcome.finding
    assert found is not None
    assert str(found.message) == "its last rows are not read (a.db); it is a pickle (training_args.bin)"
    assert found.numbers == {"left_out": 2}
    assert [e.place for e in found.evidence] == ["a.db", "training_args.bin"]


def test_clear_where_another_check_tells_it(made_up: MadeUpRun) -> None:
    """Bytes that are unread are LOG011's, settings that disagree LOG019's, impossible values MDL005's."""
    run = auscult.read(made_up.write({}, SHORT))
    kinds = ("unread_bytes", "settings_disagree", "impossible_value")
    problems = tuple(Problem(kind, "it is told elsewhere", Source("read", "a")) for kind in kinds)
    item = find_check("LOG005")
    assert item is not None
    assert examine(item, Examination(replace(run, problems=problems))).word == "clear"


def test_clear(made_up: MadeUpRun) -> None:
    """A config of literals and arithmetic, and a whole log."""
    outcome = ask(made_up.write({}, SHORT, "steps = 4 * 8\ngradient_accumulation_steps = steps\n"))
    assert outcome.word == "clear"


def test_clear_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is read like any other."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    assert ask(folder).word == "clear"


def test_every_statement_means_every_statement(made_up: MadeUpRun) -> None:
    """`device = pick()` was not read: a verdict of "every statement was read" would be untrue."""
    outcome = ask(made_up.write({}, SHORT, "device = pick()\n"))
    assert "every statement" not in str(outcome.reason)
