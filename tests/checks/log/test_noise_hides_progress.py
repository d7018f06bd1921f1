"""LOG003: the noise of one evaluation against the progress between two."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.log.noise_hides_progress import SIGMAS_TO_SEE
from auscult.examination import Examination
from made_up import Log, MadeUpRun, healthy_log


def ask(path: Path) -> Outcome:
    item = find_check("LOG003")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def falling(slope: float, noise: float) -> Log:
    """A loss of 4 − slope · ln(step), by turns ``noise`` above and below."""
    log = Log()
    for k in range(41):
        loss = (10.85 if k == 0 else 4.0 - slope * math.log(500 * k)) + (noise if k % 2 else -noise)
        log.evaluations[500 * k] = (loss, loss)
    return log


SD = 2 * 0.01 / math.sqrt(1.5)
"""Each value lies 0.02 from the line through its neighbours, whose weights are about a half: √(0.02² / (¼ + ¼ + 1))."""


def test_found(made_up: MadeUpRun) -> None:
    """±0.01 by turns is an sd of 0.016; 0.1 nats an e-fold give 0.1 · ln(20,000/19,500) = 0.0025 between two."""
    outcome = ask(made_up.write({}, falling(0.1, 0.01)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG003", "info")
    assert found.numbers["noise_sd"] == pytest.approx(SD, rel=0.01)
    assert found.numbers["progress_between_evaluations"] == pytest.approx(0.1 * math.log(20_000 / 19_500), rel=0.15)
    assert found.numbers["eval_iters"] == 200
    # line 1 is the header, evaluation k stands on line 2 + k
    assert [e.place for e in found.evidence] == ["train.log:41", "train.log:42"]
    assert "prove nothing" in str(found.meaning)


@pytest.mark.parametrize(("factor", "word"), [(0.9, "clear"), (1.1, "found")])
def test_two_evaluations_differ_by_root_two(made_up: MadeUpRun, factor: float, word: str) -> None:
    """The difference of two evaluations has √2 of one's noise: 10 % below the progress is clear, 10 % above is found."""
    progress = 2.0 * math.log(20_000 / 19_500)
    noise = factor * progress / math.sqrt(2) * math.sqrt(1.5) / 2
    assert ask(made_up.write({}, falling(2.0, noise))).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """Without noise every evaluation shows progress."""
    assert ask(made_up.write({}, falling(0.1, 0.0))).word == "clear"


def test_not_applicable_to_a_rise(made_up: MadeUpRun) -> None:
    """A loss that does not fall makes no progress to hide."""
    outcome = ask(made_up.write({}, falling(-0.1, 0.01)))
    assert outcome.word == "not_applicable"
    assert "not distinguishable from zero" in str(outcome.reason)


def test_cannot_tell_from_too_few_evaluations(made_up: MadeUpRun) -> None:
    """Two evaluations have no noise: the reason says how many there are and how many it takes."""
    outcome = ask(made_up.write({}, healthy_log(1_500)))
    assert outcome.word == "cannot_tell"
    assert "2 evaluations after the first descent; 6 are needed" in str(outcome.reason)


def test_cannot_tell_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has no curve."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    assert ask(folder).word == "cannot_tell"


def test_evaluations_to_see_it_do_see_it(made_up: MadeUpRun) -> None:
    """A regression over n evaluations knows the progress between two to σ / √(n(n²−1)/12): at the n given that is 2 sigmas."""
    found = ask(made_up.write({}, falling(0.1, 0.01))).finding
    assert found is not None
    n, sd = found.numbers["evaluations_to_see_it"], found.numbers["noise_sd"]
    progress = found.numbers["progress_between_evaluations"]
    assert progress / (sd / math.sqrt(n * (n**2 - 1) / 12)) >= 0.95 * SIGMAS_TO_SEE
