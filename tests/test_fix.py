"""`auscult fix`: a diff of the config with formatting kept, false comments corrected, and files changed only when told."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import example as also
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

import auscult
from auscult.prescription import fixed_config
from auscult.readers import given_by_options
from made_up import MadeUpRun, healthy_log


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auscult", "fix", *arguments], capture_output=True, text=True, check=False
    )


def fixed(folder: Path, gpu: str = "RTX 4070") -> str:
    diagnosis = auscult.diagnose(auscult.read(folder, given=given_by_options(gpu=gpu)))
    return fixed_config(diagnosis.examination, diagnosis.prescription)


def test_the_example_gets_this_diff(example: Path, snapshot: SnapshotAssertion) -> None:
    """Width, dropout, micro-batch and the false comment change; every other character stays."""
    done = run(str(example))
    assert done.returncode == 0
    assert done.stdout == snapshot
    changed = [line for line in done.stdout.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert len(changed) == 5


def test_nothing_is_written_without_being_told(made_up: MadeUpRun) -> None:
    """A plain fix leaves the folder as it was."""
    folder = made_up.write(comments="# ~124M parameters\n")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert run(str(folder)).stdout
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_write_puts_a_new_file_beside_the_old_and_never_overwrites(made_up: MadeUpRun) -> None:
    """--write NAME writes beside the config; a second time it refuses, and the old config is never touched."""
    folder = made_up.write(comments="# ~124M parameters\n")
    old = (folder / "train_narrow.py").read_text()
    assert run(str(folder), "--write", "train_wide.py").returncode == 0
    new = (folder / "train_wide.py").read_text()
    assert "n_embd = 768" in new
    again = run(str(folder / "train_narrow.py"), str(folder / "train.log"), "--write", "train_wide.py")
    assert again.returncode == 2
    assert "never overwrites" in again.stderr
    assert (folder / "train_wide.py").read_text() == new
    assert (folder / "train_narrow.py").read_text() == old


def test_in_place_rewrites_the_config_itself(made_up: MadeUpRun) -> None:
    """--in-place changes the config, keeps its permissions, and leaves nothing else behind."""
    folder = made_up.write(comments="# ~124M parameters\n")
    config = folder / "train_narrow.py"
    config.chmod(0o640)
    assert run(str(folder), "--in-place").returncode == 0
    assert "n_embd = 768" in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in folder.iterdir()) == ["train.log", "train_narrow.py"]


def test_formatting_and_comments_survive(made_up: MadeUpRun) -> None:
    """Odd spacing, trailing comments, non-ASCII, CRLF and a missing last newline stay; only values change."""
    folder = made_up.write({"dropout": 0.0})
    text = "# modèle ~124M parameters – café\r\nn_layer=12\r\nn_head  =  12\r\nn_embd =   384   # étroit, à revoir\r\nlr_decay_iters = 20000\r\nmax_iters = 20000"
    (folder / "train_narrow.py").write_bytes(text.encode())
    diagnosis = auscult.diagnose(auscult.read(folder / "train_narrow.py"))
    assert fixed_config(diagnosis.examination, diagnosis.prescription) == text.replace("  384 ", "  768 ")


def test_a_true_comment_is_not_falsified(made_up: MadeUpRun) -> None:
    """NanoGPT's own "12 batch size * 1024 block size * 5 gradaccum * 8 GPUs = 491,520" keeps a result that stays true."""
    comment = "# 12 batch size * 1024 block size * 5 gradaccum * 8 GPUs = 491,520\n"
    folder = made_up.write(
        {"batch_size": 12, "gradient_accumulation_steps": 40, "n_layer": 12, "n_embd": 768, "n_head": 12},
        comments=comment,
    )
    text = fixed(folder / "train_narrow.py", "RTX 3060 Ti")
    assert "batch_size = 8\n" in text
    assert "gradient_accumulation_steps = 60\n" in text
    assert "= 491,520" in text


def test_a_value_that_is_not_written_is_added(made_up: MadeUpRun) -> None:
    """An edit of a key that the config leaves to its default is appended as a line."""
    folder = made_up.write()
    (folder / "train_narrow.py").write_text(
        "# ~124M parameters\nn_layer = 12\nn_head = 12\nn_embd = 768\nblock_size = 1024\nbatch_size = 64\ngradient_accumulation_steps = 8\nmax_iters = 20000\nlr_decay_iters = 600000\n"
    )
    diagnosis = auscult.diagnose(auscult.read(folder / "train_narrow.py"))
    text = fixed_config(diagnosis.examination, diagnosis.prescription)
    assert "lr_decay_iters = 20000\n" in text
    ast.parse(text)


def test_fixing_twice_changes_nothing(made_up: MadeUpRun) -> None:
    """The fixed config has no finding left that fix can mend, and a second fix is empty."""
    folder = made_up.write({"dropout": 0.1}, comments="# ~124M parameters, ~3B tokens seen, 16 * 32 = 512 sequences\n")
    once = fixed(folder)
    (folder / "train_narrow.py").write_text(once)
    (folder / "train.log").unlink()
    assert fixed(folder) == once
    codes = {f.code for f in auscult.diagnose(auscult.read(folder)).findings}
    assert not codes & {"MDL001", "LOG002", "REG003", "SCH001"}


