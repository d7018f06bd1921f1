"""Names of cards, drawn at random and as drivers print them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.hardware import Gpu, find_gpu, load_table, suggest

TABLE = load_table()
PREFIXES = {
    "nvidia": ("", "NVIDIA ", "NVIDIA GeForce ", "nvidia ", "GPU 0: NVIDIA "),
    "amd": ("", "AMD ", "AMD Instinct ", "AMD INSTINCT "),
    "google": ("", "Google "),
    "apple": ("",),
}


@st.composite
def written(draw: st.DrawFn) -> tuple[Gpu, str]:
    """Draw a card and a way of writing its name that leaves no word out."""
    card = draw(st.sampled_from(TABLE))
    name = draw(st.sampled_from(PREFIXES[card.vendor])) + card.name
    name = draw(st.sampled_from((name, name.upper(), name.lower(), name.title())))
    joint = draw(st.sampled_from((" ", "  ", "-", "_")))
    name = joint.join(name.split())
    if not re.search(r"\d+ ?GB", card.name) and card.memory_bytes and card.vendor == "nvidia" and draw(st.booleans()):
        name += draw(st.sampled_from((" {}GB", " {} GB", "-{}GB", " {}GiB"))).format(card.memory_bytes // 2**30)
    return card, name


@given(written())
def test_a_name_in_any_case_and_spacing_is_the_card(drawn: tuple[Gpu, str]) -> None:
    """However it is spaced, cased, prefixed and followed by its memory, a card's name means that card and no other."""
    card, name = drawn
    found = find_gpu(name)
    assert found is not None, name
    assert found == card, name


@given(
    st.sampled_from(TABLE),
    st.sampled_from(["Laptop GPU", "Max-Q", "Mobile", "MIG 1g.5gb", "MIG 3g.40gb", "Ti D", "LE", "XTX", "vGPU 8Q"]),
)
def test_another_chip_of_that_name_is_not_the_card(card: Gpu, suffix: str) -> None:
    """A laptop's chip, a slice of a card or a variant for one market shares a number with a card, and is not it."""
    found = find_gpu(f"{card.name} {suffix}")
    assert found is None, found
    assert len(suggest(f"{card.name} {suffix}")) <= 3


@given(st.sampled_from([card for card in TABLE if re.search(r"\d", card.name)]), st.integers(0, 9), st.integers(0, 20))
def test_one_wrong_digit_is_another_card_or_none(card: Gpu, digit: int, position: int) -> None:
    """A name with a digit changed never means the card that it was before."""
    digits = [i for i, character in enumerate(card.name) if character.isdigit()]
    i = digits[position % len(digits)]
    other = card.name[:i] + str(digit) + card.name[i + 1 :]
    if digit != int(card.name[i]):
        found = find_gpu(other)
        assert found is None or found.name != card.name, (other, found)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("NVIDIA GH200 480GB", "GH200-96GB"),
        ("4070tis", "RTX 4070 Ti SUPER"),
        ("4070s", "RTX 4070 SUPER"),
        ("a100-80g-sxm", "A100-SXM4-80GB"),
        ("h100sxm", "H100-SXM5-80GB"),
        ("NVIDIA-H100-80GB-HBM3", "H100-SXM5-80GB"),
        ("GPU 3: NVIDIA A100-SXM4-80GB (UUID: GPU-00000000-1111-2222-3333-444444444444)", "A100-SXM4-80GB"),
        ("_CudaDeviceProperties(name='NVIDIA GeForce RTX 4070', major=8, minor=9, total_memory=11874MB)", "RTX 4070"),
        ("TPU v5 lite", "TPU v5e"),
        ("TPU v6 lite", "TPU v6e"),
        ("v5litepod-8", "TPU v5e"),
        ("AMD INSTINCT MI250 (MCM) OAM AC MBA", "MI250"),
        ("M3 Max 40-core", "Apple M3 Max (40)"),
        ("TPU v5", "TPU v5p"),
        ("TPU7x", "TPU v7x"),
        ("trillium", "TPU v6e"),
        ("cuda:0 NVIDIA GeForce RTX 3090", "RTX 3090"),
        ("| NVIDIA H100 80GB HBM3          On  | 00000000:18:00.0 Off |", "H100-SXM5-80GB"),
        ("You are using a CUDA device ('NVIDIA GeForce RTX 4070')", "RTX 4070"),
        ("device: 0, name: NVIDIA GeForce RTX 4070, pci bus id: 0000:01:00.0", "RTX 4070"),
        ("NVIDIA GH200 96GB HBM3", "GH200-96GB"),
        ("NVIDIA B300 SXM6 AC", "B300-SXM"),
        ("NVIDIA A10G", "A10G"),
        ("H100-96GB-HBM2e", "H100-SXM5-96GB-HBM2e"),
        ("Tesla P100-PCIE-16GB", "P100-PCIE"),
    ],
)
def test_names_as_printed(name: str, row: str) -> None:
    """What nvidia-smi, rocm-smi, PyTorch, JAX and Kubernetes print, and what people shorten it to, means its card."""
    found = find_gpu(name)
    assert found is not None
    assert found.name == row


