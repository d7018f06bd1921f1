"""Bytes to Runs. One file per dialect in ``dialects/``; nothing that is read is ever executed or unpickled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import AmbiguousInput, InputError, NotText, UnreadableInput
from ..run import Run
from .assembly import assemble, put_together
from .dataset import split_sizes
from .dialects.nanogpt_config import read_config
from .files import InputFile, open_path, open_stdin, open_url, watched
from .given import SETTINGS_FILE, Given, given_by_options, read_settings
from .grouping import Group, group
from .privacy import nameless
from .reading import Dialect, Reading
from .registry import CLEAR, all_dialects, find_dialect, recognise
from .text import clean

__all__ = [
    "Found",
    "Given",
    "Relation",
    "all_dialects",
    "given_by_options",
    "read",
    "read_all",
    "reread_config",
    "watched",
]

_MAX_FILES = 10_000
_MAX_DEPTH = 6
_MAX_RUNS = 5_000
_SHOWN = 6
_NAMED = 0.2
"""A file that the user names is read by the dialect it looks most like, from this score on."""
_LOG_SUFFIXES = frozenset({".log", ".txt", ".out", ".err"})
_TOLD_OF = frozenset({".json", ".jsonl", ".csv", ".log", ".txt", ".out", ".wandb", ".ipynb"})
"""Files of which it is said that Git LFS did not fetch them; others may well be pictures or weights."""


@dataclass(frozen=True, slots=True)
class Relation:
    """How files or runs belong together.

    Attributes
    ----------
    kind : str
        ``resumed`` (one run in several files), ``copies`` (one history in several files) or ``same_file`` (several runs
        in one file).
    runs, files : tuple of str
        The names of the runs, and the files.
    detail : str
        More in words.
    """

    kind: str
    runs: tuple[str, ...]
    files: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder or files hold: runs, how they belong together, and files that could not be read."""

    runs: tuple[Run, ...]
    relations: tuple[Relation, ...] = ()
    unread: tuple[InputError, ...] = ()


def read(
    *paths: str | os.PathLike[str], given: Given | None = None, dialect: str | None = None, run: str | None = None
) -> Run:
    """Read one training run from a folder, or from its files one by one.

    Parameters
    ----------
    *paths : str or path
        A run folder, or a config, a log, an ``auscult.toml``, in any order; ``-`` is stdin, and URLs need the extra
        ``remote``. A config alone is a preflight.
    given : Given, optional
        Facts that the files do not hold; they win over an ``auscult.toml``.
    dialect : str, optional
        Read files with this dialect, whatever they look like.
    run : str, optional
        Which run, where there are several: its name, or the end of it.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        When nothing can be read, or there are several runs and none is named; the message says what, where, and what
        to do next.
    """
    found = read_all(*paths, given=given, dialect=dialect)
    if len(found.runs) == 1 and run is None:
        return found.runs[0]
    if run is not None:
        chosen = [r for r in found.runs if r.name == run] or [r for r in found.runs if r.name.endswith(run)]
        if len(chosen) == 1:
            return chosen[0]
        raise AmbiguousInput(
            f"it holds no run {run!r}" if not chosen else f"several runs end in {run!r}",
            where=str(paths[0]),
            found=_listed([r.name for r in (chosen or found.runs)]),
            hint="name one of them in full",
        )
    raise AmbiguousInput(
        f"it holds {len(found.runs)} runs, and one is asked for",
        where=str(paths[0]),
        found=_listed([r.name for r in found.runs]),
        hint="name the files of one run, or its name: --run NAME",
    )


def read_all(*paths: str | os.PathLike[str], given: Given | None = None, dialect: str | None = None) -> Found:
    """Read every training run that a folder or files hold.

    Parameters
    ----------
    *paths, given, dialect
        As for :func:`read`.

    Returns
    -------
    Found

    Raises
    ------
    InputError
        When there is nothing in them that looks like a training run.
    """
    if not paths:
        raise AmbiguousInput("nothing to read", hint="name a run folder, a config or a log")
    forced = find_dialect(dialect) if dialect is not None else None
    search = _Search(forced)
    named = [os.fspath(path) for path in paths]
    for path, prefix in zip(named, _prefixes(named), strict=True):
        search.add(path, prefix)
    facts = given or Given()
    for file in search.settings:
        facts = facts.over(read_settings(file))
    if not search.readings:
        raise search.first_bad or AmbiguousInput(
            "nothing in it looks like a training run",
            where=str(paths[0]),
            expected="a log that a trainer printed, its metrics (trainer_state.json, event files, CSV, W&B …) or its config",
            hint="name the files directly, with --dialect NAME if they are not recognised (auscult dialects lists them)",
        )
    return _runs(search, facts)


