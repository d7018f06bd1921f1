"""What is measured, most important first; what no time is left for is skipped and said so.

Memory and speed are measured over 16 shapes x {eager, compiled} x {dropout 0, 0.1} x {checkpointing none, full}. That is 128
measurements; a half of them is taken, half each shape's: shapes of even number those where an even number of the three factors is
on, odd shapes the others. Every pair of factors is then seen in all four combinations on each shape, and every one of the eight
combinations on eight shapes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

__all__ = ["SHAPES", "Job", "Shape", "Step", "design"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A GPT-2 and how many sequences a pass has on a card of 76 GiB or more."""

    n_layer: int
    n_head: int
    d_model: int
    vocab_size: int
    context: int
    micro_batch: int


@dataclass(frozen=True, slots=True)
class Step:
    """A training step to time.

    Attributes
    ----------
    family : str
        ``gpt2``, or ``modern`` with rotary positions, RMSNorm, QK-norm and ReLU².
    accumulation : int
        Passes of a step.
    backend : str
        Of ``scaled_dot_product_attention``: ``auto``, ``flash``, ``cudnn``, ``efficient``; ``fa3`` and ``fa4`` are torch's switch; or
        ``flex``.
    """

    shape: Shape
    family: str = "gpt2"
    compiled: bool = False
    dropout: float = 0.0
    checkpointing: str = "none"
    optimizer: str = "adamw"
    cross_entropy: str = "full"
    backend: str = "auto"
    dtype: str = "bfloat16"
    accumulation: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement.

    Attributes
    ----------
    kind : str
        What the worker does.
    section : str
        What it is for.
    values : mapping
        What the worker is told.
    about_s, limit_s : float
        What it takes, about; when it is given up.
    """

    kind: str
    section: str
    values: Mapping[str, Any] = field(default_factory=dict)
    about_s: float = 10.0
    limit_s: float = 90.0

    @property
    def name(self) -> str:
        """What tells it from all others, in every call of the script."""
        values = {**self.values.get("step", {}), **{k: v for k, v in self.values.items() if k != "step"}}
        shape = values.pop("shape", {})
        words = ["x".join(str(size) for size in shape.values())] if shape else []
        words += [f"{key}={value}" for key, value in values.items()]
        return " ".join([self.section, self.kind, *words])


SHAPES = (
    Shape(12, 12, 768, 50304, 1024, 16),
    Shape(6, 6, 384, 50304, 256, 64),
    Shape(12, 12, 384, 50304, 512, 48),
    Shape(24, 16, 1024, 50304, 1024, 8),
    Shape(4, 20, 1280, 50304, 1024, 8),
    Shape(4, 4, 256, 32768, 2048, 16),
    Shape(8, 8, 512, 50304, 1024, 32),
    Shape(6, 6, 768, 50304, 2048, 8),
    Shape(4, 8, 1024, 128256, 1024, 8),
    Shape(3, 16, 2048, 50304, 1024, 8),
    Shape(8, 12, 768, 50304, 512, 32),
    Shape(4, 12, 768, 50304, 4096, 4),
    Shape(2, 12, 768, 151936, 512, 16),
    Shape(6, 16, 1024, 256, 1024, 16),
    Shape(5, 10, 640, 50304, 1024, 24),
    Shape(3, 25, 1600, 50304, 1024, 8),
)
"""Of every width and vocabulary that small models have; few layers where depth tells nothing new, for compiling takes seconds a layer."""
GPT2 = Shape(12, 12, 768, 50304, 1024, 64)
_TINY = Shape(2, 2, 32, 64, 16, 2)
_EAGER_TURNS, _COMPILED_TURNS = (0, 1), (2, 3)
_EAGER_S, _COMPILE_S, _COMPILE_LAYER_S = 5.0, 8.0, 1.6


def design(*, tiny: bool = False, card_bytes: int | None = None) -> list[Job]:
    """Return the jobs, most important first.

    Parameters
    ----------
    tiny : bool
        Every kind of job, on models that a processor trains in a moment, two shapes and one value of each sweep.
    card_bytes : int, optional
        Memory of the card: micro-batches shrink with it below 76 GiB.
    """
    gpt2 = _TINY if tiny else _fitting(GPT2, card_bytes)
    head128 = replace(gpt2, n_head=gpt2.n_head // 2)
    shapes = [replace(_TINY, n_layer=1 + i) for i in range(2)] if tiny else [_fitting(s, card_bytes) for s in SHAPES]
    best = Step(gpt2, compiled=True, accumulation=2 if tiny else 4)
    once = replace(best, accumulation=1)
    return [
        Job("ceilings", "machine", {"tiny": tiny}, 15, 60),
        _timed("mfu", best),
        Job("agreement", "agreement", {"step": asdict(Step(_small(gpt2)))}, 40, 120),
        _timed("mfu", replace(best, backend="cudnn")),
        _timed("mfu", replace(best, shape=head128)),
        *_grid(shapes, _EAGER_TURNS[0]),
        Job("resume", "faults", {"tiny": tiny}, 60, 180),
        Job("step_down", "faults", {"tiny": tiny}, 30, 120),
        *_grid(shapes, _COMPILED_TURNS[0]),
        *_grid(shapes, _EAGER_TURNS[1]),
        _timed("mfu", replace(best, shape=head128, backend="cudnn")),
        _timed("optimizer", replace(once, optimizer="muon")),
        _timed("optimizer", once),
        _timed("loss", replace(once, compiled=False, cross_entropy="chunked")),
        _timed("loss", replace(once, compiled=False)),
        _timed("loss", replace(once, cross_entropy="chunked")),
        _timed("mfu", replace(best, shape=head128, backend="fa3")),
        _timed("mfu", replace(best, shape=head128, family="modern", backend="cudnn")),
        _timed("mfu", replace(best, shape=replace(gpt2, micro_batch=max(1, gpt2.micro_batch // 2)))),
        *_grid(shapes, _COMPILED_TURNS[1]),
        _timed("mfu", replace(best, shape=head128, backend="flex")),
        _timed("mfu", replace(best, shape=replace(gpt2, micro_batch=gpt2.micro_batch * 3 // 2))),
        _timed("mfu", replace(best, backend="efficient")),
        _timed("mfu", replace(best, backend="fa3")),
        _timed("mfu", replace(best, compiled=False)),
        _timed("mfu", replace(best, shape=head128, backend="fa4")),
        _timed("mfu", replace(best, shape=replace(gpt2, micro_batch=max(1, gpt2.micro_batch // 4)))),
    ]


def _timed(section: str, step: Step) -> Job:
    about = _EAGER_S + (_COMPILE_S + _COMPILE_LAYER_S * step.shape.n_layer if step.compiled else 0)
    return Job("step", section, {"step": asdict(step)}, about, 150)


def _grid(shapes: list[Shape], turn: int) -> Iterator[Job]:
    """Yield one of the four combinations that each shape has: the first two are eager, the others compiled."""
    for shape in shapes:
        combinations = [
            combination
            for combination in itertools.product((False, True), repeat=3)
            if sum(combination) % 2 == _parity(shape)
        ]
        compiled, drops, checkpoints = combinations[turn]
        dropout, checkpointing = (0.1 if drops else 0.0), ("full" if checkpoints else "none")
        yield _timed("grid", Step(shape, compiled=compiled, dropout=dropout, checkpointing=checkpointing))


def _parity(shape: Shape) -> int:
    """Return which half a shape takes: by its place in the list, whatever the card made of its micro-batch."""
    places = [replace(known, micro_batch=0) for known in SHAPES]
    same = replace(shape, micro_batch=0)
    return (places.index(same) if same in places else shape.n_layer) % 2


def _fitting(shape: Shape, card_bytes: int | None) -> Shape:
    share = 1.0 if card_bytes is None else min(1.0, card_bytes / (76 * 2**30))
    return replace(shape, micro_batch=max(1, int(shape.micro_batch * share)))


def _small(shape: Shape) -> Shape:
    return replace(shape, n_layer=min(4, shape.n_layer), micro_batch=min(4, shape.micro_batch))
