"""The rooms of the house: imports point one way, and the core stays light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "auscult"
RANK: dict[str, float] = {
    "errors": 0,
    "prose": 0,
    "run": 0,
    "version": 0,
    "recipe": 0.5,
    "journal": 1,
    "architectures": 1,
    "readers": 1,
    "hardware": 2,
    "facts": 2,
    "data": 2.5,
    "examination": 3,
    "checks": 4,
    "differential": 5,
    "prescription": 5,
    "planner": 5,
    "diagnosis": 6,
    "oom": 6,
    "report": 7,
    "preflight": 7.5,
    "trainer": 8.5,
    "training": 8.7,
    "__init__": 8.8,
    "cli": 9,
    "__main__": 10,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path: Path) -> set[str]:
    package = ("auscult", *path.relative_to(PACKAGE).parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            parts = (*base, *(node.module or "").split(".")) if node.module else base
            names = [(*parts, alias.name) for alias in node.names] if len(parts) == 1 else [parts]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "auscult" and len(name) > 1:
                known = name[1] in RANK
                found.add(name[1] if known else "__init__")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_to_its_left(path: Path) -> None:
    """Data flows one way: files, readers, run, facts, checks, prescription, diagnosis, report; recipe, preflight, trainer."""
    here = room(path)
    assert here in RANK, f"{here} is a new room: give it a rank here and a line in docs/design.md"
    wrong = {other for other in imported_rooms(path) if other != here and RANK[other] >= RANK[here]}
    assert not wrong, f"{here} imports {wrong}"


def test_facts_are_pure() -> None:
    """No file in facts/ opens, prints or asks the clock."""
    for path in (PACKAGE / "facts").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not names & {"open", "print", "input"}, path.name
        assert not modules & {"os", "time", "random", "sys", "datetime"}, path.name


def test_nothing_executes_or_unpickles() -> None:
    """No module calls eval, exec, compile or __import__; none imports pickle or marshal, and one alone subprocess.

    hardware/detect.py asks nvidia-smi and rocm-smi when a person says ``--gpu auto``: fixed arguments, and no shell.
    torch, whose checkpoints are pickles, is imported by the trainer and the verb around it alone, and ``torch.load`` never called.
    """
    drivers = PACKAGE / "hardware" / "detect.py"
    assert "shell" not in {
        keyword.arg
        for node in ast.walk(ast.parse(drivers.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    }
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, path.name
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                forbidden = {"pickle", "marshal", "shelve", "subprocess", "dill"}
                assert not names & (forbidden - {"subprocess"} if path == drivers else forbidden), path.name
                roots = {str(name).partition(".")[0] for name in names}
                assert "torch" not in roots or room(path) in ("trainer", "training"), f"{path.name} imports torch"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) != ("torch", "load"), path.name


def test_the_diagnosis_imports_nothing_heavy(example: Path) -> None:
    """Diagnosing the example loads no torch, numpy, pandas or matplotlib."""
    code = (
        "import sys, json, auscult; auscult.diagnose(auscult.read(sys.argv[1]));"
        "from auscult.report import terminal, json as j, markdown;"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(example)], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & {"torch", "numpy", "pandas", "matplotlib", "scipy", "transformers"}


def test_the_public_surface_is_what_it_says() -> None:
    """Every exported name exists, is documented, and the list is sorted."""
    import auscult

    assert sorted(
        auscult.__all__, key=lambda n: (n.islower() or n.startswith("_"), n)
    ) == auscult.__all__ or auscult.__all__ == sorted(auscult.__all__)
    for name in auscult.__all__:
        assert getattr(auscult, name) is not None
        if name != "__version__":
            assert getattr(auscult, name).__doc__, name
