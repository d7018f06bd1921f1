"""What the settings of a recipe must be to each other. Each rule names the line that is most to blame, and a value that would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BadConfig
from ..recipe import TrainingRecipe
from ..run import Source

__all__ = ["check_rules"]

_MAX_NAME = 200
_MAX_TRIED = 10_000


class _Recipe:
    """A recipe with the places of what it sets, and what its file calls the settings."""

    def __init__(
        self, recipe: TrainingRecipe, places: Mapping[str, Source], file: str, names: Mapping[str, str]
    ) -> None:
        self.all, self._places, self._file, self._names = recipe, places, file, names

    def name(self, path: str) -> str:
        """Return what the file calls a setting."""
        return self._names.get(path) or path.rpartition(".")[2]

    def told(self, path: str, value: Any) -> str:
        """Return a setting with its value, and whether that is the default, for a message."""
        shown = (
            f"{value:,}"
            if isinstance(value, int) and value >= 10_000
            else f"{value:g}"
            if isinstance(value, float)
            else value
        )
        return f"{self.name(path)} = {shown}{'' if path in self._places else ' (the default)'}"

    def refused(self, what: str, *paths: str, expected: str | None = None, hint: str | None = None) -> BadConfig:
        """Return the error, placed where the first of some settings stands that the recipe sets."""
        place = next((self._places[path].place for path in paths if path in self._places), self._file)
        return BadConfig(what, where=place, expected=expected, hint=hint)


def check_rules(
    recipe: TrainingRecipe, places: Mapping[str, Source], file: str, *, names: Mapping[str, str] | None = None
) -> None:
    """Compare the settings of a recipe with each other.

    Parameters
    ----------
    recipe : TrainingRecipe
        Each of its values is one that the setting can have.
    places : mapping
        ``table.key`` to where the recipe sets it.
    file : str
        The recipe, for what it does not set.
    names : mapping, optional
        ``table.key`` to what the file calls it, where that is not the key.

    Raises
    ------
    BadConfig
        At the first contradiction.
    """
    read = _Recipe(recipe, places, file, names or {})
    for rule in _RULES:
        rule(read)


def _name(r: _Recipe) -> None:
    name = r.all.name
    if name in (".", "..") or not name.isprintable() or set(name) & set("/\\:") or len(name) > _MAX_NAME:
        raise r.refused(
            f"{name[:60]!r} is no name for a run, whose folder has it",
            "name",
            hint=f"set {r.name('name')} to one without slashes and colons",
        )


def _heads(r: _Recipe) -> None:
    m, width, heads, kv = r.all.model, "model.d_model", "model.n_head", "model.n_kv_head"
    if m.d_model % m.n_head:
        below = m.d_model // m.n_head * m.n_head
        near = " or ".join(str(n) for n in (below, below + m.n_head) if n)
        raise r.refused(
            f"{r.told(width, m.d_model)} cannot be shared among {r.told(heads, m.n_head)}",
            width,
            heads,
            hint=f"choose {r.name(width)} {near}, or another {r.name(heads)}",
        )
    if m.n_head % m.n_kv_head:
        divisors = [str(n) for n in range(1, m.n_head + 1) if m.n_head % n == 0]
        raise r.refused(
            f"{r.told(heads, m.n_head)} is no multiple of {r.told(kv, m.n_kv_head)}",
            kv,
            heads,
            expected=f"{r.name(kv)} one of {', '.join(divisors)}",
        )
    if m.position == "rope" and m.head_size % 2:
        raise r.refused(
            f"a head is {r.name(width)} / {r.name(heads)} = {m.head_size} wide, and rotary positions turn pairs",
            *(heads, width, "model.position"),
            hint=f"choose {r.name(width)} and {r.name(heads)} so that their quotient is even",
        )


def _batch(r: _Recipe) -> None:
    tokens, context, micro = r.all.batch.tokens_per_step, r.all.model.context, r.all.batch.micro_batch
    step, one = "batch.tokens_per_step", "batch.micro_batch"
    if tokens % context:
        below = tokens // context * context
        raise r.refused(
            f"{r.told(step, tokens)} is no whole number of sequences of {r.told('model.context', context)} tokens",
            *(step, "model.context"),
            hint=f"choose {' or '.join(str(n) for n in (below, below + context) if n)}",
        )
    sequences = r.all.sequences_per_step
    if micro is not None and sequences % micro:
        fits = [n for n in range(1, min(sequences, _MAX_TRIED) + 1) if sequences % n == 0]
        near = {max(n for n in fits if n < micro), min((n for n in fits if n > micro), default=1)}
        raise r.refused(
            f"{r.told(one, micro)} does not divide the {sequences:,} sequences of a step of {r.told(step, tokens)}",
            *(one, step),
            hint=f"choose {' or '.join(map(str, sorted(near)))}, or leave it out: it is chosen by the memory that there is",
        )


def _attention(r: _Recipe) -> None:
    flex = r.all.machine.attention == "flex"
    if flex and r.all.machine.device == "cpu":
        raise r.refused(
            "FlexAttention has no backward pass on a CPU",
            *("machine.attention", "machine.device"),
            hint='set attention = "sdpa" under [machine]: it computes the same, document_mask included',
        )
    if r.all.model.dropout > 0 and flex:
        raise r.refused(
            f"FlexAttention has no dropout, and {r.told('model.dropout', r.all.model.dropout)}",
            *("model.dropout", "machine.attention"),
            hint='set dropout = 0, or attention = "sdpa" under [machine]',
        )


def _schedule(r: _Recipe) -> None:
    s = r.all.schedule
    steps, warmup = "schedule.steps", "schedule.warmup_steps"
    if s.warmup_steps >= s.steps:
        raise r.refused(
            f"the warm-up does not end within the run: {r.told(warmup, s.warmup_steps)}, {r.told(steps, s.steps)}",
            *(warmup, steps),
            hint=f"choose {r.name(warmup)} below {s.steps:,}",
        )
    if s.kind == "constant":
        _constant(r)
        return
    floor, peak = "schedule.min_learning_rate", "optimizer.learning_rate"
    if s.min_learning_rate > r.all.optimizer.learning_rate:
        raise r.refused(
            f"{r.told(floor, s.min_learning_rate)} is above the peak, {r.told(peak, r.all.optimizer.learning_rate)}",
            *(floor, peak),
            hint=f"choose {r.name(floor)} below the peak: usually a tenth of it, or 0",
        )
    decay = "schedule.decay_steps"
    if s.kind == "wsd" and r.all.decay_steps > s.steps - s.warmup_steps:
        raise r.refused(
            f"a decay over the last {r.told(decay, r.all.decay_steps)} of {r.told(steps, s.steps)} begins before the warm-up"
            f" ends: {r.told(warmup, s.warmup_steps)}",
            *(decay, warmup, steps),
            hint=f"choose {r.name(decay)} from 1 to {s.steps - s.warmup_steps:,}",
        )
    if s.kind != "wsd" and r.all.decay_steps <= s.warmup_steps:
        raise r.refused(
            f"the decay ends before the warm-up does: {r.told(decay, r.all.decay_steps)}, {r.told(warmup, s.warmup_steps)}",
            *(decay, warmup, steps),
            hint=f"{r.name(decay)} is the step at which the floor is reached; it is usually that of the end, {s.steps:,}",
        )


def _constant(r: _Recipe) -> None:
    s = r.all.schedule
    for path, given in (
        ("schedule.decay_steps", s.decay_steps is not None),
        ("schedule.min_learning_rate", s.min_learning_rate > 0),
    ):
        if given:
            raise r.refused(
                f"{r.name(path)} says how the learning rate falls, and a constant one does not",
                *(path, "schedule.kind"),
                hint="leave it out, or choose the kind cosine, linear or wsd",
            )


def _data(r: _Recipe) -> None:
    if not r.all.data.path:
        raise r.refused(
            "the recipe does not say where the tokens are",
            "data.path",
            expected='`path = "FOLDER"` under [data]',
            hint="name a folder that auscult data prepare has written, or nanoGPT's with its train.bin and val.bin",
        )
    weights = r.all.model.weights
    if weights is not None and not Path(weights).is_file():
        raise r.refused(
            f"weights: there is no file {weights}",
            "model.weights",
            expected="a model.safetensors, its path absolute or relative to the recipe",
        )


_RULES: tuple[Callable[[_Recipe], None], ...] = (_name, _heads, _batch, _attention, _schedule, _data)
