"""Mamba and Mamba-2: state-space mixers alone, without attention and without feed-forward parts."""

from __future__ import annotations

import math

from ...errors import BadConfig
from ..blueprint import Block, Linear, Model, Norm, Ssm, Stack, Table, Vector
from ..registry import family
from ..settings import MAX_LAYERS, MAX_SIZE, Settings, shown
from .parts import mamba2, rms

__all__ = ["mamba", "mamba1", "mamba_2", "step_rank"]


@family("mamba2")
def mamba_2(config: Settings) -> Model:
    """Draw Mamba-2.

    References
    ----------
    Dao and Gu 2024, "Transformers are SSMs", arXiv:2405.21060; transformers ``Mamba2Config``.
    """
    d = config.whole("hidden_size", default=4096)
    n_head, head_dim = config.whole("num_heads", default=128), config.whole("head_dim", default=64)
    inner = expanded(config, d, "expand")
    if inner != n_head * head_dim:
        raise BadConfig(
            "the heads do not fill the mixer", expected=f"num_heads · head_dim = {inner}", found=str(n_head * head_dim)
        )
    mixer = mamba2(
        d,
        n_head=n_head,
        head_dim=head_dim,
        d_state=config.whole("state_size", default=128),
        n_groups=config.whole("n_groups", default=8),
        chunk=config.whole("chunk_size", default=256),
        conv_width=config.whole("conv_kernel", default=4),
        bias=config.flag("use_bias", default=False),
        conv_bias=config.flag("use_conv_bias", default=True),
    )
    config.divided(inner, mixer.n_groups, "the width of the mixer by n_groups")
    return _model(config, d, mixer, n_layer=64, vocab=32768, tied=False)


@family("mamba", "falcon_mamba")
def mamba(config: Settings) -> Model:
    """Draw Mamba, the first; Falcon Mamba normalises the scan's inputs without weights.

    References
    ----------
    Gu and Dao 2023, "Mamba", arXiv:2312.00752; transformers ``MambaConfig``, ``FalconMambaConfig``.
    """
    d = config.whole("hidden_size", default=768)
    d_state, rank = config.whole("state_size", default=16), step_rank(config, "time_step_rank", d)
    plain = tuple(rms(width, gain=False) for width in (rank, d_state, d_state))
    mixer = mamba1(
        d,
        inner=expanded(config, d, "expand"),
        d_state=d_state,
        dt_rank=rank,
        conv_width=config.whole("conv_kernel", default=4),
        bias=config.flag("use_bias", default=False),
        conv_bias=config.flag("use_conv_bias", default=True),
        norms=plain if config.family == "falcon_mamba" else (),
    )
    return _model(config, d, mixer, n_layer=32, vocab=50280, tied=True)


def expanded(config: Settings, d: int, name: str) -> int:
    """Return the width of a mixer: a multiple of the model's, 2 by default.

    Raises
    ------
    BadConfig
        When nothing or too much is left.
    """
    inner = config.number(name, default=2) * d
    if not 1 <= inner <= MAX_SIZE:
        raise BadConfig(f"{name} leaves no mixer of a possible width", found=shown(config.raw(name)))
    return int(inner)


def step_rank(config: Settings, name: str, d: int) -> int:
    """Return the rank of the step sizes' projection, by default a sixteenth of the width."""
    return math.ceil(d / 16) if config.raw(name, "auto") == "auto" else config.whole(name)


def mamba1(
    d: int,
    *,
    inner: int,
    d_state: int,
    dt_rank: int,
    conv_width: int,
    bias: bool,
    conv_bias: bool,
    norms: tuple[Norm, ...] = (),
) -> Ssm:
    """Draw the mixer of the first Mamba.

    Each channel is a head of width 1 with a state and a decay of its own, scanned token by token (chunks of 1).

    References
    ----------
    Gu and Dao 2023, "Mamba", arXiv:2312.00752, section 3; transformers ``MambaMixer``.
    """
    return Ssm(
        *(inner, 1, d_state, 1, 1, conv_width, inner),
        (
            Linear("in_proj", d, 2 * inner, bias),
            Linear("x_proj", inner, dt_rank + 2 * d_state),
            Linear("dt_proj", dt_rank, inner, bias=True),
            Linear("out_proj", inner, d, bias),
        ),
        norms=norms,
        vectors=(
            Vector("conv1d", inner * (conv_width + int(conv_bias))),
            Vector("A_log", inner * d_state),
            Vector("D", inner),
        ),
    )


def _model(config: Settings, d: int, mixer: Ssm, *, n_layer: int, vocab: int, tied: bool) -> Model:
    vocab = config.whole("vocab_size", default=vocab)
    n_layer = config.whole("num_hidden_layers", "n_layer", default=n_layer, most=MAX_LAYERS)
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=None,
        tables=(Table("embedding", vocab, d),),
        stacks=(Stack(Block(mixer, None, (rms(d),)), n_layer),),
        norms=(rms(d),),
        head=Linear("lm_head", d, vocab),
        tied=config.flag("tie_word_embeddings", default=tied),
    )
