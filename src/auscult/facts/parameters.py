"""How many parameters a model has, by part and by convention, and what a printed count of a GPT-2 proves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..architectures import Experts, Linear, Mlp, Model, Ssm, Vector, build

__all__ = [
    "STANDARD_MODELS",
    "ParameterCount",
    "StandardModel",
    "closest_width",
    "count_adapters",
    "count_gpt2",
    "count_parameters",
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
    embedding, position, other_tables : int
        Token and position tables; token types and value embeddings.
    attention, ssm, mlp, experts : int
        Sums over all layers: attention with its biases, state-space mixers, dense feed-forward parts, and everything of
        mixtures of experts (router and shared experts included).
    norms : int
        Every norm, the final one and those of queries and keys included.
    head : int
        The output head where it is not the token table, its bias, and transforms before it.
    inactive_experts : int
        Of ``experts``, those that a token does not pass.
    without_matmul : int
        Of all parts but the tables and norms, what enters no matrix multiplication: biases and vectors.
    tied_head : int
        The token table where it also is the output head: it enters a matrix multiplication, and is in ``embedding``.
    """

    embedding: int
    position: int
    attention: int
    mlp: int
    norms: int
    other_tables: int = 0
    ssm: int = 0
    experts: int = 0
    head: int = 0
    inactive_experts: int = 0
    without_matmul: int = 0
    tied_head: int = 0

    @property
    def total(self) -> int:
        """All parameters, tied weights once."""
        return (
            self.embedding
            + self.position
            + self.other_tables
            + self.attention
            + self.ssm
            + self.mlp
            + self.experts
            + self.norms
            + self.head
        )

    @property
    def active(self) -> int:
        """All parameters but the experts that a token does not pass."""
        return self.total - self.inactive_experts

    @property
    def matmul(self) -> int:
        """Active weights that enter a matrix multiplication: the N of 6·N FLOPs per token, a tied table counted as the head."""
        tables = self.embedding + self.position + self.other_tables
        return self.active - tables - self.norms - self.without_matmul + self.tied_head

    @property
    def without_position(self) -> int:
        """NanoGPT's printed "number of parameters": all but the position table."""
        return self.total - self.position

    @property
    def non_embedding(self) -> int:
        """All but the tables: layers, norms, and a head of its own."""
        return self.total - self.embedding - self.position - self.other_tables


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


def count_parameters(model: Model) -> ParameterCount:
    """Count the parameters of a model exactly, by part [parameters].

    Parameters
    ----------
    model : Model
        Its blueprint.

    Returns
    -------
    ParameterCount

    Notes
    -----
    Buffers (rotary frequencies, causal masks) are no parameters. A tied head counts once, as the token table.

    References
    ----------
    The blueprint of each family names its source. Equal to transformers' models on the meta device (tests compare them).

    Examples
    --------
    >>> from auscult.architectures import build
    >>> count_parameters(build({"model_type": "llama", "vocab_size": 128256, "intermediate_size": 14336,
    ...                         "num_key_value_heads": 8})).total
    8030261248
    """
    attention = ssm = mlp = experts = inactive = plain = 0
    norms = sum(norm.parameters for norm in model.norms)
    for stack in model.stacks:
        block, times = stack.block, stack.count
        norms += times * sum(norm.parameters for norm in block.norms)
        plain += times * _sizes(block.vectors)
        mixer = block.mixer
        own = 0
        if mixer is not None:
            norms += times * sum(norm.parameters for norm in mixer.norms)
            own = _parameters(mixer.linears) + _sizes(mixer.vectors)
            plain += times * (_biases(mixer.linears) + _sizes(mixer.vectors))
        own += _sizes(block.vectors)
        if isinstance(mixer, Ssm):
            ssm += times * own
        else:
            attention += times * own
        if isinstance(block.mlp, Mlp):
            mlp += times * _parameters(block.mlp.linears)
            plain += times * _biases(block.mlp.linears)
        elif block.mlp is not None:
            mixture = block.mlp
            expert = _parameters(mixture.expert.linears)
            always = _always(mixture)
            experts += times * (mixture.count * expert + _parameters(always) + _sizes(mixture.vectors))
            inactive += times * (mixture.count - mixture.active) * expert
            active_biases = mixture.active * _biases(mixture.expert.linears) + _biases(always)
            plain += times * (active_biases + _sizes(mixture.vectors))
    tables = {
        kind: sum(t.parameters for t in model.tables if t.kind == kind) for kind in ("embedding", "position", "other")
    }
    head = model.head.parameters - (model.head.weights if model.tied else 0)
    head += _parameters(model.linears) + _sizes(model.vectors)
    plain += _biases((model.head, *model.linears)) + _sizes(model.vectors)
    return ParameterCount(
        embedding=tables["embedding"],
        position=tables["position"],
        attention=attention,
        mlp=mlp,
        norms=norms,
        other_tables=tables["other"],
        ssm=ssm,
        experts=experts,
        head=head,
        inactive_experts=inactive,
        without_matmul=plain,
        tied_head=model.head.weights if model.tied else 0,
    )


