"""Cards as users type them and as logs print them: the right row, an honest merge, or nothing at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.hardware import Gpu, find_gpu, load_table, suggest

TABLE = load_table()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("4070", "RTX 4070"),
        ("RTX 4070", "RTX 4070"),
        ("NVIDIA GeForce RTX 4070", "RTX 4070"),
        ("rtx4070", "RTX 4070"),
        ("RTX4090", "RTX 4090"),
        ("rtx 4070 12GB", "RTX 4070"),
        ("RTX 4070 12 GB", "RTX 4070"),
        ("4070 Ti", "RTX 4070 Ti"),
        ("4070Ti", "RTX 4070 Ti"),
        ("RTX4070Ti", "RTX 4070 Ti"),
        ("RTX 4070Ti SUPER", "RTX 4070 Ti SUPER"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti SUPER"),
        ("4070 super", "RTX 4070 SUPER"),
        ("RTX 3080 10GB", "RTX 3080"),
        ("RTX 3080 12GB", "RTX 3080 12GB"),
        ("RTX 4060 Ti 16GB", "RTX 4060 Ti 16GB"),
        ("gtx 1080 ti", "GTX 1080 Ti"),
        ("A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIE-80GB"),
        ("NVIDIA A100-PCIE-40GB", "A100-PCIE-40GB"),
        ("A100 SXM 80 GB", "A100-SXM4-80GB"),
        ("H100 PCIe", "H100-PCIe-80GB"),
        ("NVIDIA H100 PCIe", "H100-PCIe-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM5-80GB"),
        ("H100 SXM", "H100-SXM5-80GB"),
        ("NVIDIA H100 NVL", "H100-NVL-94GB"),
        ("NVIDIA H200", "H200-SXM-141GB"),
        ("NVIDIA B200", "B200-SXM-180GB"),
        ("L40S", "L40S"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L40", "L40"),
        ("L4", "L4"),
        ("T4", "T4"),
        ("Tesla T4", "T4"),
        ("V100-PCIE", "V100-PCIE"),
        ("Tesla V100-PCIE-32GB", "V100-PCIE"),
        ("Tesla V100-SXM2-32GB", "V100-SXM2-32GB"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("AMD Instinct MI300X", "MI300X"),
        ("MI250", "MI250"),
        ("TPU v4", "TPU v4"),
        ("Apple M1 Max", "Apple M1 Max (32)"),
    ],
)
def test_names_as_people_and_drivers_write_them(name: str, row: str) -> None:
    """A name as typed, or as nvidia-smi and torch print it, finds its row of the table."""
    card = find_gpu(name)
    assert card is not None
    assert card.name == row


@pytest.mark.parametrize("card", TABLE, ids=lambda card: card.name)
def test_every_row_finds_itself(card: Gpu) -> None:
    """The table's own name of a card means that card, in any case of letters."""
    assert find_gpu(card.name) == card
    assert find_gpu(card.name.upper()) == card
    assert find_gpu(card.name.lower()) == card


def test_a100_is_four_cards_with_one_peak() -> None:
    """The name A100 fits four cards: their common peak is known, memory and bandwidth, which differ, are not."""
    card = find_gpu("A100")
    assert card is not None
    assert card.peak_flops_per_s("bfloat16") == 312e12
    assert (card.memory_bytes, card.bandwidth_bytes_per_s) == (None, None)
    assert card.sm_count == 108
    for row in ("A100-SXM4-40GB", "A100-SXM4-80GB", "A100-PCIE-40GB", "A100-PCIE-80GB"):
        assert row in card.name
    fewer = find_gpu("A100 80GB")
    assert fewer is not None
    assert fewer.memory_bytes == 80 * 2**30
    assert fewer.bandwidth_bytes_per_s is None


@pytest.mark.parametrize("name", ["H100", "V100", "NVIDIA Tesla V100"])
def test_a_name_of_several_cards_has_no_peak_that_only_one_has(name: str) -> None:
    """The names H100 and V100 fit cards of different peaks, so that no peak is claimed for them."""
    card = find_gpu(name)
    assert card is None or card.peak_flops_per_s("float16") is None


