"""``auscult plan`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import auscult
from auscult.cli import main
from auscult.report.planning_json import load_plan_schema
from auscult.run import value_of

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "fineweb-40m"
GPT2 = ("plan", "--like", "gpt2", "--gpu", "RTX 4070", "--tokens-per-step", "524288", "--tokens", "10B")


def test_json_meets_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is one object of auscult.plan/1, and says what was asked and assumed."""
    assert main([*GPT2, "--format", "json", "--compile", "yes", "--price", "0.4"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, load_plan_schema())
    assert found["request"]["possible"] is True
    assert (found["plans"][0]["micro_batch"], found["plans"][0]["gradient_accumulation_steps"]) == (8, 64)
    assert found["refused"][0]["micro_batch"] == 16
    assert found["plans"][0]["memory"]["total_bytes"] == sum(found["plans"][0]["memory"]["parts"].values())


def test_a_recipe_is_planned_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """A nanoGPT config gives its own model, tokens, card and learning rate to the plan."""
    assert main(["plan", "--recipe", str(EXAMPLE), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    best = found["plans"][0]
    assert found["request"]["gpu"]["name"] == "RTX 4070"
    assert best["parameters"]["total"] == 40_953_216
    assert best["tokens_per_step"] == 524_288
    assert best["tokens"] == 10_485_760_000
    assert best["learning_rate"]["basis"][0]["name"] == "the recipe's own"


def test_a_config_of_transformers_is_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A config.json alone names the model; what it leaves open is assumed and said."""
    shape = {"num_hidden_layers": 16, "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 8}
    config = {
        "model_type": "llama",
        "intermediate_size": 8192,
        "vocab_size": 128256,
        "tie_word_embeddings": True,
        **shape,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    arguments = ["plan", "--recipe", str(tmp_path / "config.json"), "--gpu", "H100 SXM", "--format", "json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plans"][0]["parameters"]["total"] == 1_235_814_400
    assert any("tokens a step" in note for note in found["request"]["assumed"])


@pytest.mark.parametrize(("name", "dialect"), [("train.py", "nanogpt"), ("pretrain.yaml", "litgpt")])
def test_a_written_config_is_read_back(
    name: str, dialect: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--write makes a config of the dialect that its ending says; auscult reads the same batch and steps from it."""
    path = tmp_path / name
    like = (
        ("--params", "124M", "--family", "gpt2")
        if dialect == "nanogpt"
        else ("--like", "llama-3.2-1b", "--context", "2048")
    )
    arguments = [
        "plan",
        *like,
        "--gpu",
        "A100-SXM4-80GB",
        "--tokens-per-step",
        "524288",
        "--tokens",
        "2B",
        "--dataset",
        "fineweb",
    ]
    if dialect == "litgpt":
        arguments += ["--compile", "yes", "--checkpointing", "none", "--dtype", "bfloat16"]
    assert main([*arguments, "--write", str(path)]) == 0
    run = auscult.read(str(path))
    assert value_of(auscult.diagnose(run).examination.tokens_per_step) == 524_288
    capsys.readouterr()
    assert main([*arguments, "--write", str(path)]) == 2
    assert "never overwrites" in capsys.readouterr().err


def test_impossible_requests_exit_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """70B parameters on 12 GB: status 1, what binds, and a plan that can be made."""
    assert main(["plan", "--params", "70B", "--family", "llama", "--gpu", "RTX 4070", "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "Not possible as asked: memory" in out
    assert "cards instead of 1" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--like", "gpt2"], "Which machine?"),
        (["--like", "gpt2", "--gpu", "RTX 4700"], "RTX 4070"),
        (["--like", "gtp2", "--gpu", "4070"], "gpt2"),
        (["--params", "many", "--gpu", "4070"], "--params"),
        (["--loss", "3,2", "--gpu", "4070", "--dataset", "fineweb"], "--loss"),
        (["--hours", "soon", "--gpu", "4070"], "--hours"),
        (["--gpu", "4070"], "--like gpt2"),
        (["--recipe", "nowhere.py", "--gpu", "4070"], "nowhere.py"),
        (["--params", "124M", "--family", "rnn", "--gpu", "4070"], "rnn"),
        (["--like", "gpt2", "--gpu", "4070", "--format", "config"], "--dialect"),
        (["--like", "gpt2", "--gpu", "4070", "--format", "config", "--dialect", "fortran"], "fortran"),
        (
            ["--like", "llama-3.2-1b", "--gpu", "A100-SXM4-80GB", "--format", "config", "--dialect", "nanogpt"],
            "nanogpt",
        ),
        (["--like", "gpt2", "--gpu", "4070", "--context", "0"], "--context"),
    ],
)
def test_a_wrong_question_gets_one_paragraph(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be understood is one line on stderr that names the option and what to do, with status 2."""
    assert main(["plan", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("auscult: ")
    assert said in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_help_reads_like_a_question(capsys: pytest.CaptureFixture[str]) -> None:
    """The help asks what a person would ask, and shows four questions with their commands."""
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    out = capsys.readouterr().out
    assert "What can I train on this machine" in out
    assert out.count("auscult plan --") >= 4


def test_markdown_and_output_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--output writes the answer, whole, and nothing to stdout."""
    target = tmp_path / "plan.md"
    assert main([*GPT2, "--format", "markdown", "--output", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert target.read_text(encoding="utf-8").startswith("## auscult plan for RTX 4070")
