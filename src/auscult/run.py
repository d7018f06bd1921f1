"""What a run is: recipe, series, machine, data, and where every value was read. The ground floor; imports nothing of ours.

Every value is ``Known(value, source)`` or ``Unknown(reason)``; there is no third state and no silent default.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

__all__ = [
    "Architecture",
    "Assignment",
    "Comment",
    "ConfigText",
    "Data",
    "Known",
    "Logged",
    "Machine",
    "Notice",
    "Problem",
    "Quantity",
    "Recipe",
    "Run",
    "Seam",
    "Series",
    "Source",
    "Unknown",
    "derive",
    "known",
    "split_lines",
    "value_of",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

How: TypeAlias = Literal["read", "default", "derived", "given"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: a line of a file, a trainer's default, a person, or a formula over other values.

    Attributes
    ----------
        ``read`` in a file, ``default`` of the trainer (not written in the config), ``derived`` by a
        formula, ``given`` by a person (option or ``auscult.toml``).
    file, line, text
        The file, its line (from 1) and the text that was read there.
    formula : str or None
        The named formula, default or option.
    inputs : tuple of Source
        The sources of the values that entered the formula.

    Examples
    --------
    >>> Source("read", "train.log", 17, "step 0: …").place
    'train.log:17'
    """

    how: How
    file: str | None = None
    line: int | None = None
    text: str | None = None
    formula: str | None = None
    inputs: tuple[Source, ...] = ()

    @property
    def place(self) -> str:
        """The place in one short string, ``file:line`` where there is one."""
        if self.file is not None:
            return f"{self.file}:{self.line}" if self.line is not None else self.file
        return self.formula or self.how

    def leaves(self) -> Iterator[Source]:
        """Yield the sources with a file from which this one was derived (itself, when it was read)."""
        if self.file is not None:
            yield self
        for source in self.inputs:
            yield from source.leaves()


@dataclass(frozen=True, slots=True)
class Known(Generic[T_co]):
    """A value with its source."""

    value: T_co
    source: Source

    def __repr__(self) -> str:
        return f"Known({self.value!r}, {self.source.place})"

    def __bool__(self) -> bool:
        raise TypeError("a Known has no truth value: test its .value, or isinstance(x, Known)")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not known, and why."""

    reason: str

    def __repr__(self) -> str:
        return f"Unknown({self.reason!r})"

    def __bool__(self) -> bool:
        raise TypeError("an Unknown has no truth value: use isinstance(x, Known)")


Quantity: TypeAlias = Known[T] | Unknown


def known(value: T, formula: str, *inputs: Known[Any]) -> Known[T]:
    """Return a derived value, with the formula's name and the sources of its inputs."""
    return Known(value, Source("derived", formula=formula, inputs=tuple(item.source for item in inputs)))


def derive(formula: str, function: Callable[..., T], **inputs: Quantity[Any]) -> Quantity[T]:
    """Apply a formula to known values; the first unknown input makes the result unknown, by name.

    Parameters
    ----------
    formula : str
        What the formula is called in the source of the result.
    function : callable
        Called with the plain values, by keyword.
    **inputs : Known or Unknown
        Its arguments.

    Examples
    --------
    >>> two = Known(2, Source("given", formula="--two"))
    >>> derive("twice", lambda x: 2 * x, x=two)
    Known(4, twice)
    >>> derive("twice", lambda x: 2 * x, x=Unknown("nobody said"))
    Unknown('needs x: nobody said')
    """
    for name, quantity in inputs.items():
        if isinstance(quantity, Unknown):
            reason = quantity.reason
            return Unknown(reason if reason.startswith("needs ") else f"needs {name}: {reason}")
    values = {name: cast("Known[Any]", quantity) for name, quantity in inputs.items()}
    return known(function(**{name: item.value for name, item in values.items()}), formula, *values.values())


def value_of(quantity: Quantity[T]) -> T | None:
    """Return the plain value, or None when it is unknown."""
    return quantity.value if isinstance(quantity, Known) else None


