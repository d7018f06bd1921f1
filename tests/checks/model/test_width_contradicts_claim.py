"""MDL001: a size in a comment or a name, against the size that the shape gives."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import MadeUpRun, healthy_log

NARROW = {"n_layer": 12, "n_head": 12}
SHORT = healthy_log(4_000)


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("MDL001")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def test_found_in_a_comment(made_up: MadeUpRun) -> None:
    """Twelve layers of 384 under "~125M parameters" are an error, with every count, its lines, and the width to set."""
    outcome = ask(made_up.write(NARROW, SHORT, "# ~125M parameters\n"))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MDL001", "error")
    embedding, position = 50_304 * 384, 1_024 * 384  # V·C, T·C
    blocks = 12 * (12 * 384**2 + 2 * 384) + 384  # L(12C² + 2C) + C
    assert (embedding, position, blocks) == (19_316_736, 393_216, 21_243_264)
    assert found.numbers["claimed"] == 125e6
    assert found.numbers["embedding"] == embedding
    assert found.numbers["position"] == position
    assert found.numbers["non_embedding"] == blocks
    assert found.numbers["without_position"] == embedding + blocks == 40_560_000
    assert found.numbers["total"] == embedding + position + blocks == 40_953_216
    assert found.numbers["embedding_share"] == pytest.approx(19_316_736 / 40_560_000)
    assert [(e.key, e.before, e.after, e.safety) for e in found.edits] == [("n_embd", 384, 768, "needs_restart")]
    assert [e.place for e in found.evidence] == ["train_narrow.py:1", "train_narrow.py:10", "train_narrow.py:12"]
    assert "or correct the claim if this size is meant" in str(found.action)


def test_worth_is_the_difference_of_four_published_laws(made_up: MadeUpRun) -> None:
    """The effect is what A/N^α alone changes, for tokens stay: least, mean and most of four laws written out here."""
    found = ask(made_up.write(NARROW, SHORT, "# ~125M parameters\n")).finding
    assert found is not None
    small = 40_560_000
    large = 50_304 * 768 + 12 * (12 * 768**2 + 2 * 768) + 768
    assert large == 123_587_328

    def change(a: float, alpha: float, unit: float = 1.0) -> float:
        return a * float((large / unit) ** -alpha - (small / unit) ** -alpha)

    changes = [
        change(482.0, 0.3478),  # Besiroglu et al. 2024
        change(2.718281828459045**6.255, 0.35266),  # Muennighoff et al. 2023
        change(0.5757, 0.386, 1e8),  # Porian et al. 2024
        change(1.432, 0.173, 1e8),  # Gadre et al. 2024
    ]
    assert found.effect.unit == "nats"
    assert found.effect.low == pytest.approx(min(changes), abs=1e-9)
    assert found.effect.high == pytest.approx(max(changes), abs=1e-9)
    assert found.effect.value == pytest.approx(sum(changes) / 4, abs=1e-9)
    assert -0.36 < min(changes) < max(changes) < -0.28


def test_found_in_a_name_is_a_warning(made_up: MadeUpRun) -> None:
    """A size that only the run's name states weighs less: a warning, at the name's line."""
    outcome = ask(made_up.write(NARROW | {"wandb_run_name": "gpt-125M-a"}, SHORT))
    found = outcome.finding
    assert found is not None
    assert found.severity == "warning"
    assert found.numbers["claimed"] == 125e6
    assert found.evidence[0].place == "train_narrow.py:1"
    assert "125M in its name" in str(found.message)


def test_found_without_a_standard_model(made_up: MadeUpRun) -> None:
    """Where no GPT-2 has the claimed size the width is changed, to a multiple of 64 that the heads divide."""
    found = ask(made_up.write({}, SHORT, "# ~60M parameters\n")).finding
    assert found is not None
    # six layers: 72·w² + 51,341·w; of the multiples of 192 (64 and 6 heads) 576 gives 53.46M and 768 gives 81.90M
    assert 72 * 576**2 + 51_341 * 576 == 53_460_288
    assert [(e.key, e.before, e.after) for e in found.edits] == [("n_embd", 384, 576)]


def test_found_without_any_width(made_up: MadeUpRun) -> None:
    """Where the present width is already the closest there is nothing to edit, and the action says so."""
    found = ask(made_up.write(NARROW, SHORT, "# 46M parameters\n")).finding
    assert found is not None
    assert found.edits == ()
    assert found.effect.unit == "clarity"
    assert "no standard GPT-2 has the claimed size" in str(found.meaning)


@pytest.mark.parametrize("claim", ["30.3M", "29.9M", "10.6M"], ids=["total", "without position", "without embeddings"])
def test_clear_by_any_convention(made_up: MadeUpRun, claim: str) -> None:
    """6 x 384 has 30,331,776 parameters, 29,938,560 without positions, 10,621,824 without embeddings: each may be meant."""
    outcome = ask(made_up.write({}, SHORT, f"# {claim} parameters\n"))
    assert outcome.word == "clear"
    assert "30,331,776" in str(outcome.reason)


@pytest.mark.parametrize(
    ("claim", "word"),
    [("31M", "clear"), ("32M", "found"), ("~33M", "clear"), ("~34M", "found")],
)
def test_tolerance(made_up: MadeUpRun, claim: str, word: str) -> None:
    """5 % of 30.33M is 1.52M (31.85M is the end), 10 % where it says "about" is 3.03M (33.36M is the end)."""
    assert ask(made_up.write({}, SHORT, f"# {claim} parameters\n")).word == word


def test_cannot_tell_without_a_claim(made_up: MadeUpRun) -> None:
    """A config that claims nothing cannot be contradicted."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "cannot_tell"
    assert "claims no parameter count" in str(outcome.reason)


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone has no shape: the answer names the config to add."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "add the train_*.py" in str(outcome.reason)


def test_a_printed_count_settles_what_is_trained(made_up: MadeUpRun) -> None:
    """A log that prints the claimed 123.59M shows that the named model is trained; the config is the wrong one (MDL006)."""
    folder = made_up.write(NARROW, SHORT, "# ~125M parameters\n")
    log = folder / "train.log"
    log.write_text(f"number of parameters: 123.59M\n{log.read_text()}")
    found = ask(folder).finding
    assert found is None or (found.edits == () and "another model is trained" not in str(found.meaning))


@pytest.mark.parametrize("name", ["fineweb-350M-tokens", "350M-tok-a", "2.5M_tokens"])
def test_tokens_in_a_name_are_no_parameters(made_up: MadeUpRun, name: str) -> None:
    """A name that says how many tokens claims no size, and no width follows from it."""
    outcome = ask(made_up.write({"wandb_run_name": name}, SHORT))
    assert outcome.word == "cannot_tell", str(outcome.reason)
