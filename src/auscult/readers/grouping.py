"""Readings to runs: which files speak of the same run, which continue it, and which config is whose.

What the outcome depends on are the readings, not their order: they are sorted before anything is decided, and only the
runs found are put in the order in which their files were given. What cannot be told is not decided.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from statistics import median

from ..run import Series
from .curves import Curves, Verdict, gap_of, loss_of, pairs_to_compare, span
from .patterns import lazy
from .reading import FILE, Reading
from .registry import is_tracker

__all__ = ["Group", "group", "natural", "run_folder"]

_CONTINUES_WITHIN = 3
"""A file continues another when it starts within so many of its usual distances between records."""
_FROM_SCRATCH = 1.5
"""A file that starts within so many of its usual distances from step 0 begins a run."""
_SEAM_NATS = 0.3
_SEAM_SHARE = 0.1
_TAIL = 20
_END = 5
"""How many records on either side of a seam are compared: where the files overlap, and where they do not."""
_RANKS_DIFFER = 0.1
"""Losses of the ranks of one run are of different batches and one model: they differ by less than this, in the median."""
_RANKS_SHARE = 0.8
_MODEL_AND_ARGUMENTS = frozenset({"hf_config", "hf_training_args"})
"""The shape of a model and how it is trained: two files that say nothing about the same."""
_MAX_RIVALS = 50
"""More configs than that in one folder are matched with runs by the words that few of them have."""
_RARE = 20
_MAX_LOOKED_AT = 200
_MAX_CANDIDATES = 20
_LAYOUT = lazy(
    r"^(?:(?:checkpoint|ckpt)s?[-_]?\d*|files|logs?|runs|wandb|csv|version_\d+|metrics|results|configs?|final|output|out|tb"
    r"|tensorboard|lightning_logs|[A-Z][a-z]{2}\d{2}_\d{2}-\d{2}-\d{2}_.*)$",
    re.IGNORECASE,
)
"""Folders that trainers make within a run's own; the last is the Hugging Face trainer's ``runs/Oct11_01-48-25_<host>``."""
_HOME = lazy(r"(?:^|/)conf(?:ig)?s?$", re.IGNORECASE)
_CHECKPOINT = lazy(r"^(?:checkpoint|ckpt|step|iter|epoch|global_?step)s?[-_=]?(\d*)$", re.IGNORECASE)
_RANK = lazy(
    r"(?:(?<=^)|(?<=[/_.\-]))(?:(?:local|global)?_?rank|proc(?:ess)?)[-_]?(\d{1,5})(?=[/_.\-]|$)"
    r"|(?<=attempt_)\d{1,5}/(\d{1,5})(?=/std(?:out|err)\.log$)",
    re.IGNORECASE,
)
_SEQUEL = lazy(
    r"^(?:v|r|run|part|pt|version|train|training|trainer|log|logs|out|output|job|slurm|nohup|resume|resumed|resuming|restart|restarted|continue"
    r"|continued|cont|again|attempt|chunk|segment|stage|phase|old|new|bak|first|second|third|txt|csv|jsonl|json|md|py|yaml|yml|toml|gz|zst|err"
    r"|stdout|stderr|console|metrics|history|from)?\d*$"
)
"""Words of a file's name that change from one part of a run to the next."""
_COMMON_WORDS = frozenset(
    {
        "train",
        "config",
        "configs",
        "log",
        "logs",
        "txt",
        "py",
        "out",
        "yaml",
        "yml",
        "json",
        "toml",
        "csv",
        "jsonl",
        "gz",
        "zst",
        "run",
        "runs",
        "metrics",
        "model",
        "models",
        "trainer",
        "state",
    }
)


@dataclass
class Group:
    """The readings of one run.

    Attributes
    ----------
    histories, companions : list of Reading
        Logs and metrics, and what says something besides.
    ambiguous : list of str
        Configs of which one may be this run's and none is clearly.
    ranks : list of Reading
        Those of the histories that other processes of the same run wrote; the main one's stands for all.
    """

    histories: list[Reading] = field(default_factory=list)
    companions: list[Reading] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    ranks: list[Reading] = field(default_factory=list)

    @property
    def readings(self) -> list[Reading]:
        """All of them, histories first."""
        return [*self.histories, *self.companions]


