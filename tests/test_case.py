"""The project's own case, end to end: every figure that the first issue names, read from the JSON that is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from auscult.report.json import load_schema


def diagnose_json(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "auscult", "diagnose", *arguments, "--format", "json", "--fail-on", "never"],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(result, load_schema())
    return result


@pytest.fixture
def full(case: Path) -> dict[str, Any]:
    return diagnose_json(str(case), "--gpu", "RTX 4070")


@pytest.fixture
def cut(case: Path, tmp_path: Path) -> dict[str, Any]:
    """The same run as its owner saw it: the log cut after the evaluation of step 14,500."""
    text = (case / "train.log").read_text().splitlines(keepends=True)
    end = next(i for i, line in enumerate(text) if line.startswith("step 14500:"))
    (tmp_path / "train.log").write_text("".join(text[: end + 1]))
    (tmp_path / "train_fineweb.py").write_text((case / "train_fineweb.py").read_text())
    return diagnose_json(str(tmp_path), "--gpu", "RTX 4070")


def finding(result: dict[str, Any], code: str) -> dict[str, Any]:
    found: dict[str, Any] = next(f for f in result["findings"] if f["code"] == code)
    return found


def test_what_is_trained(full: dict[str, Any]) -> None:
    """The parameters are exact, by every convention, and the claim is named with its line."""
    parameters = full["run"]["parameters"]
    assert parameters["total"] == 40_953_216
    assert parameters["without_position"] == 40_560_000
    assert parameters["embedding"] == 19_316_736
    assert parameters["claimed"] == 125_000_000
    found = finding(full, "MDL001")
    assert found["severity"] == "error"
    assert found["numbers"]["nearest_standard"] == "GPT-2 small"
    assert round(found["numbers"]["embedding_share"], 2) == 0.48
    assert [(e["key"], e["from"], e["to"]) for e in found["edits"]] == [("n_embd", 384, 768)]
    places = [(e["file"], e["line"]) for e in found["evidence"]]
    assert places[0] == ("train_fineweb.py", 16)
    assert ("train_fineweb.py", 19) in places


def test_comments_that_lie_and_one_that_does_not(full: dict[str, Any]) -> None:
    """The comment "~3B tokens seen" is 10.49B; "16 * 32 = 512 sequences" is listed as true."""
    numbers = finding(full, "LOG002")["numbers"]
    assert [(c["claimed"], c["actual"], c["line"]) for c in numbers["false"]] == [(3e9, 10_485_760_000, 22)]
    assert [c["claimed"] for c in numbers["true"]] == [512]


def test_budget_at_both_ends(full: dict[str, Any], cut: dict[str, Any]) -> None:
    """Tokens and the ratio to the 20-tokens rule are right at step 14,500 and at step 20,000, with the laws' range."""
    assert full["run"]["budget"]["tokens_per_step"] == 524_288
    assert full["run"]["budget"]["tokens_seen"] == 10_485_760_000
    assert round(full["run"]["budget"]["chinchilla_ratio"], 1) == 12.9
    assert cut["run"]["budget"]["tokens_seen"] == 7_602_176_000
    assert round(cut["run"]["budget"]["chinchilla_ratio"], 1) == 9.4
    found = finding(cut, "CAP001")
    assert found["numbers"]["ratio_low"] < 9.4 < found["numbers"]["ratio_high"]
    assert "does not mean that the loss must stop" in found["meaning"]


def test_it_is_not_flat(full: dict[str, Any], cut: dict[str, Any]) -> None:
    """Cut at step 14,500 the run is improving, never saturated; the slope has an interval and the rate was decaying."""
    assert cut["status"] == "improving"
    assert cut["verdict"]["cause"] == "none"
    assert cut["curve"]["slope_high"] < 0
    assert cut["curve"]["slope_low"] < cut["curve"]["slope_nats_per_efold"] < cut["curve"]["slope_high"]
    assert cut["curve"]["learning_rate_at_last_step"] == pytest.approx(2.65e-4, rel=2e-3)
    assert "Not saturated" in cut["verdict"]["summary"]
    assert full["status"] == "finished"
    assert full["verdict"]["cause"] == "none"


def test_the_forecast_holds_the_truth(cut: dict[str, Any], full: dict[str, Any]) -> None:
    """From the log cut at 14,500 the interval for step 20,000 holds the loss that the run then reached."""
    forecast = cut["forecast"]
    assert forecast["final_step"] == 20_000
    last = next(s["last"]["value"] for s in full["run"]["series"] if s["name"] == "val_loss")
    assert forecast["loss_low"] < last < forecast["loss_high"]
    assert forecast["floor_high"] - forecast["floor_low"] > 0.3


def test_noise_is_a_finding(full: dict[str, Any]) -> None:
    """One evaluation's noise exceeds the progress between two evaluations."""
    numbers = finding(full, "LOG003")["numbers"]
    assert numbers["noise_sd"] > numbers["progress_between_evaluations"] > 0


