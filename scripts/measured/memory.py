"""Estimated against measured memory: every public row with a peak, a card that held it, or one that did not.

``python -m scripts.measured.memory`` prints the tables. No row is fitted by itself: what is changed here about a row follows
from the source of its trainer, for all rows of that trainer.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from auscult.architectures import Attention, Linear, Model
from auscult.facts.memory import MemoryEstimate, Seen, estimate_memory
from auscult.facts.setup import Setup

from .rows import GIB, Row, facts, read_rows

__all__ = ["CrossEntropy", "Result", "cross_entropy", "cross_validated", "not_used", "results", "summary", "table"]

MIB = 2**20
Test: TypeAlias = Literal["equal", "at most ours", "at least ours", "fits", "out of memory"]
"""What a row tests. A peak equals our estimate; ours is too high or too low by what is known to differ; a run that fitted
its card needs no more than its memory; one that did not needs more."""

BITSANDBYTES = (
    "bitsandbytes before 0.44 kept inputs of frozen 4-bit matrices (#1270, July 2024); ours is today's: a lower bound"
)
SHORTER = "the longest sequence allowed is known, the longest that came is not: an upper bound"
LOADING = "the peak is that of loading: it does not grow with the micro-batch, and exceeds the unsharded weights"
_BLOCKS_ONLY = "llama3_h100_202412"
"""Torchtitan of December 2024 compiles each layer, and not the loss (parallelize_llama.py and train.py at 9dec370)."""
_LITGPT_DROPOUT = 0.05
"""``lora_dropout`` of finetune/lora.py (8641822) and of most recipes; some say 0.1, which keeps as much."""


@dataclass(frozen=True, slots=True)
class Result:
    """A row, what is estimated for it, and what it tests. Bytes; ``measured`` is the card's memory for fits.

    ``more`` is what the trainer's own code is known to keep beyond the estimate, or to free.
    """

    row: Row
    setup: Setup
    test: Test
    seen: Seen
    measured: int
    estimate: MemoryEstimate
    why: str = ""
    more: int = 0

    @property
    def ours(self) -> int:
        """The estimate of what the row measured."""
        memory = self.estimate
        seen = {
            "allocated": memory.allocated_bytes,
            "reserved": memory.reserved_bytes,
            "total": memory.total_bytes,
        }
        return seen[self.seen] + self.more

    @property
    def interval(self) -> tuple[int, int]:
        """The interval of the estimate."""
        low, high = self.estimate.interval(self.seen)
        return low + self.more, high + self.more

    @property
    def error(self) -> float:
        """The relative error of the estimate."""
        return self.ours / self.measured - 1

    @property
    def holds(self) -> bool:
        """Whether the row lies inside the interval, or on the side of it that the test says."""
        low, high = self.interval
        match self.test:
            case "equal":
                return low <= self.measured <= high
            case "at most ours":
                return self.measured <= high
            case "out of memory":
                return self.measured < high
            case "at least ours" | "fits":
                return low <= self.measured


def results(rows: Iterable[Row] | None = None) -> list[Result]:
    """Return every row that tests something, with its estimate."""
    found = (_result(row) for row in (read_rows() if rows is None else rows))
    return [result for result in found if isinstance(result, Result)]


def not_used(rows: Iterable[Row] | None = None) -> list[tuple[Row, str]]:
    """Return the rows with a measured peak that test nothing, and why."""
    found = ((row, _result(row)) for row in (read_rows() if rows is None else rows) if row.peak_memory_bytes)
    return [(row, why) for row, why in found if isinstance(why, str)]


def _result(row: Row) -> Result | str:
    if row.model is None or row.setup is None or row.unusable:
        return row.unusable or "no model or setup"
    if row.setup.checkpointing == "selective" and any(
        "layers are recomputed is not given" in a for a in row.assumptions
    ):
        return "which layers are recomputed is not given"
    model, setup = _drawn(row, row.model, row.setup)
    if row.peak_memory_bytes is None:
        return _by_card(row, model, setup)
    if "LoRA on Multiple GPUs" in row.source:
        return LOADING
    test, why = _test(row, setup)
    seen: Seen = "allocated" if row.memory_kind == "allocated" else "reserved"
    if row.memory_kind in ("smi", "unknown"):
        seen = "total"
    return Result(
        row, setup, test, seen, row.peak_memory_bytes, estimate_memory(model, setup), why, _more(row, model, setup)
    )


def _test(row: Row, setup: Setup) -> tuple[Test, str]:
    if setup.frozen_bits == 4:
        return "at least ours", BITSANDBYTES
    return ("at most ours", SHORTER) if row.context_is_upper_bound else ("equal", "")


def _by_card(row: Row, model: Model, setup: Setup) -> Result | str:
    if row.card_bytes is None:
        return "neither a peak nor the memory of the card"
    if not (row.fits or row.out_of_memory):
        return "the row shows neither that it ran nor that it ran out"
    estimate = estimate_memory(model, setup, device_memory_bytes=row.card_bytes if row.fits else None)
    test: Test = "out of memory" if row.out_of_memory else "fits"
    return Result(row, setup, test, "total", row.card_bytes, estimate)


def _drawn(row: Row, model: Model, setup: Setup) -> tuple[Model, Setup]:
    """Return model and setup as the row's trainer runs them."""
    if row.group == "Lightning-AI/litgpt":
        return _litgpt(row, model, setup)
    if _BLOCKS_ONLY in row.source and setup.checkpointing != "none":
        return _fused_norms(model), replace(setup, compiled=False)  # what is kept follows from the checkpointing
    return model, setup


