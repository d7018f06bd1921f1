"""Models drawn by hand, for parts that no small config isolates."""

from __future__ import annotations

from auscult.architectures import Attention, Block, Experts, Linear, Mlp, Model, Norm, Ssm, Stack, Table


def drawn(mixer: Attention | Ssm | None, mlp: Mlp | Experts | None, *, n_layer: int = 2, d: int = 8) -> Model:
    """Draw a model of like layers around a mixer and a feed-forward part, with a vocabulary of 10."""
    return Model(
        family="drawn",
        d_model=d,
        vocab_size=10,
        context=None,
        tables=(Table("embedding", 10, d),),
        stacks=(Stack(Block(mixer, mlp, (Norm(d),)), n_layer),),
        norms=(),
        head=Linear("head", d, 10),
        tied=False,
    )
