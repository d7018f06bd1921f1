"""What is said of runs of auscult's own trainer: nothing of nanoGPT's, of GPUs that there are not, of laws that do not hold."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import auscult
from auscult.checks.base import Finding, Outcome
from auscult.diagnosis import Diagnosis
from auscult.facts.curve import split_sampling_error
from auscult.facts.scaling import FAR, FITTED_PARAMETERS, FITTED_TOKENS, FITTED_VOCABULARY, outside_fits
from auscult.readers import given_by_options
from auscult.recipe import TrainingRecipe, model_settings, recipe_from_values, recipe_values
from auscult.report.json import as_dict
from auscult.report.outline import screen, sections
from made_up import MadeUpRun

CPU = {"device": "cpu", "gpu": None, "dtype": "float32"}
H100 = {"device": "cuda", "gpu": "NVIDIA H100 80GB HBM3", "dtype": "bfloat16", "peak_flops_per_s": 989e12}
TOKENS_A_STEP = 4096


def recipe_of(**changes: Any) -> TrainingRecipe:
    """Return a small recipe on bytes with some settings changed, such as ``schedule__steps=10``."""
    values = recipe_values(
        TrainingRecipe(model=model_settings(n_layer=2, n_head=2, d_model=64, vocab_size=256, context=64))
    )
    values["batch"]["tokens_per_step"] = TOKENS_A_STEP
    values["schedule"].update(steps=400, warmup_steps=10)
    values["evaluation"].update(every_steps=20, tokens=65_536)
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        (values[table] if table else values)[name] = value
    if "model__family" in changes:
        shape = {
            key: values["model"][key] for key in ("n_layer", "n_head", "d_model", "vocab_size", "context", "dropout")
        }
        return TrainingRecipe(**{**vars_of(values), "model": model_settings(family=changes["model__family"], **shape)})
    return recipe_from_values(values)


def vars_of(values: Mapping[str, Any]) -> dict[str, Any]:
    whole = recipe_from_values(values)
    return {name: getattr(whole, name) for name in values}


def write(
    folder: Path,
    recipe: TrainingRecipe,
    machine: Mapping[str, Any] = CPU,
    *,
    last: int | None = None,
    gap: float = 0.0,
    dropout_cost: float = 0.02,
    ending: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write a log of a run: losses that fall, validation ``gap`` above training, dropout's price where there is dropout."""
    folder.mkdir(parents=True, exist_ok=True)
    last = recipe.schedule.steps if last is None else last
    said = {"micro_batch": 16, "world_size": 1, "compiled": False, "cross_entropy": "full"}
    said |= {"tokens_per_step": recipe.batch.tokens_per_step, "train_tokens": 50_000_000, "val_tokens": 20_000_000}
    events: list[dict[str, Any]] = [
        {"event": "start", "step": 0, "recipe_digest": "x", **said, **machine, **facts, "recipe": recipe_values(recipe)}
    ]
    modes = ("eval", "train") if recipe.model.dropout else ("eval",)
    for step in range(0, last + 1, 10):
        loss = 2.0 + (math.log(recipe.model.vocab_size) - 2.0) * math.exp(-step / 60)
        if step % recipe.evaluation.every_steps == 0:
            for mode in modes:
                for split in ("train", "val"):
                    wobble = 0.001 * math.sin(7 * step) if mode == "train" else 0.0
                    shift = (gap if split == "val" else 0.0) + (dropout_cost + wobble if mode == "train" else 0.0)
                    events.append(
                        {"event": "evaluation", "step": step, "split": split, "mode": mode}
                        | {"loss_nats_per_token": loss + shift, "tokens": recipe.evaluation.tokens}
                    )
        # the batches of the steps are of other, harder text than those of the evaluations
        events.append(
            {"event": "step", "step": step, "loss_nats_per_token": loss + 0.2, "learning_rate": rate_at(step, recipe)}
            | {"step_time_s": 0.5, "tokens_per_s": TOKENS_A_STEP / 0.5}
        )
    if ending is not None:
        events.append(dict(ending))
    lines = [json.dumps({"event": e.pop("event"), "time_unix_s": 1.0 + i, **e}) for i, e in enumerate(events)]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def rate_at(step: int, recipe: TrainingRecipe) -> float:
    peak, warmup = recipe.optimizer.learning_rate, recipe.schedule.warmup_steps
    left = (recipe.schedule.steps - step) / recipe.schedule.steps
    if recipe.schedule.kind == "wsd":
        return peak * min(1.0, step / warmup, left * 5)
    return peak * min(1.0, step / warmup, left)


def diagnosed(path: Path, **given: Any) -> Diagnosis:
    return auscult.diagnose(auscult.read(path, given=given_by_options(**given)))