def group(readings: Sequence[Reading]) -> list[Group]:
    """Return the runs that readings speak of, in the order in which their files were given."""
    given = {id(r): i for i, r in enumerate(readings)}
    rooted = _rooted(sorted(readings, key=_place))
    position = {id(new): given[id(old)] for old, new in rooted}
    ordered = [new for _old, new in rooted]
    histories = [r for r in ordered if r.role in ("log", "metrics")]
    companions = [r for r in ordered if r.role not in ("log", "metrics")]
    groups = _with_histories(histories, companions) if histories else _configs_alone(companions)
    return sorted(groups, key=lambda g: min(position[id(r)] for r in (g.histories or g.companions)))


def _with_histories(histories: list[Reading], companions: list[Reading]) -> list[Group]:
    groups = _unite(histories)
    groups = [g for g in groups if _says_something(g)] or groups
    of_no_history = []
    for companion, chosen in _attach(companions, groups):
        for each in chosen:
            each.companions.append(companion)
        if not chosen:
            of_no_history.append(companion)
    for each in groups:
        _settle_configs(each)
    return groups + (_configs_alone(of_no_history) if of_no_history else [])


def _says_something(g: Group) -> bool:
    return any(r.series or r.settings or r.raw or r.notices or r.problems or r.noted or r.parts for r in g.histories)


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key by which numbers within names sort as numbers.

    Examples
    --------
    >>> sorted(["log10", "log9", "log"], key=natural)
    ['log', 'log9', 'log10']
    """
    return tuple(
        (0, int(part[:300]), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part
    )


def _place(r: Reading) -> tuple[object, ...]:
    """Return a key that depends on a reading alone, so that the order of files decides nothing."""
    first = [(s.name, s.count, s.steps[0], repr(s.values[0])) for s in r.series if len(s)]
    said = sorted(f"{k}={v!r}" for k, v in (*r.settings.items(), *r.raw.items())) if not first else []
    *folders, name = r.file.split("/")
    return (
        [(1, natural(folder)) for folder in folders] + [(0, natural(name))], natural(r.label), r.dialect, r.role, r.authority, r.run_id or "", r.root or "", first, said,
        [(n.kind, n.count) for n in r.notices],
    )  # fmt: skip


# ---- the folders of trackers


def _rooted(readings: Sequence[Reading]) -> list[tuple[Reading, Reading]]:
    """Give the files that other programs wrote into a run's folder (W&B's ``files/output.log``) that folder and its id.

    Of several runs in such a file the fullest is the one that the folder speaks of; the others stay apart.
    """
    ids: dict[str, str | None] = {}
    for reading in readings:
        if reading.root is not None and reading.dialect.startswith("wandb"):
            ids[reading.root] = ids.get(reading.root) or reading.run_id
    if not ids:
        return [(r, r) for r in readings]
    fullest: dict[str, Reading] = {}
    for reading in readings:
        best = fullest.get(reading.file)
        if best is None or _points(reading) > _points(best):
            fullest[reading.file] = reading
    found = []
    for reading in readings:
        root = _tracked_folder(reading.file)
        mine = reading.root is None and reading.run_id is None and fullest[reading.file] is reading
        if mine and root is not None and root in ids:
            found.append((reading, replace(reading, root=root, run_id=ids[root])))
        else:
            found.append((reading, reading))
    return found


def _points(reading: Reading) -> int:
    return sum(series.count for series in reading.series)


def _tracked_folder(file: str) -> str | None:
    """Return the run's folder of a file of W&B's layout (``.`` for what was named itself), or None for any other file."""
    path = PurePosixPath(file)
    parts = path.parts[:-1]
    if parts and parts[-1] in ("files", "logs"):
        return "/".join(parts[:-1]) or "."
    return "/".join(parts) or "." if path.name == "output.log" or path.name.startswith("wandb-") else None


def run_folder(reading: Reading) -> str:
    """Return the folder of the run that a file belongs to: what trainers nest below it is left out."""
    if reading.root is not None:
        return "" if reading.root == "." else reading.root
    parts = list(PurePosixPath(reading.file).parts[:-1])
    while parts and _LAYOUT.match(parts[-1]):
        parts.pop()
    return "/".join(parts)


def _is_above(one: str, two: str) -> bool:
    """Return whether a folder is another or holds it."""
    return not one or two == one or two.startswith(one + "/")


# ---- histories


class _Clusters:
    """Puts histories together, and never two that a tracker, or the file that holds both, tells apart."""

    def __init__(self, histories: Sequence[Reading]) -> None:
        self.histories = histories
        self._parent = list(range(len(histories)))
        self._members = [[i] for i in range(len(histories))]
        self._ids = [_identities(r) for r in histories]

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def may_join(self, i: int, j: int) -> bool:
        a, b = self._ids[self.find(i)], self._ids[self.find(j)]
        small, large = (a, b) if len(a) <= len(b) else (b, a)
        return all(large.get(key, value) == value for key, value in small.items())

    def join(self, i: int, j: int) -> bool:
        """Join two clusters unless something tells them apart; return whether they are one now."""
        i, j = sorted((self.find(i), self.find(j)))
        if i == j:
            return True
        if not self.may_join(i, j):
            return False
        self._parent[j] = i
        self._members[i] += self._members[j]
        self._ids[i] |= self._ids[j]
        return True

    def all(self) -> list[list[int]]:
        return [sorted(self._members[i]) for i in range(len(self.histories)) if self._parent[i] == i]


def _identities(r: Reading) -> dict[tuple[str, str], str]:
    """Return what tells a reading from others: the run within its file, and the identity that its tracker gave it."""
    found = {("file", r.file): r.label}
    if r.run_id is not None:
        found["tracker", _family(r)] = r.run_id
    return found


def _family(r: Reading) -> str:
    family = r.dialect.partition("_")[0]
    return "wandb" if r.root is not None and family not in ("mlflow", "trackio") else family


def _unite(histories: list[Reading]) -> list[Group]:
    curves, clusters = Curves(), _Clusters(histories)
    for key in (_by_identity, _by_root, _by_file):
        first: dict[object, int] = {}
        for i, reading in enumerate(histories):
            name = key(reading)
            if name is not None:
                clusters.join(first.setdefault(name, i), i)
    lesser = _join_ranks(clusters, curves)
    _join_copies(clusters, curves, lesser)
    _join_speechless(clusters)
    _join_parts(clusters, lesser)
    groups = []
    for members in clusters.all():
        readings = [histories[i] for i in members]
        groups.append(Group(histories=readings, ranks=[histories[i] for i in members if i in lesser]))
    return groups


def _by_identity(r: Reading) -> object:
    return None if r.run_id is None else (_family(r), r.run_id)


def _by_root(r: Reading) -> object:
    return r.root


def _by_file(r: Reading) -> object:
    return r.file, r.label


# ---- the ranks of one run


def rank_of(file: str) -> tuple[str, int] | None:
    """Return a file's name without the rank in it and that rank, where it names one.

    Examples
    --------
    >>> rank_of("logs/rank_3.log"), rank_of("attempt_0/2/stderr.log"), rank_of("frank3.log")
    (('logs/#.log', 3), ('attempt_#/stderr.log', 2), None)
    """
    found = next(iter(reversed(list(_RANK.finditer(file)))), None)
    if found is None:
        return None
    return file[: found.start()] + "#" + file[found.end() :], int(found[1] or found[2])


def _join_ranks(clusters: _Clusters, curves: Curves) -> set[int]:
    """Join the logs that the processes of one run wrote, and return those that are not the main one's.

    Names must say that they are ranks, from 0 on without a gap (which a sweep over LoRA ranks is not), and the losses
    must be those of one model on different batches.
    """
    families: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    twice = set()
    for i, reading in enumerate(clusters.histories):
        named = rank_of(reading.file)
        if named is not None and reading.run_id is None:
            family = families[reading.dialect, named[0]]
            if named[1] in family:
                twice.add((reading.dialect, named[0]))
            family[named[1]] = i
    lesser = set()
    for key, family in families.items():
        ranks = sorted(family)
        if key in twice or len(ranks) < 2 or ranks != list(range(len(ranks))):
            continue
        speaking = [rank for rank in ranks if loss_of(clusters.histories[family[rank]]) is not None]
        main = family[speaking[0] if speaking else 0]
        others = [family[rank] for rank in ranks if family[rank] != main]
        if all(_are_ranks(clusters.histories[main], clusters.histories[i], curves) for i in others):
            for i in others:
                if (
                    clusters.join(main, i)
                    and curves.same_history(clusters.histories[main], clusters.histories[i]).same is not True
                ):
                    lesser.add(i)
    return lesser


def _are_ranks(main: Reading, other: Reading, curves: Curves) -> bool:
    a, b = loss_of(main), loss_of(other)
    if a is None or b is None:
        return b is None
    if a.name != b.name or a.axis != b.axis:
        return False
    left, right = dict(zip(a.steps, a.values, strict=True)), dict(zip(b.steps, b.values, strict=True))
    common = [step for step in left.keys() & right.keys() if left[step] == left[step] and right[step] == right[step]]
    if len(common) < max(1, _RANKS_SHARE * min(len(left), len(right))):
        return False
    return median(abs(left[s] - right[s]) / max(abs(left[s]), 1e-9) for s in common) <= _RANKS_DIFFER


# ---- copies of one history


def _join_copies(clusters: _Clusters, curves: Curves, lesser: set[int]) -> None:
    """Join files that hold one history; of runs that something may tell apart those first of which most values agree."""
    histories = clusters.histories
    found: list[tuple[int, int, int]] = []
    for i, j in pairs_to_compare(histories):
        if i in lesser or j in lesser or clusters.find(i) == clusters.find(j) or not clusters.may_join(i, j):
            continue
        verdict = curves.same_history(histories[i], histories[j])
        if not _is_one_history(histories[i], histories[j], verdict, curves):
            continue
        if any(r.label or r.run_id is not None for r in (histories[i], histories[j])):
            found.append((-verdict.evidence, i, j))
        else:  # nothing can tell them apart later, and what is together need not be compared again
            clusters.join(i, j)
    for _evidence, i, j in sorted(found):
        clusters.join(i, j)


def _is_one_history(one: Reading, two: Reading, verdict: Verdict, curves: Curves) -> bool:
    if verdict.same is False:
        # what a run did after its last checkpoint it did again when it was taken up there: the tail was superseded
        return verdict.forked and _one_place(one, two)
    if verdict.same is None:
        return False
    return (
        curves.is_strong(verdict) or curves.corroborated(one, two) or _are_checkpoints(one, two) or _are_twins(one, two)
    )


def _are_twins(one: Reading, two: Reading) -> bool:
    """Return whether two tables hold a row of one name with the same settings, of which few values are there to agree."""
    if not one.label or (one.dialect, one.label) != (two.dialect, two.label) or not one.settings:
        return False
    return _content(one) == _content(two)


def _one_place(one: Reading, two: Reading) -> bool:
    """Return whether two files are of one run's folder by their kinds: checkpoints, or a trainer's and a tracker's."""
    if _are_checkpoints(one, two):
        return True
    return run_folder(one) == run_folder(two) and is_tracker(one.dialect) != is_tracker(two.dialect)


