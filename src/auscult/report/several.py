"""Several runs on one screen: a line each, how they belong together, and where to look closer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..diagnosis import Diagnosis
from ..prose import si
from ..readers import Found
from ..readers.registry import title_of
from ..run import Series, value_of
from .printable import printable, quoted

__all__ = ["Line", "lines_of", "render_several", "several_as_markdown"]

MAX_LINES = 60
_SAID_BY_THE_LIST = "several_runs_in_file"
_SHORT = {"val_loss": "val", "train_loss_eval": "train, eval mode", "val_bpb": "val", "train_loss": "train"}
_LOSSES = ("val_loss", "train_loss_eval", "val_bpb", "train_loss")


@dataclass(frozen=True, slots=True)
class Line:
    """One run in the overview."""

    name: str
    status: str
    steps: str
    loss: str
    cause: str
    finding: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The columns in their order."""
        return (self.name, self.status.replace("_", " "), self.steps, self.loss, self.cause, self.finding)


COLUMNS = ("run", "status", "last step", "loss", "first cause", "first finding")


def lines_of(diagnoses: Sequence[Diagnosis]) -> tuple[Line, ...]:
    """Return a line for each run, in their order."""
    shared = _shared_file(diagnoses)
    return printable(tuple(_line(d, shared) for d in diagnoses))


def _shared_file(diagnoses: Sequence[Diagnosis]) -> str:
    """Return what the names of all runs begin with, when they are of one file."""
    files = {d.run.name.partition("#")[0] + "#" for d in diagnoses if "#" in d.run.name}
    return files.pop() if len(files) == 1 and all("#" in d.run.name for d in diagnoses) else ""


def _line(d: Diagnosis, shared: str) -> Line:
    series = next((s for name in _LOSSES if (s := d.run.get(name)) is not None and len(s)), None)
    first = next((finding for finding in d.findings if finding.name != _SAID_BY_THE_LIST), None)
    return Line(
        d.run.name[max(len(shared) - 1, 0) :],
        d.status,
        _last(d),
        _loss(series),
        d.verdict.cause.replace("_", " "),
        f"{first.code} {first.headline}" if first is not None else "nothing found",
    )


def _last(d: Diagnosis) -> str:
    last = value_of(d.examination.last_step)
    if last is None:
        return "–"
    axes = {series.axis for series in d.run.series}
    axis = next(iter(axes)) if len(axes) == 1 else "step"
    return f"{last:,}" if axis == "step" else f"{si(last)} {axis}{'' if axis.endswith('s') or last == 1 else 's'}"


def _loss(series: Series | None) -> str:
    if series is None:
        return "–"
    unit = " bpb" if series.unit == "bits_per_byte" else ""
    return f"{_SHORT[series.name]} {series.values[0]:.3g} → {series.values[-1]:.4g}{unit}"


def _header(diagnoses: Sequence[Diagnosis]) -> str:
    dialects = dict.fromkeys(title_of(d.run.dialect) for d in diagnoses)
    points = sum(max((s.count for s in d.run.series), default=0) for d in diagnoses)
    shared = _shared_file(diagnoses).removesuffix("#")
    return printable(
        f"{len(diagnoses)} runs{' in ' + shared if shared else ''} · {', '.join(dialects)} · {si(points)} records"
    )


def _relations(found: Found) -> list[str]:
    words = {
        "resumed": "one run in several files: ",
        "copies": "one history in several files, read once: ",
        "same_file": "several runs in one file: ",
    }
    out = []
    for relation in found.relations:
        members = relation.files if relation.kind != "same_file" else (*relation.files, f"{len(relation.runs)} runs")
        out.append(f"{words[relation.kind]}{', '.join(members[:6])}{' …' if len(members) > 6 else ''}")
    return [printable(text) for text in out]


def _next(diagnoses: Sequence[Diagnosis], invocation: str) -> str:
    return printable(f"auscult diagnose {invocation} {quoted(['--run', diagnoses[0].run.name])}")


def render_several(diagnoses: Sequence[Diagnosis], found: Found, console: Console, invocation: str) -> None:
    """Print the overview of several runs."""
    console.print(Text(_header(diagnoses), style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False, expand=True)
    for name in COLUMNS:
        cut = name == "first finding"  # it is told in full by --run
        table.add_column(
            name,
            justify="right" if name == "last step" else "left",
            overflow="ellipsis" if cut else "fold",
            no_wrap=name != "run",
            ratio=2 if name == "run" else 3 if cut else None,
        )
    for line in lines_of(diagnoses)[:MAX_LINES]:
        table.add_row(*(Text(cell) for cell in line.cells))
    console.print(table)
    if len(diagnoses) > MAX_LINES:
        console.print(f"… and {len(diagnoses) - MAX_LINES} more (--format json has them all)")
    for text in _relations(found):
        console.print(Text(text, style="dim"), soft_wrap=True)
    for error in found.unread[:6]:
        console.print(Text(f"not read: {error}", style="yellow"), soft_wrap=True)
    console.print(Text(f"Next: {_next(diagnoses, invocation)}"), soft_wrap=True)


def several_as_markdown(diagnoses: Sequence[Diagnosis], found: Found, invocation: str) -> str:
    """Return the overview of several runs as Markdown."""
    from .markdown import escape

    rows = [f"| {' | '.join(escape(cell) for cell in line.cells)} |" for line in lines_of(diagnoses)]
    lines = [
        f"## auscult: {escape(_header(diagnoses))}",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|--:|---|---|---|",
        *rows,
        "",
        *(f"- {escape(text)}" for text in _relations(found)),
        *(f"- not read: {escape(str(error))}" for error in found.unread),
        "",
        f"Next: `{_next(diagnoses, invocation)}`",
        "",
    ]
    return "\n".join(lines)
