"""Published scaling laws, their optimum, and predictions anchored on known runs."""

from __future__ import annotations

import csv
import functools
import math
import re
from dataclasses import dataclass
from importlib import resources
from statistics import fmean

__all__ = [
    "LAWS",
    "Anchor",
    "Band",
    "ScalingLaw",
    "anchored_floor",
    "anchored_loss",
    "equal_compute_gain",
    "find_anchor",
    "load_anchors",
    "loss_difference",
    "outside_fits",
]


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """A law ``L(N, D) = E + A/N^alpha + B/D^beta`` [nats/token].

    ``balanced`` marks laws whose optimum is published and used; ``predicts`` those used for loss differences.
    """

    name: str
    e: float
    a: float
    b: float
    alpha: float
    beta: float
    source: str
    balanced: bool = False
    predicts: bool = True

    def loss(self, parameters: float, tokens: float) -> float:
        """Return the law's own loss [nats/token]. Tied to its corpus and tokenizer: never print it unanchored."""
        of_data = self.b / math.pow(tokens, self.beta) if math.isfinite(tokens) else 0.0
        return self.e + self.a / math.pow(parameters, self.alpha) + of_data

    def optimal_tokens(self, parameters: float) -> float:
        """Return the tokens at which this model size is compute-optimal [tokens].

        From ``alpha·A/N^alpha = beta·B/D^beta``, the stationary point of L on ``C = 6ND``.
        """
        ratio = self.beta * self.b / (self.alpha * self.a)
        return math.pow(ratio * math.pow(parameters, self.alpha), 1 / self.beta)


def _at(amplitude: float, reference: float, exponent: float) -> float:
    """Return the raw coefficient of a term whose size is given at a reference N or D."""
    return amplitude * math.pow(reference, exponent)


LAWS = (
    ScalingLaw(
        "Hoffmann", 1.69, 406.4, 410.7, 0.34, 0.28, "Hoffmann et al. 2022, arXiv:2203.15556, approach 3", True, False
    ),
    ScalingLaw("Besiroglu", 1.8169, 482.0, 2085.4, 0.3478, 0.3658, "Besiroglu et al. 2024, arXiv:2404.10102", True),
    ScalingLaw(
        "Muennighoff C4",
        math.exp(0.6254804),
        math.exp(6.255),
        math.exp(7.305),
        0.35266,
        0.35266,
        "Muennighoff et al. 2023, arXiv:2305.16264, datablations README",
        True,
    ),
    ScalingLaw(
        "Porian RefinedWeb",
        2.547,
        _at(0.5757, 1e8, 0.386),
        _at(0.1522, 1e10, 0.575),
        0.386,
        0.575,
        "fit on the iso-FLOP points of Porian et al. 2024, arXiv:2406.19146 (cosine; rms 1.4 %)",
    ),
    ScalingLaw(
        "open_lm RefinedWeb",
        1.62,
        _at(1.432, 1e8, 0.173),
        _at(0.496, 1e10, 0.282),
        0.173,
        0.282,
        "fit on 25 runs of Gadre et al. 2024, arXiv:2403.08540 (rms 2.4 %)",
    ),
)


@dataclass(frozen=True, slots=True)
class Band:
    """A value with its bounds."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True)
class Anchor:
    """A known run: what it reached, on which corpus and tokenizer.

    ``parameters`` leaves out the position table. ``annealed`` says whether the learning rate had decayed (below
    about 15 % of its peak) when ``loss`` was measured.
    """

    name: str
    dataset: str
    tokenizer: str
    parameters: float
    tokens: float
    loss: float
    annealed: bool
    source: str


@functools.cache
def load_anchors() -> tuple[Anchor, ...]:
    """Return the known runs shipped with auscult (``anchors.csv``)."""
    text = resources.files(__package__ or "auscult.facts").joinpath("anchors.csv").read_text(encoding="utf-8")
    return tuple(
        Anchor(
            row["name"],
            row["dataset"],
            row["tokenizer"],
            float(row["parameters"]),
            float(row["tokens"]),
            float(row["loss"]),
            row["annealed"] == "yes",
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


MAX_LOG_DISTANCE = math.log(8)
"""An anchor farther than a factor of 8 in parameters or tokens says nothing useful."""
ANCHOR_HALF_WIDTH_NATS = 0.03
"""Recipe differences between runs of one size and corpus (schedule, peak learning rate, minor architecture)."""


def _same_corpus(configured: str, corpus: str) -> bool:
    """Return whether a dataset's name (letters and digits only) means a corpus: FineWeb-Edu and FineWeb 2 are others."""
    return (
        corpus in configured
        and ("edu" in configured) == ("edu" in corpus)
        and re.search(rf"{corpus}2(?!\d)", configured) is None
    )


