"""The rows of ``measured_runs.csv`` as models and setups; what a row does not say is left out or listed as an assumption.

The table is ``$AUSCULT_FACTS``, or lies beside the corpus (``$AUSCULT_CORPUS/../facts``), or at ``../shared/facts``. Results of
``benchmarks/gpu_truth`` that are committed beside its code are rows, too.
``python -m scripts.measured.rows`` prints what was made of each row.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from benchmarks.gpu_truth.table import GROUP as GPU_TRUTH
from benchmarks.gpu_truth.table import RESULTS, rows_of

from auscult.architectures import Attention, Model, build
from auscult.errors import BadConfig
from auscult.facts.parameters import count_parameters
from auscult.facts.setup import Checkpointing, Loss, Optimizer, Precision, Setup, Sharding
from auscult.preflight.blueprint import blueprint_of
from auscult.recipe import model_settings

from .published import LITGPT_DEVICES, config_of, litgpt_adapter, plain

__all__ = ["MemoryKind", "Row", "facts", "gpu_truth_rows", "group_of", "read_rows"]

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30
MemoryKind: TypeAlias = Literal["allocated", "reserved", "smi", "unknown"]


@dataclass(frozen=True, slots=True)
class Row:
    """One public measurement.

    Attributes
    ----------
    number : int
        Its line in the file, the header being line 1.
    group : str
        The repository that published it.
    gpu_name, gpu_count
        As the row writes them.
    card_bytes : int or None
        Memory of the card where its name says it.
    model, setup
        None where the row does not determine them; ``reason`` says why.
    context : int or None
        Sequence length, also where there is no setup.
    memory_kind : str
        What the peak is: PyTorch's allocated or reserved maximum, or what ``nvidia-smi`` shows.
    reserved_memory_bytes : int or None
        The reserved maximum where it is noted beside the allocated one.
    context_is_upper_bound : bool
        The row gives the longest sequence allowed; batches may have been shorter.
    fits, out_of_memory : bool
        The row shows that it ran; that it ran out of memory. Both are False where it shows neither.
    mfu, hfu : float or None
        As published, as fractions of the peak that the publisher divides by.
    fp8 : bool
        Some matrix multiplications ran in FP8, which ``setup.precision`` does not say.
    assumptions : tuple of str
        What the row does not say and its source implies.
    unusable : str
        Why there is no model or no setup; empty where there are both.
    """

    number: int
    source: str
    group: str
    gpu_name: str
    gpu_count: int
    model_name: str
    card_bytes: int | None
    model: Model | None
    setup: Setup | None
    context: int | None
    peak_memory_bytes: int | None
    memory_kind: MemoryKind
    reserved_memory_bytes: int | None
    context_is_upper_bound: bool
    fits: bool
    out_of_memory: bool
    tokens_per_s: float | None
    mfu: float | None
    hfu: float | None
    fp8: bool
    noted_parameters: int | None
    notes: str
    assumptions: tuple[str, ...]
    unusable: str

    @property
    def reason(self) -> str:
        """Why the row is not usable, or what is assumed of it."""
        return self.unusable or "; ".join(self.assumptions)


def facts() -> Path | None:
    """Return the folder that holds ``measured_runs.csv``, or None where there is none."""
    corpus = os.environ.get("AUSCULT_CORPUS")
    for place in (
        os.environ.get("AUSCULT_FACTS"),
        Path(corpus).parent / "facts" if corpus else None,
        ROOT.parent / "shared" / "facts",
    ):
        if place and (Path(place) / "measured_runs.csv").is_file():
            return Path(place)
    return None


def read_rows(path: Path | None = None, *, results: Path = RESULTS) -> list[Row]:
    """Return every row of the table, and then those of ``benchmarks/gpu_truth``.

    Parameters
    ----------
    path : Path, optional
        The CSV file, alone; the one that `facts` finds, and the results, when not given.
    results : Path
        The folder of the results.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    folder = facts()
    if path is None and folder is None:
        raise FileNotFoundError("no measured_runs.csv: set AUSCULT_FACTS to the folder that holds it")
    file = path or (folder or Path()) / "measured_runs.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [_row(number, values) for number, values in enumerate(csv.DictReader(lines), start=2)]
    return rows if path else rows + gpu_truth_rows(results)


def gpu_truth_rows(folder: Path = RESULTS) -> list[Row]:
    """Return the rows of our own measurements, file by file; ``number`` is the line in its file."""
    return [_row(number, values) for file in sorted(folder.glob("*.jsonl")) for number, values in rows_of(file)]


