"""LOG019: a setting that two files give differently."""

from __future__ import annotations

from dataclasses import replace

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Problem, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG019")
    assert item is not None
    return examine(item, Examination(run))


def disagreeing(made_up: MadeUpRun, *messages: str) -> Run:
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    problems = tuple(Problem("settings_disagree", m, Source("read", "b.py", i)) for i, m in enumerate(messages, 1))
    return replace(run, problems=problems)


def test_found(made_up: MadeUpRun) -> None:
    """Both values and their places are shown, and why the first is used."""
    message = "learning_rate: 1e-07 at train.log:29, 1e-06 at b.py:26"
    outcome = ask(disagreeing(made_up, message))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG019", "warning")
    assert str(found.message) == message
    assert "the first value of each is used" in str(found.meaning)
    assert found.numbers == {"settings": ["learning_rate"]}
    assert [e.place for e in found.evidence] == ["b.py:1"]


def test_found_once_for_each_setting(made_up: MadeUpRun) -> None:
    """A log that echoes its config at every start contradicts it once, not each time; a few settings are shown."""
    again = [f"learning_rate: 1e-06 at a.py:1, 0.001 at train.log:{line}" for line in (3, 50, 90)]
    others = [f"setting_{i}: 1 at a.py:{i}, 2 at b.py:{i}" for i in range(5)]
    found = ask(disagreeing(made_up, *again, *others)).finding
    assert found is not None
    assert len(found.numbers["settings"]) == 6
    assert str(found.message).endswith("and 2 more")
    assert str(found.headline) == "6 settings differ between files"


def test_clear_where_only_the_name_of_the_family_differs(made_up: MadeUpRun) -> None:
    """Two programs may call one architecture by two names: that is no contradiction."""
    outcome = ask(disagreeing(made_up, "family: 'qwen2' at config.json:14, 'llama' at model.yaml:14"))
    assert outcome.word == "clear"


def test_clear(made_up: MadeUpRun) -> None:
    """A config and a log that agree."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_with_one_file(made_up: MadeUpRun) -> None:
    """One file contradicts nobody."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    assert ask(auscult.read(folder)).word == "not_applicable"
