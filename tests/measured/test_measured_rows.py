"""Rows of measured runs: read by rule, nothing guessed; published MFUs computed again.

The table is not part of the project (``$AUSCULT_FACTS``, beside ``$AUSCULT_CORPUS``, or ``../shared/facts``); tests of the
whole table are skipped without it.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from scripts.measured import flops
from scripts.measured.rows import Row, facts, read_rows

from auscult.facts.parameters import count_adapters, count_parameters

COLUMNS = (
    *(
        "source",
        "gpu",
        "n_gpu",
        "model",
        "n_layer",
        "n_head",
        "n_kv_head",
        "n_embd",
        "ffn",
        "vocab",
        "seq",
        "micro_batch",
    ),
    *("grad_accum", "dtype", "compile", "flash", "checkpointing", "optimizer", "parallelism", "peak_mem_gib"),
    *("tokens_per_s", "mfu", "notes"),
)
GIB = 2**30
MPT = {
    "source": "mosaicml/llm-foundry scripts/train/benchmarking/README.md [H100 80GB BF16]",
    "gpu": "h100_80gb",
    "n_gpu": "16",
    "model": "mpt-tiny",
    "n_layer": "3",
    "n_head": "4",
    "n_kv_head": "4",
    "n_embd": "64",
    "ffn": "256",
    "vocab": "100",
    "seq": "32",
    "micro_batch": "2",
    "grad_accum": "3",
    "dtype": "amp_bf16",
    "flash": "yes",
    "checkpointing": "full",
    "optimizer": "decoupled_adamw",
    "parallelism": "FSDP FULL_SHARD mp=DEFAULT",
    "tokens_per_s": "1000",
    "mfu": "41.25",
    "notes": "HFU 55.0; params 160000; global_batch 96",
}
LITGPT = {
    "source": "Lightning-AI/litgpt tutorials/resource-tables.md [Finetuning with LoRA on 1 GPU]",
    "gpu": "A100-40GB",
    "n_gpu": "1",
    "model": "Llama 2 7 B",
    "seq": "1304",
    "micro_batch": "4",
    "dtype": "bf16-true",
    "optimizer": "PEFT (4,194,304 trainable)",
    "peak_mem_gib": "20.0",
    "notes": "seq = longest example; global minibatch 128",
}
RECIPE = LITGPT | {
    "source": "Lightning-AI/litgpt config_hub/finetune/README.md llama-2-7b/qlora.yaml",
    "gpu": "A10G",
    "n_gpu": "4",
    "model": "llama-2-7b",
    "seq": "512",
    "optimizer": "qlora nf4",
    "notes": "actual sequence length <= max",
}

needs_table = pytest.mark.skipif(facts() is None, reason="no measured_runs.csv: set AUSCULT_FACTS to its folder")


def row(tmp_path: Path, values: dict[str, str], **changes: str) -> Row:
    """Read one row of the given values back from a file."""
    file = tmp_path / "measured_runs.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, restval="")
        writer.writeheader()
        writer.writerow(values | changes)
    (found,) = read_rows(file)
    return found


def test_a_row_of_dimensions(tmp_path: Path) -> None:
    """Dimensions make the model, the columns the setup, the notes HFU and parameters; figures are fractions."""
    found = row(tmp_path, MPT)
    assert found.model is not None
    assert found.setup is not None
    c, v, t, layers = 64, 100, 32, 3
    assert count_parameters(found.model).total == v * c + t * c + layers * (12 * c * c + 13 * c) + 2 * c
    setup = found.setup
    assert (setup.micro_batch, setup.context, setup.gradient_accumulation_steps) == (2, 32, 3)
    assert (setup.precision, setup.checkpointing, setup.sharding, setup.data_parallel) == (
        "amp_bf16",
        "full",
        "fsdp",
        16,
    )
    assert (found.mfu, found.hfu, found.noted_parameters) == (0.4125, 0.55, 160_000)
    assert found.fits
    assert not setup.fp32_states  # autocast keeps them in fp32 by itself
    assert found.card_bytes == 80 * GIB


def test_states_under_fsdp(tmp_path: Path) -> None:
    """FSDP's mixed precision computes in bf16 over fp32 states; FP8 is noted beside the precision, not in it."""
    pure = row(tmp_path, MPT, dtype="bf16").setup
    assert pure is not None
    assert (pure.precision, pure.fp32_states) == ("bf16", True)
    eight = row(tmp_path, MPT, dtype="amp_fp8")
    assert eight.fp8
    assert "FP8" in eight.reason