def count_adapters(model: Model, *, rank: int, targets: Collection[str] = ()) -> int:
    """Count the trainable parameters that LoRA adds [parameters].

    Parameters
    ----------
    model : Model
        The frozen model.
    rank : int
        Of every adapter.
    targets : collection of str
        Names of the matrices that get one (``q_proj`` …); every matrix of the layers where empty, experts included. What
        stands outside the layers gets one only where it is named (``lm_head``), tied or not.

    Notes
    -----
    Each adapted matrix gains ``rank · (d_in + d_out)``: a down and an up projection without biases. Of a fused projection the
    whole matrix is adapted, as PEFT does it; litgpt adapts its queries, keys and values apart, and its blueprint has them apart.
    PEFT cannot reach the experts of transformers 5, which are no ``nn.Linear``, by module names; they are counted here.

    References
    ----------
    Hu et al. 2021, "LoRA", arXiv:2106.09685; PEFT 0.21 ``LoraConfig.target_modules``; Lightning-AI/litgpt 0.5.13 ``lora.py``.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> count_adapters(build({"model_type": "llama"}), rank=8, targets=("q_proj", "v_proj"))
    4194304
    """
    found = 0
    for stack in model.stacks:
        matrices = [(linear, 1) for linear in (stack.block.mixer.linears if stack.block.mixer else ())]
        part = stack.block.mlp
        if isinstance(part, Mlp):
            matrices += [(linear, 1) for linear in part.linears]
        elif part is not None:
            matrices += [(linear, part.count) for linear in part.expert.linears]
            matrices += [(linear, 1) for linear in _always(part)]
        for linear, copies in matrices:
            if not targets or linear.name in targets:
                found += stack.count * copies * rank * (linear.d_in + linear.d_out)
    outside = (linear for linear in (*model.linears, model.head) if linear.name in targets)
    return found + rank * sum(linear.d_in + linear.d_out for linear in outside)


def _always(mixture: Experts) -> tuple[Linear, ...]:
    """Return the matrices of a mixture that every token passes."""
    shared = mixture.shared.linears if mixture.shared is not None else ()
    gate = (mixture.shared_gate,) if mixture.shared_gate is not None else ()
    return (mixture.router, *shared, *gate)


def _parameters(linears: Iterable[Linear]) -> int:
    return sum(linear.parameters for linear in linears)


def _biases(linears: Iterable[Linear]) -> int:
    return sum(linear.d_out for linear in linears if linear.bias)


def _sizes(vectors: Iterable[Vector]) -> int:
    return sum(vector.size for vector in vectors)


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
    config = {"model_type": "gpt2", "n_layer": n_layer, "n_embd": d_model, "n_head": 1, "vocab_size": vocab_size}
    return count_parameters(build({**config, "n_positions": context, "n_inner": d_ff, "bias": bias}))


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
