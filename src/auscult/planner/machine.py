"""The machine that a plan is for: cards of one kind, what one of them holds, and how fast it is."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ..facts.memory import USABLE_FRACTION
from ..facts.roofline import Device
from ..facts.setup import Precision
from ..hardware import Gpu
from ..hardware.links import link_bytes_per_s

__all__ = ["Machine", "device_of", "machine_of"]

_DTYPES: dict[Precision, str] = {"amp_bf16": "bfloat16", "bf16": "bfloat16", "amp_fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True, slots=True)
class Machine:
    """Cards of one kind.

    Attributes
    ----------
    gpu : Gpu
        One card, from the table.
    count : int
        How many.
    limit_bytes : int
        What a program can use of one card's memory [bytes].
    precision : str
        In which training runs.
    device : Device
        What the time of a step depends on.
    """

    gpu: Gpu
    count: int
    limit_bytes: int
    precision: Precision
    device: Device


def machine_of(gpu: Gpu, count: int, precision: Precision | None) -> Machine:
    """Return the machine, with the precision that its cards train in where none is asked for.

    Raises
    ------
    UsageError
        When the card's memory or its peak for the precision is not known.
    """
    if gpu.memory_bytes is None:
        raise UsageError(f"{gpu.name}: they differ in memory. Next: say which with --gpu.")
    chosen: Precision = precision or (
        "amp_bf16" if gpu.bf16_flops_per_s else "amp_fp16" if gpu.fp16_flops_per_s else "fp32"
    )
    peak = gpu.peak_flops_per_s(_DTYPES[chosen])
    if peak is None:
        raise UsageError(
            f"{gpu.name}: no {_DTYPES[chosen]} peak is known for it, so no time can be told. Next: choose another --dtype."
        )
    return Machine(gpu, count, round(USABLE_FRACTION * gpu.memory_bytes), chosen, device_of(gpu, count, peak))


def device_of(gpu: Gpu, count: int, peak_flops_per_s: float) -> Device:
    """Return what the time of a step on some cards depends on.

    Raises
    ------
    UsageError
        When the bandwidth of the card's memory is not known.
    """
    if gpu.bandwidth_bytes_per_s is None:
        raise UsageError(f"{gpu.name}: the bandwidth of its memory is not known, so no time can be told.")
    return Device(
        peak_flops_per_s,
        gpu.bandwidth_bytes_per_s,
        gpu.sm_count,
        link_bytes_per_s(gpu, count) if count > 1 else None,
        shader_flops_per_s=gpu.fp32_flops_per_s,
        calibrated=gpu.vendor == "nvidia",
    )
