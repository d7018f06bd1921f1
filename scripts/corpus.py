"""Read every case of the corpus and compare what is found with its ``facts.json``: one line a case.

A fact is *met*, honestly *unknown*, or *contradicted*; only the last is a failure. ``--sniff`` shows instead which
dialects claim each file; ``--verbose`` names what is unknown. The corpus is ``$AUSCULT_CORPUS``, or ``../shared/corpus``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from auscult import diagnose
from auscult.errors import AuscultError
from auscult.readers import Found, read_all
from auscult.readers.files import open_path
from auscult.readers.registry import all_dialects
from auscult.report.json import as_dict
from auscult.run import Run, Series

ROOT = Path(__file__).resolve().parent.parent
RELATIVE = 2e-3
"""Facts are often rounded: 0.2278 s for 0.22779."""
LOOSE = {"run.throughput.step_time_s": 0.06, "run.throughput.mfu_logged": 0.06, "run.throughput.flops_per_token": 0.02}
"""Figures that depend on which steps are left out of a median."""
RENAMED = {"train_loss_by_epoch": "train_loss"}
COUNTS = {
    "oom": "out_of_memory",
    "tracebacks": "traceback",
}
MET, UNKNOWN, CONTRADICTED = "met", "unknown", "contradicted"
Verdict = tuple[str, str, str]


def corpus() -> Path | None:
    """Return the corpus folder, or None where there is none."""
    for place in (os.environ.get("AUSCULT_CORPUS"), ROOT.parent / "shared" / "corpus"):
        if place and Path(place).is_dir():
            return Path(place)
    return None


def close(found: Any, wanted: Any, relative: float = RELATIVE) -> bool:
    """Return whether two values are the same up to rounding."""
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted or found == wanted
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        if math.isnan(wanted) or math.isnan(found):
            return math.isnan(wanted) and math.isnan(found)
        return math.isclose(found, wanted, rel_tol=relative, abs_tol=1e-12)
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        return len(wanted) == len(found) and all(close(a, b, relative) for a, b in zip(found, wanted, strict=True))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and close(found[key], value, relative) for key, value in wanted.items())
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted.lower() in found.lower() or found.lower() in wanted.lower()
    return bool(found == wanted)


def at(tree: Any, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    for name in path.split("."):
        if not isinstance(tree, dict) or name not in tree:
            return None
        tree = tree[name]
    return tree


def series_of(run: Run, name: str) -> Series | None:
    """Return a series under the corpus's name for it."""
    for wanted in (name, RENAMED.get(name, name)):
        found = run.get(wanted)
        if found is not None and len(found):
            return found
    return None


def candidates(key: str, run: Run, tree: dict[str, Any]) -> Any:
    """Return what was found for a fact in one run, or None."""
    if key.startswith("run."):
        return at(tree, key)
    if key.startswith("recipe."):
        name = key.partition(".")[2]
        if name == "learning_rate_first_max_last":
            lr = series_of(run, "learning_rate")
            return None if lr is None else [lr.values[0], max(lr.values), lr.values[-1]]
        return at(tree, f"run.recipe.{name}")
    if key.startswith(("initial.", "final.")):
        series = series_of(run, key.partition(".")[2])
        if series is None:
            return None
        index = 0 if key.startswith("initial.") else -1
        return {"step": series.steps[index], "value": series.values[index]}
    if key in COUNTS:
        return next((n.count for n in run.notices if n.kind == COUNTS[key]), None)
    if key == "tokens_seen_last":
        seen = series_of(run, "tokens_seen")
        return None if seen is None else seen.values[-1]
    if key == "skipped_total":
        return next((q.value for name, q in run.noted.items() if name.endswith(".skipped_iterations")), None)
    if key in run.noted:
        return run.noted[key].value
    return None


def judge_fact(key: str, wanted: Any, runs: Sequence[tuple[Run, dict[str, Any]]]) -> Verdict | None:
    """Return the verdict on one fact over all runs of a case; None where the fact states nothing."""
    if wanted is None or (isinstance(wanted, dict) and wanted.get("value") is None):
        return None
    if key == "n_runs":
        return (MET if len(runs) == wanted else CONTRADICTED, key, f"{wanted} against {len(runs)}")
    if isinstance(wanted, dict) and wanted.get("step") is None:
        wanted = {"value": wanted["value"]} if "value" in wanted else wanted
    found = [value for run, tree in runs if (value := candidates(key, run, tree)) is not None]
    if key in COUNTS:
        total = sum(found)
        return (MET if total == wanted else (UNKNOWN if not found else CONTRADICTED), key, f"{wanted} against {total}")
    if not found:
        return UNKNOWN, key, f"{wanted}"
    ok = any(close(value, wanted, LOOSE.get(key, RELATIVE)) for value in found)
    return MET if ok else CONTRADICTED, key, f"{wanted} against {found[0] if len(found) == 1 else found[:4]}"


