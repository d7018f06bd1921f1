"""A group of readings to a Run: every setting from whoever knows it best, every series once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..run import (
    Architecture,
    Data,
    Known,
    Logged,
    Machine,
    Notice,
    Problem,
    Quantity,
    Recipe,
    Run,
    Series,
    Source,
    Unknown,
)
from .given import Given
from .grouping import Group
from .joining import join
from .reading import FILE, Reading
from .registry import find_dialect, is_tracker, vocabulary

__all__ = ["Assembled", "assemble", "put_together"]

_NO_LOG = Unknown("there is no log")
_SAME_FLOAT = 1e-6
_ORDER = ("train_loss", "train_loss_eval", "val_loss", "val_bpb", "step_time_s", "mfu", "learning_rate", "grad_norm")
_MAX_CONFLICTS = 20
_PROGRESS = frozenset({"logged.epochs", "logged.tokens_seen"})
"""What grows while a run goes on: files of different ages do not contradict each other."""
_WHOLE = frozenset({"architecture.details"})
"""Configs as a whole, whose values are compared one by one under their own keys."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A run, the files that hold its history over again, and those that hold its parts, one after another."""

    run: Run
    copies: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def assemble(name: str, group: Group, given: Given, sources: Sequence[str]) -> Run:
    """Return the run that a group of readings speaks of.

    Parameters
    ----------
    name : str
        What to call it.
    group : Group
        Its readings.
    given : Given
        What a person says; it wins over files for what files can only guess.
    sources : sequence of str
        All files that were read for it.
    """
    return put_together(name, group, given, sources).run


def put_together(name: str, group: Group, given: Given, sources: Sequence[str]) -> Assembled:
    """Return the run of :func:`assemble` with how its files belong together."""
    histories = _without_lesser_consoles(group.histories)
    readings = [part for r in (*histories, *group.companions) for part in (r, *r.parts)]
    main = _main(group)
    furthest = [part for r in sorted(histories, key=_reach, reverse=True) for part in (r, *r.parts)]
    furthest += readings[len(furthest) :]
    settings, conflicts = _settings(furthest)
    missing = _missing(group, main)
    others = {id(r) for r in group.ranks}
    joined = join([r for r in histories if id(r) not in others], [r for r in histories if id(r) in others])

    def fields_of(prefix: str, kind: type) -> dict[str, Any]:
        return {
            f.name: settings.get(f"{prefix}.{f.name}", missing)
            for f in dataclasses.fields(kind)
            if f.name != "architecture"
        }

    logged = {k: v for k, v in fields_of("logged", Logged).items() if f"logged.{k}" in settings}
    if not group.histories:
        logged = {**{f.name: _NO_LOG for f in dataclasses.fields(Logged)}, **logged}
    logged["mfu_range"] = given.mfu_logged
    configs = sorted((r for r in readings if r.config is not None), key=lambda r: -r.authority)
    from_file = [r for r in configs if r.config is not None and r.config.path is not None]
    notices = [n for r in readings for n in r.notices] + _notices(joined.copies, group, main)
    if histories and not joined.series:
        notices.append(Notice("no_metrics", Source("read", main.file), 1, 0, "the run's files hold no metric at all"))
    run = Run(
        name=name,
        dialect=main.dialect,
        sources=tuple(sources),
        recipe=Recipe(Architecture(**fields_of("architecture", Architecture)), **fields_of("recipe", Recipe)),
        machine=Machine(
            _given_first(given.gpu, settings, "machine.gpu_name"),
            _given_first(given.gpus, settings, "machine.gpu_count"),
        ),
        data=Data(
            _given_first(given.train_tokens, settings, "data.train_tokens"),
            _given_first(given.val_tokens, settings, "data.val_tokens"),
        ),
        logged=Logged(**logged),
        series=tuple(sorted(joined.series, key=_place)),
        comments=_unique(c for r in readings for c in r.comments),
        notices=_merged(notices),
        problems=(*(p for r in readings for p in r.problems), *conflicts),
        config=(from_file or configs)[0].config if configs else None,
        seams=joined.seams,
        noted={k: v for r in reversed(furthest) for k, v in r.noted.items()},
    )
    return Assembled(run, joined.copies, joined.parts)