def outcome(diagnosis: Diagnosis, code: str) -> Outcome:
    return next(o for o in diagnosis.outcomes if o.check.code == code)


def found(diagnosis: Diagnosis, code: str) -> Finding:
    finding = diagnosis.find(code)
    assert finding is not None, str(outcome(diagnosis, code).reason)
    return finding


def told(diagnosis: Diagnosis) -> str:
    """Return all that a report says."""
    return f"{screen(diagnosis, 'runs/a')}\n{sections(diagnosis, verbose=True)}\n{json.dumps(as_dict(diagnosis))}"


# ---- laws


@pytest.mark.parametrize(
    ("parameters", "tokens", "vocabulary", "holds"),
    [
        (FITTED_PARAMETERS / FAR, FITTED_TOKENS / FAR, FITTED_VOCABULARY, True),
        (FITTED_PARAMETERS / FAR - 1, 1e9, 50_304, False),
        (1e8, FITTED_TOKENS / FAR - 1, 50_304, False),
        (1e8, 1e10, FITTED_VOCABULARY - 1, False),
        (7e10, 1.5e13, 151_936, True),
        (None, None, None, True),
    ],
)
def test_where_the_laws_hold(
    parameters: float | None, tokens: float | None, vocabulary: float | None, holds: bool
) -> None:
    """To a third of the smallest published model and run, for vocabularies of text in words and parts of words."""
    assert (outside_fits(parameters=parameters, tokens=tokens, vocabulary=vocabulary) is None) == holds


@pytest.mark.parametrize(
    "text",
    [
        "# ~3.3M parameters\n[model]\nn_layer = 4\nn_head = 4\nd_model = 128\nvocab_size = 320\ncontext = 256\n",  # bytes
        "# ~124M parameters\n[model]\nd_model = 384\n[schedule]\nsteps = 10\n",  # 5M tokens
    ],
)
def test_no_nats_where_the_laws_do_not_hold(tmp_path: Path, text: str) -> None:
    """The width of a byte model, and of a run of a few steps, is worth what nobody knows: no figure, and why, also in JSON."""
    (tmp_path / "a.toml").write_text(text)
    diagnosis = diagnosed(tmp_path / "a.toml")
    effect = found(diagnosis, "MDL001").effect
    assert (effect.value, effect.low, effect.high) == (None, None, None)
    assert "published runs read" in effect.reason
    assert as_dict(diagnosis)["unknown"]["findings.MDL001.effect.value"] == effect.reason
    assert "In nats its worth is unknown: published runs read" in told(diagnosis)


def test_nats_where_they_hold(tmp_path: Path) -> None:
    """The same defect in a GPT-2 on 5B tokens has its figure."""
    (tmp_path / "a.toml").write_text("# ~124M parameters\n[model]\nd_model = 384\n[schedule]\nsteps = 10_000\n")
    effect = found(diagnosed(tmp_path / "a.toml"), "MDL001").effect
    assert effect.value is not None
    assert -0.5 < effect.value < -0.2
    assert not effect.reason


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("REG003", {"model__dropout": 0.1, "evaluation__every_steps": 10_000}),
        ("REG002", {"model__dropout": 0.1}),
        ("SCH001", {"schedule__decay_steps": 4_000, "optimizer__learning_rate": 6e-4}),
    ],
)
def test_other_figures_of_published_runs(tmp_path: Path, code: str, changes: dict[str, Any]) -> None:
    """The gains of no dropout and of annealing were published in nats a token of text: of a byte model none is quoted."""
    recipe = recipe_of(**changes)
    (tmp_path / "recipe.toml").write_text("\n".join(toml_lines(recipe)))
    folder = tmp_path if code == "SCH001" else write(tmp_path, recipe)
    diagnosis = diagnosed(folder, train_tokens="50M")
    finding = found(diagnosis, code)
    assert finding.effect.value is None
    assert "256 kinds" in finding.effect.reason
    assert "0.05" not in f"{finding.message} {finding.meaning}"


def toml_lines(recipe: TrainingRecipe) -> list[str]:
    from recipe_files import toml_of

    return [toml_of(recipe)]


def test_compute_optimal_tokens_are_not_told_of_bytes(tmp_path: Path) -> None:
    """Twenty tokens a parameter is a rule for tokens of text; 400 steps would be "14 times" it."""
    assert outcome(diagnosed(write(tmp_path, recipe_of(batch__tokens_per_step=65_536))), "CAP001").word == "cannot_tell"


