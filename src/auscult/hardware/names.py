"""From a name, as people type it or a driver prints it, to a card: the right one, what several share, or none."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from .gpu import Gpu, load_table

__all__ = ["find_gpu", "merge", "namesakes", "suggest", "vendor_of"]

LONGEST_NAME = 200
"""Longer text is a document, not a card's name."""
LEAST_LIKENESS = 0.5
"""Below this, a card is not suggested: ``4070`` and ``4700`` have 0.75, ``4070`` and ``a40`` 0.57."""
_VENDOR_WORDS = {
    "nvidia": {"nvidia", "geforce", "rtx", "gtx", "tesla", "quadro"},
    "amd": {"amd", "instinct", "radeon"},
    "google": {"google", "tpu"},
    "apple": {"apple"},
}
_NOISE = {"gpu", "cloud", "graphics", "card", "tm", "r", "per", "core", "cores", "generation", "corporation", "silicon"}
_FORMS = {"sxm", "sxm2", "sxm3", "sxm4", "sxm5", "sxm6", "pcie", "nvl"}
_FURTHER = {
    "GH200-96GB": {"480gb", "120gb", "hbm3"},
    "GB200 (per GPU)": {"nvl72"},
    "B300-SXM": {"ac"},
    "H100-SXM5-80GB": {"hbm3"},
    "H200-SXM-141GB": {"hbm3e"},
    "MI250": {"oam", "mcm", "ac", "mba"},
    "MI250X": {"oam", "mcm", "ac", "mba"},
    "MI300X": {"oam"},
    "MI325X": {"oam"},
    "MI355X": {"oam"},
}
"""What else may stand in a card's name. NVIDIA prints ``GH200 480GB`` (120GB) for the processor's memory, ``H100 80GB HBM3`` for
the SXM card and ``B300 SXM6 AC``; AMD prints ``MI300X OAM`` and ``MI250 (MCM) OAM AC MBA``."""
_TARGETS = {"gfx90a": ("MI210", "MI250", "MI250X"), "gfx942": ("MI300X", "MI325X"), "gfx950": ("MI355X",)}
"""Cards that share an LLVM target (LLVM, "User Guide for AMDGPU Backend"): too little to choose by, enough to suggest."""
_DRIVER_NOTES = re.compile(
    r"\((?:uuid|pci)[^)]*\)?|^\s*(?:gpu|cuda|device|card)[-_:\s]*\d{1,3}[-_:\s]+|\s{2,}(?:on|off)\b.*$|[®™]", re.ASCII
)
"""``GPU 0: NVIDIA A100 (UUID: …)`` of ``nvidia-smi -L``, ``… HBM3    On |`` of its table, ``cuda:0 …``."""
_QUOTED = re.compile(r"name\s*[=:]\s*['\"]?([^'\",]+)|\(['\"]([^'\"]+)['\"]\)")
"""``_CudaDeviceProperties(name='…', …)`` of PyTorch, ``device: 0, name: …, pci bus id`` of TensorFlow, ``('…')`` of Lightning."""
_SLICE = re.compile(r"\bmig\b|\b\d+g\.\d+gb\b")
_REWRITES = tuple(
    (re.compile(pattern, re.ASCII), new)
    for pattern, new in (
        (r"(?<![a-z0-9])(\d+)\s*g(?:i?b)?(?![a-z0-9])", r" \1gb "),
        (r"(?<![a-z])(rtx|gtx|geforce|titan)[-_]?(?=\d)", r"\1 "),
        (r"(?<![a-z0-9])(\d{4})\s*(ti)?[-_ ]?(s|super)?(?![a-z0-9])", r"\1 \2 \3 "),
        (r"\bpci-e\b|\bpci express\b", "pcie"),
        (r"(?<![a-z])([abhv]\d{2,3})(sxm\d?|pcie)(?![a-z0-9])", r"\1 \2"),
        (r"(?<![a-z0-9])(sxm)(\d)(?![a-z0-9])", r"\1 \1\2"),
        (r"(?<![a-z])v([56])\s*lite(?:pod)?(?:-\d{1,4})?(?![a-z0-9])", r"tpu v\1e"),
        (r"\btrillium\b", "tpu v6e"),
        (r"\bironwood\b", "tpu v7x"),
        (r"(?<![a-z])tpu\s*v5(?![a-z0-9])", "tpu v5p"),
        (r"(?<![a-z])tpu[-_]?(?=\d)", "tpu v"),
    )
)
"""The last five: JAX calls a TPU v5e ``TPU v5 lite`` and a v5p ``TPU v5`` (jax, ``pallas/mosaic/tpu_info.py``)."""
_TOKEN = re.compile(r"\d+gb|[a-z]+\d+[a-z]*|\d+[a-z]*|[a-z]+", re.ASCII)
_SIZE = re.compile(r"\d+gb", re.ASCII)
_POWER = re.compile(r"\d{2,4}w", re.ASCII)
"""A power limit says nothing about which card it is."""
_SHORT_NUMBER = re.compile(r"\d{1,2}", re.ASCII)
_SHORT_FOR = {"s": "super"}
_BARE_VERSIONS = {"v2", "v3", "v4"}
"""TPUs whose name without "TPU" may be a version of anything."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A name, taken apart: what says which chip it is, what says which variant, and whose it is."""

    chip: frozenset[str]
    variant: frozenset[str]
    vendors: frozenset[str]


