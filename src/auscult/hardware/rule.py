"""The peak of an NVIDIA card that is not in the table, from what its driver tells of it."""

from __future__ import annotations

import math

__all__ = ["flops_per_sm_cycle", "peak_by_rule"]

_TENSOR = {
    (7, 0): 1024,
    (7, 5): 1024,
    (8, 0): 2048,
    (8, 6): 1024,
    (8, 9): 1024,
    (9, 0): 4096,
    (10, 0): 8192,
    (10, 3): 8192,
    (12, 0): 1024,
}
"""FLOP per SM and cycle of float16 on tensor cores, by compute capability; two for a fused multiply-add."""
_HALVED = {(7, 5), (8, 6), (8, 9), (12, 0)}
"""Where a GeForce accumulates in fp32 at half rate, and a card for workstations or servers does not."""
_FP8 = {(8, 9), (9, 0), (10, 0), (10, 3), (12, 0)}
_AMPERE = (8, 0)
_MOST_MHZ = 1e5


def flops_per_sm_cycle(capability: tuple[int, int], *, geforce: bool, dtype: str = "float16") -> float | None:
    """Return what an SM's tensor cores do in a cycle, dense and with fp32 accumulation [FLOP]; None where it is not known.

    Parameters
    ----------
    capability : (int, int)
        Compute capability, such as (8, 9).
    geforce : bool
        Whether the card is sold as a GeForce.
    dtype : str, optional
        ``float16``; ``bfloat16`` and ``float32`` (through TF32) from capability 8.0 on; ``float8`` where there is float8.

    Notes
    -----
    bfloat16 is as fast as float16, TF32 half as fast, float8 twice as fast.

    References
    ----------
    NVIDIA, *Tesla V100 GPU Architecture*, 2017 (8 tensor cores of 64 FMA); *Turing GPU Architecture*, 2018, and *Ampere GA102 GPU
    Architecture*, 2021, Appendix A (GeForce at half rate with fp32 accumulation); *A100 Tensor Core GPU Architecture*, 2020
    (4 × 256 FMA); *H100 Tensor Core GPU Architecture*, 2022 (4 × 512 FMA). karpathy/llm.c, ``llmc/mfu.h``, has the same rule for
    some thirty cards. The rate of capability 10.0 and 10.3 is derived from the B200's published peak.

    Examples
    --------
    >>> flops_per_sm_cycle((8, 9), geforce=True), flops_per_sm_cycle((8, 9), geforce=False)
    (512.0, 1024.0)
    """
    rate = _TENSOR.get(capability)
    share = {"float16": 1.0, "bfloat16": 1.0, "float32": 0.5, "float8": 2.0}.get(dtype)
    if rate is None or share is None:
        return None
    if dtype in ("bfloat16", "float32") and capability < _AMPERE:
        return None
    if dtype == "float8" and capability not in _FP8:
        return None
    return rate * share / (2 if geforce and capability in _HALVED else 1)


def peak_by_rule(
    sm_count: int, clock_mhz: float, capability: tuple[int, int], *, geforce: bool, dtype: str = "bfloat16"
) -> float | None:
    """Return the dense peak that an NVIDIA card's SMs and clock give [FLOP/s]; None for an architecture that is not known.

    Parameters
    ----------
    sm_count : int
        Streaming multiprocessors, as ``torch.cuda.get_device_properties(0).multi_processor_count`` tells.
    clock_mhz : float
        The boost clock of the data sheet [MHz]. The highest clock that ``nvidia-smi`` allows lies up to a quarter above it.
    capability : (int, int)
        Compute capability, such as (8, 9).
    geforce : bool
        Whether the card is sold as a GeForce RTX. The GTX 16 series has capability 7.5 and no tensor cores: not for it.
    dtype : str, optional
        As for :func:`flops_per_sm_cycle`.

    Raises
    ------
    ValueError
        When the count or the clock is not positive.

    Notes
    -----
    peak = SMs × clock × FLOP per SM and cycle. It ignores clocks that power does not sustain, and what a maker takes away for
    a market: the H20, the L40, the H100 PCIe and NVL and the A10G are published at less than their silicon gives by this rule.

    References
    ----------
    As for :func:`flops_per_sm_cycle`.

    Examples
    --------
    >>> round(peak_by_rule(46, 2475, (8, 9), geforce=True) / 1e12, 1)
    58.3
    """
    if sm_count < 1 or not math.isfinite(clock_mhz) or not 0 < clock_mhz < _MOST_MHZ:
        raise ValueError(f"expected a positive count and clock, found {sm_count} SMs at {clock_mhz} MHz")
    rate = flops_per_sm_cycle(capability, geforce=geforce, dtype=dtype)
    return None if rate is None else sm_count * clock_mhz * 1e6 * rate