def _are_checkpoints(one: Reading, two: Reading) -> bool:
    """Return whether two files differ only in the checkpoint they were saved with."""
    if one.dialect != two.dialect or one.label or two.label or one.file == two.file:
        return False
    paths = ([p for p in PurePosixPath(r.file).parts if not _CHECKPOINT.match(p)] for r in (one, two))
    a, b = paths
    return a == b


def _join_speechless(clusters: _Clusters) -> None:
    """Join files that hold no loss (an event file of speeds, the console of an error) to the one run of their folder."""
    histories = clusters.histories
    by_folder: dict[str, dict[int, None]] = defaultdict(dict)
    silent: dict[int, None] = {}
    for i in range(len(histories)):
        root = clusters.find(i)
        if root in silent:
            continue
        if any(loss_of(histories[k]) is not None for k in clusters._members[root]):
            by_folder[run_folder(histories[i])][root] = None
        else:
            silent[root] = None
    rest: dict[str, list[int]] = defaultdict(list)
    for root in silent:
        folder = run_folder(histories[root])
        here = list(by_folder.get(folder, ()))
        if len(here) == 1 and _is_apart(clusters, here[0], root):
            clusters.join(here[0], root)
        elif not here:
            rest[folder].append(root)
    for roots in rest.values():
        kinds = {histories[root].dialect for root in roots}
        if len(roots) == len(kinds) and all(histories[root].series for root in roots):
            for root in roots[1:]:
                clusters.join(roots[0], root)


