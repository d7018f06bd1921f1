"""The tables of a recipe: every setting of the reference trainer, its default and its range.

One place says what can be set: the loader (``preflight/load.py``) reads these dataclasses to tell known keys from
unknown ones, the reader (``readers/dialects/auscult_recipe.py``) takes its defaults from them, and ``docs/train.md``
lists them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "FAMILIES",
    "BatchSettings",
    "CheckpointSettings",
    "DataSettings",
    "EvaluationSettings",
    "LogSettings",
    "MachineSettings",
    "ModelSettings",
    "OptimizerSettings",
    "ScheduleSettings",
    "TrainingRecipe",
    "hugging_face_config",
    "model_settings",
    "recipe_digest",
    "recipe_from_values",
    "recipe_values",
]

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "gpt2": {
        "position": "learned",
        "norm": "layernorm",
        "activation": "gelu_tanh",
        "qk_norm": False,
        "bias": True,
        "tied": True,
    },
    "modern": {
        "position": "rope",
        "norm": "rmsnorm",
        "activation": "relu2",
        "qk_norm": True,
        "bias": False,
        "tied": False,
    },
}
"""What a family means where a recipe does not say: GPT-2 (Radford et al. 2019), and what nanochat and modded-nanogpt train."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """``[model]``: the architecture.

    Attributes
    ----------
    family : str
        ``gpt2`` or ``modern``: the defaults of the six settings of :data:`FAMILIES`.
    n_layer, n_head, n_kv_head, d_model, d_ff : int
        ``n_kv_head`` is ``n_head`` and ``d_ff`` four times ``d_model`` (SwiGLU: 8/3, rounded up to 64) where not given.
    vocab_size : int
        Rows of the embedding; GPT-2's 50,257 padded to a multiple of 64 by default.
    context : int
        Tokens of a sequence.
    position, norm, activation : str
        ``learned`` or ``rope``; ``layernorm`` or ``rmsnorm``; ``gelu``, ``gelu_tanh``, ``relu2`` or ``swiglu``.
    qk_norm, bias, tied : bool
        Normalised queries and keys; biases in linears and norms; one matrix for embedding and head.
    rope_theta : float
        Base of the rotary frequencies.
    dropout : float
        Off by default.
    weights : str, optional
        A ``model.safetensors`` of a Hugging Face GPT-2, or of our own, to start from.
    """

    family: Literal["gpt2", "modern"] = "gpt2"
    n_layer: int = 12
    n_head: int = 12
    n_kv_head: int = 12
    d_model: int = 768
    d_ff: int = 3072
    vocab_size: int = 50304
    context: int = 1024
    position: Literal["learned", "rope"] = "learned"
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    activation: Literal["gelu", "gelu_tanh", "relu2", "swiglu"] = "gelu_tanh"
    qk_norm: bool = False
    bias: bool = True
    tied: bool = True
    rope_theta: float = 10_000.0
    dropout: float = 0.0
    weights: str | None = None

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.d_model // self.n_head

    @property
    def is_gpt2(self) -> bool:
        """Whether transformers' GPT-2 computes the same, given zeros for biases that there are not."""
        shape = (self.position, self.norm, self.qk_norm, self.n_kv_head)
        return shape == ("learned", "layernorm", False, self.n_head) and self.activation in ("gelu", "gelu_tanh")


def model_settings(**given: Any) -> ModelSettings:
    """Return the settings of a model, with its family's defaults for what is not given.

    Examples
    --------
    >>> model_settings(family="modern", n_head=6, d_model=768, activation="swiglu").d_ff
    2048
    >>> model_settings(n_layer=2, n_head=2, d_model=64).d_ff
    256
    """
    values = {**FAMILIES[given.get("family", "gpt2")], **given}
    values.setdefault("n_head", 12)
    values.setdefault("d_model", 768)
    values.setdefault("n_kv_head", values["n_head"])
    if "d_ff" not in values:
        swiglu = values["activation"] == "swiglu"
        values["d_ff"] = -(-values["d_model"] * 8 // (3 * 64)) * 64 if swiglu else 4 * values["d_model"]
    return ModelSettings(**values)


def hugging_face_config(model: ModelSettings) -> dict[str, Any]:
    """Return the ``config.json`` that goes with weights: transformers' own for a GPT-2.

    Examples
    --------
    >>> hugging_face_config(ModelSettings())["activation_function"]
    'gelu_new'
    """
    if not model.is_gpt2:
        return {"model_type": "auscult", **asdict(model)}
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": model.n_layer,
        "n_head": model.n_head,
        "n_embd": model.d_model,
        "n_inner": model.d_ff,
        "vocab_size": model.vocab_size,
        "n_positions": model.context,
        "activation_function": "gelu_new" if model.activation == "gelu_tanh" else "gelu",
        "tie_word_embeddings": model.tied,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), model.dropout),
    }


