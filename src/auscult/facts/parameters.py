"""How many parameters a GPT-2 shaped model has, by part and by convention, and what a printed count proves."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "STANDARD_MODELS",
    "ParameterCount",
    "StandardModel",
    "closest_width",
    "count_gpt2",
    "infer_vocab_and_bias",
    "nearest_standard",
    "tensor_shapes",
]

GPT2_VOCABS = (50_257, 50_304)
"""GPT-2's BPE vocabulary, and nanoGPT's padding of it to a multiple of 64."""


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Exact parameter counts by part, biases counted with the layer they belong to.

    Attributes
    ----------
    embedding, position : int
        Token and position tables (the head is tied to the token table and not counted twice).
    attention, mlp, norms : int
        Sums over all layers; ``norms`` includes the final one.
    """

    embedding: int
    position: int
    attention: int
    mlp: int
    norms: int

    @property
    def total(self) -> int:
        """All parameters, tied weights once."""
        return self.embedding + self.position + self.attention + self.mlp + self.norms

    @property
    def without_position(self) -> int:
        """NanoGPT's printed "number of parameters": all but the position table."""
        return self.total - self.position

    @property
    def non_embedding(self) -> int:
        """All but both embedding tables: blocks and norms."""
        return self.total - self.embedding - self.position


@dataclass(frozen=True, slots=True)
class StandardModel:
    """A published GPT-2 size (Radford et al. 2019, table 2)."""

    name: str
    n_layer: int
    n_head: int
    d_model: int


STANDARD_MODELS = (
    StandardModel("GPT-2 small", 12, 12, 768),
    StandardModel("GPT-2 medium", 24, 16, 1024),
    StandardModel("GPT-2 large", 36, 20, 1280),
    StandardModel("GPT-2 XL", 48, 25, 1600),
)


def count_gpt2(
    *, n_layer: int, d_model: int, vocab_size: int, context: int, bias: bool, d_ff: int | None = None
) -> ParameterCount:
    """Count the parameters of a GPT-2 / nanoGPT model exactly [parameters].

    Parameters
    ----------
    n_layer, d_model, vocab_size, context : int
        The shape.
    bias : bool
        Whether linear layers and norms have biases (GPT-2: True; nanoGPT's default: False).
    d_ff : int, optional
        Inner width of the MLP; 4·d_model when not given.

    Returns
    -------
    ParameterCount

    Notes
    -----
    With C = d_model, L layers, V vocabulary, T context: ``VC + TC + L(12C² + 13C) + 2C`` with biases,
    ``VC + TC + L(12C² + 2C) + C`` without. The head is tied to the token table. Heads do not matter.

    References
    ----------
    Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; karpathy/nanoGPT ``model.py``
    (3adf61e). Equal to transformers' GPT2LMHeadModel on the meta device (a test compares them).

    Examples
    --------
    >>> count_gpt2(n_layer=12, d_model=768, vocab_size=50257, context=1024, bias=True).total
    124439808
    >>> count_gpt2(n_layer=12, d_model=384, vocab_size=50304, context=1024, bias=False).without_position
    40560000
    """
    d_ff = 4 * d_model if d_ff is None else d_ff
    attention = 4 * d_model**2 + (4 * d_model if bias else 0)
    mlp = 2 * d_model * d_ff + (d_model + d_ff if bias else 0)
    norm = d_model * (2 if bias else 1)
    return ParameterCount(
        embedding=vocab_size * d_model,
        position=context * d_model,
        attention=n_layer * attention,
        mlp=n_layer * mlp,
        norms=(2 * n_layer + 1) * norm,
    )


