"""Before step 0: a run that contradicts its own name, does not fit, or cannot be saved is refused; everything else is told."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auscult.preflight import Preflight, load_recipe, preflight
from auscult.preflight.blueprint import blueprint_of
from auscult.preflight.verdict import checkpoint_bytes
from auscult.recipe import CheckpointSettings, TrainingRecipe

GIB = 2**30
CASE = Path(__file__).resolve().parents[2] / "examples" / "fineweb-40m" / "train_fineweb.py"


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    path = tmp_path / "train_fineweb.py"
    text = (
        CASE.read_text(encoding="utf-8")
        .replace("n_embd = 384", "n_embd = 768")
        .replace("dropout = 0.1", "dropout = 0.0")
    )
    path.write_text(text.replace("~3B tokens", "~10B tokens"), encoding="utf-8")
    return path


def look(path: Path, **more: Any) -> Preflight:
    return preflight(path, load_recipe(path), **{"gpu": "RTX 4070", "world_size": 1, "device": "cuda", **more})


def toml(folder: Path, model: str = "", **tables: str) -> Path:
    path = folder / "recipe.toml"
    rest = "".join(f"\n[{name}]\n{text}\n" for name, text in {"data": 'path = "tokens"', **tables}.items())
    path.write_text(f"[model]\n{model}\n{rest}", encoding="utf-8")
    return path


def test_the_projects_own_case_is_refused() -> None:
    """The config that says ~125M and makes 41M is refused in one paragraph: what, where, why, and both ways on."""
    found = look(CASE)
    assert found.refusal is not None
    assert "\n" not in found.refusal
    for part in ("~125M", "40,953,216", "train_fineweb.py:14", "n_embd = 768", "MDL001", "auscult fix", "--force"):
        assert part in found.refusal
    assert found.lines[0].startswith("40,953,216 parameters, 48 % of them embeddings")
    assert any("REG003" in line and "dropout" in line for line in found.lines), "a warning is printed, not refused"
    assert "REG003" not in found.refusal


def test_the_corrected_case_passes(corrected: Path) -> None:
    """With the width that its comment claims, the same config is let through, its facts told."""
    found = look(corrected)
    assert found.refusal is None
    text = "\n".join(found.lines)
    assert "124,373,760 parameters" in text
    assert "524,288 tokens a step, 20,000 steps: 10.49B tokens, 84.3 for each parameter" in text
    assert "RTX 4070" in text
    assert "Warning" not in text
    assert found.micro_batch.micro_batch * found.micro_batch.gradient_accumulation_steps == 512


def test_the_recipe_that_is_told_is_the_one_that_is_trained(corrected: Path) -> None:
    """What the command line changes is in the facts: they come from the recipe, and the claims from its file."""
    recipe = load_recipe(corrected)
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=100))
    found = preflight(corrected, recipe, gpu=None, world_size=1, device="cuda")
    assert "100 steps: 52.43M tokens" in "\n".join(found.lines)


def test_a_toml_recipe_is_held_to_its_comments(tmp_path: Path) -> None:
    """The same contradiction in TOML is refused under TOML's own names, with the offer to rewrite it."""
    claim = "# ~125M parameters\nn_layer = 12\nn_head = 12\nd_model = 384\n"
    found = look(toml(tmp_path, claim))
    assert found.refusal is not None
    assert "MDL001" in found.refusal
    assert "set d_model = 768 and start again" in found.refusal
    assert f"`auscult fix {tmp_path / 'recipe.toml'}` shows the edits" in found.refusal
    assert look(toml(tmp_path, claim.replace("384", "768"))).refusal is None


def test_the_data_are_held_against_the_plan(corrected: Path) -> None:
    """With the sizes of the splits: epochs are told, many of them are a warning, and so is a val split that says little."""
    plenty = look(corrected, train_tokens=10**10, val_tokens=10**8)
    assert "1.05 epochs of 10B" in "\n".join(plenty.lines)
    assert not any("DAT" in line for line in plenty.lines)
    scarce = look(corrected, train_tokens=10**8, val_tokens=5300)
    assert "105 epochs of 100M" in "\n".join(scarce.lines)
    warned = [line for line in scarce.lines if line.startswith("Warning")]
    assert any("DAT001" in line for line in warned)
    assert any("DAT002" in line and "5,300" in line for line in warned)
    assert scarce.refusal is None


