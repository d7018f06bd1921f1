"""Whether a checkpoint of the run can go on under the new recipe: every tensor whose shape changes, by name."""

from __future__ import annotations

from dataclasses import dataclass

from ..examination import Shape
from ..facts.parameters import tensor_shapes
from ..prose import Prose, say

__all__ = ["Resume", "TensorChange", "can_resume"]


@dataclass(frozen=True, slots=True)
class TensorChange:
    """A tensor of the checkpoint whose shape changes; None where it does not exist."""

    name: str
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Resume:
    """Whether the checkpoint can be resumed, why, and the tensors that change."""

    possible: bool
    why: Prose
    changes: tuple[TensorChange, ...]


def can_resume(before: Shape, after: Shape) -> Resume:
    """Compare the checkpoint's tensors under two shapes.

    Examples
    --------
    >>> narrow = Shape(n_layer=12, n_head=12, d_model=384, vocab_size=50304, context=1024, bias=False)
    >>> wide = Shape(n_layer=12, n_head=12, d_model=768, vocab_size=50304, context=1024, bias=False)
    >>> len(can_resume(narrow, wide).changes)
    75
    """

    def tensors(shape: Shape) -> dict[str, tuple[int, ...]]:
        return tensor_shapes(
            n_layer=shape.n_layer,
            d_model=shape.d_model,
            vocab_size=shape.vocab_size,
            context=shape.context,
            bias=shape.bias,
        )

    old, new = tensors(before), tensors(after)
    changes = tuple(
        TensorChange(name, old.get(name), new.get(name)) for name in old | new if old.get(name) != new.get(name)
    )
    if not changes:
        return Resume(True, say("no tensor changes shape: a checkpoint of this run can be resumed"), ())
    first = changes[0]
    return Resume(
        False,
        say(
            "restart from step 0: {n} of {total} tensors change shape (first {name}: {before} → {after})",
            n=len(changes),
            total=len(old | new),
            name=first.name,
            before=first.before,
            after=first.after,
        ),
        changes,
    )