def _is_apart(clusters: _Clusters, speaking: int, silent: int) -> bool:
    """Return whether a file without losses is of another kind than the run's, or of a tracker: else it is another attempt."""
    here = {clusters.histories[k].dialect for k in clusters._members[clusters.find(speaking)]}
    mine = clusters.histories[silent]
    if mine.dialect not in here:
        return True
    return mine.dialect == "tensorboard"


# ---- a run that was taken up again in another file


@dataclass
class _Part:
    """A run as far as its files go: what is needed to tell whether another file takes it up."""

    root: int
    series: Series
    first: int
    last: int
    gap: float | None
    words: frozenset[str]


def _join_parts(clusters: _Clusters, lesser: set[int]) -> None:
    """Join runs of which one takes up where the other ends, in files of one folder whose names do not tell them apart."""
    families: dict[tuple[str, str, str], list[_Part]] = defaultdict(list)
    for members in clusters.all():
        readings = [clusters.histories[i] for i in members if i not in lesser]
        longest = max(readings, key=lambda r: s.count if (s := loss_of(r)) is not None else 0, default=None)
        series = loss_of(longest) if longest is not None else None
        if longest is None or series is None or series.axis == "row":
            continue
        first, last = span(series)
        part = _Part(members[0], series, first, last, gap_of(series), _sequel_words(longest))
        families[run_folder(longest), longest.dialect, series.name].append(part)
    for parts in families.values():
        _chain(clusters, parts)


