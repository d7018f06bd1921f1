"""The GPU table (``gpus.csv``, a source per row) and its lookup. A card that is not in it has no peak: never a default."""

from __future__ import annotations

import csv
import difflib
import functools
import re
from dataclasses import dataclass, fields, replace
from importlib import resources
from typing import Any

__all__ = ["Gpu", "find_gpu", "load_table", "suggest"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator; None where the figure is not known, or differs between the cards that a name fits.

    ``peak_flops_per_s`` maps a dtype (``bfloat16``, ``float16`` with fp32 accumulation, ``float32`` through TF32
    where there is TF32) to the dense peak.
    """

    name: str
    vendor: str
    sm_count: int | None
    memory_bytes: int | None
    bandwidth_bytes_per_s: float | None
    bf16_flops_per_s: float | None
    fp16_flops_per_s: float | None
    tf32_flops_per_s: float | None
    fp32_flops_per_s: float | None
    source: str

    def peak_flops_per_s(self, dtype: str) -> float | None:
        """Return the dense peak for a dtype with fp32 accumulation [FLOP/s], or None."""
        match dtype:
            case "bfloat16":
                return self.bf16_flops_per_s
            case "float16":
                return self.fp16_flops_per_s
            case "float32":
                return self.tf32_flops_per_s or self.fp32_flops_per_s
            case _:
                return None


@functools.cache
def load_table() -> tuple[Gpu, ...]:
    """Return every card of the table, in its order."""
    text = resources.files(__name__).joinpath("gpus.csv").read_text(encoding="utf-8")

    def tera(row: dict[str, str], key: str) -> float | None:
        return float(row[key]) * 1e12 if row[key] else None

    return tuple(
        Gpu(
            name=row["name"],
            vendor=row["vendor"],
            sm_count=int(row["sm_count"]) if row["sm_count"] else None,
            memory_bytes=round(float(row["mem_gib"]) * 2**30) if row["mem_gib"] else None,
            bandwidth_bytes_per_s=float(row["bandwidth_gbs"]) * 1e9 if row["bandwidth_gbs"] else None,
            bf16_flops_per_s=tera(row, "bf16_dense_tflops"),
            fp16_flops_per_s=tera(row, "fp16_fp32acc_tflops"),
            tf32_flops_per_s=tera(row, "tf32_tflops"),
            fp32_flops_per_s=tera(row, "fp32_tflops"),
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


_SIZE = re.compile(r"\d+gb")
_NOISE = {
    "nvidia",
    "geforce",
    "rtx",
    "gtx",
    "tesla",
    "amd",
    "instinct",
    "gpu",
    "google",
    "graphics",
    "card",
    "tm",
    "r",
    "per",
    "core",
    "generation",
}
_TOKEN = re.compile(r"\d+gb|[a-z]+\d+[a-z]*|\d+|[a-z]+")


def _tokens(name: str) -> frozenset[str]:
    """Return what distinguishes a card: ``NVIDIA GeForce RTX 4070Ti`` → ``{4070, ti}``."""
    text = re.sub(r"(\d)\s*g(?:i?b)\b", r"\1gb", name.lower())
    text = re.sub(r"\b(rtx|gtx)(?=\d)", r"\1 ", text)
    text = re.sub(r"\b(\d{3,4})(ti|super|s)\b", r"\1 \2", text)
    found = {"sxm" if re.fullmatch(r"sxm\d?", token) else token for token in _TOKEN.findall(text)}
    if {"h100", "hbm3"} <= found:  # nvidia-smi calls the SXM card "H100 80GB HBM3"
        found = (found - {"hbm3"}) | {"sxm"}
    return frozenset(found - _NOISE)


def _merge(cards: list[Gpu], name: str) -> Gpu:
    """Return what several cards that fit one name have in common; what differs becomes None."""
    first = cards[0]
    if len(cards) == 1:
        return first
    names = (f.name for f in fields(Gpu) if f.name not in ("name", "vendor", "source"))
    differs: dict[str, Any] = {name: None for name in names if len({getattr(card, name) for card in cards}) > 1}
    return replace(first, name=f"{name} ({' or '.join(c.name for c in cards)})", **differs)


def find_gpu(name: str) -> Gpu | None:
    """Return the card that a name means, as users type it and as logs print it; None when no card fits.

    Parameters
    ----------
    name : str
        ``4070``, ``RTX 4070 12GB``, ``NVIDIA GeForce RTX 4070``, ``A100-SXM4-80GB`` …

    Notes
    -----
    Every word of the name must belong to the card; the card with the fewest further words wins. Where several are
    equally near (``A100``), what they share is returned, and what differs is None.

    Examples
    --------
    >>> find_gpu("NVIDIA GeForce RTX 4070").peak_flops_per_s("bfloat16")
    58300000000000.0
    >>> find_gpu("A100").memory_bytes is None, find_gpu("RTX 4070 Laptop GPU") is None
    (True, True)
    """
    wanted = _tokens(name)
    exact = [card for card in load_table() if _tokens(card.name) == wanted]
    if exact:
        return _merge(exact, name)
    if not any(re.search(r"\d", token) and (len(token) >= 4 or not token.isdigit()) for token in wanted):
        return None  # "8" or "ti" name no card
    ranked: list[tuple[int, Gpu]] = []
    for card in load_table():
        core = _tokens(card.name)
        optional = {f"{card.memory_bytes // 2**30}gb"} if card.memory_bytes else set()
        if wanted <= core | optional and wanted & core:
            ranked.append((sum(not _SIZE.fullmatch(token) for token in core - wanted), card))
    if not ranked:
        return None
    nearest = min(rank for rank, _card in ranked)
    return _merge([card for rank, card in ranked if rank == nearest], name)


def suggest(name: str, count: int = 3) -> list[str]:
    """Return the names in the table that look most like a name that was not found.

    Examples
    --------
    >>> "RTX 4070" in suggest("RTX 4700")
    True
    """

    def plain(text: str) -> str:
        return " ".join(sorted(token for token in _tokens(text) - {"sxm", "pcie", "nvl"} if not _SIZE.fullmatch(token)))

    names = {plain(card.name): card.name for card in reversed(load_table())}
    return [names[key] for key in difflib.get_close_matches(plain(name), names, count, cutoff=0.5)]
