"""The peak by rule, against every NVIDIA row of the table whose clock is published."""

from __future__ import annotations

import pytest

from auscult.hardware import find_gpu, load_table
from auscult.hardware.rule import flops_per_sm_cycle, peak_by_rule

TURING, GA10X, ADA, BLACKWELL = (7, 5), (8, 6), (8, 9), (12, 0)
CLOCKS_MHZ: dict[str, tuple[float, tuple[int, int]]] = {
    # Boost clocks as in karpathy/llm.c llmc/mfu.h, or of NVIDIA's product pages (recalled) where it has none.
    "RTX 2080 Ti": (1545, TURING),
    "RTX 3060": (1777, GA10X),
    "RTX 3060 Ti": (1665, GA10X),
    "RTX 3070": (1725, GA10X),
    "RTX 3070 Ti": (1770, GA10X),
    "RTX 3080": (1710, GA10X),
    "RTX 3080 12GB": (1710, GA10X),
    "RTX 3080 Ti": (1665, GA10X),
    "RTX 3090": (1695, GA10X),
    "RTX 3090 Ti": (1860, GA10X),
    "RTX 4060": (2460, ADA),
    "RTX 4060 Ti": (2535, ADA),
    "RTX 4060 Ti 16GB": (2535, ADA),
    "RTX 4070": (2475, ADA),
    "RTX 4070 SUPER": (2475, ADA),
    "RTX 4070 Ti": (2610, ADA),
    "RTX 4070 Ti SUPER": (2610, ADA),
    "RTX 4080": (2505, ADA),
    "RTX 4080 SUPER": (2550, ADA),
    "RTX 4090": (2520, ADA),
    "RTX 5060": (2497, BLACKWELL),
    "RTX 5060 Ti": (2572, BLACKWELL),
    "RTX 5070": (2512, BLACKWELL),
    "RTX 5070 Ti": (2452, BLACKWELL),
    "RTX 5080": (2617, BLACKWELL),
    "RTX 5090": (2407, BLACKWELL),
    "RTX A6000": (1800, GA10X),
    "RTX 6000 Ada": (2505, ADA),
    "A10": (1695, GA10X),
    "A40": (1740, GA10X),
    "A30": (1440, (8, 0)),
    "A100-SXM4-40GB": (1410, (8, 0)),
    "A100-SXM4-80GB": (1410, (8, 0)),
    "A100-PCIE-40GB": (1410, (8, 0)),
    "A100-PCIE-80GB": (1410, (8, 0)),
    "L4": (2040, ADA),
    "L40S": (2520, ADA),
    "H100-SXM5-80GB": (1830, (9, 0)),
    "H100-SXM5-96GB-HBM2e": (1830, (9, 0)),
    "H200-SXM-141GB": (1830, (9, 0)),
    "H800-SXM": (1830, (9, 0)),
    "GH200-96GB": (1830, (9, 0)),
    "V100-SXM2-16GB": (1530, (7, 0)),
    "V100-SXM2-32GB": (1530, (7, 0)),
    "V100-PCIE": (1380, (7, 0)),
    "T4": (1590, TURING),
    "Quadro RTX 8000": (1770, TURING),
}
THROTTLED = {"L40", "H100-PCIe-80GB", "H100-NVL-94GB", "H20", "A10G"}
"""Sold with less than silicon and boost clock give: rule.py says so."""
NO_CLOCK = {"B200-SXM-180GB", "B300-SXM", "GB200 (per GPU)", "P100-SXM2", "P100-PCIE", "GTX 1080 Ti", "TITAN Xp"}
"""No clock is published, or the card has no tensor cores."""
TOLERANCE = 0.015
"""Data sheets round clocks and peaks; the L40S is 1.2 % off."""


@pytest.mark.parametrize("name", CLOCKS_MHZ)
def test_the_rule_regenerates_the_row(name: str) -> None:
    """SMs x published boost clock x FLOP per SM and cycle is the row's fp16 peak, and bf16 from capability 8.0 on."""
    card = next(card for card in load_table() if card.name == name)
    clock_mhz, capability = CLOCKS_MHZ[name]
    assert card.sm_count is not None
    geforce = name.startswith(("RTX 2", "RTX 3", "RTX 4", "RTX 5"))
    fp16, bf16 = (
        peak_by_rule(card.sm_count, clock_mhz, capability, geforce=geforce, dtype=dtype)
        for dtype in ("float16", "bfloat16")
    )
    assert fp16 == pytest.approx(card.fp16_flops_per_s, rel=TOLERANCE)
    assert (bf16 is None) == (card.bf16_flops_per_s is None)
    assert bf16 is None or bf16 == pytest.approx(card.bf16_flops_per_s, rel=TOLERANCE)


def test_no_nvidia_row_is_forgotten() -> None:
    """Every NVIDIA row is either regenerated above or named with the reason why it cannot be."""
    assert {card.name for card in load_table() if card.vendor == "nvidia"} == {*CLOCKS_MHZ} | THROTTLED | NO_CLOCK


def test_the_rule_for_b200_needs_a_clock_that_exists() -> None:
    """B200's 2250 TFLOP/s follows from 8192 FLOP per SM and cycle at a clock between 1.8 and 2.0 GHz."""
    card = find_gpu("B200")
    assert card is not None
    assert card.sm_count is not None
    peaks = [peak_by_rule(card.sm_count, clock, (10, 0), geforce=False) or 0 for clock in (1800, 2000)]
    assert peaks[0] < (card.fp16_flops_per_s or 0) < peaks[1]


@pytest.mark.parametrize("capability", [(6, 0), (6, 1), (5, 2), (11, 0), (99, 9)])
def test_an_unknown_architecture_has_no_peak(capability: tuple[int, int]) -> None:
    """A card without tensor cores, or of an architecture that is not known, gets none rather than a neighbour's."""
    assert peak_by_rule(40, 1500, capability, geforce=True) is None
    assert flops_per_sm_cycle(capability, geforce=False) is None


def test_impossible_properties_are_refused() -> None:
    """No multiprocessors, or no clock, is a mistake of the caller."""
    for sm_count, clock in ((0, 1500.0), (40, 0.0), (40, float("nan")), (40, float("inf"))):
        with pytest.raises(ValueError, match="positive"):
            peak_by_rule(sm_count, clock, (8, 0), geforce=False)