def _more(row: Row, model: Model, setup: Setup) -> int:
    """Return what the trainer keeps beyond the estimate, or frees before the peak [bytes].

    litgpt: Fabric returns the logits in fp32 (``HalfPrecision.convert_output``), so they and their log-softmax take 4 bytes
    where the estimate has 2. ``LoRAQKVLinear.zero_pad`` saves a copy of the update for ``index_copy``, as
    ``saved_tensors_hooks`` shows. Its RMSNorm of 2024 multiplies by the gain in fp32, which keeps 2 bytes more.
    torchtitan: ``del pred`` before the backward pass (train.py at 9dec370), where the estimate holds the logits.
    """
    tokens = setup.tokens_per_pass // setup.context_parallel
    if row.group == "Lightning-AI/litgpt":
        more = 4 * tokens * model.vocab_size
        if setup.lora_targets == ("attn",):
            attentions = row.model.attentions if row.model is not None else ()
            more += 2 * tokens * sum(n * (a.n_head * a.qk_dim + a.n_kv_head * a.v_dim) for a, n in attentions)
        if not setup.lora_rank and setup.checkpointing == "none":
            norms = [(norm, stack.count) for stack in model.stacks for norm in stack.block.norms]
            more += 2 * tokens * sum(count * norm.width for norm, count in norms if not norm.fused)
        return more
    if _BLOCKS_ONLY in row.source:
        return -2 * tokens * model.vocab_size // setup.tensor_parallel
    return 0


def _litgpt(row: Row, model: Model, setup: Setup) -> tuple[Model, Setup]:
    """Draw litgpt's own modules.

    One projection for queries, keys and values, the latter two expanded to all heads; a head of its own also where the
    config ties it (``tie_embeddings`` is off); RMSNorm in the stream's type in 2023, and in fp32 later.
    """
    if row.context_is_upper_bound:
        setup = replace(setup, gradient_accumulation_steps=max(2, setup.gradient_accumulation_steps))  # all recipes do
    if setup.lora_rank:
        setup = replace(setup, dropout=_LITGPT_DROPOUT)
        if set(setup.lora_targets) & {"q_proj", "v_proj"} and setup.lora_targets:
            setup = replace(setup, lora_targets=("attn",))
    stacks = tuple(
        replace(stack, block=replace(stack.block, mixer=_one_projection(stack.block.mixer)))
        if isinstance(stack.block.mixer, Attention)
        else stack
        for stack in model.stacks
    )
    model = replace(model, stacks=stacks, tied=False)
    return (_fused_norms(model) if "resource-tables" in row.source else model), setup


