"""Chronicles of training: what people wrote down about spikes, crashes and restarts, with log lines quoted in between.

Such a page holds lines of real logs, but out of their order, of many runs, with the interesting ones picked out: read as a log
it would show a run that never was. It is recognised so that it is not taken for one; nothing is read from it but that. What
marks it is prose in the first person that speaks of many kinds of incidents and gives dates. (The public logbooks of OPT-175B
and of BigScience's 13B, 104B and 176B models.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...run import Notice, Source
from ..files import InputFile
from ..patterns import lazy
from ..reading import Dialect, Reading

__all__ = ["DIALECT"]

_INCIDENTS = lazy(
    r"\b(?:(diverg)\w{0,6}|(spik)\w{0,5}|(restart)\w{0,5}|(roll)(?:ed|ing)? ?back|(rewind|rewound)\w{0,4}|(relaunch)\w{0,4}|(resum)\w{0,5}"
    r"|(crash)\w{0,4}|(hang|hung)(?:s|ing)?|(instabilit|unstable)\w{0,4}|(explod|explosion)\w{0,4}|(NaN)s?|(overflow|underflow)\w{0,4}"
    r"|(lower)(?:ed|ing) (?:the )?(?:LR|lr|learning rate)|(grad)(?:ient)?[ -]norms?|(loss scale)|(bad node)s?|(fail)(?:ed|ures?)|(blew up|blow up)"
    r"|(recover)\w{0,5}|(stopped|killed) )"
)
_DATE = lazy(
    r"\b20[12]\d-[01]\d-[0-3]\d\b|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6} \d{1,2}(?:st|nd|rd|th)?\b"
    r"|\b\d{1,2}/\d{1,2}(?:/\d{2,4})?\b"
)
_FIRST_PERSON = lazy(r"\b(?:we|We|I|our|Our)\b")
_TRAINING = lazy(r"\b(?:loss(?:es)?|perplexity|ppl|LR|lr|learning rate|iterations?|training|tokens)\b")
_QUOTED = lazy(
    r"(?:^|\s)(?:iteration\s{1,8}\d{1,9}/|step[ :=]{1,3}\d{1,9}\b.{0,80}loss|iter \d{1,9}: loss|.{0,200}lm[ _-]loss: \d)"
)
_TITLE = lazy(
    r"chronicle|log ?book|incident|post[ -]?mortem|diary|journal|lessons learn|trials and tribulation|update on .{0,40}run",
    re.I,
)
_NOT = lazy(
    r"^(?:readme|contributing|changelog|changes|history|releases?|license|code_of_conduct|security|news)\b", re.I
)
_SUFFIXES = frozenset({".md", ".markdown", ".rst", ".txt", ""})
_KINDS = 5
_INCIDENTS_PER_KB = 0.5
_FIRST_PERSON_PER_KB = 0.8
_PROSE_SHARE = 0.12
_MIN_CHARS = 800
_MAX_QUOTED = 100_000


def _kinds(text: str) -> tuple[int, int]:
    """Return how often incidents are spoken of, and how many kinds of them."""
    found = [match.lastindex for match in _INCIDENTS.finditer(text)]
    return len(found), len(set(found))


def _prose_share(text: str) -> float:
    """Return the share of lines that are sentences: eight words or more, most of them words of a language."""
    lines = [line.split() for line in text.split("\n") if line.strip()]
    prose = sum(1 for words in lines if len(words) >= 8 and sum(w.isalpha() for w in words) >= 0.6 * len(words))
    return prose / max(len(lines), 1)


def _sniff(file: InputFile) -> float:
    if file.suffix not in _SUFFIXES or file.is_binary:
        return 0.0
    text = file.sample
    titled = bool(_TITLE.search(file.name) or _TITLE.search(text[:600]))
    heading = next((line for line in text[:2000].split("\n") if line.strip()), "")
    if len(text) < _MIN_CHARS or (_NOT.match(file.base) and not _TITLE.search(heading)):
        return 0.0
    size = len(text) / 1000
    count, kinds = _kinds(text)
    if kinds < _KINDS or count < _INCIDENTS_PER_KB * size or len(_TRAINING.findall(text)) < 5:
        return 0.0
    if len(_FIRST_PERSON.findall(text)) < _FIRST_PERSON_PER_KB * size or _prose_share(text) < _PROSE_SHARE:
        return 0.0
    dated = len(_DATE.findall(text)) >= 2
    return 0.8 if titled else 0.7 if dated and kinds > _KINDS else 0.3


def _read(file: InputFile) -> Iterable[Reading]:
    quoted, first, count = 0, 0, 0
    kinds: set[int | None] = set()
    for line in file.lines():
        if quoted < _MAX_QUOTED and _QUOTED.search(line.text[:1000]):
            quoted += 1
            first = first or line.number
        found = {match.lastindex for match in _INCIDENTS.finditer(line.text[:20_000])}
        kinds |= found
        count += bool(found)
    quotes = f", and quotes {quoted} log line{'s' if quoted != 1 else ''} out of their context" if quoted else ""
    detail = f"prose about a training run: {count} lines speak of {len(kinds)} kinds of incidents{quotes}"
    notice = Notice("prose_not_a_log", Source("read", file.name, first or 1), 1, 0, detail)
    return (Reading(DIALECT.name, file.name, "log", notices=(notice,)),)


DIALECT = Dialect(
    name="logbook",
    title="Logbook in prose",
    role="log",
    example="### 2023-04-01\n\nThe loss spiked at iteration 12000 and then diverged; we rolled back to the last checkpoint and"
    " lowered the LR.",
    reads="that it is a chronicle, how many lines speak of incidents and how many log lines it quotes; so that it is not taken for a"
    " log",
    cannot="a run: the lines that it quotes are picked out, belong to several runs, and stand out of their order",
    source="the public logbooks of OPT-175B (metaseq) and BigScience (tr1, tr8, tr11)",
    sniff=_sniff,
    read=_read,
    missing="a chronicle is no log: give the log that it tells of",
)