def _runs(search: _Search, given: Given) -> Found:
    groups = group(search.readings)[:_MAX_RUNS]
    single = len(groups) == 1
    names = [clean(search.name)] if single else _names(groups)
    runs, relations = [], []
    for name, each in zip(names, groups, strict=True):
        files = tuple(dict.fromkeys(r.file for r in (*each.companions, *each.histories)))
        made = put_together(name, each, given, (*files, *(f.name for f in search.settings)))
        runs.append(split_sizes(made.run, search.anchors))
        if made.copies:
            relations.append(Relation("copies", (name,), made.copies, "one history in several files"))
        if made.parts:
            relations.append(Relation("resumed", (name,), made.parts, "the run goes on from file to file"))
    return Found(tuple(runs), (*relations, *_sharing_a_file(names, groups)), tuple(search.bad))


def _sharing_a_file(names: list[str], groups: list[Group]) -> Iterator[Relation]:
    """Yield the files that hold several runs."""
    by_file: dict[str, dict[str, str]] = {}
    for name, each in zip(names, groups, strict=True):
        for reading in each.histories:
            by_file.setdefault(reading.file, {})[name] = reading.role
    for file, found in by_file.items():
        if len(found) > 1:
            told = "one after another" if set(found.values()) == {"log"} else "side by side"
            yield Relation("same_file", tuple(found), (file,), told)


def _names(groups: list[Group]) -> list[str]:
    """Return a name for each of several runs: its folder or file, with the label where a file holds several."""
    firsts = [each.readings[0] for each in groups]
    bases = [first.root if first.root not in (None, ".", "") else first.file for first in firsts]
    names = []
    for each, first, base in zip(groups, firsts, bases, strict=True):
        labelled = first.label and each.histories and bases.count(base) > 1
        names.append(clean(f"{base}#{first.label}" if labelled else str(base)))
    taken, used = set(names), dict.fromkeys(names, 0)
    unique = []
    for name in names:
        used[name] += 1
        own = name
        if used[name] > 1:
            while (own := f"{name}#{used[name]}") in taken:
                used[name] += 1
            taken.add(own)
        unique.append(own)
    return unique


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@dataclass
class _Search:
    """Looks through what was named, and reads what it recognises."""

    forced: Dialect | None
    readings: list[Reading] = field(default_factory=list)
    settings: list[InputFile] = field(default_factory=list)
    bad: list[InputError] = field(default_factory=list)
    first_bad: InputError | None = None
    anchors: list[Path] = field(default_factory=list)
    name: str = ""
    _real: set[tuple[int, int]] = field(default_factory=set)

    def add(self, path: str, prefix: str = "") -> None:
        """Read what lies at a path; its files are shown under the prefix where their own names are not unique."""
        if path == "-":
            self._set_name("stdin")
            self._named(open_stdin())
            return
        if "://" in path:
            self._set_name(path.rstrip("/").rpartition("/")[2])
            self._named(open_url(path))
            return
        root = Path(path)
        if _is_folder(root):
            self._set_name(_name_of(root))
            self.anchors += [root, root.parent]
            self._folder(root, prefix)
            return
        self._set_name(Path(_name_of(root)).stem)
        self.anchors += [root.parent, root.parent.parent]
        if root.name == SETTINGS_FILE:
            self.settings.append(open_path(root, prefix + root.name))
            return
        self._named(open_path(root, prefix + root.name))
        beside = root.parent / SETTINGS_FILE
        if not self.settings and beside.is_file():
            self.settings.append(open_path(beside, SETTINGS_FILE))

    def _set_name(self, name: str) -> None:
        self.name = self.name or name

    def _named(self, file: InputFile) -> None:
        """Read a file that the user named; a file that holds nothing known is an error."""
        file.check_is_there()
        score, dialect = recognise(file)
        if self.forced is not None and not (
            dialect is not None and dialect.role == "config" and score >= CLEAR and self.forced.role != "config"
        ):
            dialect, score = self.forced, 1.0
        if dialect is None or score < _NAMED:
            sample = file.sample.strip()
            file.check()
            raise NotText(
                "no training log, metrics or config is recognised in it",
                where=file.name,
                expected="lines such as `iter 10: loss 7.1234, time 90.00ms, mfu 30.00%`, or those of another trainer",
                found=f"`{sample.splitlines()[0][:80]}`" if sample else "blank lines",
                hint="give the text that training printed, or say --dialect NAME (auscult dialects lists them)",
            )
        got = tuple(map(nameless, dialect.read(file)))
        if dialect.role in ("log", "metrics") and not any(_speaks(r) for r in got):
            raise NotText(
                f"no record of {dialect.title} in it is whole",
                where=file.name,
                expected=f"lines such as `{dialect.example.splitlines()[-1][:80]}`",
                hint="check that it was not cut",
            )
        self.readings += got

    def _folder(self, root: Path, prefix: str) -> None:
        found = [(path, path.relative_to(root).as_posix()) for path in _walk(root)]
        for path, name in sorted(found, key=lambda pair: pair[0].is_symlink()):  # what a link points to comes first
            if name == SETTINGS_FILE:
                self.settings.append(open_path(path, prefix + name))
                continue
            self._one_of_folder(path, prefix + name)

    def _one_of_folder(self, path: Path, name: str) -> None:
        try:
            status = path.stat()
            if not path.is_file() or (status.st_dev, status.st_ino) in self._real:
                return  # a pipe or device would keep us waiting; a link to what was read is no other run
            self._real.add((status.st_dev, status.st_ino))
            file = open_path(path, name)
            score, dialect = recognise(file)
            if score >= CLEAR or file.suffix in _TOLD_OF:
                file.check_is_there()
            if self.forced is not None and self.forced.sniff(file) > 0:
                score, dialect = 1.0, self.forced
            if dialect is not None and score >= CLEAR:
                self.readings += [nameless(r) for r in dialect.read(file) if _speaks(r) or r.role != "log"]
            elif file.suffix == ".log" and not file.base.startswith("debug-cli."):  # W&B's, named after the user
                file.check()
        except InputError as error:
            self.bad.append(error)
            if self.first_bad is None and (Path(name).suffix.lower() in _LOG_SUFFIXES or len(self.bad) > 0):
                self.first_bad = error
        except OSError as error:
            self.bad.append(UnreadableInput(f"it cannot be read ({error.strerror})", where=name))