def _plain(name: str) -> str:
    """Return the card's name out of what a program printed around it."""
    text = name[:LONGEST_NAME]
    if found := _QUOTED.search(text):
        text = found[1] or found[2]
    return _DRIVER_NOTES.sub(" ", text.lower())


def _read(name: str) -> _Reading:
    text = _plain(name)
    for pattern, new in _REWRITES:
        text = pattern.sub(new, text)
    words = {_SHORT_FOR.get(word, word) for word in _TOKEN.findall(text)}
    vendors = frozenset(vendor for vendor, own in _VENDOR_WORDS.items() if words & own)
    words = {word for word in words - _NOISE.union(*_VENDOR_WORDS.values()) if not _POWER.fullmatch(word)}
    variant = {
        word
        for word in words
        if _SIZE.fullmatch(word) or _SHORT_NUMBER.fullmatch(word) or word in _FORMS or word in _ALL_FURTHER
    }
    return _Reading(frozenset(words - variant), frozenset(variant), vendors)


_ALL_FURTHER = frozenset().union(*_FURTHER.values())


@functools.lru_cache(maxsize=512)
def _card_reading(card: Gpu) -> _Reading:
    return _read(card.name)


def _may_say(card: Gpu) -> frozenset[str]:
    """Return every word about its variant that a name of this card may hold."""
    own = _card_reading(card).variant
    size = {f"{round(card.memory_bytes / 2**30)}gb"} if card.memory_bytes else set()
    sockets = _FORMS - {"pcie", "nvl"} if own & _FORMS == {"sxm"} else set()  # a row that does not say which
    return own | size | sockets | _FURTHER.get(card.name, set())


def merge(cards: Sequence[Gpu], name: str) -> Gpu:
    """Return what several cards that fit one name have in common; what differs becomes None.

    Examples
    --------
    >>> merge(namesakes("RTX 3080"), "RTX 3080").memory_bytes is None
    True
    """
    first = cards[0]
    if len(cards) == 1:
        return first
    names = (f.name for f in fields(Gpu) if f.name not in ("name", "vendor", "source"))
    differs: dict[str, Any] = {name: None for name in names if len({getattr(card, name) for card in cards}) > 1}
    return replace(first, name=f"{name} ({' or '.join(c.name for c in cards)})", **differs)


