"""The estimate for a GPT-2 shaped run, as the examination of nanoGPT runs asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from ...architectures import Model, build
from ..parameters import ParameterCount, count_parameters
from ..setup import Precision, Setup
from .peak import estimate_memory

__all__ = ["TrainingMemory", "estimate_training_memory", "precision_of", "training_memory"]

_PRECISIONS: dict[str, Precision] = {"bfloat16": "amp_bf16", "float16": "amp_fp16"}


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Estimated peak memory of a training step by part [bytes]; ``margin`` is the allocator's reserve."""

    weights: int
    gradients: int
    optimizer: int
    autocast_copies: int
    activations: int
    logits: int
    context: int
    margin: int

    @property
    def total(self) -> int:
        """The peak [bytes]."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Return the parts by name [bytes]."""
        return {name: getattr(self, name) for name in self.__slots__}


def estimate_training_memory(
    *,
    parameters: ParameterCount,
    n_layer: int,
    n_head: int,
    d_model: int,
    vocab_size: int,
    context: int,
    batch_size: int,
    dropout: float,
    dtype: str,
    compiled: bool,
) -> TrainingMemory:
    """Estimate the peak memory of one nanoGPT training step with accumulation [bytes].

    Parameters
    ----------
    parameters : ParameterCount
        Of the model: tells whether it has biases.
    n_layer, n_head, d_model, vocab_size, context : int
        Its shape.
    batch_size : int
        Micro-batch [sequences].
    dropout : float
        Above 0, masks are kept.
    dtype : str
        ``bfloat16`` or ``float16`` (autocast over fp32 weights), or ``float32``.
    compiled : bool
        ``torch.compile``: the logits' float copy and log-softmax are fused away.

    Returns
    -------
    TrainingMemory

    Notes
    -----
    :func:`estimate_memory` of the blueprint, on one GPU with fused attention; its temporaries count as activations.

    References
    ----------
    Those of :func:`estimate_memory`; karpathy/nanoGPT ``model.py`` and ``train.py`` (3adf61e).

    Examples
    --------
    >>> from auscult.facts.parameters import count_gpt2
    >>> shape = dict(n_layer=12, d_model=768, vocab_size=50304, context=1024)
    >>> parts = estimate_training_memory(parameters=count_gpt2(**shape, bias=False), n_head=12, batch_size=8,
    ...                                  dropout=0.0, dtype="bfloat16", compiled=True, **shape)
    >>> round((parts.total - parts.context - parts.margin) / 2**30, 1)
    6.2
    """
    heads = n_head if d_model % n_head == 0 else 1  # a shape that cannot be built still has a size
    shape = {"n_layer": n_layer, "n_head": heads, "n_embd": d_model, "vocab_size": vocab_size, "n_positions": context}
    drawn: list[Model] = [build({"model_type": "gpt2", **shape, "bias": bias}) for bias in (False, True)]
    model = min(drawn, key=lambda found: abs(count_parameters(found).total - parameters.total))
    return training_memory(
        model,
        Setup(
            micro_batch=batch_size,
            context=context,
            gradient_accumulation_steps=2,  # any above one: gradients of earlier passes are there
            precision=precision_of(dtype),
            compiled=compiled,
            dropout=dropout,
        ),
    )


def precision_of(dtype: str) -> Precision:
    """Return how a trainer that autocasts over fp32 weights computes in a dtype.

    References
    ----------
    karpathy/nanoGPT ``train.py`` (3adf61e): ``ptdtype`` and its autocast context.

    Examples
    --------
    >>> precision_of("bfloat16"), precision_of("float32")
    ('amp_bf16', 'fp32')
    """
    return _PRECISIONS.get(dtype, "fp32")


def training_memory(model: Model, setup: Setup) -> TrainingMemory:
    """Return the estimate of any model in the parts of a nanoGPT run: temporaries and buckets count as activations [bytes].

    References
    ----------
    Those of :func:`estimate_memory`.

    Examples
    --------
    >>> config = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64, "vocab_size": 256, "n_positions": 64}
    >>> model, setup = build(config), Setup(micro_batch=4, context=64)
    >>> training_memory(model, setup).total == estimate_memory(model, setup).total_bytes
    True
    """
    found = estimate_memory(model, setup).parts
    return TrainingMemory(
        weights=found["weights"],
        gradients=found["gradients"],
        optimizer=found["optimizer"],
        autocast_copies=found["autocast_copies"],
        activations=found["activations"] + found["temporaries"] + found["buckets"],
        logits=found["logits"],
        context=found["context"],
        margin=found["reserve"],
    )