def _sequel_words(r: Reading) -> frozenset[str]:
    """Return the words of a file's name and folders that stay the same from one part of a run to the next."""
    *folders, name = r.file.split("/")
    told = [f for f in folders if not _LAYOUT.match(f)] + ([] if "tfevents" in name else [name]) + [r.label]
    words: list[str] = []
    for word in re.findall(r"[^\W_]+", " ".join(told).lower()):
        # a number belongs to the setting before it: seed_1, lr 3
        if word.isdecimal() and words and not _SEQUEL.match(words[-1]):
            words[-1] += word
        else:
            words.append(word)
    return frozenset(word for word in words if not _SEQUEL.match(word))


def _chain(clusters: _Clusters, parts: list[_Part]) -> None:
    parts.sort(key=lambda p: (p.first, p.last, p.root))
    starts = [p for p in parts if _begins_a_run(p)]
    ends: dict[frozenset[str], list[_Part]] = defaultdict(list)
    for part in starts:
        ends[part.words].append(part)
    for part in parts:
        if _begins_a_run(part):
            continue
        known = ends[part.words]
        if not known:  # train.log and train_resumed_wide.log: one name says more
            known = [p for words, some in ends.items() if words <= part.words or part.words <= words for p in some]
        known = [p for p in known if _may_continue(p, part)]
        # of so many that end here none is the one
        before = [p for p in known if _continues(p, part)] if len(known) <= _MAX_CANDIDATES else []
        near = min((abs(p.last - part.first) for p in before), default=0)
        nearest = [p for p in before if abs(p.last - part.first) == near]
        if len(nearest) == 1 and clusters.join(nearest[0].root, part.root):
            nearest[0].series, nearest[0].last = part.series, max(part.last, nearest[0].last)
        else:
            ends[part.words].append(part)


def _begins_a_run(part: _Part) -> bool:
    return part.first <= max(1, _FROM_SCRATCH * part.gap if part.gap is not None else 1)


def _may_continue(before: _Part, after: _Part) -> bool:
    """Return whether the steps of one file go on with those of another."""
    if len(before.series) < 3 or after.first <= max(1, before.series.steps[0]):
        return False
    usual = before.gap or 1
    return after.first <= before.last + _CONTINUES_WITHIN * usual and after.last > before.last


def _continues(before: _Part, after: _Part) -> bool:
    """Return whether the losses of one file go on with those of another."""
    a, b = before.series, after.series
    first = list(b.values[:_TAIL])
    until = b.steps[len(first) - 1]
    pairs = list(zip(a.steps, a.values, strict=True))
    near = [v for s, v in pairs if after.first <= s <= until][-_TAIL:] or [v for _s, v in pairs[-_END:]]
    here, there = median(near), median(first if len(near) > _END else first[:_END])
    return abs(here - there) <= max(_SEAM_NATS, _SEAM_SHARE * abs(here))


