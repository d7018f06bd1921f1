"""Documentation that cannot drift: pages generated, every command and option documented, every formula with its source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from auscult import __version__
from auscult.cli import _parser
from auscult.errors import AuscultError

ROOT = Path(__file__).resolve().parent.parent
FACTS = sorted((ROOT / "src" / "auscult" / "facts").rglob("*.py"))


def test_check_pages_are_up_to_date() -> None:
    """docs/checks is what the checks say today (make docs)."""
    done = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_worked_examples_are_what_the_commands_print() -> None:
    """The outputs in docs/plan.md are those of the commands above them, word for word (make docs)."""
    done = subprocess.run(
        [sys.executable, "scripts/worked_examples.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_verb_and_option_is_documented() -> None:
    """docs/cli.md names every verb and every option that the parser knows."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    verbs = next(action for action in _parser()._actions if action.dest == "==SUPPRESS==" or action.choices)
    assert isinstance(verbs.choices, dict)
    for verb, parser in verbs.choices.items():
        assert f"auscult {verb}" in page, verb
        for action in parser._actions:
            for option in action.option_strings:
                if option.startswith("--") and option != "--help":
                    assert option in page, f"{verb} {option}"


@pytest.mark.parametrize("path", FACTS, ids=lambda p: p.name)
def test_every_formula_cites_its_source_and_shows_an_example(path: Path) -> None:
    """A public function in facts/ has References and Examples in its docstring."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name != "load_anchors":
            doc = ast.get_docstring(node) or ""
            assert re.search(r"^References\n-+$", doc, re.M), f"{path.name}: {node.name} has no References"
            assert re.search(r"^Examples\n-+$", doc, re.M), f"{path.name}: {node.name} has no Examples"


def test_the_error_tree_is_drawn() -> None:
    """Every exception stands in the tree at the top of errors.py."""
    import auscult.errors

    def tree(kind: type[AuscultError]) -> list[type[AuscultError]]:
        return [kind, *(leaf for sub in kind.__subclasses__() for leaf in tree(sub))]

    for kind in tree(AuscultError):
        assert kind.__name__ in (auscult.errors.__doc__ or "")


def test_links_in_markdown_lead_somewhere() -> None:
    """Relative links in README, CONTRIBUTING and docs point to files that are there."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_changelog_names_this_version() -> None:
    """The changelog has a section for the version in the package."""
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_dependencies_are_open_in_the_package_and_pinned_in_the_lock() -> None:
    """The package takes ranges; requirements.lock pins every dependency exactly."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
    lowered = {name.lower().replace("_", "-") for name in pins}
    extras = project["optional-dependencies"]
    for requirement in project["dependencies"] + extras["parquet"] + extras["remote"] + extras["dev"]:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert name is not None
        if name[0] == project["name"]:
            continue  # its own extras, which stand beside
        assert name[0].lower().replace("_", "-") in lowered, requirement
        if name[0] != "torch":
            assert "==" not in requirement


def test_nothing_ignored_without_a_reason() -> None:
    """Every `# type: ignore`, `# noqa` and ignored rule carries its reason on the line."""
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"#\s*(type:\s*ignore|noqa)", line) and path != Path(__file__):
                assert re.search(r"#\s*(?:type:\s*ignore\S*|noqa\S*(?:\s[A-Z]+\d+)*)\s+#?\s*\w{3,}", line), (
                    f"{path}:{number}"
                )
    section = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("ignore = [", 1)[1].split("]", 1)[0]
    for line in section.strip().splitlines():
        assert "#" in line, line