@pytest.mark.parametrize(
    ("parallelism", "sharding", "data", "tensor", "context"),
    [
        ("FSDP4 CP4", "fsdp", 4, 1, 4),
        ("FSDP2 TP8", "fsdp", 2, 8, 1),
        ("FSDP SHARD_GRAD_OP mp=DEFAULT", "zero2", 16, 1, 1),
        ("DDP16 / sharded muon", "ddp", 16, 1, 1),
        ("ZeRO1 x16", "zero1", 16, 1, 1),
        ("TP16", "none", 1, 16, 1),
    ],
)
def test_parallelism(tmp_path: Path, parallelism: str, sharding: str, data: int, tensor: int, context: int) -> None:
    """The ways in which GPUs share the work multiply to all of them."""
    setup = row(tmp_path, MPT, parallelism=parallelism).setup
    assert setup is not None
    assert (setup.sharding, setup.data_parallel, setup.tensor_parallel) == (sharding, data, tensor)
    assert setup.context_parallel == context
    assert setup.gpu_count == 16


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"micro_batch": ""}, "micro_batch not given"),
        ({"seq": ""}, "seq not given"),
        ({"n_head": ""}, "n_head not given"),
        ({"dtype": ""}, "precision not given"),
        ({"dtype": "int4"}, "int4"),
        ({"optimizer": ""}, "optimizer not given"),
        ({"optimizer": "shampoo"}, "shampoo"),
        ({"checkpointing": ""}, "checkpointing not given"),
        ({"checkpointing": "per-op SAC"}, "per-op SAC"),
        ({"compile": "thunder nvfuser"}, "thunder"),
        ({"parallelism": ""}, "how 16 GPUs share"),
        ({"parallelism": "FSDP2 TP5"}, "cannot be"),
        ({"parallelism": "FSDP2 TP2 PP4 1F1B"}, "pipeline"),
        ({"model": "retnet-1b"}, "family"),
        ({"notes": "tiny dims assumed"}, "assumed"),
    ],
)
def test_what_is_not_said_is_not_guessed(tmp_path: Path, changes: dict[str, str], why: str) -> None:
    """A row that leaves something open has no setup, and says what is missing; what it measured is kept."""
    found = row(tmp_path, MPT, **changes)
    assert found.setup is None
    assert why in found.unusable
    assert found.reason == found.unusable
    assert found.tokens_per_s == 1000


@pytest.mark.parametrize(
    ("peak", "fits", "out_of_memory"),
    [
        ("OOM", False, True),
        ("OOM (5.17 alloc, external use)", False, False),
        ("30.5", True, False),
        ("N/A", False, False),
    ],
)
def test_what_a_peak_shows(tmp_path: Path, peak: str, fits: bool, out_of_memory: bool) -> None:
    """A number shows that it ran, OOM that it did not; beside other processes' memory an OOM shows nothing."""
    found = row(tmp_path, LITGPT, peak_mem_gib=peak)
    assert (found.fits, found.out_of_memory) == (fits, out_of_memory)
    assert found.peak_memory_bytes == (30.5 * GIB if fits else None)


def test_lora_of_a_table(tmp_path: Path) -> None:
    """The rank follows from the printed count of trainable values, accumulation from the global batch."""
    found = row(tmp_path, LITGPT)
    assert found.model is not None
    assert found.setup is not None
    setup = found.setup
    assert (setup.lora_rank, setup.lora_targets, setup.frozen_bits) == (8, ("q_proj", "v_proj"), 16)
    assert count_adapters(found.model, rank=8, targets=setup.lora_targets) == 4_194_304
    assert setup.gradient_accumulation_steps == 32
    assert (setup.checkpointing, setup.sharding, found.memory_kind) == ("none", "none", "allocated")
    assert row(tmp_path, LITGPT, optimizer="PEFT (4,194,305 trainable)").setup is None


def test_lora_on_several_gpus(tmp_path: Path) -> None:
    """Litgpt shards by FSDP and checkpoints every block where there are several GPUs."""
    setup = row(tmp_path, LITGPT, n_gpu="2", dtype="bf16-true bnb.nf4").setup
    assert setup is not None
    assert (setup.sharding, setup.checkpointing, setup.data_parallel, setup.frozen_bits) == ("fsdp", "full", 2, 4)


