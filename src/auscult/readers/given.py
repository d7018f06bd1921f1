"""Facts that a run folder does not hold: from options, or from an ``auscult.toml`` beside the run."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from typing import Any

from ..errors import BadSettings, UsageError
from ..run import Known, Quantity, Source, Unknown
from .files import InputFile
from .patterns import lazy

__all__ = ["SETTINGS_FILE", "Given", "given_by_options", "read_settings"]

SETTINGS_FILE = "auscult.toml"

_NO_GPU = Unknown('give --gpu NAME, or gpu = "NAME" in auscult.toml')
_NO_GPUS = Unknown("give --gpu NAMExN, or gpus = N in auscult.toml")
_NO_TRAIN_TOKENS = Unknown("give --train-tokens, or train_tokens in auscult.toml")
_NO_VAL_TOKENS = Unknown("give --val-tokens, or val_tokens in auscult.toml")
_NO_MFU = Unknown("the log has no MFU, and auscult.toml quotes none")


@dataclass(frozen=True, slots=True)
class Given:
    """What a person says about a run. Every field is ``Known`` with its place, or ``Unknown``.

    Attributes
    ----------
    gpu : str
        The card's name, as the user writes it.
    gpus : int
        How many cards the run used.
    train_tokens, val_tokens : int
        Tokens in each split.
    mfu_logged : (float, float)
        The range of MFU the trainer printed, as fractions in the trainer's own units, when the log lacks those lines.
    """

    gpu: Quantity[str] = _NO_GPU
    gpus: Quantity[int] = _NO_GPUS
    train_tokens: Quantity[int] = _NO_TRAIN_TOKENS
    val_tokens: Quantity[int] = _NO_VAL_TOKENS
    mfu_logged: Quantity[tuple[float, float]] = _NO_MFU

    def over(self, other: Given) -> Given:
        """Return these facts, and ``other``'s where this one is silent."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return Given(**{k: v if isinstance(v, Known) else getattr(other, k) for k, v in mine.items()})


_GPU_COUNT = lazy(r"^(.+?)(?:\s+x\s*|(?<=\d)x|\s*[×*]\s*)(\d{1,6})$", re.IGNORECASE)
_COUNT_FIRST = lazy(r"^([1-9]\d{0,3})\s*[x×*]\s*(.+)$", re.IGNORECASE)
_ONLY_COUNT = lazy(r"^[x×*]\s*\d+$", re.IGNORECASE)
_TOKENS = lazy(r"^(\d{1,18}(?:\.\d{1,18})?)\s*([kKmMbBtT]?)$")
_MOST_TOKENS = 10**18
_MOST_CARDS = 10**6
_SCALE = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def _count(value: object) -> int:
    """Return a token count written as 5300, "5.3k", "10.5M" or "1B"."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS:
        return value
    if isinstance(value, str) and (found := _TOKENS.match(value.replace(",", "").replace("_", "").strip())):
        count = round(float(found[1]) * _SCALE[found[2].lower()])
        if 0 < count <= _MOST_TOKENS:
            return count
    raise ValueError("a positive count such as 5300, 5.3k or 1.2B")


def _gpu(value: object) -> tuple[str, int | None]:
    if not isinstance(value, str) or not value.strip() or _ONLY_COUNT.match(value.strip()):
        raise ValueError('a name such as "RTX 4070" or "H100 SXM x8"')
    if found := _GPU_COUNT.match(value.strip()):
        if int(found[2]) < 1:
            raise ValueError("a count of at least 1 after the ×")
        return found[1].strip(), int(found[2])
    if found := _COUNT_FIRST.match(value.strip()):
        return found[2].strip(), int(found[1])
    return value.strip(), None


def _fraction_range(value: object) -> tuple[float, float]:
    items = value if isinstance(value, list) else [value, value]
    numbers = [float(x) for x in items if isinstance(x, int | float) and not isinstance(x, bool) and 0 < x < 10]
    if len(items) == 2 and len(numbers) == 2:
        return min(numbers), max(numbers)
    raise ValueError("a fraction such as 0.115, or a range such as [0.11, 0.12]")


def _positive(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_CARDS:
        return value
    raise ValueError("a positive whole number of cards")


_PARSERS = {
    "gpu": _gpu,
    "gpus": _positive,
    "train_tokens": _count,
    "val_tokens": _count,
    "mfu_logged": _fraction_range,
}


def _build(values: dict[str, tuple[Any, Source]]) -> Given:
    known: dict[str, Any] = {}
    for key, (value, source) in values.items():
        if key == "gpu":
            name, count = value
            known["gpu"] = Known(name, source)
            if count is not None and "gpus" not in values:
                known["gpus"] = Known(count, source)
        else:
            known[key] = Known(value, source)
    return Given(**known)


def given_by_options(**options: object) -> Given:
    """Return the facts given as options; None means that an option was not given.

    Raises
    ------
    UsageError
        When a value cannot be understood.

    Examples
    --------
    >>> given_by_options(gpu="RTX 4070 x2", val_tokens="5.3k").gpus
    Known(2, --gpu)
    """
    values: dict[str, tuple[Any, Source]] = {}
    for key, raw in options.items():
        if raw is None:
            continue
        option = "--" + key.replace("_", "-")
        try:
            values[key] = (_PARSERS[key](raw), Source("given", formula=option, text=str(raw)))
        except ValueError as error:
            raise UsageError(f"{option}: expected {error}, found {raw!r}.") from None
    return _build(values)


def read_settings(file: InputFile) -> Given:
    """Read an ``auscult.toml``.

    Raises
    ------
    BadSettings
        When it is not TOML, has an unknown key, or a value of the wrong kind.
    """
    import tomllib  # only a run that has an auscult.toml waits for it

    text, name = file.text(), file.name
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"not valid TOML ({error})", where=name, hint="mend that line") from None
    except (RecursionError, ValueError):
        raise BadSettings("not TOML that can be read: nested too deep, or an endless number", where=name) from None
    lines = text.splitlines()
    values: dict[str, tuple[Any, Source]] = {}
    for key, raw in table.items():
        if key == "gpu" and isinstance(raw, list):
            continue  # [[gpu]] tables describe cards; hardware/user_table.py reads them
        line = next(
            (i for i, text in enumerate(lines, 1) if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", text)), None
        )
        where = f"{name}:{line}" if line else name
        if key not in _PARSERS:
            near = difflib.get_close_matches(key, _PARSERS, 1)
            hint = f"did you mean {near[0]}" if near else f"known keys: {', '.join(_PARSERS)}"
            raise BadSettings(f"unknown key {key!r}", where=where, hint=hint)
        try:
            source = Source("given", name, line, lines[line - 1].strip() if line else None, formula=SETTINGS_FILE)
            values[key] = (_PARSERS[key](raw), source)
        except ValueError as error:
            raise BadSettings(
                f"{key} has a value that cannot be used", where=where, expected=str(error), found=repr(raw)
            ) from None
    return _build(values)