def judge_series(name: str, wanted: dict[str, Any], runs: Sequence[tuple[Run, dict[str, Any]]]) -> Iterator[Verdict]:
    """Yield the verdicts on one series: of a single run, or of all runs one after another."""
    pieces = [series for run, _tree in runs if (series := series_of(run, name)) is not None]
    pieces += [s for run, _t in runs for s in run.series if name == f"{run.name.rpartition('#')[2]}/{s.name}"]
    if not pieces and "/" in name:  # a chart export: "<run>/<metric>"
        pieces = [s for run, _t in runs for s in run.series if run.name.endswith(name.partition("/")[0])]
    if not pieces:
        yield UNKNOWN, f"series {name}", f"{wanted['points']} points"
        return
    options = [[p] for p in pieces] + ([pieces] if len(pieces) > 1 else [])
    for key in ("points", "first", "last", "min"):
        value = wanted.get(key)
        if value is None:
            continue
        found = [summary(option)[key] for option in options]
        ok = any(close(f, value) for f in found)
        if key == "points":
            distinct = {wanted.get("distinct_steps"), value}
            ok = ok or any(f in distinct for f in found) or any(summary(o)["distinct"] in distinct for o in options)
        yield (
            MET if ok else CONTRADICTED,
            f"series {name}.{key}",
            f"{value} against {found[0] if len(found) == 1 else found[:3]}",
        )


def summary(pieces: Sequence[Series]) -> dict[str, Any]:
    """Return what the facts say of a series, for pieces put one after another."""
    points = [p for s in pieces for p in zip(s.steps, s.values, strict=True)]
    finite = [p for p in points if math.isfinite(p[1])] or points
    low = min(finite, key=lambda p: p[1])
    return {
        "points": sum(s.count for s in pieces),
        "distinct": len({p[0] for p in points}),
        "first": list(points[0]),
        "last": list(points[-1]),
        "min": list(low),
    }


def judge(folder: Path) -> tuple[str, list[Verdict], Found | None]:
    """Return the dialects and the verdicts of one case."""
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    try:
        found = read_all(folder)
    except AuscultError as error:
        return f"not read: {error}", [(UNKNOWN, "everything", str(error))], None
    runs = [(run, as_dict(diagnose(run))) for run in found.runs]
    verdicts = [v for key, wanted in facts["facts"].items() if (v := judge_fact(key, wanted, runs)) is not None]
    for name, wanted in facts.get("series", {}).items():
        verdicts += judge_series(name, wanted, runs)
    return ", ".join(dict.fromkeys(run.dialect for run in found.runs)), verdicts, found


def sniff(folder: Path) -> None:
    """Print which dialects claim each file of a case."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "facts.json"):
        file = open_path(path, path.relative_to(folder).as_posix())
        scores = sorted(((d.sniff(file), d.name) for d in all_dialects()), reverse=True)
        shown = ", ".join(f"{name} {score:.2f}" for score, name in scores[:4] if score > 0)
        print(f"{folder.name:44s} {file.name:60s} {shown or '-'}")


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cases", nargs="*", help="cases, or the beginnings of their names (default: all)")
    parser.add_argument("--verbose", action="store_true", help="name every fact that is unknown")
    parser.add_argument("--sniff", action="store_true", help="show which dialects claim each file")
    arguments = parser.parse_args()
    root = corpus()
    if root is None:
        print("no corpus here: set AUSCULT_CORPUS, or put it at ../shared/corpus")
        return 0
    folders = [f for f in sorted(root.iterdir()) if (f / "facts.json").is_file()]
    if arguments.cases:
        folders = [f for f in folders if f.name.startswith(tuple(arguments.cases))]
    totals = dict.fromkeys((MET, UNKNOWN, CONTRADICTED), 0)
    for folder in folders:
        if arguments.sniff:
            sniff(folder)
            continue
        start = time.perf_counter()
        dialects, verdicts, found = judge(folder)
        counts = {word: sum(v[0] == word for v in verdicts) for word in totals}
        for word, count in counts.items():
            totals[word] += count
        many = len(found.runs) if found else 0
        mark = "FAIL" if counts[CONTRADICTED] else "ok  "
        print(
            f"{mark} {folder.name:44s} {counts[MET]:3d} met {counts[UNKNOWN]:3d} unknown {counts[CONTRADICTED]:3d} contradicted"
            f"  {many:3d} run{'s' if many != 1 else ' '} {time.perf_counter() - start:5.1f} s  {dialects}"
        )
        for word, key, detail in verdicts:
            if word == CONTRADICTED or (arguments.verbose and word == UNKNOWN):
                print(f"       {word}: {key}: {detail}")
    if not arguments.sniff:
        print(
            f"{len(folders)} cases: {totals[MET]} facts met, {totals[UNKNOWN]} unknown, {totals[CONTRADICTED]} contradicted"
        )
    return 1 if totals[CONTRADICTED] else 0


if __name__ == "__main__":
    sys.exit(main())