def test_a_small_vocabulary_that_the_config_hides(made_up: MadeUpRun) -> None:
    """A nanoGPT config that leaves the vocabulary open, with a first loss of ln 65, is of characters: no nats of published laws."""
    config = {"dataset": "shakespeare_char", "lr_decay_iters": 600_000, "max_iters": 20_000}
    folder = made_up.write(config)
    log = (folder / "train.log").read_text().replace("step 0: train loss 10.8", "step 0: train loss 4.1")
    (folder / "train.log").write_text(log)
    assert found(diagnosed(folder), "SCH001").effect.value is None


# ---- the processor


def test_a_run_on_a_processor_is_not_asked_for_its_card(tmp_path: Path) -> None:
    """No --gpu in the next command, and no card read out of a name; with a card named by hand it counts again."""
    diagnosis = diagnosed(write(tmp_path / "h100", recipe_of(name="like-h100")))
    assert "--gpu" not in screen(diagnosis, "runs/a").next_command
    assert "--gpu" not in told(diagnosis)
    assert "trained on the processor" in told(diagnosis)
    assert "H100" not in screen(diagnosis, "runs/a").header


def test_small_figures_are_not_zero(tmp_path: Path) -> None:
    """A few GFLOP/s and a ratio of hundredths are told with their digits."""
    rows = {row[0].strip(): row[1] for row in numbers(diagnosed(write(tmp_path, recipe_of())))}
    assert rows["achieved"].endswith("GFLOP/s")
    assert float(rows["achieved"].split()[0]) > 0
    assert float(rows["times the 20-tokens rule"]) > 0


def numbers(diagnosis: Diagnosis) -> list[tuple[str, ...]]:
    section = next(s for s in sections(diagnosis) if s.title.startswith("Numbers"))
    return [row for block in section.blocks for row in block.rows]  # type: ignore[union-attr]  # the one table


# ---- evaluations of the same batches


def test_a_gap_of_the_same_batches_is_one_draw(tmp_path: Path) -> None:
    """Twenty evaluations of the same 65,536 tokens, each 0.1 below, are one observation, within what those tokens leave open."""
    low, _high = split_sampling_error(65_536)
    assert 3 * math.sqrt(2) * low > 0.1
    assert outcome(diagnosed(write(tmp_path / "a", recipe_of(), gap=-0.1)), "REG004").word == "clear"
    assert outcome(diagnosed(write(tmp_path / "b", recipe_of(), gap=0.1)), "REG004").word == "clear"
    finding = found(diagnosed(write(tmp_path / "c", recipe_of(), gap=-0.4)), "REG004")
    assert "sign" not in str(finding.meaning)
    assert "nanoGPT" not in str(finding.meaning)
    assert "auscult train measures both with dropout off" in str(finding.meaning)


def test_evaluations_with_dropout_on_are_evidence(tmp_path: Path) -> None:
    """Where both modes are logged the gap is told with dropout on, too."""
    finding = found(diagnosed(write(tmp_path, recipe_of(model__dropout=0.1), gap=-0.4)), "REG004")
    assert "with it on, validation lies -0.400 from training" in str(finding.meaning)


def test_dropout_is_measured_on_the_same_batches(tmp_path: Path) -> None:
    """0.02 nats between the two modes of the same text; the steps' own batches, 0.2 harder, do not enter."""
    diagnosis = diagnosed(write(tmp_path, recipe_of(model__dropout=0.1)))
    finding = found(diagnosis, "REG002")
    assert finding.numbers["cost"] == pytest.approx(0.02, abs=0.001)
    assert [e.key for e in finding.edits] == ["model.dropout"]
    assert outcome(diagnosed(write(tmp_path / "off", recipe_of())), "REG002").word == "cannot_tell"


def test_no_advice_to_do_what_is_done(tmp_path: Path) -> None:
    """Evaluations of the same batches are not advised to a trainer that makes no others."""
    assert "fixed set of batches" not in told(diagnosed(write(tmp_path, recipe_of(), last=60)))


# ---- endings and files


def test_a_loss_that_is_not_finite_is_why_it_stopped(tmp_path: Path) -> None:
    """The trainer stopped itself; nothing is to be resumed, no checkpoint was written, and fp32 is not advised to fp32."""
    stop = {"event": "stop", "step": 51, "loss_nats_per_token": None, "not_finite": ["loss_nats_per_token"]}
    recipe = recipe_of(model__dropout=0.1, optimizer__grad_clip=0.0)
    diagnosis = diagnosed(write(tmp_path, recipe, last=50, ending=stop | {"reason": "Step 51: loss nan"}))
    early = found(diagnosis, "LOG004")
    assert "its loss was no longer finite" in str(early.message)
    assert "resume" not in str(early.action)
    assert str(found(diagnosis, "NUM001").action) == "start again, with a lower learning rate and gradients clipped"
    assert diagnosis.hypotheses[0].cause != "numerics"
    prescription = screen(diagnosis, "runs/a").prescription
    assert "NUM001 first: no edit mends it" in prescription
    assert "start again: no checkpoint was written" in prescription
    assert as_dict(diagnosis)["unknown"]["prescription.resume"] == "no checkpoint was written"