def _notices(copies: Sequence[str], group: Group, main: Reading) -> list[Notice]:
    found = []
    if copies:
        source = Source("read", copies[1])
        found.append(Notice("several_copies", source, len(copies), 0, ", ".join(copies)))
    if group.ranks:
        files = [r.file for r in group.ranks]
        detail = f"{len(files) + 1} processes wrote a file each; kept: {main.file}, nothing is averaged"
        found.append(Notice("ranks_interleaved", Source("read", files[0]), len(files) + 1, 0, detail))
    return found


def _reach(reading: Reading) -> int:
    """Return the last step of a file: of files with one history that of the latest says how far the run came."""
    return max((max(s.steps) for s in reading.series if len(s) and s.axis == "step"), default=-1)


def _given_first(mine: Quantity[Any], settings: dict[str, Quantity[Any]], key: str) -> Quantity[Any]:
    return mine if isinstance(mine, Known) else settings.get(key, mine)


def _place(series: Series) -> int:
    return _ORDER.index(series.name) if series.name in _ORDER else len(_ORDER)


def _unique(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))


def _main(group: Group) -> Reading:
    """Return the reading after which the run's dialect is named: the one with most points, logs of trainers first."""
    if group.histories:
        others = {id(r) for r in group.ranks}
        return max(
            (r for r in group.histories if id(r) not in others),
            key=lambda r: (not is_tracker(r.dialect), sum(s.count for s in r.series), r.role == "log"),
        )
    return max(group.companions, key=lambda r: (r.role == "config", r.authority, len(r.settings) + len(r.raw)))


def _missing(group: Group, main: Reading) -> Unknown:
    if group.ambiguous:
        names = ", ".join(sorted(group.ambiguous)[:6])
        return Unknown(
            f"{len(group.ambiguous)} configs may be this run's ({names}): name the right one together with the log"
        )
    return Unknown(find_dialect(main.dialect).missing)


# ---- settings


def _settings(readings: Sequence[Reading]) -> tuple[dict[str, Quantity[Any]], list[Problem]]:
    """Return each setting from the reading with the most authority, and where readings contradict one another."""
    conflicts: list[Problem] = []
    by_vocabulary: dict[str, list[Reading]] = {}
    for reading in readings:
        if reading.raw:
            by_vocabulary.setdefault(reading.vocabulary, []).append(reading)
    canonical: list[tuple[int, dict[str, Quantity[Any]]]] = [(r.authority, dict(r.settings)) for r in readings]
    for name, speakers in by_vocabulary.items():
        interpreter = vocabulary(name)
        assert interpreter is not None, name
        assert interpreter.interpret is not None
        raw = _merge([(r.authority, dict(r.raw)) for r in speakers], conflicts, hide=True)
        trust = {
            q.source: r.authority
            for r in sorted(speakers, key=lambda r: r.authority)
            for q in r.raw.values()
            if isinstance(q, Known)
        }
        canonical += _by_authority(interpreter.interpret(raw), trust, max(r.authority for r in speakers))
    return _merge(canonical, conflicts, hide=False), conflicts


def _by_authority(
    settings: Mapping[str, Quantity[Any]], trust: Mapping[Source, int], most: int
) -> list[tuple[int, dict[str, Quantity[Any]]]]:
    """Return interpreted settings by the authority of what they were read from: a file's value stays a file's.

    What follows from several values is trusted as the least of them.
    """
    layers: dict[int, dict[str, Quantity[Any]]] = {}
    for key, quantity in settings.items():
        known = _trusted(quantity.source, trust) if isinstance(quantity, Known) else []
        layers.setdefault(min(known, default=most), {})[key] = quantity
    return list(layers.items())