def find_anchor(dataset: str, parameters: float, tokens: float, *, annealed: bool) -> Anchor | None:
    """Return the nearest known run on the same corpus with the same schedule phase, or None.

    Parameters
    ----------
    dataset : str
        The dataset's name as configured; ``fineweb`` does not match FineWeb-Edu runs.
    parameters, tokens : float
        Where a loss is wanted.
    annealed : bool
        Whether the learning rate will have decayed there.

    References
    ----------
    ``anchors.csv``, a source per row.

    Examples
    --------
    >>> find_anchor("fineweb", 123.6e6, 10.3e9, annealed=True).loss
    3.2722
    """
    key = "".join(ch for ch in dataset.lower() if ch.isalnum())

    def distance(anchor: Anchor) -> float:
        return max(abs(math.log(parameters / anchor.parameters)), abs(math.log(tokens / anchor.tokens)))

    near = [
        anchor
        for anchor in load_anchors()
        if _same_corpus(key, anchor.dataset) and anchor.annealed == annealed and distance(anchor) <= MAX_LOG_DISTANCE
    ]
    return min(near, key=distance, default=None)


FITTED_VOCABULARY = 16_384
"""Half of the smallest vocabulary of those corpora (32,000 to 50,432 tokens of text). Bytes, characters and small vocabularies
cut text into shorter tokens, of which each carries fewer nats: a difference per token is then another unit."""
FITTED_PARAMETERS, FITTED_TOKENS = 5e6, 5e7
"""The smallest models and shortest runs behind :data:`LAWS`: Porian et al. begin at 5M parameters, Gadre et al. at 11M on five
tokens each."""
FAR = 3.0
"""A law is followed this factor below its smallest runs, and no further: its powers then grow without bound."""


def outside_fits(*, parameters: float | None, tokens: float | None, vocabulary: float | None) -> str | None:
    """Return why the published laws say nothing, in nats a token, of runs of a kind; None where they may.

    Parameters
    ----------
    parameters, tokens : float or None
        Of the smallest model and the shortest run that are compared; None where they are not known, or do not matter.
    vocabulary : float or None
        Tokens of the vocabulary; None where it is not known.

    References
    ----------
    The ranges of Hoffmann et al. 2022, Muennighoff et al. 2023, Porian et al. 2024 and Gadre et al. 2024 (:data:`LAWS`).

    Examples
    --------
    >>> outside_fits(parameters=40.6e6, tokens=7.6e9, vocabulary=50_304) is None
    True
    >>> outside_fits(parameters=0.87e6, tokens=4.3e6, vocabulary=50_304)
    'published runs have 5M parameters and more, this model 0.87M'
    >>> outside_fits(parameters=40.6e6, tokens=7.6e9, vocabulary=320)
    'published runs read text in tokens of 32,000 kinds and more; of 320 kinds, each carries fewer nats'
    """
    if vocabulary is not None and vocabulary < FITTED_VOCABULARY:
        return f"published runs read text in tokens of 32,000 kinds and more; of {vocabulary:,.0f} kinds, each carries fewer nats"
    if parameters is not None and parameters * FAR < FITTED_PARAMETERS:
        return f"published runs have 5M parameters and more, this model {parameters / 1e6:.2g}M"
    if tokens is not None and tokens * FAR < FITTED_TOKENS:
        return f"published runs read 50M tokens and more, this one {tokens / 1e6:.2g}M"
    return None


