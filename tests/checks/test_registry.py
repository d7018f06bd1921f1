"""The register of checks: codes, names, documentation, requirements, and that each check has its one file and one test."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import auscult
from auscult.checks import all_checks
from auscult.checks.base import SECTIONS, Check, examine
from auscult.examination import Examination
from auscult.run import Architecture, Data, Machine, Recipe
from made_up import MadeUpRun

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ROOT / "src" / "auscult" / "checks"
EVERY = all_checks()
each_check = pytest.mark.parametrize("item", EVERY, ids=lambda item: f"{item.code}-{item.name}")


def test_there_are_checks() -> None:
    """The register is not empty, so that the tests below prove something."""
    assert len(EVERY) >= 30


@each_check
def test_code_and_name(item: Check) -> None:
    """A code is three capitals and three digits; a name is snake_case; title and family are there."""
    assert re.fullmatch(r"[A-Z]{3}\d{3}", item.code)
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", item.name)
    assert item.title.strip()
    assert item.family in {folder.name for folder in CHECKS.iterdir() if folder.is_dir()}
    assert item.severity in ("error", "warning", "info")


def test_codes_and_names_are_unique() -> None:
    """No two checks share a code, a name or a title."""
    for values in ([c.code for c in EVERY], [c.name for c in EVERY], [c.title for c in EVERY]):
        assert [value for value, count in Counter(values).items() if count > 1] == []


def test_a_family_has_one_prefix() -> None:
    """All checks of a family share the letters of their code, and no other family has them."""
    prefixes: dict[str, set[str]] = defaultdict(set)
    for item in EVERY:
        prefixes[item.family].add(item.code[:3])
    assert {family: found for family, found in prefixes.items() if len(found) != 1} == {}
    assert len({next(iter(found)) for found in prefixes.values()}) == len(prefixes)


@each_check
def test_documentation_has_the_five_sections(item: Check) -> None:
    """The docstring is the check's page: five underlined sections, in order, none of them empty."""
    headings = re.findall(r"^(.+)\n-{3,}$", item.documentation, re.M)
    assert tuple(headings) == SECTIONS
    bodies = re.split(r"^.+\n-{3,}$", item.documentation, flags=re.M)
    assert bodies[0].strip() == "", "nothing stands before the first section"
    assert all(body.strip() for body in bodies[1:])


@each_check
def test_requirements_resolve(item: Check) -> None:
    """Every name that a check requires is a fact of the examination, the recipe, the architecture, the data or the machine."""
    owners = (Examination, Recipe, Architecture, Data, Machine)
    assert [name for name in item.requires if not any(hasattr(owner, name) for owner in owners)] == []


@pytest.mark.parametrize("present", ["config and log", "config", "log"])
def test_every_check_answers(made_up: MadeUpRun, present: str) -> None:
    """Every check gives a verdict with a reason, also where only a config or only a log is there."""
    folder = made_up.write()
    if present == "config":
        (folder / "train.log").unlink()
    elif present == "log":
        (folder / "train_narrow.py").unlink()
    exam = Examination(auscult.read(folder))
    for item in EVERY:
        outcome = examine(item, exam)
        assert outcome.word in ("found", "clear", "cannot_tell", "not_applicable")
        assert str(outcome.reason).strip(), item.code


def test_one_check_a_file() -> None:
    """Every file of a family holds exactly one check and is named after it."""
    files = {path.relative_to(CHECKS).as_posix() for path in CHECKS.glob("*/*.py") if path.name != "__init__.py"}
    assert Counter(f"{item.family}/{item.name}.py" for item in EVERY) == Counter(files)
    for path in sorted(files):
        assert len(re.findall(r"^@check\(", (CHECKS / path).read_text(encoding="utf-8"), re.M)) == 1, path


@each_check
def test_every_check_has_its_test(item: Check) -> None:
    """A check without tests/checks/<family>/test_<name>.py fails here, as does one whose test proves but one verdict."""
    path = ROOT / "tests" / "checks" / item.family / f"test_{item.name}.py"
    assert path.is_file(), f"{item.code} has no test: write {path.relative_to(ROOT)}"
    text = path.read_text(encoding="utf-8")
    assert item.code in text
    assert '"found"' in text
    assert '"clear"' in text or '"not_applicable"' in text