def namesakes(name: str, extra: Sequence[Gpu] = ()) -> tuple[Gpu, ...]:
    """Return every card that a name fits, the user's own cards before the table's.

    Parameters
    ----------
    name : str
        As a person types it, or a driver prints it.
    extra : sequence of Gpu, optional
        The user's own cards; where one of them fits, the table's are not asked.

    Notes
    -----
    A name consists of words for the chip (``4070``, ``ti``, ``super``, ``laptop``) and for its variant (memory, form). The
    words for the chip must be the card's, all of them and no others, so that no card is taken for a neighbour; the words
    for the variant may be left out.

    Examples
    --------
    >>> [card.name for card in namesakes("RTX 3080")]
    ['RTX 3080', 'RTX 3080 12GB']
    """
    own = tuple(card for card in extra if " ".join(card.name.lower().split()) == " ".join(name.lower().split()))
    if own:
        return own
    if _SLICE.search(_plain(name)):
        return ()
    wanted = _read(name)
    if not wanted.chip or (wanted.chip <= _BARE_VERSIONS and not wanted.vendors):
        return ()

    def fits(card: Gpu) -> bool:
        return (
            _card_reading(card).chip == wanted.chip
            and wanted.variant <= _may_say(card)
            and (wanted.vendors <= {card.vendor} or card.vendor not in _VENDOR_WORDS)
        )

    return tuple(filter(fits, extra)) or tuple(filter(fits, load_table()))


def find_gpu(name: str, extra: Sequence[Gpu] = ()) -> Gpu | None:
    """Return the card that a name means, as users type it and as logs print it; None when no card fits.

    Parameters
    ----------
    name : str
        ``4070``, ``RTX 4070 12GB``, ``NVIDIA GeForce RTX 4070``, ``A100-SXM4-80GB`` …
    extra : sequence of Gpu, optional
        The user's own cards, such as those of :func:`auscult.hardware.settings.gpus_of_settings`.

    Notes
    -----
    Where a name is exactly one row's, that row is meant. Where several fit (``A100``), what they share is returned, and
    what differs is None. A slice of a card (MIG) is not the card, and has no row.

    Examples
    --------
    >>> find_gpu("NVIDIA GeForce RTX 4070").peak_flops_per_s("bfloat16")
    58300000000000.0
    >>> find_gpu("A100").memory_bytes is None, find_gpu("RTX 4070 Laptop GPU") is None
    (True, True)
    """
    cards = namesakes(name, extra)
    if not cards:
        return _alternatives(name, extra)
    said = _read(name).variant
    exact = [card for card in cards if _card_reading(card).variant == said]
    return merge(exact or cards, name.strip())


def _alternatives(name: str, extra: Sequence[Gpu]) -> Gpu | None:
    """Return what the cards of ``AMD Instinct MI250X / MI250`` share: the driver cannot tell them apart."""
    parts = name[:LONGEST_NAME].split("/")
    if len(parts) != 2:
        return None
    found = [namesakes(part, extra) for part in parts]
    return merge([card for cards in found for card in cards], name.strip()) if all(found) else None


def vendor_of(name: str) -> str | None:
    """Return whose card a name says that it is; None where it does not say, or says two.

    Examples
    --------
    >>> vendor_of("NVIDIA GeForce RTX 4070 Laptop GPU"), vendor_of("A100")
    ('nvidia', None)
    """
    vendors = _read(name).vendors
    return next(iter(vendors)) if len(vendors) == 1 else None


def suggest(name: str, count: int = 3, extra: Sequence[Gpu] = ()) -> list[str]:
    """Return the names in the table that look most like a name that was not found.

    Examples
    --------
    >>> "RTX 4070" in suggest("RTX 4700"), suggest("gfx942")
    (True, ['MI300X', 'MI325X'])
    """
    chip = _read(_SLICE.sub(" ", _plain(name))).chip
    if named := next((_TARGETS[word] for word in chip if word in _TARGETS), None):
        return list(named[:count])
    scores = {card.name: _likeness(chip, _card_reading(card).chip) for card in (*extra, *load_table())}
    ranked = sorted(scores, key=lambda card: -scores[card])
    return [card for card in ranked[:count] if scores[card] >= LEAST_LIKENESS]


def _likeness(wanted: frozenset[str], chip: frozenset[str]) -> float:
    """Return how alike the words for two chips are, up to 1; more where they share a model's number."""
    alike = difflib.SequenceMatcher(None, " ".join(sorted(wanted)), " ".join(sorted(chip))).ratio()
    if any(char.isdigit() for word in wanted & chip for char in word):
        return 2 + alike - len(chip - wanted)  # a card with fewer words that were not said is nearer
    return alike