def test_validation_below_training_is_not_dropout(full: dict[str, Any]) -> None:
    """38 of 38 evaluations after step 1,000, about 0.06; dropout is excluded, with the reason."""
    found = finding(full, "REG004")
    assert (found["numbers"]["below"], found["numbers"]["evaluations"]) == (38, 38)
    assert found["numbers"]["gap"] == pytest.approx(-0.06, abs=0.005)
    assert "dropout is excluded" in found["meaning"]
    assert "both with dropout off" in found["meaning"]


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ("5.3k", "chance in a split too small"),
        ("50M", "not drawn like the training data"),
        ("500k", "leaves both open"),
    ],
)
def test_the_size_of_the_split_decides(case: Path, tokens: str, says: str) -> None:
    """With a known number of validation tokens, the sampling error of that split decides between the causes left."""
    result = diagnose_json(str(case), "--val-tokens", tokens)
    assert says in finding(result, "REG004")["meaning"]


def test_dropout_is_measured_from_the_log(full: dict[str, Any]) -> None:
    """The iter losses (train mode) lie 0.087 ± 0.015 above the step train losses (eval mode) over steps 10k to 20k."""
    numbers = finding(full, "REG002")["numbers"]
    assert round(numbers["cost"], 3) == 0.087
    assert numbers["standard_error"] == pytest.approx(0.015, abs=0.002)


def test_throughput(full: dict[str, Any]) -> None:
    """Steady speed, FLOPs and the share of this card's own peak; the printed MFU is a share of an A100."""
    throughput = full["run"]["throughput"]
    assert throughput["flops_per_token"] == 299_983_104
    assert throughput["step_time_s"] == pytest.approx(3.91, abs=0.005)
    assert throughput["tokens_per_s"] == pytest.approx(134_000, rel=2e-3)
    assert throughput["flops_per_s"] == pytest.approx(40.2e12, rel=2e-3)
    assert full["run"]["hardware"]["peak_flops_per_s"] == 58.3e12
    assert round(throughput["mfu"], 2) == 0.69
    assert round(throughput["mfu_logged"], 3) == 0.129
    assert throughput["mfu_logged_peak_flops_per_s"] == 312e12
    assert full["run"]["hardware"]["count"] == 1
    dips = finding(full, "THR002")
    assert round(dips["numbers"]["mfu_lowest"], 3) == 0.104
    assert "not a slow card" in dips["meaning"]


def test_prescription(full: dict[str, Any]) -> None:
    """Width, dropout and the micro-batch that keeps the tokens per step; the next larger one refused, with its memory."""
    prescription = full["prescription"]
    edits = {e["key"]: e["to"] for e in prescription["edits"]}
    assert edits == {"n_embd": 768, "dropout": 0.0, "batch_size": 8, "gradient_accumulation_steps": 64}
    assert prescription["tokens_per_step"] == 524_288
    memory = prescription["memory"]
    assert set(memory["parts"]) == {
        "weights", "gradients", "optimizer", "autocast_copies", "activations", "logits", "context", "margin",
    }  # fmt: skip
    assert sum(memory["parts"].values()) == memory["total_bytes"] <= memory["limit_bytes"] < 12 * 2**30
    refused = prescription["refused"]
    assert (refused["micro_batch"], refused["gradient_accumulation_steps"]) == (16, 32)
    assert refused["total_bytes"] > memory["limit_bytes"]
    assert "GiB" in refused["reason"]


def test_the_checkpoint_cannot_be_resumed(full: dict[str, Any]) -> None:
    """Every tensor whose shape changes is named."""
    resume = full["prescription"]["resume"]
    assert resume["possible"] is False
    tensors = {t["name"]: (t["from"], t["to"]) for t in resume["tensors"]}
    assert len(tensors) == 75
    assert tensors["transformer.h.11.attn.c_attn.weight"] == ([1152, 384], [2304, 768])


def test_the_loss_to_expect_is_anchored(full: dict[str, Any]) -> None:
    """The interval at step 10,000 holds the 3.392 that GPT-2 124M showed there, far above the note's 3.0 to 3.2."""
    expected = {e["step"]: e for e in full["prescription"]["expected_at"]}
    assert expected[10_000]["loss_low"] < 3.392 < expected[10_000]["loss_high"]
    assert expected[10_000]["loss_low"] > 3.2
    assert "3.392" in expected[10_000]["basis"]


def test_series_are_exact(case: Path, full: dict[str, Any]) -> None:
    """Points, first, last and minimum of every series are those of the corpus's own facts."""
    facts = json.loads((case / "facts.json").read_text())["series"]
    series = {s["name"]: s for s in full["run"]["series"]}
    for name, expected in facts.items():
        assert series[name]["points"] == expected["points"]
        assert series[name]["mode"] == expected["mode"]
        for key in ("first", "last", "min"):
            assert [series[name][key]["step"], series[name][key]["value"]] == expected[key]


def test_no_false_alarm(full: dict[str, Any]) -> None:
    """Nothing says that this healthy curve overfits, diverges or slows down."""
    codes = {f["code"] for f in full["findings"]}
    assert not codes & {"REG001", "NUM001", "NUM002", "NUM003", "THR004", "MEM001", "SCH001", "SCH002"}


def test_every_null_has_its_reason(full: dict[str, Any], cut: dict[str, Any]) -> None:
    """A key without a value is null, and `unknown` says why."""
    for result in (full, cut):
        for group in ("steps", "architecture", "parameters", "budget", "hardware", "recipe", "throughput"):
            for key, value in result["run"][group].items():
                assert value is not None or f"run.{group}.{key}" in result["unknown"]