def test_a_log_alone_cannot_be_fixed(made_up: MadeUpRun) -> None:
    """Without a config there is one paragraph that says so, exit 2."""
    done = run(str(made_up.write() / "train.log"))
    assert done.returncode == 2
    assert "no config file to fix" in done.stderr


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    micro=st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]),
    steps=st.integers(1, 64),
    gpu=st.sampled_from(["RTX 4070", "RTX 3060 Ti", "RTX 4090", "H100 PCIe", "T4"]),
    compiled=st.booleans(),
)
def test_tokens_per_step_are_kept_exactly(tmp_path: Path, micro: int, steps: int, gpu: str, compiled: bool) -> None:
    """Whatever card and batch: micro-batch × accumulation is the same product, it fits, and the next larger does not."""
    made_up = MadeUpRun(tmp_path / "run")
    folder = made_up.write(
        {
            "batch_size": micro,
            "gradient_accumulation_steps": steps,
            "compile": compiled,
            "n_embd": 768,
            "n_layer": 12,
            "n_head": 12,
        },
        SHORT,
    )
    diagnosis = auscult.diagnose(auscult.read(folder / "train_narrow.py", given=given_by_options(gpu=gpu)))
    fit = diagnosis.prescription.fit
    if not isinstance(fit, auscult.Known):
        assert "not even one sequence fits" in fit.reason
        return
    choice = fit.value
    assert choice.micro_batch * choice.gradient_accumulation_steps == micro * steps
    assert choice.memory.total <= choice.limit_bytes
    if choice.refused is not None:
        assert choice.refused.micro_batch * choice.refused.gradient_accumulation_steps == micro * steps
        assert choice.refused.memory.total > choice.limit_bytes
        assert not any(
            choice.micro_batch < m < choice.refused.micro_batch
            for m in range(1, micro * steps)
            if micro * steps % m == 0
        )
    if choice.micro_batch < micro:
        assert choice.refused is not None


SHORT = healthy_log(2_000)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    noise=st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=40),
    end=st.sampled_from(["\n", "\r\n"]),
)
@also(noise="page\x0cbreak\u2028line\x85sep", end="\n")
def test_only_the_edited_values_change(tmp_path: Path, noise: str, end: str) -> None:
    """Whatever stands in a comment above them, the values that are not edited keep their characters."""
    config = tmp_path / "train_any.py"
    lines = [
        f"# {noise}",
        "# ~124M parameters",
        "n_layer = 12",
        "n_head = 12",
        "n_embd = 384  # é",
        "learning_rate = 1e-3",
    ]
    lines += ["lr_decay_iters = 2000", "max_iters = 2000"]
    config.write_bytes("".join(line + end for line in lines).encode())
    after = fixed(config).split(end)
    assert [b for b, a in zip(lines, after, strict=False) if a != b and "tok" not in b and "=" in b] == [lines[4]]
    assert after[4] == "n_embd = 768  # é"


@pytest.mark.parametrize("width", [256, 320, 512])
def test_the_fixed_config_is_the_model_it_claims(made_up: MadeUpRun, width: int) -> None:
    """After the fix, the claimed size holds by the same arithmetic that found it false."""
    folder = made_up.write({"n_embd": width, "n_layer": 12, "n_head": 4}, comments="# ~350M parameters\n")
    (folder / "train_narrow.py").write_text(fixed(folder))
    (folder / "train.log").unlink()
    diagnosis = auscult.diagnose(auscult.read(folder))
    assert diagnosis.find("MDL001") is None


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("max_iters = 20000  # 20000 * 524,288 = 10.5B tokens", "max_iters = 20000  # 20000 * 524,288 = 10.5B tokens"),
        ("gradient_accumulation_steps = 32  # 16 x 32 x 1024 = 524k tokens/step", "gradient_accumulation_steps = 64  # 8 x 64 x 1024 = 524k tokens/step"),
        ("max_iters = 20000  # ~3B tokens seen", "max_iters = 20000  # ~10.5B tokens seen"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_comment(made_up: MadeUpRun, line: str, becomes: str) -> None:
    """True products stay, factors that change are named anew, false totals are corrected."""
    folder = made_up.write({"n_layer": 12, "n_embd": 768, "n_head": 12, "dropout": 0.0})
    config = folder / "train_narrow.py"
    key = line.partition(" ")[0]
    config.write_text(
        "".join(line + "\n" if row.startswith(f"{key} =") else row for row in config.read_text().splitlines(True))
    )
    assert becomes in fixed(config).splitlines()


def test_comments_that_cannot_be_verified_are_pointed_out(made_up: MadeUpRun) -> None:
    """A comment with a number beside an edited value, which no claim covers, is listed rather than silently kept."""
    folder = made_up.write(comments="# ~124M parameters\n")
    config = folder / "train_narrow.py"
    config.write_text(config.read_text().replace("n_embd = 384", "n_embd = 384  # half of GPT-2's 768"))
    assert "half of GPT-2's 768" in run(str(config)).stderr