def infer_vocab_and_bias(
    printed: tuple[int, int], *, n_layer: int, d_model: int, context: int
) -> list[tuple[int, bool]]:
    """Return the (vocabulary, bias) pairs of GPT-2 that a printed count allows.

    Parameters
    ----------
    printed : (int, int)
        The lowest and highest count that round to what nanoGPT printed, position table left out [parameters].
    n_layer, d_model, context : int
        The rest of the shape.

    Returns
    -------
    list of (int, bool)
        One pair proves both; none means another vocabulary, or another shape than the config's.

    Notes
    -----
    Only GPT-2's own vocabularies are tried (50257, and 50304 as padded by nanoGPT).

    References
    ----------
    karpathy/nanoGPT ``model.py`` ``get_num_params`` (3adf61e).

    Examples
    --------
    >>> infer_vocab_and_bias((40_555_000, 40_565_000), n_layer=12, d_model=384, context=1024)
    [(50304, False)]
    """
    low, high = printed
    return [
        (vocab, bias)
        for vocab in GPT2_VOCABS
        for bias in (False, True)
        if low
        <= count_gpt2(n_layer=n_layer, d_model=d_model, vocab_size=vocab, context=context, bias=bias).without_position
        <= high
    ]


def nearest_standard(n_layer: int, n_head: int, d_model: int) -> tuple[StandardModel, dict[str, tuple[int, int]]]:
    """Return the GPT-2 size that differs in the fewest of layers, heads and width, and the differences.

    Returns
    -------
    StandardModel, dict
        For each key that differs: (value here, value of the standard model).

    References
    ----------
    Radford et al. 2019, table 2.

    Examples
    --------
    >>> model, differs = nearest_standard(12, 12, 384)
    >>> model.name, differs
    ('GPT-2 small', {'n_embd': (384, 768)})
    """

    def differences(model: StandardModel) -> dict[str, tuple[int, int]]:
        pairs = {
            "n_layer": (n_layer, model.n_layer),
            "n_head": (n_head, model.n_head),
            "n_embd": (d_model, model.d_model),
        }
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    best = min(STANDARD_MODELS, key=lambda m: (len(differences(m)), abs(m.d_model - d_model), abs(m.n_layer - n_layer)))
    return best, differences(best)


def closest_width(target: int, *, n_layer: int, n_head: int, vocab_size: int, context: int, bias: bool) -> int | None:
    """Return the width, a multiple of 64 and of the heads, whose model comes closest to a parameter count.

    Parameters
    ----------
    target : int
        The count wanted [parameters].

    Returns
    -------
    int or None
        None when no width comes within 15 % of the target.

    References
    ----------
    Multiples of 64 keep tensor-core tiles full (NVIDIA, "Matrix Multiplication Background User's Guide").

    Examples
    --------
    >>> closest_width(124_000_000, n_layer=12, n_head=12, vocab_size=50304, context=1024, bias=False)
    768
    """

    def count(width: int) -> int:
        return count_gpt2(n_layer=n_layer, d_model=width, vocab_size=vocab_size, context=context, bias=bias).total

    widths = [width for width in range(64, 32_768 + 1, 64) if width % n_head == 0]
    best = min(widths, key=lambda width: abs(count(width) - target), default=None)
    return best if best is not None and abs(count(best) - target) <= 0.15 * target else None


def tensor_shapes(
    *, n_layer: int, d_model: int, vocab_size: int, context: int, bias: bool
) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor in a nanoGPT checkpoint (the tied head once).

    References
    ----------
    karpathy/nanoGPT ``model.py`` (3adf61e): ``state_dict`` of ``GPT``.

    Examples
    --------
    >>> shapes = tensor_shapes(n_layer=12, d_model=384, vocab_size=50304, context=1024, bias=False)
    >>> len(shapes), shapes["transformer.h.0.attn.c_attn.weight"]
    (75, (1152, 384))
    """
    c = d_model
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (vocab_size, c),
        "transformer.wpe.weight": (context, c),
    }
    block: dict[str, tuple[int, ...]] = {
        "ln_1.weight": (c,),
        "attn.c_attn.weight": (3 * c, c),
        "attn.c_proj.weight": (c, c),
        "ln_2.weight": (c,),
        "mlp.c_fc.weight": (4 * c, c),
        "mlp.c_proj.weight": (c, 4 * c),
    }
    for layer in range(n_layer):
        for name, shape in block.items():
            shapes[f"transformer.h.{layer}.{name}"] = shape
            if bias:
                shapes[f"transformer.h.{layer}.{name.removesuffix('weight')}bias"] = shape[:1]
    shapes["transformer.ln_f.weight"] = (c,)
    if bias:
        shapes["transformer.ln_f.bias"] = (c,)
    return shapes