def _one_projection(attention: Attention) -> Attention:
    *first, last = attention.linears
    if len(first) != 3:
        return attention
    joint = Linear("attn", first[0].d_in, sum(linear.d_out for linear in first), first[0].bias)
    shown = attention.n_kv_head if attention.n_kv_head == 1 else attention.n_head
    return replace(attention, linears=(joint, last), n_kv_head=shown)


def _fused_norms(model: Model) -> Model:
    """Return the model with norms that keep their input alone."""
    return replace(
        model,
        norms=tuple(replace(norm, fused=True) for norm in model.norms),
        stacks=tuple(
            replace(
                stack, block=replace(stack.block, norms=tuple(replace(norm, fused=True) for norm in stack.block.norms))
            )
            for stack in model.stacks
        ),
    )


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """A measurement of Liger's benchmark, and the same sum of tensors by our terms [bytes]."""

    kernel: str
    provider: str
    tokens: int
    vocab: int
    measured: float
    ours: float

    @property
    def error(self) -> float:
        """The relative error."""
        return self.ours / self.measured - 1


def cross_entropy() -> list[CrossEntropy]:
    """Return the rows of ``ce_memory.csv`` whose kernels are drawn (those of Megatron are not).

    The benchmark of the loss alone keeps the fp32 logits and, eager, their gradient; the one with the head adds hidden
    states and their gradient, the head, its gradient and the new one being added to it, all in bf16.
    """
    folder = facts()
    if folder is None:
        return []
    found = []
    with (folder / "ce_memory.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            made = _cross_entropy(row["kernel"], row["provider"], json.loads(row["config"]), int(row["x_value"]))
            if made is not None:
                tokens, vocab, ours = made
                found.append(
                    CrossEntropy(
                        row["kernel"], row["provider"], tokens, vocab, float(row["memory_mb"]) * MIB, float(ours)
                    )
                )
    return found


def _cross_entropy(kernel: str, provider: str, config: dict[str, int], x: int) -> tuple[int, int, float] | None:
    from auscult.architectures import build
    from auscult.facts.memory import logit_slopes

    eager = provider == "huggingface"
    if kernel == "cross_entropy":
        tokens, vocab = config["B"] * config["T"], x
        model = build({"model_type": "gpt2", "vocab_size": vocab, "n_embd": 64, "n_head": 1})
        setup = Setup(
            micro_batch=1, context=tokens, precision="fp32", compiled=not eager, loss="eager" if eager else "compiled"
        )
        # Eager, the gradient of the leaf is kept beside; Liger writes it into the logits: half of compiled's two.
        slopes = logit_slopes(model, setup, tokens=tokens)
        return tokens, vocab, tokens * (slopes.backward + 4 * vocab if eager else slopes.backward / 2)
    if kernel == "fused_linear_cross_entropy":
        tokens, vocab, width = x, config["V"], config["H"]
        model = build({"model_type": "gpt2", "vocab_size": vocab, "n_embd": width, "n_head": 32})
        setup = Setup(micro_batch=1, context=tokens, precision="bf16", loss="chunked" if eager else "fused")
        slopes = logit_slopes(model, setup, tokens=tokens)
        states = 2 * vocab * width * 3 + 2 * 2 * tokens * width
        # Without an fp32 copy: log-softmax and two gradients in bf16; the benchmark holds no logits.
        return tokens, vocab, states + (3 * 2 * vocab * tokens if eager else slopes.backward * tokens + slopes.fixed)
    return None


def summary(found: Sequence[Result]) -> str:
    """Return a table of sources: rows, errors of peaks, how many tests hold."""
    lines = ["| source | test | rows | median error | largest | hold |", "|---|---|---|---|---|---|"]
    for group, test in sorted({(result.row.group, result.test) for result in found}):
        of = [result for result in found if (result.row.group, result.test) == (group, test)]
        errors = [abs(result.error) for result in of] if test == "equal" else []
        middle = f"{statistics.median(errors):.1%} | {max(errors):.1%}" if errors else "|"
        lines.append(f"| {group} | {test} | {len(of)} | {middle} | {sum(r.holds for r in of)} of {len(of)} |")
    return "\n".join(lines)


def cross_validated(found: Sequence[Result]) -> str:
    """Return how many peaks of each source the interval holds, scaled by what the other sources ask for.

    The scale is the smallest, from 1 on, that holds 95 % of the peaks of all other sources.
    """
    peaks = [result for result in found if result.test == "equal"]
    lines = ["| held out | scale by the others | hold |", "|---|---|---|"]
    for group in sorted({result.row.group for result in peaks}):
        others = sorted(_needed(result) for result in peaks if result.row.group != group)
        scale = max(1.0, others[math.ceil(0.95 * len(others)) - 1]) if others else 1.0
        own = [result for result in peaks if result.row.group == group]
        lines.append(f"| {group} | {scale:.2f} | {sum(_needed(r) <= scale for r in own)} of {len(own)} |")
    return "\n".join(lines)


def _needed(result: Result) -> float:
    """Return the factor by which the interval must grow to hold a peak."""
    low, high = result.interval
    away = result.measured - result.ours
    return away / (high - result.ours) if away > 0 else away / (low - result.ours)


def table(found: Sequence[Result] | None = None) -> str:
    """Return every row with a measured peak as a line of markdown."""
    lines = [
        "| line | source | model | card | setup | test | measured GiB | ours | interval | error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results() if found is None else found:
        if result.row.peak_memory_bytes is None:
            continue
        low, high = result.interval
        lines.append(
            f"| {result.row.number} | {result.row.group} | {result.row.model_name} | {result.row.gpu_name} "
            f"| {_describe(result.setup)} | {result.test}, {result.seen} | {result.measured / GIB:.2f} "
            f"| {result.ours / GIB:.2f} | {low / GIB:.2f} to {high / GIB:.2f} | {result.error:+.1%} |"
        )
    return "\n".join(lines)


def _describe(setup: Setup) -> str:
    words = [f"{setup.micro_batch} x {setup.context}", setup.precision]
    words += ["compiled"] if setup.compiled else []
    words += [f"checkpointing {setup.checkpointing}"] if setup.checkpointing != "none" else []
    words += [f"{setup.sharding} of {setup.data_parallel}"] if setup.sharding != "none" else []
    words += [f"TP {setup.tensor_parallel}"] if setup.tensor_parallel > 1 else []
    words += [f"CP {setup.context_parallel}"] if setup.context_parallel > 1 else []
    words += [f"LoRA {setup.lora_rank}, {setup.frozen_bits} bits"] if setup.lora_rank else []
    return ", ".join(words)


def _main() -> None:
    found = results()
    print(summary(found), "", cross_validated(found), "", table(found), sep="\n")
    print("\n| kernel | provider | tokens | vocabulary | measured MiB | ours | error |\n|---|---|---|---|---|---|---|")
    for loss in cross_entropy():
        print(
            f"| {loss.kernel} | {loss.provider} | {loss.tokens} | {loss.vocab} | {loss.measured / MIB:.0f} "
            f"| {loss.ours / MIB:.0f} | {loss.error:+.1%} |"
        )
    print("\nNot held:")
    for result in found:
        if not result.holds:
            low, high = result.interval
            print(
                f"- line {result.row.number}, {result.row.group} {result.row.model_name} ({_describe(result.setup)}): "
                f"{result.test}, {result.measured / GIB:.2f} against {low / GIB:.2f} to {high / GIB:.2f}"
            )
    print("\nNot used:")
    for row, why in not_used():
        print(f"- line {row.number}, {row.group} {row.model_name}: {why}")


if __name__ == "__main__":
    _main()