def group_of(source: str) -> str:
    """Return the repository that a source names.

    Examples
    --------
    >>> group_of("https://github.com/karpathy/nanoGPT/issues/110"), group_of("pytorch/torchtitan benchmarks/x.md")
    ('karpathy/nanoGPT', 'pytorch/torchtitan')
    """
    path = source.removeprefix("https://github.com/").replace(" ", "/")
    return "/".join(path.split("/")[:2])


@dataclass(frozen=True, slots=True)
class _Trainer:
    """What a trainer does where its rows are silent, each with where that is seen."""

    compiled: bool | None = None
    flash: bool | None = None
    checkpointing: Checkpointing | None = None
    optimizer: Optimizer | None = None
    loss: Loss | None = None
    fp32_states: bool = False
    memory_kind: MemoryKind = "unknown"
    why: str = ""


_UNKNOWN = _Trainer()
_TRAINERS: Mapping[str, _Trainer] = {
    GPU_TRUTH: _Trainer(why="the reference trainer's model, loss and optimisers; every setting is in the row"),
    "mosaicml/llm-foundry": _Trainer(
        compiled=False,
        loss="compiled",
        fp32_states=True,
        why="the benchmark's submit script does not compile; MPT's loss is flash-attn's fused cross-entropy, which "
        "writes the gradient into the bf16 logits, counted as the compiled loss",
    ),
    "pytorch/torchtitan": _Trainer(
        fp32_states=True, why="FSDP2 with mixed_precision_param bfloat16 over fp32 weights, torchtitan's default"
    ),
    "foundation-model-stack/fms-fsdp": _Trainer(
        fp32_states=True, why="FSDP's MixedPrecision in bf16 over fp32 weights (fms_fsdp/policies)"
    ),
    "karpathy/nanoGPT": _Trainer(
        flash=True,
        checkpointing="none",
        optimizer="adamw",
        why="nanoGPT has no checkpointing, trains by AdamW, and takes scaled_dot_product_attention on torch 2",
    ),
    "karpathy/llm.c": _Trainer(
        compiled=True,
        loss="compiled",
        checkpointing="none",
        why="hand-fused CUDA: counted as compiled; fused_classifier writes the gradient into the logits; -r 0 keeps all",
    ),
    "karpathy/nanochat": _Trainer(checkpointing="none", why="nanochat has no checkpointing"),
    "jzhang38/TinyLlama": _Trainer(
        compiled=False, loss="compiled", why="fused norm, rotary and cross-entropy kernels, not compiled"
    ),
    "KellerJordan/modded-nanogpt": _Trainer(checkpointing="none", why="modded-nanogpt has no checkpointing"),
    "Lightning-AI/litgpt": _Trainer(
        compiled=False,
        flash=True,
        optimizer="adamw",
        loss="chunked",
        memory_kind="allocated",
        why="litgpt's finetune scripts do not compile, attend by scaled_dot_product_attention, train by AdamW, compute "
        "the loss in chunks of 128 tokens and print max_memory_allocated",
    ),
}

_PRECISIONS: Mapping[str, Precision] = {
    "amp_bf16": "amp_bf16",
    "amp_fp16": "amp_fp16",
    "amp_fp8": "amp_bf16",
    "bf16": "bf16",
    "bf16-true": "bf16",
    "fp8": "bf16",
    "fp32": "fp32",
}
_OPTIMIZERS: Mapping[str, Optimizer] = {
    "adamw": "adamw",
    "decoupled_adamw": "adamw",
    "lora": "adamw",
    "qlora": "adamw",
    "peft": "adamw",
    "muon+adamw": "muon",
    "muon+adam": "muon",
    "muon+adam(w)": "muon",
}
_PUBLISHED_BEFORE = "2024-12"
"""Modded-nanogpt records before this month are GPT-2 blocks; later ones skip, gate, mix and window layers."""
_UNTIED_FROM = "2024-11-03"


class _Open(Exception):
    """What a row leaves open."""