def _prefixes(paths: list[str]) -> list[str]:
    """Return what to put before the names of files so that those of several folders stay apart: usually nothing.

    Examples
    --------
    >>> _prefixes(["runs/a/train.log", "runs/b/train.log"]), _prefixes(["a/train.log", "b/config.py"])
    (['a/', 'b/'], ['', ''])
    """
    local = [path for path in paths if path != "-" and "://" not in path]
    places = {path: Path(os.path.abspath(path)) for path in local}  # noqa: PTH100 - a link stays the name that it has
    folders = {path for path in local if _is_folder(Path(path))}
    names = [places[path].name for path in local if path not in folders]
    homes = {path: places[path] if path in folders else places[path].parent for path in local}
    different = set(homes.values())
    if len(different) < 2 or (len(folders) < 2 and len(set(names)) == len(names)):
        return [""] * len(paths)
    # as few of the last folders as tell them apart: what lies above them is nobody's business
    longest = max(len(home.parts) for home in different)
    parts = next(n for n in range(1, longest + 1) if len({home.parts[-n:] for home in different}) == len(different))
    return ["/".join(homes[path].parts[-parts:]).strip("/") + "/" if path in homes else "" for path in paths]


def _speaks(reading: Reading) -> bool:
    """Return whether a reading says anything at all."""
    return bool(
        reading.series
        or reading.settings
        or reading.raw
        or reading.notices
        or reading.noted
        or reading.parts
        or reading.config
    )


def _name_of(path: Path) -> str:
    try:
        return path.resolve().name
    except (OSError, RuntimeError):  # a link to itself
        return path.name


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise UnreadableInput(
            f"it cannot be opened ({error.strerror})", where=str(path), hint="check its permissions"
        ) from None


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below a folder: bounded in depth and number, hidden and linked folders left out."""
    count = 0
    for folder, names, files in os.walk(root):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        names[:] = sorted(n for n in names if not n.startswith((".", "__"))) if depth < _MAX_DEPTH else []
        for name in sorted(files):
            count += 1
            if count > _MAX_FILES:
                raise AmbiguousInput(
                    f"it holds more than {_MAX_FILES:,} files",
                    where=str(root),
                    hint="name the config and the log directly",
                )
            if not name.startswith("."):
                yield here / name


def reread_config(text: str, file: str, dialect: str = "nanogpt_config") -> Run:
    """Read the text of a nanoGPT config, or of a recipe of auscult's own trainer, again, as after an edit; no log, no data.

    Raises
    ------
    BadConfig
        When the text is not valid Python, or not valid TOML.
    """
    from .dialects import auscult_recipe

    reader = auscult_recipe.read_recipe if dialect == auscult_recipe.DIALECT.name else read_config
    reading = reader(text, file, file)
    return assemble(file, Group(companions=[reading]), Given(), (file,))