@pytest.mark.parametrize(
    ("last", "phase"), [(20, "still warming up"), (200, "at its peak of 0.0006"), (360, "still decaying")]
)
def test_the_phases_of_wsd(tmp_path: Path, last: int, phase: str) -> None:
    """In the stable phase the rate is at its peak, not at its floor."""
    recipe = recipe_of(schedule__kind="wsd", schedule__warmup_steps=50)
    assert phase in str(found(diagnosed(write(tmp_path, recipe, last=last)), "LOG004").meaning)


def test_a_complete_run_with_few_evaluations_is_not_called_flat(tmp_path: Path) -> None:
    """Three evaluations that fall tell nothing of flatness."""
    summary = str(
        diagnosed(write(tmp_path, recipe_of(schedule__steps=100, evaluation__every_steps=50))).verdict.summary
    )
    assert "too few evaluations" in summary
    assert "flat" not in summary


def test_event_files_that_the_trainer_writes_are_no_finding(tmp_path: Path) -> None:
    """A log and the event file beside it, both by the journal: the copies agree, and there is nothing to tell."""
    from auscult.journal import Journal
    from auscult.recipe import LogSettings

    recipe = recipe_of()
    with Journal(tmp_path, LogSettings(every_steps=1), steps=400, recipe=recipe_values(recipe)) as journal:
        journal.start({"device": "cpu", "gpu": None, "recipe_digest": "x", "tokens_per_step": TOKENS_A_STEP})
        for step in range(1, 60):
            journal.step({"step": step, "loss_nats_per_token": 2 + 3 / step, "learning_rate": 1e-3, "grad_norm": 1.0})
    verdict = outcome(diagnosed(tmp_path), "LOG018")
    assert verdict.word == "clear"
    assert "the copies agree" in str(verdict.reason)
    shutil.copy(tmp_path / "log.jsonl", tmp_path / "copy.jsonl")
    assert outcome(diagnosed(tmp_path), "LOG018").word == "found"


def test_a_split_larger_than_all_there_is_is_not_asked_for(tmp_path: Path) -> None:
    """Of 8M tokens in all no split of 10M can be drawn; of 70M it can."""
    few: dict[str, Any] = {"train_tokens": 7_009_719, "val_tokens": 900_000}
    finding = found(diagnosed(write(tmp_path / "few", recipe_of(), **few)), "DAT002")
    assert "more than there are (7.91M in both splits)" in str(finding.action)
    assert "at most" in str(finding.message)
    more: dict[str, Any] = {"train_tokens": 69_000_000, "val_tokens": 900_000}
    assert "draw a new split" in str(found(diagnosed(write(tmp_path / "more", recipe_of(), **more)), "DAT002").action)


# ---- families and memory


@pytest.mark.parametrize("family", ["gpt2", "modern"])
def test_memory_and_time_of_either_family(tmp_path: Path, family: str) -> None:
    """On a card, the step's memory and the hours are worked out of the blueprint; there is nothing to change, and it says so."""
    machine = H100 | {"tokens_per_step": 491_520}
    recipe = recipe_of(
        model__n_layer=12,
        model__n_head=12,
        model__d_model=768,
        model__vocab_size=50_304,
        model__context=1024,
        batch__tokens_per_step=491_520,
        model__family=family,
    )
    diagnosis = diagnosed(write(tmp_path, recipe, machine))
    fit = diagnosis.prescription.fit
    assert isinstance(fit, auscult.Known), fit
    assert 5 * 2**30 < fit.value.memory.total < 40 * 2**30
    assert outcome(diagnosis, "MEM001").word == "clear"
    assert isinstance(diagnosis.prescription.hours, auscult.Known)
    assert "a auscult" not in told(diagnosis)
    assert "GPT-2 models only" not in told(diagnosis)


def test_a_modern_model_that_is_not_what_it_claims(tmp_path: Path) -> None:
    """Without edits, because those are worked out for GPT-2's shape, but told: it is another model."""
    text = '# ~124M parameters\n[model]\nfamily = "modern"\nd_model = 384\n'
    (tmp_path / "a.toml").write_text(text)
    finding = found(diagnosed(tmp_path / "a.toml"), "MDL001")
    assert finding.edits == ()
    assert "the embedding" in str(finding.message)
    assert "tied" not in str(finding.message)
    (tmp_path / "a.toml").write_text(text.replace("~124M", "~60M"))
    assert outcome(diagnosed(tmp_path / "a.toml"), "MDL001").word == "clear"