def loss_difference(from_point: tuple[float, float], to_point: tuple[float, float]) -> Band:
    """Return how much the loss changes between two (parameters, tokens) points, over the published laws [nats/token].

    Notes
    -----
    Differences are better determined than levels: the offset E, tied to corpus and tokenizer, cancels.

    References
    ----------
    :data:`LAWS`; the spread between them is the model uncertainty.

    Examples
    --------
    >>> change = loss_difference((40.56e6, 10.5e9), (123.6e6, 10.5e9))
    >>> round(change.low, 2), round(change.high, 2)
    (-0.35, -0.29)
    """
    changes = [law.loss(*to_point) - law.loss(*from_point) for law in LAWS if law.predicts]
    return Band(min(changes), fmean(changes), max(changes))


def anchored_loss(anchor: Anchor, parameters: float, tokens: float) -> Band:
    """Return the loss to expect, as the anchor's loss plus each law's difference [nats/token].

    Notes
    -----
    Bounds: the lowest and highest law, widened by ``ANCHOR_HALF_WIDTH_NATS``. Ignores dropout, data repetition and
    badly tuned learning rates. Back-test in science.md §3a: sd about 0.05 within a factor of 3 in parameters.

    References
    ----------
    :data:`LAWS` and the anchor's own source.

    Examples
    --------
    >>> anchor = find_anchor("fineweb", 123.6e6, 10.3e9, annealed=True)
    >>> band = anchored_loss(anchor, 40.56e6, 7.6e9)
    >>> round(band.low, 2), round(band.high, 2)
    (3.56, 3.7)
    """
    change = loss_difference((anchor.parameters, anchor.tokens), (parameters, tokens))
    return Band(
        anchor.loss + change.low - ANCHOR_HALF_WIDTH_NATS,
        anchor.loss + change.value,
        anchor.loss + change.high + ANCHOR_HALF_WIDTH_NATS,
    )


def anchored_floor(anchor: Anchor, parameters: float) -> Band:
    """Return where the loss would end with unlimited tokens, over the laws [nats/token]. Wide by nature: never two decimals.

    References
    ----------
    :data:`LAWS`, D → ∞.

    Examples
    --------
    >>> floor = anchored_floor(find_anchor("fineweb", 123.6e6, 10.3e9, annealed=True), 40.56e6)
    >>> floor.high - floor.low > 0.3
    True
    """
    return anchored_loss(anchor, parameters, math.inf)


def equal_compute_gain(parameters: float, tokens: float) -> tuple[Band, Band] | None:
    """Return what the same FLOPs would buy in a larger model: the sizes [parameters], and the loss changes [nats/token].

    Notes
    -----
    ``C = 6ND`` is held; each law is minimised over N. Attention FLOPs are ignored. None when every law puts the
    optimum below the present size.

    References
    ----------
    :data:`LAWS`.

    Examples
    --------
    >>> sizes, gains = equal_compute_gain(40.56e6, 7.6e9)
    >>> 100e6 < sizes.low < sizes.high < 200e6, -0.15 < gains.low < gains.high < -0.05
    (True, True)
    """
    best: list[tuple[float, float]] = []
    compute = parameters * tokens
    for law in LAWS:
        if not law.predicts:
            continue
        sizes = [parameters * math.exp(0.02 * i) for i in range(400)]
        size = min(sizes, key=lambda n: law.loss(n, compute / n))
        best.append((size, law.loss(size, compute / size) - law.loss(parameters, tokens)))
    if all(gain >= -1e-4 for _size, gain in best):
        return None
    sizes_found, gains = [size for size, _gain in best], [gain for _size, gain in best]
    return Band(min(sizes_found), fmean(sizes_found), max(sizes_found)), Band(min(gains), fmean(gains), max(gains))