def test_what_fits_in_no_way_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """GPT-2 XL on 12 GB: refused, and the change that is named makes a recipe that is let through."""
    shape = "n_layer = {}\nn_head = 25\nd_model = 1600\n"
    found = look(toml(tmp_path, shape.format(48)))
    assert found.refusal is not None
    assert 'checkpointing = "full" and n_layer = 14' in found.refusal
    assert not found.micro_batch.fits
    assert not any("Expected" in line for line in found.lines)
    fits = look(toml(tmp_path, shape.format(14), machine='checkpointing = "full"'))
    assert fits.refusal is None


def test_the_memory_is_that_of_the_trainers_choice(corrected: Path) -> None:
    """The recipe's 16 sequences do not fit in 12 GB: that is no reason to refuse, for fewer at a time do."""
    found = look(corrected)
    assert found.micro_batch.micro_batch < 16
    assert not any("MEM001" in line for line in found.lines)
    assert any("16 would not fit" in line for line in found.lines)


def test_a_disk_that_cannot_hold_the_checkpoints_is_told_before(
    corrected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The space that is free decides, on the disk of the nearest folder that is there."""
    usage = namedtuple("usage", "total used free")
    asked: list[Path] = []

    def disk(free: int) -> None:
        def disk_usage(path: Path) -> usage:
            asked.append(Path(path))
            return usage(100 * GIB, 0, free)

        monkeypatch.setattr(shutil, "disk_usage", disk_usage)

    recipe = load_recipe(corrected)
    needed = checkpoint_bytes(recipe, blueprint_of(recipe.model))
    disk(needed)
    assert look(corrected, folder=tmp_path / "runs" / "new").refusal is None
    disk(needed - 1)
    refusal = look(corrected, folder=tmp_path / "runs" / "new").refusal
    assert refusal is not None
    assert "6.0 GiB" in refusal
    assert "--force" in refusal
    assert set(asked) == {tmp_path}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_checkpoints_of_a_real_optimiser_are_as_large(name: str) -> None:
    """PyTorch's own optimiser states and weights, counted in bytes, are what is told."""
    torch = pytest.importorskip("torch")
    matrices = [torch.nn.Parameter(torch.ones(48, 32)), torch.nn.Parameter(torch.ones(32, 48))]
    base = TrainingRecipe()
    recipe = replace(
        base,
        model=replace(base.model, n_layer=2, n_head=2, n_kv_head=2, d_model=32, d_ff=128, vocab_size=64, context=16),
        optimizer=replace(base.optimizer, name=name),  # type: ignore[arg-type]  # one of its two literals
        checkpoint=CheckpointSettings(keep=1),
    )
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Muon
    optimizer = kind(matrices)
    for matrix in matrices:
        matrix.grad = torch.ones_like(matrix)
    optimizer.step()
    states = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value) and value.dim() == 2
    )
    per_parameter = states / sum(matrix.numel() for matrix in matrices)
    hidden = 2 * (3 * 32 * 32 + 32 * 32 + 2 * 32 * 128)
    layers_vectors = 2 * (2 * 2 * 32 + 3 * 32 + 32 + 128 + 32) + 2 * 32
    others = 64 * 32 + 16 * 32 + layers_vectors
    once = 4 * (hidden + others) + per_parameter * hidden + 8 * others
    found = checkpoint_bytes(recipe, blueprint_of(recipe.model))
    assert found == 2 * once + 4 * (hidden + others)


def test_on_a_cpu_nothing_is_claimed_of_cards(tmp_path: Path) -> None:
    """Memory is the computer's, and no speed is told that nobody measured."""
    shape = "n_layer = 6\nn_head = 6\nd_model = 384\nvocab_size = 256\ncontext = 256\n"
    path = toml(tmp_path, shape, batch="tokens_per_step = 3072")
    found = look(path, gpu=None, device="cpu", memory_bytes=8 * GIB)
    text = "\n".join(found.lines)
    assert found.refusal is None
    assert found.micro_batch.micro_batch == 12
    assert "on the CPU" in text
    assert "tokens/s" not in text


def test_a_card_that_is_in_no_table_is_no_reason_to_refuse(corrected: Path) -> None:
    """Its memory, which the driver tells, is used; its speed is not guessed."""
    found = look(corrected, gpu="Graphics Adapter 9000", memory_bytes=24 * GIB)
    text = "\n".join(found.lines)
    assert found.refusal is None
    assert "Graphics Adapter 9000" in text
    assert "tokens/s" not in text


def test_several_ranks_share_the_step(corrected: Path) -> None:
    """The passes and the speed are told for all ranks."""
    found = look(corrected, gpu="H100 SXM", world_size=8)
    text = "\n".join(found.lines)
    assert "× 8 ranks" in text
    assert "8 × H100" in text
    assert found.micro_batch.micro_batch * found.micro_batch.gradient_accumulation_steps * 8 == 512