# ---- companions


class _Folders:
    """Finds the runs in a folder, above it and below it."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self.within: dict[str, dict[int, None]] = defaultdict(dict)
        self.below: dict[str, dict[int, None]] = defaultdict(dict)
        self.ids: dict[tuple[str, str], int] = {}
        self.roots: dict[str, int] = {}
        self.marked: set[tuple[int, str]] = set()
        self._by_word: dict[str, set[int]] | None = None
        for number, g in enumerate(groups):
            for r in g.histories:
                folder = run_folder(r)
                self.within[folder][number] = None
                for above in _above(folder):
                    self.below[above][number] = None
                if r.run_id is not None:
                    self.ids[_family(r), r.run_id] = number
                    self.marked.add((number, _family(r)))
                if r.root is not None:
                    self.roots[r.root] = number

    def related(self, companion: Reading) -> list[int]:
        """Return the runs that a file may speak of: of its folder, or below it, or above it, or those named alike."""
        folder = run_folder(companion)
        here = self.within.get(folder)
        if here:
            return self.covered(companion, here) or self.nearest(companion, here)
        below = self.below.get(folder)
        if below:  # a config above several runs is each one's, however deep they lie
            return sorted(below) if companion.role == "config" else self.nearest(companion, below)
        above = {n: None for each in _above(folder) for n in self.within.get(each, ())}
        if above:
            return self.nearest(companion, above)
        return [0] if len(self.groups) == 1 else self.named_alike(companion)

    def covered(self, companion: Reading, numbers: Iterable[int]) -> list[int]:
        """Return those runs whose files lie beside a config or below it; one in ``config/`` counts as lying above that."""
        if companion.role != "config":
            return []
        home = _HOME.sub("", companion.file.rpartition("/")[0])
        return [
            n
            for n in sorted(numbers)
            if any(_is_above(home, r.file.rpartition("/")[0]) for r in self.groups[n].histories)
        ]

    def nearest(self, companion: Reading, numbers: Iterable[int]) -> list[int]:
        """Return those runs that are nearest in the tree of folders."""
        far = [(min(_distance(companion, r) for r in self.groups[n].histories), n) for n in sorted(numbers)]
        return [n for d, n in far if d == min(far)[0]]

    def named_alike(self, companion: Reading) -> list[int]:
        """Return the one run whose names hold all words of a config's: ``configs/wide.py`` of ``runs/wide/train.log``."""
        words = set(re.split(r"[\W_]+", companion.file.rpartition("/")[2].lower())) - _COMMON_WORDS
        if not words or companion.role != "config":
            return []
        if self._by_word is None:
            self._by_word = defaultdict(set)
            for number, g in enumerate(self.groups):
                for word in set().union(*(_words(r.file) for r in g.histories)):
                    self._by_word[word].add(number)
        found = set.intersection(*(self._by_word.get(word, set()) for word in words))
        return sorted(found) if len(found) == 1 else []


def _above(folder: str) -> list[str]:
    """Return the folders that hold a folder, without itself."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:n]) for n in range(len(parts))]


def _attach(companions: list[Reading], groups: list[Group]) -> list[tuple[Reading, list[Group]]]:
    folders = _Folders(groups)
    strangers: dict[str, set[str]] = defaultdict(set)
    for companion in companions:
        if companion.run_id is not None and (_family(companion), companion.run_id) not in folders.ids:
            strangers[_family(companion)].add(companion.run_id)
    crowds: dict[tuple[str, str, int], list[Reading]] = defaultdict(list)
    for c in companions:
        if c.role == "config" and c.run_id is None and c.root is None:
            crowds[c.file.rpartition("/")[0], c.dialect, c.authority].append(c)
    found = []
    crowded: set[int] = set()
    for crowd in crowds.values():
        if len(crowd) > _MAX_RIVALS:
            numbers = _whose(crowd[0], folders, strangers)
            if len(numbers) > 1:
                crowded |= {id(c) for c in crowd}
                found += _spread(crowd, [groups[n] for n in numbers])
    found += [(c, [groups[n] for n in _whose(c, folders, strangers)]) for c in companions if id(c) not in crowded]
    return found


def _spread(crowd: list[Reading], groups: list[Group]) -> list[tuple[Reading, list[Group]]]:
    """Return whose each of very many configs is by its name; where none fits, all that there are may be a run's."""
    having: dict[str, list[int]] = defaultdict(list)
    for number, config in enumerate(crowd):
        for word in _words(config.file):
            having[word].append(number)
    whose: dict[int, list[Group]] = {number: [] for number in range(len(crowd))}
    for g in groups:
        words = set().union(*(_words(h.file) | _words(h.label) for h in g.histories))
        hits = Counter(n for word in sorted(words) if len(having.get(word, ())) <= _RARE for n in having.get(word, ()))
        best = [n for n, hit in hits.items() if hit == max(hits.values())]
        if len(best) == 1:
            whose[best[0]].append(g)
        else:
            g.ambiguous.extend(crowd[n].file for n in (best or range(len(crowd))))
    return [(config, whose[number]) for number, config in enumerate(crowd)]