def test_a_recipe(tmp_path: Path) -> None:
    """A litgpt recipe brings its rank, and its number of devices whatever the machine has."""
    found = row(tmp_path, RECIPE)
    assert found.setup is not None
    assert (found.setup.lora_rank, found.setup.frozen_bits, found.setup.gpu_count) == (32, 4, 1)
    assert found.gpu_count == 4
    assert found.context_is_upper_bound
    assert "devices: 1 on the machine of 4" in found.reason


def test_a_peak_that_cannot_be(tmp_path: Path) -> None:
    """Full training whose peak is below weights, gradients and moments had another recipe: not used."""
    full = RECIPE | {"source": RECIPE["source"].replace("qlora", "full"), "n_gpu": "1", "optimizer": "adamw"}
    assert "another" in row(tmp_path, full, peak_mem_gib="30").unusable
    assert not row(tmp_path, full, peak_mem_gib="60").unusable


def test_modded_nanogpt(tmp_path: Path) -> None:
    """Early records are GPT-2's matrices, untied from November 2024 on; later ones are left open."""
    record = MPT | {
        "source": "KellerJordan/modded-nanogpt records/x.txt",
        "parallelism": "DDP16 / sharded muon",
        "compile": "yes",
        "optimizer": "muon+adam(w)",
    }
    names = ("2024-10-10_Muon", "2024-11-03_UntieEmbed", "2025-01-04_SoftCap")
    early, untied, late = (row(tmp_path, record, model=f"modded-gpt2 {name}").model for name in names)
    assert early is not None
    assert early.tied
    assert untied is not None
    assert not untied.tied
    assert late is None


@needs_table
def test_every_row_of_the_table() -> None:
    """Each row has a model and a setup, or says why not; none claims to have run and to have run out of memory."""
    rows = read_rows()
    assert len(rows) > 400
    for found in rows:
        assert (found.model is not None and found.setup is not None) or found.unusable, found.number
        assert not (found.fits and found.out_of_memory), found.number


@needs_table
def test_parameters_and_batches_of_llm_foundry() -> None:
    """The parameter count of every MosaicML row is met exactly, and so is its global batch."""
    rows = [found for found in read_rows() if found.noted_parameters is not None]
    assert len(rows) > 200
    for found in rows:
        assert found.model is not None
        assert found.setup is not None
        assert count_parameters(found.model).total == found.noted_parameters, found.number
        batch = re.search(r"global_batch (\d+)", found.notes)
        assert batch is not None
        assert found.setup.tokens_per_step == int(batch[1]) * found.setup.context, found.number


@needs_table
def test_mfus_of_llm_foundry_are_reproduced() -> None:
    """Every MFU and HFU that MosaicML published follows from its tokens per second to 0.1 %, FP8 included."""
    found = [c for c in flops.results() if c.row.group == "mosaicml/llm-foundry"]
    assert len(found) > 400
    assert max(abs(c.error) for c in found) <= flops.REPRODUCED


@needs_table
def test_mfus_of_others() -> None:
    """Trainers that state their convention are met to 1 % at the median, and the table names every publisher once a figure."""
    found = flops.results()
    for summary in flops.summaries(found):
        if summary.stated:
            assert summary.median_error <= 0.01, summary
    assert len(flops.table(found).splitlines()) == 2 + len(flops.summaries(found))


def test_no_figure_without_a_convention(tmp_path: Path) -> None:
    """A publisher whose convention is not known, and a card whose divisor is not, are not compared."""
    assert {c.figure for c in flops.compare(row(tmp_path, MPT))} == {"mfu", "hfu"}
    assert not flops.compare(row(tmp_path, MPT, gpu="B200"))
    assert not flops.compare(row(tmp_path, MPT, source="somebody/else README.md"))


def test_a_figure_by_hand(tmp_path: Path) -> None:
    """MFU = tokens/s x 3 (2N + 4·L·d·s) / (GPUs x 989.5 TFLOP/s); HFU with one more forward pass."""
    found = row(tmp_path, MPT)
    assert found.model is not None
    one_pass = 2 * count_parameters(found.model).total + 4 * 3 * 64 * 32
    mfu, hfu = flops.compare(found)
    assert mfu.ours == pytest.approx(1000 * 3 * one_pass / (16 * 989.5e12))
    assert hfu.ours == pytest.approx(1000 * 4 * one_pass / (16 * 989.5e12))