def _row(number: int, values: Mapping[str, str]) -> Row:
    source, notes = values["source"], values["notes"]
    group = group_of(source)
    trainer = _TRAINERS.get(group, _UNKNOWN)
    assumptions: list[str] = [trainer.why] if trainer.why else []
    peak = _number(values["peak_mem_gib"])
    failed = values["peak_mem_gib"].startswith("OOM")
    out_of_memory = (
        failed and "external" not in values["peak_mem_gib"]
    )  # others on the card: shows nothing about this run
    tokens_per_s, mfu = _number(values["tokens_per_s"]), _number(values["mfu"])
    model: Model | None = None
    setup: Setup | None = None
    unusable: list[str] = []
    try:
        model = _model(values, group, assumptions)
        setup = _setup(values, group, trainer, model, assumptions)
        _possible(model, setup, peak)
    except (_Open, BadConfig) as problem:
        unusable.append(str(problem))
    reserved = re.search(r"reserved ([\d.]+) GiB", notes)
    hfu = re.search(r"\bHFU ([\d.]+)", notes)
    parameters = re.search(r"\bparams (\d+)", notes)
    return Row(
        number=number,
        source=source,
        group=group,
        gpu_name=values["gpu"],
        gpu_count=int(values["n_gpu"]),
        model_name=values["model"],
        card_bytes=_card(values["gpu"]),
        model=model,
        setup=setup,
        context=_whole(values["seq"]),
        peak_memory_bytes=round(peak * GIB) if peak else None,
        memory_kind=_memory_kind(notes, trainer),
        reserved_memory_bytes=round(float(reserved[1]) * GIB) if reserved else None,
        context_is_upper_bound="actual sequence length <= max" in notes,
        fits=not failed and any(x is not None for x in (peak, tokens_per_s, mfu)),
        out_of_memory=out_of_memory,
        tokens_per_s=tokens_per_s,
        mfu=mfu / 100 if mfu is not None and mfu > 0 else None,
        hfu=float(hfu[1]) / 100 if hfu else None,
        fp8="fp8" in values["dtype"].lower(),
        noted_parameters=int(parameters[1]) if parameters else None,
        notes=notes,
        assumptions=tuple(assumptions),
        unusable="; ".join(unusable),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # empty, "OOM", "N/A", "-100 (unknown device)"


def _whole(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _card(gpu: str) -> int | None:
    """Return the memory that a card's name states: ``a100_40gb``, ``16GB GPU (15.78 GiB)``."""
    exact = re.search(r"([\d.]+) GiB", gpu)
    if exact:
        return round(float(exact[1]) * GIB)
    stated = re.search(r"(\d+)gb(?![/p])", gpu.lower())
    return int(stated[1]) * GIB if stated else None


def _memory_kind(notes: str, trainer: _Trainer) -> MemoryKind:
    if "reserved peak" in notes:
        return "reserved"
    if "allocated peak" in notes:
        return "allocated"
    return trainer.memory_kind


# --- models -----------------------------------------------------------------------------------------------------------


def _model(values: Mapping[str, str], group: str, assumptions: list[str]) -> Model:
    """Return the model of a row.

    Raises
    ------
    _Open
        When neither its dimensions nor a published config of its name are known.
    """
    sizes = {key: _whole(values[key]) for key in ("n_layer", "n_head", "n_kv_head", "n_embd", "ffn", "vocab")}
    if group == GPU_TRUTH:
        return _ours(values)
    if all(size is None for size in sizes.values()):
        config = config_of(values["model"])
        if config is None:
            raise _Open(f"no dimensions, and no published model is named {values['model']!r}")
        if (
            group == "Lightning-AI/litgpt"
        ):  # its GPT keeps lm_head apart from wte, whatever the checkpoint ties (model.py, 0.5.13)
            config = {**config, "tie_word_embeddings": False}
            if (
                config["model_type"] == "phi"
            ):  # transformers writes gelu_new out; litgpt calls torch's own, one operation
                config["hidden_act"] = "gelu_pytorch_tanh"
        return build(config)
    missing = [key for key in ("n_layer", "n_head", "n_embd", "vocab") if sizes[key] is None]
    if missing:
        raise _Open(f"{', '.join(missing)} not given")
    guessed = re.search(r"(\w+) dims assumed|(vocab) \d+ assumed", values["notes"])
    if guessed and (guessed[2] or guessed[1] in plain(values["model"])):
        raise _Open("the row's dimensions are assumed")
    return build(_config(values, group, {key: size for key, size in sizes.items() if size}, assumptions))


def _ours(values: Mapping[str, str]) -> Model:
    """Return the reference trainer's model of a family and a shape."""
    family, _, _ = values["model"].partition("-")
    whole = {
        name: int(values[key])
        for name, key in (
            ("n_layer", "n_layer"),
            ("n_head", "n_head"),
            ("n_kv_head", "n_kv_head"),
            ("d_model", "n_embd"),
            ("d_ff", "ffn"),
            ("vocab_size", "vocab"),
            ("context", "seq"),
        )
    }
    return blueprint_of(model_settings(family=family, **whole))


def _config(
    values: Mapping[str, str], group: str, sizes: Mapping[str, int], assumptions: list[str]
) -> Mapping[str, Any]:
    name, seq = values["model"].lower(), _whole(values["seq"])
    gpt2: dict[str, Any] = {
        "model_type": "gpt2",
        "n_layer": sizes["n_layer"],
        "n_head": sizes["n_head"],
        "n_embd": sizes["n_embd"],
        "n_inner": sizes.get("ffn"),
        "vocab_size": sizes["vocab"],
        "n_positions": seq,
    }
    if re.match(r"(llama|tinyllama|smollm)", name):
        return {
            "model_type": "llama",
            "num_hidden_layers": sizes["n_layer"],
            "num_attention_heads": sizes["n_head"],
            "num_key_value_heads": sizes.get("n_kv_head"),
            "hidden_size": sizes["n_embd"],
            "intermediate_size": sizes.get("ffn"),
            "vocab_size": sizes["vocab"],
            "tie_word_embeddings": name.startswith("smollm"),
        }
    if name.startswith("mpt"):
        return gpt2  # learned positions of the row's length, tied, biases: llm-foundry's benchmark of 2023
    if name.startswith("modded"):
        return _modded(name, gpt2, assumptions)
    if name.startswith("nanochat"):
        if "dev/LOG.md" in values["source"]:
            raise _Open("nanochat of 2026 has value embeddings and windows that the row does not describe")
        return {
            "model_type": "nanochat",
            "n_layer": sizes["n_layer"],
            "n_head": sizes["n_head"],
            "n_kv_head": sizes.get("n_kv_head"),
            "n_embd": sizes["n_embd"],
            "vocab_size": sizes["vocab"],
            "sequence_len": seq,
        }
    if group == "karpathy/llm.c":
        return gpt2
    if group == "karpathy/nanoGPT":
        assumptions.append("bias False, nanoGPT's default")
        return {**gpt2, "bias": False}
    raise _Open(f"the family of {values['model']!r} is not known")


def _modded(name: str, gpt2: Mapping[str, Any], assumptions: list[str]) -> Mapping[str, Any]:
    date = re.search(r"\d{4}-\d\d-\d\d", name)
    if date is None or date[0] >= _PUBLISHED_BEFORE:
        raise _Open("the record's skips, value embeddings, gates and windows are not described by the row")
    assumptions.append("drawn as GPT-2 without biases: the matrices are the same, rotary positions have no table")
    return {**gpt2, "bias": False, "tie_word_embeddings": date[0] < _UNTIED_FROM}


def _possible(model: Model, setup: Setup, peak: float | None) -> None:
    """Refuse a row whose peak is below what its own optimiser needs: the recipe must have been another.

    Raises
    ------
    _Open
        When weights, gradients and AdamW's two moments, each in the row's precision, exceed the measured peak.
    """
    if peak is None or setup.lora_rank or setup.optimizer != "adamw" or setup.sharding not in ("none", "ddp"):
        return
    bytes_per_parameter = 4 * (2 if setup.precision == "bf16" and not setup.fp32_states else 4)
    states = bytes_per_parameter * count_parameters(model).total
    if setup.tensor_parallel * setup.pipeline_parallel == 1 and states > peak * GIB:
        raise _Open(
            f"weights, gradients and AdamW's moments alone are {states / GIB:.1f} GiB, more than the measured "
            f"{peak:g}: the recipe must have been another"
        )


# --- setups -----------------------------------------------------------------------------------------------------------


def _setup(values: Mapping[str, str], group: str, trainer: _Trainer, model: Model, assumptions: list[str]) -> Setup:
    """Return how a row's run was set up.

    Raises
    ------
    _Open
        When the row and its source leave it open.
    """
    micro_batch, context = _whole(values["micro_batch"]), _whole(values["seq"])
    if micro_batch is None or context is None:
        raise _Open(f"{'micro_batch' if micro_batch is None else 'seq'} not given")
    if re.search(r"micro_batch default .*assumed", values["notes"]):
        assumptions.append("micro_batch is the trainer's default")
    recipe = _litgpt_recipe(values["source"])
    axes = _axes(values, recipe, assumptions)
    adapters = _adapters(values, recipe, model, assumptions)
    accumulation = _accumulation(values, micro_batch, axes.data, assumptions)
    precision = _precision(values["dtype"], assumptions)
    return Setup(
        micro_batch=micro_batch,
        context=context,
        gradient_accumulation_steps=accumulation,
        precision=precision,
        compiled=_compiled(values["compile"], trainer),
        flash=_flash(values, trainer),
        dropout=_dropout(values),
        checkpointing=_checkpointing(values, trainer, axes, group, assumptions),
        loss="fused"
        if "cross-entropy chunked" in values["notes"]
        else trainer.loss or "eager",  # as preflight.setup_of
        optimizer=_optimizer(values["optimizer"], trainer),
        sharding=axes.sharding,
        data_parallel=axes.data,
        tensor_parallel=axes.tensor,
        context_parallel=axes.context,
        lora_rank=adapters[0],
        lora_targets=adapters[1],
        frozen_bits=4 if adapters[0] and "nf4" in values["dtype"] + values["optimizer"] else 16,
        fp32_states=trainer.fp32_states and precision == "bf16",
    )


@dataclass(frozen=True, slots=True)
class _Axes:
    sharding: Sharding
    data: int
    tensor: int = 1
    context: int = 1


def _axes(values: Mapping[str, str], recipe: tuple[str, str] | None, assumptions: list[str]) -> _Axes:
    gpus, text = int(values["n_gpu"]), values["parallelism"]
    if recipe is not None:
        folder, kind = recipe
        devices = min(LITGPT_DEVICES.get(folder, 1) if kind == "full" else 1, gpus)
        if devices != gpus:
            assumptions.append(f"the recipe sets devices: {devices} on the machine of {gpus}")
        return _Axes("fsdp" if devices > 1 else "none", devices)
    if "resource-tables" in values["source"]:
        return _Axes("fsdp" if gpus > 1 else "none", gpus)  # litgpt's finetune scripts: FSDP where devices > 1
    if "PP" in text:
        raise _Open("the micro-batches of the pipeline are not given")
    tensor = int(found[1]) if (found := re.search(r"\bTP(\d+)", text)) else 1
    context = int(found[1]) if (found := re.search(r"\bCP(\d+)", text)) else 1
    data, left = divmod(gpus, tensor * context)
    if left:
        raise _Open(f"{gpus} GPUs cannot be {text}")
    sharding: Sharding
    if "SHARD_GRAD_OP" in text:
        sharding = "zero2"
    elif re.search(r"HSDP", text):
        assumptions.append("HSDP's shard group is not given: counted as sharded over all GPUs")
        sharding = "fsdp"
    elif re.search(r"FSDP|ZeRO-?3", text):
        sharding = "fsdp"
    elif re.search(r"ZeRO-?1", text):
        sharding = "zero1"
    elif "DDP" in text:
        sharding = "ddp"
    elif data == 1:
        sharding = "none"
    else:
        raise _Open(f"how {gpus} GPUs share the work is not given")
    return _Axes(sharding if data > 1 else "none", data, tensor, context)


def _litgpt_recipe(source: str) -> tuple[str, str] | None:
    """Return folder and kind of a litgpt recipe: ``gemma-2b/lora.yaml``."""
    found = re.search(r"litgpt config_hub/finetune/README\.md (\S+)/(full|lora|qlora)\.yaml", source)
    return (found[1].lower(), found[2]) if found else None


def _adapters(
    values: Mapping[str, str], recipe: tuple[str, str] | None, model: Model, assumptions: list[str]
) -> tuple[int, tuple[str, ...]]:
    """Return rank and targets of LoRA; rank 0 where everything is trained."""
    if "Adapter" in values["source"]:
        raise _Open("LLaMA-Adapter prompts are not drawn")
    if recipe is not None and recipe[1] != "full":
        adapter = litgpt_adapter(recipe[0], quantised=recipe[1] == "qlora")
        if adapter.everywhere:
            assumptions.append("the head's adapter is left out")
            return adapter.rank, ()
        return adapter.rank, _query_value(model, assumptions)
    trainable = re.search(r"PEFT \(([\d,]+) trainable\)", values["optimizer"])
    if trainable:
        each = _litgpt_adapter_size(model)
        rank, left = divmod(int(trainable[1].replace(",", "")), each)
        if left or not rank:
            raise _Open(f"{trainable[1]} trainable values are no LoRA on queries and values ({each} at rank 1)")
        return rank, _query_value(model, assumptions)
    if "lora" in values["optimizer"].lower() or "lora" in values["model"].lower():
        raise _Open("rank and targets of LoRA are not given")
    return 0, ()


def _litgpt_adapter_size(model: Model) -> int:
    """Return what litgpt's LoRA on queries and values adds at rank 1: a down and an up projection each."""
    found = 0
    for attention, count in model.attentions:
        up = attention.n_head * attention.qk_dim + attention.n_kv_head * attention.v_dim
        found += count * (2 * model.d_model + up)
    return found


def _query_value(model: Model, assumptions: list[str]) -> tuple[str, ...]:
    """Return the names of the matrices that make queries and values, or of the one that makes them with the keys."""
    attention = next(stack.block.mixer for stack in model.stacks if isinstance(stack.block.mixer, Attention))
    names = tuple(linear.name for linear in attention.linears)
    if {"q_proj", "v_proj"} <= set(names):
        return ("q_proj", "v_proj")
    assumptions.append(f"adapters of queries and values are counted as one on {names[0]}")
    return names[:1]


def _accumulation(values: Mapping[str, str], micro_batch: int, ranks: int, assumptions: list[str]) -> int:
    given = _whole(values["grad_accum"])
    if given is not None:
        return given
    batch = re.search(r"global minibatch (\d+)", values["notes"])
    if batch:
        return max(1, int(batch[1]) // (micro_batch * ranks))  # as litgpt's gradient_accumulation_iters
    assumptions.append("accumulation is not given: 1")
    return 1


def _precision(text: str, assumptions: list[str]) -> Precision:
    word = text.lower().split()[0].rstrip("?") if text else ""
    precision = _PRECISIONS.get(word)
    if precision is None:
        raise _Open(f"precision {text!r} is not known" if text else "precision not given")
    if "fp8" in text.lower():
        assumptions.append("FP8 matrix multiplications are not drawn: bf16")
    if "nf4-dq" in text:
        assumptions.append("double quantisation of the constants is not drawn")
    return precision


def _compiled(text: str, trainer: _Trainer) -> bool:
    word = text.lower().strip().rstrip("?")
    if word.startswith("yes"):
        return True
    if word.startswith(("no", "eager")):
        return False
    if word or trainer.compiled is None:
        raise _Open(f"compiled by {text!r}, which is not drawn" if word else "whether it is compiled is not given")
    return trainer.compiled


def _flash(values: Mapping[str, str], trainer: _Trainer) -> bool:
    if "gemma-2-" in values["model"] or "gemma2" in values["source"]:
        return False  # litgpt writes soft-capped attention out, for SDPA has no soft cap
    if re.search(r"yes|FA|flash|sdpa|cudnn|flex", values["flash"], re.IGNORECASE):
        return True
    if trainer.flash is None:
        raise _Open("how attention is computed is not given")
    return trainer.flash


def _checkpointing(
    values: Mapping[str, str], trainer: _Trainer, axes: _Axes, group: str, assumptions: list[str]
) -> Checkpointing:
    text = values["checkpointing"].strip()
    match re.sub(r"\(.*\)", "", text):
        case "none" | "-r 0":
            return "none"
        case "full":
            return "full"
        case "selective":
            if group != "pytorch/torchtitan":  # whose default of 2024 to 2025 is every second layer
                assumptions.append("which layers are recomputed is not given: every second")
            return "selective"
        case "":
            if group == "Lightning-AI/litgpt":
                return "full" if axes.sharding == "fsdp" else "none"  # activation_checkpointing_policy={Block}
            if trainer.checkpointing is not None:
                return trainer.checkpointing
            raise _Open("checkpointing not given")
        case _:
            raise _Open(f"checkpointing {text!r} is not drawn")


def _dropout(values: Mapping[str, str]) -> float:
    if "shakespeare_char" in values["model"]:
        return 0.2  # nanoGPT config/train_shakespeare_char.py
    noted = re.search(r"\bdropout ([\d.]+)", values["notes"])
    return float(noted[1]) if noted else 0.0


def _optimizer(text: str, trainer: _Trainer) -> Optimizer:
    word = text.lower().split()[0] if text.strip() else ""
    found = _OPTIMIZERS.get(word) if word else trainer.optimizer
    if found is None:
        raise _Open(f"optimizer {text!r} is not known" if word else "optimizer not given")
    return found


def _main() -> None:
    for row in read_rows():
        state = "ok  " if not row.unusable else "open"
        peak = f"{row.peak_memory_bytes / GIB:.2f} GiB {row.memory_kind}" if row.peak_memory_bytes else ""
        print(f"{row.number:4} {state} {row.group:28} {row.model_name[:36]:36} {peak:22} {row.reason}")


if __name__ == "__main__":
    _main()
