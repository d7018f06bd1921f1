"""Train tiny runs under random kills for minutes or hours, and compare each with one that nobody touched: ``make soak``.

Each round trains one of a few recipes to its end while its process is killed (``kill -9`` at a random moment, or while a
checkpoint is half written) or asked to leave (SIGTERM), again and again; the same command goes on each time. At the end
every loss of every step and evaluation, and the file of the weights, must be bit for bit those of the uninterrupted run.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_runs import Run, events, losses, start, weights, write_recipe, write_tokens

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "gpt2, dropout, AdamW": {},
    "modern, Muon, wsd": {
        "model__family": "modern",
        "model__dropout": 0.0,
        "optimizer__name": "muon",
        "schedule__kind": "wsd",
        "checkpoint__keep": 1,
    },
    "gpt2, dropout, chunked loss, recomputed blocks": {
        "machine__cross_entropy": "chunked",
        "machine__checkpointing": "full",
        "batch__micro_batch": 2,
    },
}
STEPS = 200
SAME = {"schedule__steps": STEPS, "checkpoint__every_steps": 3, "evaluation__every_steps": 25}
PATIENCE_S = 60.0


def main() -> int:
    """Soak, print one line, write JSON; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="of the kills (default: the clock)")
    parser.add_argument("--output", type=Path, default=Path("build/soak.json"))
    arguments = parser.parse_args()
    place, began_s = Path(tempfile.mkdtemp(prefix="auscult-soak-")), time.monotonic()
    drawn, counts, wrong = random.Random(arguments.seed), Counter[str](), list[str]()
    data = write_tokens(place / "tokens")
    references = {}
    for number, (name, changes) in enumerate(RECIPES.items()):
        recipe = write_recipe(place / f"recipe{number}.toml", data, **{**SAME, **changes})
        references[name] = place / f"reference{number}"
        done = start(recipe, folder=references[name]).end()
        if done.status:
            print(f"the reference of {name} failed: {done.error}", file=sys.stderr)
            return 1
    while time.monotonic() - began_s < 60 * arguments.minutes:
        number = counts["rounds"] % len(RECIPES)
        name = list(RECIPES)[number]
        folder = place / f"round{counts['rounds']}"
        problem = interrupted(place / f"recipe{number}.toml", folder, drawn, counts)
        problem = problem or difference(references[name], folder)
        counts["rounds"] += 1
        told = [one["event"] for one in events(folder)]
        counts.update(resumes=told.count("resume"), checkpoints=told.count("checkpoint"), steps=told.count("step"))
        if problem is not None:
            wrong.append(f"round {counts['rounds']} ({name}), kept in {folder}: {problem}")
            print(wrong[-1], file=sys.stderr)
        else:
            shutil.rmtree(folder)
    result = {
        "minutes": round((time.monotonic() - began_s) / 60, 1),
        "seed": arguments.seed,
        "recipes": list(RECIPES),
        "steps_of_a_run": STEPS,
        **{key: counts[key] for key in ("rounds", *KINDS, "resumes", "checkpoints", "steps")},
        "losses_compared_of_a_run": len(losses(next(iter(references.values())))),
        "differences": wrong,
        "python": platform.python_version(),
        "torch": json.loads((next(iter(references.values())) / "run.json").read_text("utf-8"))["torch_version"],
        "machine": f"{platform.system()} {platform.machine()}",
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    kills = ", ".join(f"{counts[kind]} {kind.replace('_', ' ')}" for kind in KINDS)
    print(
        f"{result['minutes']} minutes: {counts['rounds']} runs, {kills}; {counts['resumes']} resumes,"
        f" {counts['checkpoints']:,} checkpoints, {counts['steps']:,} steps; "
        + (f"{len(wrong)} RUNS DIFFER" if wrong else "every loss and every weight bit-equal")
        + f" (seed {arguments.seed}; {arguments.output})"
    )
    if not wrong:
        shutil.rmtree(place)
    return 1 if wrong else 0


KINDS = ("kill_9", "kill_9_amid_checkpoint", "sigterm")


def interrupted(recipe: Path, folder: Path, drawn: random.Random, counts: Counter[str]) -> str | None:
    """Train a recipe to its end under interruptions; return what went wrong on the way."""
    while True:
        run = start(recipe, folder=folder)
        kind = drawn.choice(KINDS)
        reached = drawn.random() < 0.15 or waited(run, run.logged)  # now and then killed while it starts
        if reached:
            time.sleep(drawn.expovariate(1 / 0.7))
        if reached and kind == "kill_9_amid_checkpoint":
            reached = amid_checkpoint(run)
        alive = run.process.exitcode is None
        done = run.end(None if not alive else signal.SIGTERM if kind == "sigterm" else signal.SIGKILL)
        if done.status == 0:
            return None
        if done.status not in (-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
            return f"status {done.status}: {done.error.strip()[-500:]}"
        counts[kind if reached or kind != "kill_9_amid_checkpoint" else "kill_9"] += 1
        for told in folder.parent.glob(f"{folder.name}-*"):
            told.unlink()


def waited(run: Run, before: int) -> bool:
    """Wait until a run has logged a step after one; return False where it ended or took too long."""
    last = time.monotonic() + PATIENCE_S
    while run.logged <= before and run.process.exitcode is None and time.monotonic() < last:
        time.sleep(0.01)
    return run.logged > before


def amid_checkpoint(run: Run) -> bool:
    """Wait until a checkpoint is half written; return False where none came."""
    last = time.monotonic() + PATIENCE_S
    while run.process.exitcode is None and time.monotonic() < last:
        if any((run.folder / "checkpoints").glob("*.partial")):
            return True
    return False


def difference(reference: Path, folder: Path) -> str | None:
    """Return in a sentence how a run differs from the uninterrupted one."""
    try:
        expected, found = losses(reference), losses(folder)
    except AssertionError as error:  # a step that was taken twice had two losses
        return str(error)
    for key in sorted(expected.keys() | found.keys(), key=str):
        if expected.get(key) != found.get(key):
            return f"{key} is {found.get(key)} and should be {expected.get(key)}"
    if weights(folder) != weights(reference):
        return "the losses are the same, the weights are not"
    return None


if __name__ == "__main__":
    sys.exit(main())