@dataclass(frozen=True, slots=True)
class DataSettings:
    """``[data]``: where the tokens are.

    Attributes
    ----------
    path : str
        A folder of ``auscult data prepare``, nanoGPT's with ``train.bin`` and ``val.bin``, or llm.c's and modded-nanogpt's
        with ``*_train_*.bin`` and ``*_val_*.bin``. Relative to the recipe.
    document_mask : bool
        Attention stays within a document; needs shards that know their separator. FlexAttention skips what is masked, SDPA holds
        a mask of context x context for each sequence.
    verify : bool
        Whether the checksums of the manifest are compared before step 0.
    """

    path: str = ""
    document_mask: bool = False
    verify: bool = True


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """``[batch]``: ``tokens_per_step`` is kept exactly; ``micro_batch`` (sequences a pass and rank) is chosen where not given."""

    tokens_per_step: int = 491_520
    micro_batch: int | None = None


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """``[optimizer]``: ``adamw``, or ``muon`` on the hidden matrices with AdamW on the rest.

    Attributes
    ----------
    learning_rate : float
        The peak. Muon's updates are scaled to the RMS of AdamW's, so that one rate serves both (Liu et al. 2025).
    beta1, beta2, eps, weight_decay : float
        Of AdamW; the decay is on matrices only, and Muon's too.
    momentum : float
        Of Muon.
    grad_clip : float
        Largest norm of the gradients; 0 is off.
    """

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 6e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    momentum: float = 0.95
    grad_clip: float = 1.0


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """``[schedule]``: the learning rate as a function of the step.

    Attributes
    ----------
    kind : str
        ``cosine``, ``linear`` (to ``min_learning_rate``), ``wsd`` (warm-up, stable, decay) or ``constant``.
    steps : int
        Optimiser steps of the whole run.
    warmup_steps : int
        Steps of the linear warm-up.
    decay_steps : int
        ``cosine`` and ``linear``: the step at which the floor is reached (``steps`` where not given). ``wsd``: how many of
        the last steps decay (a fifth where not given).
    min_learning_rate : float
        The floor.
    """

    kind: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    steps: int = 1000
    warmup_steps: int = 100
    decay_steps: int | None = None
    min_learning_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """``[machine]``: how the mathematics is carried out.

    Attributes
    ----------
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    gpu : str, optional
        The card by name, for the preflight where the driver is not asked.
    dtype : str
        ``bfloat16`` (autocast over fp32 weights), ``float32``, or ``auto``: bfloat16 where the card has it.
    compile : bool
        ``torch.compile``; falls back to eager, and says so, where there is no compiler.
    attention : str
        ``sdpa`` or ``flex`` (FlexAttention, which cannot train on a CPU and has no dropout).
    checkpointing : str
        ``none``, or ``full``: every block is computed again in the backward pass.
    cross_entropy : str
        ``full``; ``chunked`` never holds all logits; ``auto`` chunks where memory is short.
    sharding : str
        With several ranks: ``ddp`` or ``fsdp``.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    gpu: str | None = None
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    compile: bool = True
    attention: Literal["sdpa", "flex"] = "sdpa"
    checkpointing: Literal["none", "full"] = "none"
    cross_entropy: Literal["auto", "full", "chunked"] = "auto"
    sharding: Literal["ddp", "fsdp"] = "ddp"


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """``[evaluation]``: the same ``tokens`` of each split, in eval mode, every ``every_steps`` and at the end; 0 is never."""

    every_steps: int = 250
    tokens: int = 655_360


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """``[checkpoint]``: one every ``every_steps`` and at the end; the last ``keep`` stay."""

    every_steps: int = 250
    keep: int = 3


@dataclass(frozen=True, slots=True)
class LogSettings:
    """``[log]``: a line every ``every_steps``; event files of TensorBoard; a W&B or trackio project where named."""

    every_steps: int = 10
    tensorboard: bool = True
    wandb: str | None = None
    trackio: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """A whole recipe.

    Attributes
    ----------
    name : str
        Of the run; the file's stem where not given.
    seed : int
        Of the weights, the order of the data and dropout.
    """

    name: str = "run"
    seed: int = 1337
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimiser step, all ranks."""
        return self.batch.tokens_per_step // self.model.context

    @property
    def decay_steps(self) -> int:
        """The schedule's ``decay_steps`` with its default filled in."""
        schedule = self.schedule
        if schedule.decay_steps is not None:
            return schedule.decay_steps
        return max(1, schedule.steps // 5) if schedule.kind == "wsd" else schedule.steps


def recipe_values(recipe: TrainingRecipe) -> dict[str, Any]:
    """Return a recipe as nested plain values, keys as in its file.

    Examples
    --------
    >>> recipe_values(TrainingRecipe())["batch"]
    {'tokens_per_step': 491520, 'micro_batch': None}
    """
    return asdict(recipe)


def recipe_from_values(values: Mapping[str, Any]) -> TrainingRecipe:
    """Return the recipe that :func:`recipe_values` told.

    Raises
    ------
    TypeError, KeyError
        When a table or a setting is missing or unknown.

    Examples
    --------
    >>> recipe_from_values(recipe_values(TrainingRecipe(seed=2))).seed
    2
    """
    return TrainingRecipe(
        name=values["name"],
        seed=values["seed"],
        model=ModelSettings(**values["model"]),
        data=DataSettings(**values["data"]),
        batch=BatchSettings(**values["batch"]),
        optimizer=OptimizerSettings(**values["optimizer"]),
        schedule=ScheduleSettings(**values["schedule"]),
        machine=MachineSettings(**values["machine"]),
        evaluation=EvaluationSettings(**values["evaluation"]),
        checkpoint=CheckpointSettings(**values["checkpoint"]),
        log=LogSettings(**values["log"]),
    )


def recipe_digest(recipe: TrainingRecipe) -> str:
    """Return a short fingerprint of a recipe: equal for equal settings.

    Examples
    --------
    >>> recipe_digest(TrainingRecipe()) == recipe_digest(TrainingRecipe(name="run"))
    True
    """
    text = json.dumps(recipe_values(recipe), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
