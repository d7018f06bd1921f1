"""nanochat's GPT, by its own keys or by transformers'."""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Attention, Block, Linear, Mlp, Model, Norm, Table, Vector
from ..registry import family
from ..settings import MAX_LAYERS, Settings, shown
from .parts import causal_lm, projected, read_shape, rms, stacked

__all__ = ["nanochat"]

VOCABULARY_MULTIPLE = 64
"""nanochat pads the rows of its tables to it since 2025-12-09 (``gpt.py`` at f1bf69d, ``pad_vocab_size_to``)."""
SMEAR_CHANNELS = 24
"""Channels that the smear gate reads (``gpt.py`` at a825e63, 2026-03-14)."""
GATE_CHANNELS = 12
"""Channels that a value embedding's gate reads since 2026-03-09 (6ed7d1d); 32 before (e85db6b)."""
WINDOW_TILE = 128
"""The tile of FlashAttention 3 to which nanochat rounds its short window up."""


@family("nanochat")
def nanochat(config: Settings) -> Model:
    """Draw nanochat: norms without weights, squared ReLU, a head of its own.

    With transformers' keys (``hidden_size`` …) it is transformers' ``NanoChatConfig``, the model of October 2025. With
    nanochat's own (``n_layer``, ``n_embd`` …) it is what its repository trains. Its config does not say from when it is, so
    these keys do, each by default as in the newest version where ``window_pattern`` is given, and as in the first where it is not:

    ``value_embeds`` : bool
        Value embeddings in every second layer, the last among them, with a gate each, and two scalars for every layer (from
        January 2026 on).
    ``ve_gate_channels`` : int
        12, or 32 before 2026-03-09.
    ``smear`` : bool
        The gate and scalar that mix in the token before, and the scalar that takes the middle layer out again (from
        2026-03-14 on).
    ``short_window`` : int
        Tokens of an S in ``window_pattern``; by default a quarter of ``sequence_len``, rounded up to 128. It was half until
        2026-03-09 and a third until 2026-03-14.

    References
    ----------
    karpathy/nanochat ``nanochat/gpt.py`` at 3a5e0bc (2025-10), e85db6b (2026-01), 6ed7d1d and a825e63 (2026-03), 92d63d4
    (2026-07); transformers ``NanoChatConfig``.
    """
    if not any(key in config for key in ("n_layer", "n_embd", "n_head", "n_kv_head", "sequence_len")):
        return _by_transformers(config)
    d = config.whole("n_embd", default=768)
    n_layer = config.whole("n_layer", default=12, most=MAX_LAYERS)
    n_head = config.whole("n_head", default=6)
    n_kv = config.whole("n_kv_head", default=n_head)
    config.divided(n_head, n_kv, "n_head by n_kv_head")
    head_dim = config.divided(d, n_head, "n_embd by n_head")
    vocab = -(-config.whole("vocab_size", default=32768) // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    recent = "window_pattern" in config
    valued = config.flag("value_embeds", default=recent)
    smear = config.flag("smear", default=recent)
    gate = config.whole("ve_gate_channels", default=GATE_CHANNELS)
    windows = _windows(config, n_layer)
    with_value = [valued and (n_layer - 1 - i) % 2 == 0 for i in range(n_layer)]
    mlp = Mlp(4 * d, False, (Linear("c_fc", d, 4 * d), Linear("c_proj", 4 * d, d)), "relu2")
    plain, of_head = Norm(d, "rms", gain=False), Norm(head_dim, "rms", gain=False)

    def draw(kind: tuple[int | None, bool]) -> Block:
        window, has_value = kind
        linears = (
            Linear("c_q", d, d),
            Linear("c_k", d, n_kv * head_dim),
            Linear("c_v", d, n_kv * head_dim),
            *((Linear("ve_gate", gate, n_kv),) if has_value else ()),
            Linear("c_proj", d, d),
        )
        attention = Attention(n_head, n_kv, head_dim, head_dim, linears, norms=(of_head, of_head), window=window)
        return Block(attention, mlp, (plain, plain))

    scalars = (Vector("resid_lambdas", n_layer), Vector("x0_lambdas", n_layer)) if valued else ()
    smeared = (Vector("smear_lambda", 1), Vector("backout_lambda", 1)) if smear else ()
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=config.whole_or_none("sequence_len"),
        tables=(Table("embedding", vocab, d), *((Table("other", vocab, n_kv * head_dim),) * sum(with_value))),
        stacks=stacked(zip(windows, with_value, strict=True), draw),
        norms=(plain, plain),
        head=Linear("lm_head", d, vocab),
        tied=False,
        linears=(Linear("smear_gate", SMEAR_CHANNELS, 1),) if smear else (),
        vectors=(*scalars, *smeared),
    )


def _windows(config: Settings, n_layer: int) -> list[int | None]:
    """Return each layer's window: the pattern repeats, the last layer always sees everything."""
    pattern = config.text("window_pattern", default="L").upper()
    if not pattern or set(pattern) - {"S", "L"}:
        raise BadConfig("window_pattern is unknown", expected="S and L only", found=shown(pattern))
    context = config.whole("sequence_len", default=2048)
    quarter = -(-context // 4 // WINDOW_TILE) * WINDOW_TILE
    short = config.whole("short_window", default=quarter)
    long: list[int | None] = [None]
    return [short if pattern[i % len(pattern)] == "S" else None for i in range(n_layer - 1)] + long


def _by_transformers(config: Settings) -> Model:
    shape = read_shape(config, d=768, n_layer=12, n_head=6, vocab=50304, context=2048)
    d_ff = config.whole("intermediate_size", default=8192)
    activation = config.text("hidden_act", default="relu2")
    mlp = Mlp(d_ff, False, (Linear("fc1", shape.d, d_ff), Linear("fc2", d_ff, shape.d)), activation)
    plain, of_head = rms(shape.d, gain=False), rms(shape.head_dim, gain=False)
    attention = projected(shape, bias=config.flag("attention_bias", default=False), norms=(of_head, of_head))
    block = Block(attention, mlp, (plain, plain))
    return causal_lm(config, shape, stacked([None] * shape.n_layer, lambda _: block), plain)
