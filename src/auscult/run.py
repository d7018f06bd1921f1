"""What a run is: recipe, series, machine, data, and where every value was read. The ground floor; imports nothing of ours.

Every value is ``Known(value, source)`` or ``Unknown(reason)``; there is no third state and no silent default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    head shares the token embedding; ``bias`` whether linear layers and norms have biases.
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


@dataclass(frozen=True, slots=True)
class Logged:
    """Figures that the trainer printed about itself.

    ``parameters`` is ``(low, high)``: the interval of counts that round to what was printed.
    ``parameters_2d`` is the exact count of decayed (two-dimensional) parameters, where it was printed.
    ``mfu_range`` is ``(low, high)`` as a person quoted it, when the log has no such lines.
    """

    parameters: Quantity[tuple[int, int]]
    parameters_2d: Quantity[int]
    tokens_per_step: Quantity[int]
    mfu_range: Quantity[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """One metric over steps, with what it means.

    Attributes
    ----------
    name : str
        ``train_loss``, ``train_loss_eval``, ``val_loss``, ``step_time_s``, ``mfu`` or ``learning_rate``.
    split : str
        ``train``, ``val`` or ``-`` where it does not apply.
    mode : str
        ``train`` (dropout on) or ``eval`` (dropout off).
    unit : str
        ``nats_per_token``, ``s``, ``fraction``, ``1``.
    window : str
        What one value averages over.
    steps, values, lines
        Optimiser step, value and line in ``file``, one each per point, in the order of the file.
    """

    name: str
    split: str
    mode: str
    unit: str
    window: str
    file: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        if not self.steps:
            return f"Series({self.name}, empty)"
        return (
            f"Series({self.name}, {len(self)} points, step {self.steps[0]}: {self.values[0]:g}"
            f" … step {self.steps[-1]}: {self.values[-1]:g})"
        )

    def source(self, index: int) -> Source:
        """Return where the point at ``index`` was read."""
        text = f"step {self.steps[index]}: {self.name} {self.values[index]:g}"
        return Source("read", self.file, self.lines[index], text)

    def finite(self) -> Series:
        """Return the series without its NaN and infinite values."""
        return self.where(lambda _step, value: math.isfinite(value))

    def where(self, keep: Callable[[int, float], bool]) -> Series:
        """Return the points for which ``keep(step, value)`` holds."""
        rows = [row for row in zip(self.steps, self.values, self.lines, strict=True) if keep(row[0], row[1])]
        steps, values, lines = zip(*rows, strict=True) if rows else ((), (), ())
        return Series(self.name, self.split, self.mode, self.unit, self.window, self.file, steps, values, lines)

    def latest_pass(self) -> Series:
        """Return one point per step in step order: where steps were repeated after a restart, the last printed wins."""
        last = {step: index for index, step in enumerate(self.steps)}
        order = [last[step] for step in sorted(last)]
        if len(order) == len(self.steps) and order == list(range(len(order))):
            return self
        return Series(
            self.name,
            self.split,
            self.mode,
            self.unit,
            self.window,
            self.file,
            tuple(self.steps[i] for i in order),
            tuple(self.values[i] for i in order),
            tuple(self.lines[i] for i in order),
        )


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment or a name in the config that may claim something; ``column`` counts from 0."""

    text: str
    column: int
    source: Source
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A line of the log that says something besides a metric, by kind: ``out_of_memory``, ``traceback`` …

    ``source`` is the first such line, ``last_line`` the number of the last of ``count``.
    """

    kind: str
    source: Source
    count: int = 1
    last_line: int = 0


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

    ``assignments`` holds the one in force for each key; ``lost`` the keys whose last assignment was not evaluated.
    """

    file: str
    path: str | None
    text: str
    assignments: tuple[Assignment, ...]
    comments: tuple[Comment, ...]
    lost: tuple[tuple[str, Problem], ...] = ()

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