def _whose(companion: Reading, folders: _Folders, strangers: dict[str, set[str]]) -> list[int]:
    """Return the runs that a companion may speak of: the one of its identity, or the nearest in the tree of folders."""
    family = _family(companion)
    if companion.run_id is not None:
        known = folders.ids.get((family, companion.run_id))
        if known is not None:
            return [known]
    if companion.root is not None and companion.root in folders.roots:
        return [folders.roots[companion.root]]
    tracked = companion.run_id is not None
    if tracked and len(strangers[family]) > 1:
        return []  # of several runs that left no history none is more likely the one of a log that lies about
    near = folders.related(companion)
    if tracked:
        near = [n for n in near if (n, family) not in folders.marked]
    return near


def _distance(companion: Reading, history: Reading) -> int:
    """Return how far a companion lies from a history in the tree of folders."""
    if companion.root is not None and companion.root == history.root:
        return 0
    a, b = companion.file.split("/")[:-1], history.file.split("/")[:-1]
    shared = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        shared += 1
    return 1 + (len(a) - shared) + (len(b) - shared)


def _settle_configs(g: Group) -> None:
    """Leave one config of a kind: the nearest, or the one whose name fits; several that are left are named, not used."""
    kinds: dict[tuple[str, int], list[Reading]] = {}
    for reading in g.companions:
        if reading.role == "config" and reading.run_id is None and reading.root is None:
            kinds.setdefault((reading.dialect, reading.authority), []).append(reading)
    dropped: set[int] = set()
    for (_dialect, authority), rivals in kinds.items():
        if len(rivals) < 2 or authority < FILE:
            continue
        kept = _settled(rivals, g)
        dropped |= {id(r) for r in rivals}
        if len(kept) == 1:
            dropped.discard(id(kept[0]))
        else:
            g.ambiguous.extend(r.file for r in kept)
    if dropped:
        g.companions = [r for r in g.companions if id(r) not in dropped]


def _settled(rivals: list[Reading], g: Group) -> list[Reading]:
    """Return the one config that is the run's, or all that may be."""
    for narrower in (_by_distance, _of_the_run, _said_to_be, _by_name, _once_each):
        rivals = narrower(rivals, g)
        if len(rivals) == 1:
            break
    return rivals


def _by_distance(rivals: list[Reading], g: Group) -> list[Reading]:
    far = [min(_distance(r, h) for h in g.histories) for r in rivals]
    return [r for r, d in zip(rivals, far, strict=True) if d == min(far)]


def _of_the_run(rivals: list[Reading], g: Group) -> list[Reading]:
    """Of configs saved with the checkpoints of one run keep the run's own, or the last one's."""
    if len({run_folder(r) for r in rivals}) > 1 or len({r.file.rpartition("/")[2] for r in rivals}) > 1:
        return rivals
    own = [r for r in rivals if _checkpoint(r) is None]
    if own:
        return own
    last = max(n for r in rivals if (n := _checkpoint(r)) is not None)
    return [r for r in rivals if _checkpoint(r) == last]


def _checkpoint(r: Reading) -> int | None:
    """Return the number of the checkpoint that a file was saved with, -1 for one without a number."""
    numbers = [int(m[1][:18]) if m[1] else -1 for p in r.file.split("/")[:-1] if (m := _CHECKPOINT.match(p))]
    return max(numbers, default=None)