@pytest.mark.parametrize(
    "name",
    [
        *("RTX 2080", "GTX 1080", "RTX 3060 8GB", "RTX 6000", "RTX 4070 16GB", "Tesla V100-SXM3-32GB"),
        *(
            "gfx942",
            "gfx90a",
            "M3 Max 30-core",
            "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
            "RTX 5060 Ti 8GB",
            "NVIDIA H800 PCIe",
        ),
        *("v4", "v2", "NVIDIA TITAN RTX", "RTX 5090 D", "NVIDIA L40G"),
        *("Tesla M2", "AMD RTX 4070", "NVIDIA H100 80GB HBM2e", "H100 96GB", "GH200 144GB HBM3e"),
    ],
)
def test_a_neighbour_is_not_the_card(name: str) -> None:
    """A name that leaves out a word which tells two chips apart, or has another memory or socket, finds no row."""
    assert find_gpu(name) is None


def test_names_that_the_driver_leaves_open() -> None:
    """Two cards under one printed name, or a name without the socket, share what they have in common and nothing else."""
    both = find_gpu("AMD Instinct MI250X / MI250")
    assert both is not None
    assert (both.memory_bytes, both.bf16_flops_per_s) == (128 * 2**30, None)
    pascal = find_gpu("P100")
    assert pascal is not None
    assert (pascal.memory_bytes, pascal.fp32_flops_per_s, pascal.board_power_w) == (16 * 2**30, None, None)


def test_a_card_of_the_user_wins_over_the_table() -> None:
    """A user's card is found by its exact name, even one without a number, and before the table's of that name."""
    mine = Gpu("my card", "unknown", None, None, None, 1e12, None, None, None, "given")
    other = Gpu("RTX 4070", "nvidia", 1, None, None, 2e12, None, None, None, "given")
    assert find_gpu("My  Card", (mine, other)) is mine
    assert find_gpu("NVIDIA GeForce RTX 4070", (mine, other)) is other
    assert find_gpu("my card") is None


def test_the_advertised_fp16_peak_is_kept_apart() -> None:
    """The peak with fp16 accumulation is not the one that training is measured by; fp8 is a peak of its own."""
    card = find_gpu("RTX 4070")
    assert card is not None
    assert (card.fp16_accumulate_flops_per_s, card.peak_flops_per_s("float16")) == (116.6e12, 58.3e12)
    assert card.peak_flops_per_s("float8") == 116.6e12


def test_suggestions_start_with_the_same_number() -> None:
    """A laptop's chip, a slice and an architecture shared by several cards lead to the cards that they come from."""
    assert suggest("NVIDIA GeForce RTX 4070 Laptop GPU")[0] == "RTX 4070"
    assert suggest("2080")[0] == "RTX 2080 Ti"
    assert suggest("NVIDIA A100-SXM4-40GB MIG 1g.5gb")[0].startswith("A100")
    assert suggest("gfx942") == ["MI300X", "MI325X"]
