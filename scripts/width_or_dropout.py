"""The table of ``examples/width-or-dropout`` from the logs of its three runs: ``python scripts/width_or_dropout.py [RUNS]``.

Prints it for the runs in a folder (the committed ones by default). ``--keep`` also copies their logs into the example and writes
the table into its README; ``--check`` says whether that table is the one of the committed logs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "width-or-dropout"
RUNS = ("narrow", "narrow-no-dropout", "wide")
KEPT = ("recipe.toml", "run.json", "log.jsonl")
BEGIN, END = "<!-- table: made by scripts/width_or_dropout.py -->", "<!-- end of table -->"


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished run, by its log.

    Attributes
    ----------
    losses : dict
        The last evaluation under (split, mode) [nats per token].
    wall_s : float
        From its first line to its last, evaluations and checkpoints included; without the time between processes.
    """

    name: str
    parameters: int
    width: int
    dropout: float
    tokens: int
    losses: dict[tuple[str, str], float]
    wall_s: float


def ended(folder: Path) -> Ended:
    """Read a run folder.

    Raises
    ------
    ValueError
        When the log does not hold a whole run, from its first step to its last.
    """
    events: list[dict[str, Any]] = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    if events[0]["event"] != "start" or events[-1]["event"] != "end":
        raise ValueError(f"{folder}: no whole run: it goes from {events[0]['event']!r} to {events[-1]['event']!r}")
    begun = [index for index, event in enumerate(events) if event["event"] in ("start", "resume")]
    ends = [*(index - 1 for index in begun[1:]), len(events) - 1]
    recipe = events[0]["recipe"]
    last = recipe["schedule"]["steps"]
    return Ended(
        name=folder.name,
        parameters=events[0]["parameters_total"],
        width=recipe["model"]["d_model"],
        dropout=recipe["model"]["dropout"],
        tokens=last * events[0]["tokens_per_step"],
        losses={
            (event["split"], event["mode"]): event["loss_nats_per_token"]
            for event in events
            if event["event"] == "evaluation" and event["step"] == last
        },
        wall_s=sum(
            events[end]["time_unix_s"] - events[start]["time_unix_s"] for start, end in zip(begun, ends, strict=True)
        ),
    )


def table(runs: Path) -> str:
    """Return the table, and what it says of width and dropout."""
    narrow, plain, wide = (ended(runs / name) for name in RUNS)
    rows = [
        f"| `{run.name}` | {run.parameters:,} | {run.dropout:g} | {_loss(run, 'train', 'eval')} | {_loss(run, 'val', 'eval')} |"
        f" {_loss(run, 'train', 'train')} | {_loss(run, 'val', 'train')} | {run.wall_s / 60:.1f} |"
        for run in (narrow, plain, wide)
    ]
    val = [run.losses["val", "eval"] for run in (narrow, plain, wide)]
    return "\n".join(
        [
            "| run | parameters | dropout | train loss | val loss | train loss, dropout on | val loss, dropout on | minutes |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
            "",
            f"Losses in nats per byte after {narrow.tokens:,} tokens. Dropout {narrow.dropout:g} {_cost(val[0] - val[1])} and half the width"
            f" {_cost(val[1] - val[2])} of validation loss. With its dropout on, the narrow run's train loss is"
            f" {narrow.losses['train', 'train'] - narrow.losses['train', 'eval']:+.3f} and its val loss"
            f" {narrow.losses['val', 'train'] - narrow.losses['val', 'eval']:+.3f}: both, for neither split of an evaluation in eval"
            " mode has any.",
        ]
    )


def with_table(text: str, runs: Path) -> str:
    """Return the README with the table of some runs between its two marks."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the README has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table(runs)}\n\n{END}{after}"


def keep(runs: Path) -> None:
    """Copy what is committed of some runs into the example, and write its table."""
    for name in RUNS:
        ended(runs / name)  # nothing is copied of a run that is not whole
    for name in RUNS:
        target = EXAMPLE / "runs" / name
        target.mkdir(parents=True, exist_ok=True)
        for file in KEPT:
            shutil.copyfile(runs / name / file, target / file)
    readme = EXAMPLE / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8"), EXAMPLE / "runs"), encoding="utf-8")


def _loss(run: Ended, split: str, mode: str) -> str:
    found = run.losses.get((split, mode))
    return "as without" if found is None else f"{found:.4f}"


def _cost(nats: float) -> str:
    return f"costs {nats:.3f} nats" if nats > 0 else f"gains {-nats:.3f} nats"


def main() -> int:
    """Print the table, keep the runs, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=Path, default=EXAMPLE / "runs")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.keep:
        keep(arguments.runs)
    if arguments.check:
        text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
        if with_table(text, EXAMPLE / "runs") != text:
            print("the table is not that of the logs: python scripts/width_or_dropout.py --keep", file=sys.stderr)
            return 1
        return 0
    print(table(arguments.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