def _said_to_be(rivals: list[Reading], g: Group) -> list[Reading]:
    """Return the config that a log says it was started with."""
    said = {part.label.rpartition("/")[2] for h in g.histories for part in h.parts}
    named = [r for r in rivals if r.file.rpartition("/")[2] in said]
    return named if len(named) == 1 else rivals


def _by_name(rivals: list[Reading], g: Group) -> list[Reading]:
    """Return the configs whose names share most words with those of the logs and of their folders."""
    if min(_distance(rivals[0], h) for h in g.histories) == 1:  # each lies beside a log: their folders tell nothing
        words = set().union(*(_words(h.file.rpartition("/")[2]) | _words(h.label) for h in g.histories))
    else:
        words = set().union(*(_words(h.file) | _words(h.label) for h in g.histories))
    common = set.intersection(*(_words(r.file) for r in rivals))
    scores = [len((_words(r.file) - common) & words) for r in rivals]
    best = max(scores)
    if not best:
        return rivals
    kept = [r for r, s in zip(rivals, scores, strict=True) if s == best]
    if len(kept) > 1:  # small.py and small_wide.py beside small.log
        extra = [len(_words(r.file) - words) for r in kept]
        kept = [r for r, n in zip(kept, extra, strict=True) if n == min(extra)]
    return kept


def _once_each(rivals: list[Reading], g: Group) -> list[Reading]:
    """Return one of configs that say the same."""
    first = rivals[0]
    same = all(_content(r) == _content(first) for r in rivals[1:])
    return [first] if same and (first.settings or first.raw) else rivals


def _content(r: Reading) -> object:
    return [{k: getattr(q, "value", None) for k, q in some.items()} for some in (r.settings, r.raw)]


def _words(name: str) -> set[str]:
    """Return the words of a path, its last name's whole stem among them."""
    path = PurePosixPath(name.lower())
    parts = [p for p in path.parts[:-1] if not _LAYOUT.match(p)] + ([path.name] if path.parts else [])
    words = {w for part in parts for w in re.split(r"[\W_]+", part) if len(w) > 1}
    return (words | {path.stem} | set(parts[:-1])) - _COMMON_WORDS


# ---- configs without a history


def _configs_alone(companions: list[Reading]) -> list[Group]:
    """Return runs that have not begun: one for each main config of a folder, with what lies beside it."""
    groups: list[Group] = []
    by_folder: dict[str, list[Group]] = defaultdict(list)
    scripts = [r for r in companions if r.role == "config" and r.authority < FILE]
    main = [r for r in companions if r.role == "config" and r.authority >= FILE]
    others = [r for r in companions if r.role != "config"]
    if not main:
        main, scripts = scripts, []

    def add(reading: Reading) -> None:
        groups.append(Group(companions=[reading]))
        by_folder[run_folder(reading)].append(groups[-1])

    for reading in main:
        home = next((g for g in by_folder[run_folder(reading)][-_MAX_LOOKED_AT:] if _completes(g, reading)), None)
        if home is None:
            add(reading)
        else:
            home.companions.append(reading)
    for reading in [*scripts, *others]:
        near = by_folder.get(run_folder(reading)) or (groups if reading in scripts else [])
        if near:
            for g in near:
                g.companions.append(reading)
        else:
            add(reading)
    return groups


def _completes(g: Group, reading: Reading) -> bool:
    """Return whether a config says what another of the same run does not, rather than contradict it."""
    first = g.companions[0]
    if first.run_id is not None and reading.run_id is not None and _family(first) == _family(reading):
        return first.run_id == reading.run_id
    if any(r.dialect == reading.dialect for r in g.companions):
        return False
    return reading.root is not None or _are_parts(first, reading)


def _are_parts(one: Reading, two: Reading) -> bool:
    """Return whether two configs of one folder complete one another rather than contradict."""
    if {one.dialect, two.dialect} == _MODEL_AND_ARGUMENTS:
        return True
    both = one.settings.keys() & two.settings.keys()
    return (
        not one.vocabulary
        and not two.vocabulary
        and len(both) <= max(4, 0.8 * min(len(one.settings), len(two.settings)))
    )