@dataclass(frozen=True, slots=True)
class Architecture:
    """The model's shape.

    ``d_ff`` is the MLP's inner width; ``context`` the sequence length in tokens; ``tied`` whether the output
    head shares the token embedding; ``bias`` whether linear layers and norms have biases. ``details`` is the config of the
    whole model under transformers' keys, ``model_type`` among them, where a file gives it: enough to draw its blueprint.
    """

    family: Quantity[str]
    n_layer: Quantity[int]
    n_head: Quantity[int]
    n_kv_head: Quantity[int]
    d_model: Quantity[int]
    d_ff: Quantity[int]
    vocab_size: Quantity[int]
    context: Quantity[int]
    tied: Quantity[bool]
    bias: Quantity[bool]
    details: Quantity[Mapping[str, Any]] = Unknown("the run's files do not give the model's config")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was asked for.

    ``batch_size`` is the micro-batch per rank in sequences. ``gradient_accumulation_steps`` is the number
    summed over all ranks for each optimiser step (nanoGPT's convention), so that tokens per step are
    ``batch_size · gradient_accumulation_steps · context`` whatever the world size.
    """

    architecture: Architecture
    batch_size: Quantity[int]
    gradient_accumulation_steps: Quantity[int]
    world_size: Quantity[int]
    optimizer: Quantity[str]
    learning_rate: Quantity[float]
    min_lr: Quantity[float]
    warmup_steps: Quantity[int]
    decay_steps: Quantity[int]
    schedule: Quantity[str]
    max_steps: Quantity[int]
    weight_decay: Quantity[float]
    beta1: Quantity[float]
    beta2: Quantity[float]
    grad_clip: Quantity[float]
    dropout: Quantity[float]
    dtype: Quantity[str]
    compile: Quantity[bool]
    eval_interval: Quantity[int]
    eval_iters: Quantity[int]
    log_interval: Quantity[int]
    dataset: Quantity[str]
    init_from: Quantity[str]
    run_name: Quantity[str]


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware as it was named, and how many devices the run used."""

    gpu_name: Quantity[str]
    gpu_count: Quantity[int]


@dataclass(frozen=True, slots=True)
class Data:
    """How many tokens each split holds."""

    train_tokens: Quantity[int]
    val_tokens: Quantity[int]


_NOT_PRINTED = Unknown("the run's files do not say")


@dataclass(frozen=True, slots=True)
class Logged:
    """Figures that the trainer printed or saved about itself, under its own conventions.

    ``parameters`` is ``(low, high)``: the interval of counts that round to what was printed, and
    ``parameters_convention`` what they leave out (``total`` when nothing).
    ``parameters_2d`` is the exact count of decayed (two-dimensional) parameters, where it was printed.
    ``tokens_per_step`` counts all ranks. ``epochs`` is the trainer's own counter at its last step.
    ``mfu_peak_flops_per_s`` is the peak of which a printed MFU is a share.
    ``mfu_range`` is ``(low, high)`` as a person quoted it, when the log has no such lines.
    """

    parameters: Quantity[tuple[int, int]] = _NOT_PRINTED
    parameters_2d: Quantity[int] = _NOT_PRINTED
    tokens_per_step: Quantity[int] = _NOT_PRINTED
    mfu_range: Quantity[tuple[float, float]] = _NOT_PRINTED
    parameters_convention: Quantity[str] = _NOT_PRINTED
    tokens_planned: Quantity[int] = _NOT_PRINTED
    tokens_seen: Quantity[int] = _NOT_PRINTED
    epochs: Quantity[float] = _NOT_PRINTED
    flops_per_token: Quantity[float] = _NOT_PRINTED
    peak_flops_per_s: Quantity[float] = _NOT_PRINTED
    mfu_peak_flops_per_s: Quantity[float] = _NOT_PRINTED


@dataclass(frozen=True, slots=True)
class Series:
    """One metric over steps, with what it means.

    Attributes
    ----------
    name : str
        ``train_loss``, ``train_loss_eval``, ``val_loss``, ``val_bpb``, ``step_time_s``, ``mfu``, ``learning_rate``,
        ``grad_norm`` … in the field's standard terms (``readers/meaning.py``); a metric that has no standard name
        keeps the trainer's.
    split : str
        ``train``, ``val`` or ``-`` where it does not apply.
    mode : str
        ``train`` (dropout on), ``eval`` (dropout off) or ``unknown``.
    unit : str
        ``nats_per_token``, ``bits_per_byte``, ``s``, ``fraction``, ``1`` …
    window : str
        What one value averages over.
    file : str
        Where it was read.
    steps, values, lines : sequence
        Optimiser step, value and line in ``file``, one each per point, in the order of the file; not to be changed.
    scope : str
        ``rank`` (one process's value), ``global`` (reduced over all) or ``unknown``.
    convention : str
        What else one must know to compare it: the peak behind an MFU, a loss not divided by accumulation.
    axis : str
        What ``steps`` count: ``step``, or ``epoch``, ``samples``, ``tokens``, ``row`` where there is nothing better.
    count, stride : int
        How many points the file holds, and that every ``stride``-th of them is kept here (1: all of them), besides
        the last and the smallest.
    files, origins
        Of a run that was taken up in another file: its files, and for each point the index of the one that holds it.
    """

    name: str
    split: str
    mode: str
    unit: str
    window: str
    file: str
    steps: Sequence[int]
    values: Sequence[float]
    lines: Sequence[int]
    scope: str = "unknown"
    convention: str = ""
    axis: str = "step"
    count: int = -1
    stride: int = 1
    files: tuple[str, ...] = ()
    origins: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.count < 0:
            object.__setattr__(self, "count", len(self.steps))

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        if not self.steps:
            return f"Series({self.name}, empty)"
        return (
            f"Series({self.name}, {self.count} points, step {self.steps[0]}: {self.values[0]:g}"
            f" … step {self.steps[-1]}: {self.values[-1]:g})"
        )

    def source(self, index: int) -> Source:
        """Return where the point at ``index`` was read."""
        text = f"step {self.steps[index]}: {self.name} {self.values[index]:g}"
        file = self.files[self.origins[index]] if self.files else self.file
        return Source("read", file, self.lines[index] or None, text)

    def finite(self) -> Series:
        """Return the series without its NaN and infinite values."""
        return self.where(lambda _step, value: math.isfinite(value))

    def where(self, keep: Callable[[int, float], bool]) -> Series:
        """Return the points for which ``keep(step, value)`` holds."""
        return self.take([i for i, pair in enumerate(zip(self.steps, self.values, strict=True)) if keep(*pair)])

    def take(self, order: Sequence[int]) -> Series:
        """Return the points at these indexes, in this order."""
        if len(order) == len(self.steps) and all(i == j for j, i in enumerate(order)):
            return self
        return replace(
            self,
            steps=array("q", [self.steps[i] for i in order]),
            values=array("d", [self.values[i] for i in order]),
            lines=array("q", [self.lines[i] for i in order]),
            origins=array("q", [self.origins[i] for i in order]) if self.files else (),
            count=-1,
        )

    def latest_pass(self) -> Series:
        """Return one point per step in step order: where steps were repeated after a restart, the last printed wins."""
        last = {step: index for index, step in enumerate(self.steps)}
        return self.take([last[step] for step in sorted(last)])


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment or a name in the config that may claim something; ``column`` counts from 0."""

    text: str
    column: int
    source: Source
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the files show besides values, by kind: ``out_of_memory``, ``traceback``, ``ranks_interleaved`` …

    ``source`` is the first such place, ``last_line`` the number of the last of ``count``; ``detail`` says more in words.
    """

    kind: str
    source: Source
    count: int = 1
    last_line: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Seam:
    """Where a run was taken up again: the log went from ``step_before`` to ``step_after`` at ``source``."""

    step_before: int
    step_after: int
    source: Source


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read as it should, and was left out rather than guessed."""

    kind: str
    message: str
    source: Source
    count: int = 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``key = value`` of a config, with the place of the value so that it can be rewritten in place.

    ``shared`` values (``a = b = 6``, ``a, b = 6, 6``) stand for several keys and are not rewritten.
    """

    key: str
    value: Any
    source: Source
    column: int
    end_line: int
    end_column: int
    shared: bool = False

    @property
    def line(self) -> int:
        """The line of the value."""
        return self.source.line or 1


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a Python source with their ends, counted as Python counts them.

    ``str.splitlines`` also splits at form feeds and Unicode separators, where ``ast`` does not.

    Examples
    --------
    >>> split_lines("a\x0cb\r\nc")
    ['a\x0cb\r\n', 'c']
    """
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text)


@dataclass(frozen=True, slots=True)
class ConfigText:
    """A config as it was written: its text and the place of every value (columns in characters).

    ``assignments`` holds the one in force for each key; ``lost`` the keys whose last assignment was not evaluated. ``dialect``
    says in whose grammar it is written, and names its keys.
    """

    file: str
    path: str | None
    text: str
    assignments: tuple[Assignment, ...]
    comments: tuple[Comment, ...]
    lost: tuple[tuple[str, Problem], ...] = ()
    dialect: str = "nanogpt_config"

    def get(self, key: str) -> Assignment | None:
        """Return the assignment of ``key`` that is in force."""
        return next((item for item in self.assignments if item.key == key), None)

    def __repr__(self) -> str:
        return f"ConfigText({self.file}, {len(self.assignments)} values)"


@dataclass(frozen=True, slots=True)
class Run:
    """One training run: recipe + series + machine + provenance. Immutable."""

    name: str
    dialect: str
    sources: tuple[str, ...]
    recipe: Recipe
    machine: Machine
    data: Data
    logged: Logged
    series: tuple[Series, ...]
    comments: tuple[Comment, ...] = ()
    notices: tuple[Notice, ...] = ()
    problems: tuple[Problem, ...] = ()
    config: ConfigText | None = None
    seams: tuple[Seam, ...] = ()
    noted: Mapping[str, Known[Any]] = field(default_factory=dict)
    """What else the trainer recorded, under its own names: ``hf.total_flos`` …"""

    def get(self, name: str) -> Series | None:
        """Return the series of that name, or None."""
        return next((series for series in self.series if series.name == name), None)

    def __repr__(self) -> str:
        shape = "×".join(
            str(value_of(q)) if isinstance(q, Known) else "?"
            for q in (self.recipe.architecture.n_layer, self.recipe.architecture.d_model)
        )
        points = ", ".join(f"{series.name}[{len(series)}]" for series in self.series) or "no log"
        return f"Run({self.name!r}, {self.dialect}, {shape}, {points})"
