"""Known traps of the field's logs, each read as what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import auscult
from auscult.report.json import as_dict, dumps
from made_up import MadeUpRun, healthy_log


def with_mfu(folder: Path, percent: str) -> Path:
    log = folder / "train.log"
    log.write_text(re.sub(r"mfu [\d.]+%", f"mfu {percent}%", log.read_text()))
    return folder


@pytest.mark.parametrize("percent", ["0.00", "0.34", "113.00", "163.25", "213.54"])
def test_an_mfu_of_any_size_is_a_fraction(made_up: MadeUpRun, percent: str) -> None:
    """A printed MFU of 0 %, 113 %, 163 % or 213 % is kept as it is, as a fraction, and breaks no arithmetic."""
    folder = with_mfu(made_up.write(), percent)
    diagnosis = auscult.diagnose(auscult.read(folder))
    body = as_dict(diagnosis)
    assert body["run"]["throughput"]["mfu_logged"] == pytest.approx(float(percent) / 100)
    json.loads(dumps(diagnosis))
    codes = {finding.code for finding in diagnosis.findings}
    assert ("THR001" in codes) == (float(percent) > 100), "above 100 % no card can be: it is a share of another's peak"


def test_an_mfu_of_zero_says_nothing_of_the_card(made_up: MadeUpRun) -> None:
    """0.00 % is what nanoGPT prints of a tiny model: no number of processes and no utilisation follows from it."""
    folder = with_mfu(made_up.write(), "0.00")
    body = as_dict(auscult.diagnose(auscult.read(folder, given=auscult.Given())))
    assert body["run"]["hardware"]["count"] is None
    assert "run.hardware.count" in body["unknown"]


def test_nan_in_another_field_is_no_loss(tmp_path: Path) -> None:
    """`step_avg:nanms` at the start of a modded-nanogpt log is not a loss that is not a number."""
    lines = [
        "import torch",
        "====================",
        "step:0/40 val_loss:10.8258 train_time:249ms step_avg:nanms",
        *(
            f"step:{i}/40 train_loss:{10.8 - i / 10:.4f} train_time:{300 * i}ms step_avg:{'nan' if i < 10 else '300.00'}ms"
            for i in range(1, 41)
        ),
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    diagnosis = auscult.diagnose(auscult.read(tmp_path))
    assert diagnosis.run.dialect == "modded_nanogpt"
    assert diagnosis.find("NUM001") is None


def test_half_a_number_is_no_loss(made_up: MadeUpRun) -> None:
    """An echoed arrow key that splits a record leaves no loss of 3 behind."""
    folder = made_up.write({}, healthy_log(3_000))
    log = folder / "train.log"
    text = log.read_text()
    line = next(x for x in text.splitlines() if x.startswith("iter 1500:"))
    at = line.index(".") + 1
    log.write_text(text.replace(line, f"{line[: at - 1]}^[[A\n{line[at - 1 :]}"))
    run = auscult.read(folder)
    loss = run.get("train_loss")
    assert loss is not None
    assert all(value > 3.05 or value != round(value) for value in loss.values)
    assert 1500 not in loss.steps
    assert {p.kind for p in run.problems} == {"broken_record"}