@pytest.mark.parametrize(
    "name",
    [
        "RTX 4070 Laptop GPU",
        "NVIDIA GeForce RTX 4070 Laptop GPU",
        "RTX 3080 Mobile",
        "RTX 2080 Ti Max-Q",
        "RTX 4700",
        "RTX 4090 D",
        "RTX 4090D",
        "RX 7900 XTX",
        "Quadro RTX 6000",
        "NVIDIA RTX PRO 6000 Blackwell",
        "NVIDIA A10M",
        "A1000",
        "H1000",
        "RTX 407",
        "RTX",
        "GPU",
        "NVIDIA GeForce",
        "32",
        "8",
        "cpu",
        "",
        "   ",
    ],
)
def test_other_cards_have_no_row(name: str) -> None:
    """A laptop's card, a neighbour's number, a namesake of another generation or half a name is not in the table."""
    assert find_gpu(name) is None


@pytest.mark.parametrize("name", ["Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB", "V100-SXM2"])
def test_the_v100_of_two_memories(name: str) -> None:
    """The V100-SXM2 was sold with 16 and with 32 GB: its peak is known, and its memory only where the name says it."""
    card = find_gpu(name)
    assert card is not None
    assert card.peak_flops_per_s("float16") == 125e12
    said = {"Tesla V100-SXM2-16GB": 16, "Tesla V100-SXM2-32GB": 32}.get(name)
    assert card.memory_bytes is None or card.memory_bytes / 2**30 == said


def test_a_card_of_another_memory_does_not_get_this_one() -> None:
    """A V100-PCIE with 16 GB is not given the 32 GB of the table's row."""
    card = find_gpu("Tesla V100-PCIE-16GB")
    assert card is None or card.memory_bytes != 32 * 2**30


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("RTX 4700", "4070"),
        ("4700", "4070"),
        ("RTX 4070 Laptop GPU", "4070"),
        ("NVIDIA GeForce RTX 4070 Laptop GPU", "4070"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", "3080"),
        ("A1000", "A100"),
        ("H100 SMX", "H100"),
    ],
)
def test_what_is_not_found_gets_a_suggestion(name: str, digits: str) -> None:
    """A name that is not found comes back with at most three cards, the one that it resembles among them."""
    assert find_gpu(name) is None
    assert any(digits in suggestion for suggestion in suggest(name)), suggest(name)
    assert len(suggest(name)) <= 3


@pytest.mark.parametrize("card", TABLE, ids=lambda card: card.name)
def test_every_row_is_complete_and_has_a_source(card: Gpu) -> None:
    """Every row says where its figures come from, and has at least one peak; figures are in base units."""
    assert len(card.source) > 10
    assert card.vendor in {"nvidia", "amd", "google", "apple"}
    peaks = [peak for peak in map(card.peak_flops_per_s, ("bfloat16", "float16", "float32")) if peak is not None]
    assert peaks
    assert all(1e11 < peak < 1e16 for peak in peaks)
    assert card.memory_bytes is None or 2**30 < card.memory_bytes < 2**40
    assert card.bandwidth_bytes_per_s is not None
    assert 1e10 < card.bandwidth_bytes_per_s < 1e14
    assert card.sm_count is not None
    assert card.sm_count >= 1


def test_names_are_unique() -> None:
    """No two rows share a name, in whatever case."""
    assert len({card.name.lower() for card in TABLE}) == len(TABLE)


@pytest.mark.parametrize("name", ["RTX 2080 Ti", "T4", "V100-PCIE"])
def test_cards_without_bfloat16_have_no_such_peak(name: str) -> None:
    """Before Ampere there is no bfloat16 on tensor cores, and no peak is borrowed from float16."""
    card = find_gpu(name)
    assert card is not None
    assert card.peak_flops_per_s("bfloat16") is None
    assert card.peak_flops_per_s("float16") is not None


def test_an_unknown_dtype_has_no_peak() -> None:
    """A dtype beyond the three has no peak; float32 is TF32 where there is TF32."""
    card = find_gpu("RTX 4070")
    assert card is not None
    assert card.peak_flops_per_s("int4") is None
    assert card.peak_flops_per_s("float32") == card.tf32_flops_per_s == 29.1e12


@settings(database=None, derandomize=True, deadline=None, max_examples=150)
@given(name=st.one_of(st.text(max_size=40), st.text(alphabet="RTX 40796SuperTiAHGB-()/", max_size=30)))
def test_any_text_finds_a_card_or_none(name: str) -> None:
    """Whatever is typed, the lookup answers with a card or None and suggests at most three names of the table."""
    card = find_gpu(name)
    assert card is None or card.source
    assert set(suggest(name)) <= {row.name for row in TABLE}