def _trusted(source: Source, trust: Mapping[Source, int]) -> list[int]:
    if source in trust:
        return [trust[source]]
    return [authority for each in source.inputs for authority in _trusted(each, trust)]


def _merge(
    layers: Iterable[tuple[int, dict[str, Quantity[Any]]]], conflicts: list[Problem], *, hide: bool
) -> dict[str, Quantity[Any]]:
    """Return each key's value from the layer with the most authority: values that were read before defaults.

    With ``hide``, an Unknown says that a file sets the key in a way that cannot be read; what has less authority
    then counts for nothing. Where a config file says the same as the winner, it is the source: it can be corrected.
    """
    said: dict[str, list[Quantity[Any]]] = {}
    files: set[int] = set()
    for authority, values in sorted(layers, key=lambda layer: -layer[0]):
        files |= {id(quantity) for quantity in values.values()} if authority == FILE else set()
        for key, quantity in values.items():
            said.setdefault(key, []).append(quantity)
    merged: dict[str, Quantity[Any]] = {}
    for key, quantities in said.items():
        if hide:
            lost = next((i for i, q in enumerate(quantities) if isinstance(q, Unknown)), len(quantities))
            quantities = quantities[: lost + 1]
        known = [q for q in quantities if isinstance(q, Known)]
        read = [q for q in known if q.source.how != "default"]
        merged[key] = next((q for q in quantities if isinstance(q, Unknown)), quantities[0])
        if read:
            same = (q for q in read if id(q) in files and _equal(q.value, read[0].value))
            merged[key] = next(same, read[0])
        for other in read[1:]:
            _note_conflict(key, read[0], other, conflicts)
    return merged


def _note_conflict(key: str, winner: Known[Any], loser: Known[Any], conflicts: list[Problem]) -> None:
    if (
        key.startswith("(")
        or key in _PROGRESS | _WHOLE
        or winner.source.file == loser.source.file
        or _equal(winner.value, loser.value)
    ):
        return
    if len(conflicts) < _MAX_CONFLICTS:
        conflicts.append(
            Problem(
                "settings_disagree",
                f"{key.rpartition('.')[2]}: {winner.value!r} at {winner.source.place}, {loser.value!r} at {loser.source.place}",
                loser.source,
            )
        )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float) and not isinstance(a, bool):
        return abs(a - b) <= _SAME_FLOAT * max(abs(a), abs(b))
    if isinstance(a, str) and isinstance(b, str):
        return a.strip().lower() == b.strip().lower()
    return bool(a == b)


# ---- consoles and notices


def _without_lesser_consoles(histories: Sequence[Reading]) -> list[Reading]:
    """Leave out a console that a tracker kept twice (in its binary and as a text) where the other copy is fuller."""
    best: dict[tuple[str, str, str], Reading] = {}
    for reading in histories:
        if reading.root is not None and reading.role == "log":
            key = (reading.root, reading.dialect, reading.label)
            if key not in best or _count(reading) > _count(best[key]):
                best[key] = reading
    kept = {id(reading) for reading in best.values()}
    return [r for r in histories if r.root is None or r.role != "log" or id(r) in kept]


def _count(reading: Reading) -> tuple[int, int, bool]:
    """Return how much a reading holds; of equal ones the text that a person can look at comes before the binary."""
    points, notices = sum(s.count for s in reading.series), sum(n.count for n in reading.notices)
    return points, notices, not reading.file.endswith(".wandb")


def _merged(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Return one notice of a kind: the one with the most behind it."""
    by_kind: dict[str, Notice] = {}
    for notice in notices:
        before = by_kind.get(notice.kind)
        if before is None or notice.count > before.count:
            by_kind[notice.kind] = notice
    return tuple(by_kind.values())
