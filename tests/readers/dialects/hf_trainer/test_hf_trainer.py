"""``trainer_state.json``: histories made up here, with the traits that versions and users give them."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError, NotText
from auscult.readers import read_all
from auscult.readers.dialects.hf_trainer import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.hf_keys import column, interpret, sequences_per_step, state_key
from auscult.readers.json_text import key_lines
from auscult.readers.reading import Reading
from auscult.run import Known, Unknown

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))
CASES = [
    *(
        f"gallery-{fault}-{seed}"
        for fault in ("bad-labels", "fp16-nan", "healthy", "lr-hot", "lr-zero", "overfit")
        for seed in (42, 43)
    ),
    *(
        "hf-cpt-finetune-overfit",
        "hf-dnabert-classifier-overfit",
        "hf-gpt2-pseudocode-single-eval",
        "hf-lora-five-checkpoints",
    ),
    *("hf-loss-times-16", "hf-loss-times-2-truncated"),
]


def row(step: int, **values: Any) -> dict[str, Any]:
    return {"epoch": step / 40, **values, "step": step}


def state(*rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "epoch": 2.5,
        "global_step": 100,
        "log_history": list(rows),
        "logging_steps": 10,
        "eval_steps": 500,
        "max_steps": 400,
        "num_train_epochs": 10,
        "total_flos": 1.5e15,
        "train_batch_size": 4,
        **fields,
    }


def file_of(document: Any, name: str = "trainer_state.json", *, indent: int | None = 2) -> InputFile:
    data = (document if isinstance(document, str) else json.dumps(document, indent=indent, sort_keys=True)).encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(document: Any, **options: Any) -> Reading:
    (reading,) = DIALECT.read(file_of(document, **options))
    return reading


def final(step: int, *, speed: float, runtime: float = 1000.0) -> dict[str, Any]:
    return row(
        step,
        total_flos=1.5e15,
        train_loss=2.2,
        train_runtime=runtime,
        train_samples_per_second=speed,
        train_steps_per_second=0.4,
    )


def test_train_and_evaluation_rows_become_series_with_the_lines_of_their_rows() -> None:
    """Each series has its meaning, its steps, and the line on which its row's step stands."""
    document = state(
        row(10, loss=2.9, learning_rate=1e-4, grad_norm=1.5),
        row(20, loss=2.7, learning_rate=9e-5, grad_norm=1.25),
        row(20, eval_loss=2.8, eval_runtime=3.5),
        final(20, speed=6.4),
    )
    text = json.dumps(document, indent=2, sort_keys=True)
    reading = read(text)
    loss, val = reading.get("train_loss"), reading.get("val_loss")
    assert loss is not None
    assert val is not None
    assert (list(loss.steps), list(loss.values)) == ([10, 20], [2.9, 2.7])
    assert (loss.mode, loss.unit, loss.scope) == ("train", "nats_per_token", "global")
    assert "mean over the steps since" in loss.window
    assert (val.mode, list(val.steps)) == ("eval", [20])
    for series in (loss, val):
        for step, line in zip(series.steps, series.lines, strict=True):
            assert text.split("\n")[line - 1].strip() == f'"step": {step}'
    assert reading.get("eval_runtime") is not None


def test_mean_over_the_run_is_no_final_loss() -> None:
    """``train_loss`` of the last row is noted and stands in no series."""
    reading = read(state(row(10, loss=2.0), final(20, speed=6.4)))
    loss = reading.get("train_loss")
    assert loss is not None
    assert list(loss.values) == [2.0]
    assert reading.noted["hf.final_row"].value["train_loss"] == 2.2
    assert reading.noted["hf.total_flos"].value == 1.5e15


def test_rows_with_the_time_so_far_are_rows() -> None:
    """Where tokens are counted, newer versions put train_runtime into every row; only a row without a loss sums up."""
    so_far = {"train_runtime": 12.5, "train_tokens_per_second": 320.0, "num_input_tokens_seen": 4000}
    rows = [row(step, loss=3.0 - step / 100, **so_far) for step in (10, 20, 30)]
    reading = read(state(*rows, {"step": 30, "epoch": 1.0, "train_loss": 2.8, "train_runtime": 40.0}))
    loss, speed = reading.get("train_loss"), reading.get("tokens_per_s")
    assert loss is not None
    assert speed is not None
    assert (list(loss.steps), list(speed.values), speed.window) == ([10, 20, 30], [320.0] * 3, "the run so far")
    assert reading.noted["hf.final_row"].value["train_runtime"] == 40.0


def test_rows_at_every_step_are_single_steps() -> None:
    """With a row for each step a value is that step's batch, not a mean over several."""
    loss = read(state(*(row(s, loss=3.0) for s in range(1, 6)))).get("train_loss")
    assert loss is not None
    assert "one step" in loss.window


def test_history_without_losses_says_why() -> None:
    """Fewer steps than logging_steps leave no loss row: that is said, with both numbers."""
    reading = read(state(final(100, speed=6.4), logging_steps=500))
    notice = next(n for n in reading.notices if n.kind == "no_loss_logged")
    assert "100" in notice.detail
    assert "500" in notice.detail
    epoch = reading.get("epoch")
    assert epoch is not None
    assert epoch.steps[-1] == 100


def test_state_saved_after_the_last_row_shows_how_far_the_run_came() -> None:
    """The step at which the state was saved counts, even where no row was written there."""
    epoch = read(state(row(90, loss=2.0))).get("epoch")
    assert epoch is not None
    assert (epoch.steps[-1], epoch.values[-1]) == (100, 2.5)


def test_bare_nan_and_infinity_are_read() -> None:
    """Python writes NaN and Infinity into JSON: they stay in the series."""
    reading = read(state(row(10, loss=math.nan, grad_norm=math.inf), row(20, loss=2.0, grad_norm=1.0)))
    loss, norm = reading.get("train_loss"), reading.get("grad_norm")
    assert loss is not None
    assert norm is not None
    assert math.isnan(loss.values[0])
    assert norm.values[0] == math.inf


def test_zero_loss_beside_a_bad_norm_stands_for_nan() -> None:
    """A loss of 0.0 with a gradient norm of NaN is what the trainer's filter leaves of NaN losses."""
    reading = read(
        state(
            row(10, loss=2.0, grad_norm=1.0),
            row(20, loss=0.0, grad_norm=math.nan),
            row(30, loss=0.0, grad_norm=math.nan),
        )
    )
    notice = next(n for n in reading.notices if n.kind == "nan_logged_as_zero")
    assert notice.count == 2
    assert "stands for NaN" in notice.detail
    learned = read(state(row(10, loss=0.01, grad_norm=0.1), row(20, loss=0.0, grad_norm=0.01)))
    assert not learned.notices


def test_constant_zero_norm_was_not_measured() -> None:
    """A gradient norm of 0 throughout is left out and named."""
    reading = read(state(*(row(10 * i, loss=3.0 - i / 10, grad_norm=0.0) for i in range(1, 5))))
    assert reading.get("grad_norm") is None
    assert [n.kind for n in reading.notices] == ["grad_norm_constant_zero"]


def test_strings_of_callbacks_are_no_metrics() -> None:
    """A callback's "0.2GB" is left out, its numbers keep their names; quoted numbers of the trainer count."""
    reading = read(state(row(10, loss="2.5", GPU="0.2GB", LR="9e-06", Perplex=12.2)))
    assert {s.name for s in reading.series} >= {"train_loss", "Perplex"}
    assert reading.get("GPU") is None
    assert reading.get("LR") is None


def test_rows_without_steps_are_left_out() -> None:
    """A prediction's row has no step and no place on a curve."""
    reading = read(state(row(10, loss=2.0), {"epoch": 1.0, "predict_loss": 2.2}))
    assert reading.get("predict_loss") is None


def test_preference_training_is_no_cross_entropy() -> None:
    """With rewards beside it a loss is not in nats per token."""
    reading = read(state(row(10, loss=0.69, **{"rewards/margins": 0.0})))
    loss = reading.get("train_loss")
    assert loss is not None
    assert loss.unit == "1"
    assert "loss_not_cross_entropy" in {n.kind for n in reading.notices}


def test_classifier_is_named() -> None:
    """Scores of a classifier beside the evaluation loss say that its tokens are classes."""
    reading = read(state(row(10, loss=0.6), row(10, eval_loss=0.5, eval_f1=0.8)))
    assert "not_a_language_model" in {n.kind for n in reading.notices}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["eval_loss", "eval_wiki_loss"], {"eval_loss": "val_loss", "eval_wiki_loss": "eval_wiki_loss"}),
        (["eval_wiki_loss"], {"eval_wiki_loss": "val_loss"}),
        (
            ["eval_wiki_loss", "eval_code_loss"],
            {"eval_wiki_loss": "eval_wiki_loss", "eval_code_loss": "eval_code_loss"},
        ),
        (
            ["eval_train_loss", "eval_validation_loss"],
            {"eval_train_loss": "train_loss_eval", "eval_validation_loss": "val_loss"},
        ),
        (
            ["eval_test_loss", "eval_validation_loss"],
            {"eval_test_loss": "eval_test_loss", "eval_validation_loss": "val_loss"},
        ),
    ],
)
def test_several_evaluation_sets(names: list[str], expected: dict[str, str]) -> None:
    """Of several evaluation sets the one that is called validation is it; others keep their names."""
    for name, wanted in expected.items():
        metric = column(name, names)
        assert metric is not None
        assert metric.name == wanted


def test_tokens_seen_of_either_version() -> None:
    """``num_input_tokens_seen`` and TRL's ``num_tokens`` are the tokens so far."""
    reading = read(state(row(10, loss=2.0, num_tokens=4096), num_input_tokens_seen=8192))
    tokens = reading.get("tokens_seen")
    assert tokens is not None
    assert list(tokens.values) == [4096]
    seen = interpret(reading.raw)["logged.tokens_seen"]
    assert isinstance(seen, Known)
    assert (seen.value, seen.source.text) == (8192, '"num_input_tokens_seen": 8192')


def test_accumulation_follows_from_the_speeds() -> None:
    """64 sequences for each step over micro-batches of 4 are 16 micro-batches, whoever made them."""
    document = state(row(10, loss=2.0), final(400, speed=25.6), epoch=2.0, global_step=400)
    found = interpret(read(document).raw)
    batch = found["recipe.batch_size"]
    assert isinstance(batch, Known)
    lines = json.dumps(document, indent=2, sort_keys=True).split("\n")
    assert batch.value == 4
    assert lines[(batch.source.line or 0) - 1].strip() == '"train_batch_size": 4'
    accumulation = found["recipe.gradient_accumulation_steps"]
    assert isinstance(accumulation, Known)
    assert accumulation.value == 16
    assert accumulation.source.how == "derived"


@settings(deadline=None)
@given(
    batch=st.integers(1, 64),
    accumulation=st.integers(1, 64),
    per_epoch=st.integers(3, 2_000),
    epochs=st.integers(1, 10),
    left=st.integers(0, 4_095),
    runtime=st.floats(10, 1e6),
)
def test_bounds_on_sequences_per_step_hold(
    batch: int, accumulation: int, per_epoch: int, epochs: int, left: int, runtime: float
) -> None:
    """Whatever the sizes, the truth lies within what the rounded speeds allow."""
    sequences = batch * accumulation
    examples = per_epoch * sequences - left % sequences  # the last batch of an epoch may be partial
    steps = per_epoch * epochs
    runtime = round(runtime, 4)
    row = {"train_runtime": runtime, "train_samples_per_second": round(examples * epochs / runtime, 3)}
    bounds = sequences_per_step(row, steps, float(epochs))
    if bounds is not None:
        assert bounds[0] <= sequences <= bounds[1]


def test_few_steps_in_an_epoch_prove_nothing() -> None:
    """Where an epoch is a step or two, the partial batch leaves the accumulation open."""
    assert sequences_per_step({"train_runtime": 10.0, "train_samples_per_second": 30.0}, 10, 10.0) is None


def test_latest_of_several_states_counts() -> None:
    """Checkpoints of one run hold earlier states: the plan and the epochs are those of the last."""
    early = read(state(row(10, loss=2.0), global_step=10, epoch=0.25, max_steps=300)).raw
    late = read(state(row(10, loss=2.0), row(20, loss=1.9), global_step=20, epoch=0.5)).raw
    found = interpret({**early, **late})
    assert isinstance(found["recipe.max_steps"], Known)
    assert found["recipe.max_steps"].value == 400
    assert isinstance(found["logged.epochs"], Known)
    assert found["logged.epochs"].value == 0.5
    assert state_key(9) < state_key(10) < state_key(10**18)


def test_default_of_500_is_no_interval() -> None:
    """``eval_steps`` is 500 in every state: it counts only where evaluations stand at its multiples."""
    assert "recipe.eval_interval" not in interpret(read(state(row(40, loss=2.0), row(40, eval_loss=2.0))).raw)
    found = interpret(read(state(row(40, loss=2.0), row(40, eval_loss=2.0), eval_steps=20)).raw)
    assert isinstance(found["recipe.eval_interval"], Known)
    assert found["recipe.eval_interval"].value == 20


def test_history_that_goes_back_has_a_seam() -> None:
    """Steps that were made again stay in the order of the file, with the place where it went back."""
    reading = read(state(row(10, loss=2.0), row(20, loss=1.9), row(15, loss=1.8)))
    assert [(s.step_before, s.step_after) for s in reading.seams] == [(20, 15)]


def test_one_line_is_a_document_too() -> None:
    """A state without line breaks has everything on line 1."""
    reading = read(state(row(10, loss=2.0)), indent=None)
    loss = reading.get("train_loss")
    assert loss is not None
    assert list(loss.lines) == [1]


def test_absurd_numbers_are_left_out() -> None:
    """Steps beyond any counter, and numbers beyond any float, stop nothing."""
    document = state(
        row(10, loss=2.0), {"step": 10**40, "loss": 1.0}, {"step": -5, "loss": 1.0}, {"step": 20, "loss": 10**400}
    )
    loss = read(document).get("train_loss")
    assert loss is not None
    assert list(loss.steps) == [10]


def test_cut_document_is_refused_with_its_line() -> None:
    """A state that was not written to its end is an error that names the place."""
    text = json.dumps(state(row(10, loss=2.0)), indent=2)
    with pytest.raises(NotText, match="not valid JSON") as caught:
        read(text[: len(text) // 2])
    assert str(caught.value.where).startswith("trainer_state.json:")


@pytest.mark.parametrize("document", ["[]", '{"log_history": 5}', '"x"'])
def test_other_documents_are_refused(document: str) -> None:
    """JSON that is no history is refused."""
    with pytest.raises(NotText):
        read(document)


def test_sniff() -> None:
    """States are unmistakable under any name; other JSON is not claimed."""
    assert DIALECT.sniff(file_of(state(row(10, loss=2.0)))) == 1.0
    assert DIALECT.sniff(file_of(state(), "checkpoint.json")) == 1.0
    assert DIALECT.sniff(file_of({"model_type": "gpt2", "n_layer": 2}, "config.json")) == 0
    assert DIALECT.sniff(file_of('the "log_history" and "global_step" of it', "notes.txt")) == 0


def test_paths_are_never_surfaced() -> None:
    """What names a person's folder is in nothing that is read."""
    document = state(
        row(10, loss=2.0), best_model_checkpoint="/home/somebody/out/checkpoint-10", trial_name="somebody@host"
    )
    assert "somebody" not in repr(read(document, indent=None))


def test_nested_keys_have_their_lines() -> None:
    """Braces, quotes and line breaks within strings do not mislead the search for lines."""
    text = '{\n "a": "x\\"}{[\\n",\n "b": {\n  "c": [1, {"a": 2}],\n  "d": 3\n }\n}'
    assert key_lines(text) == {("a",): 2, ("b",): 3, ("b", "c"): 4, ("b", "d"): 5}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["loss", "step", "epoch", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(state())), json_values, max_size=9))
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    """Whatever stands under the state's keys, it gives readings or an error of ours, and settings that can be judged."""
    try:
        reading = read({"log_history": [], **document})
    except InputError:
        return
    assert all(isinstance(q, Known | Unknown) for q in interpret(reading.raw).values())


@settings(deadline=None)
@given(st.data())
def test_any_cut_or_splice_is_read_or_refused(data: st.DataObject) -> None:
    """A state that was cut or overwritten in places is read or refused."""
    text = json.dumps(state(row(10, loss=2.0, grad_norm=1.0), final(20, speed=6.4)), indent=1)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text(max_size=6)) + text[at + data.draw(st.integers(0, 9)) :]
    with contextlib.suppress(InputError):
        read(text)


@pytest.mark.parametrize("case", CASES)
def test_corpus_facts(case: str) -> None:
    """What is known of real runs is found in them."""
    folder = CORPUS / case
    if not folder.is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    found = read_all(folder)
    assert len(found.runs) == 1
    run = found.runs[0]
    for name, wanted in facts["series"].items():
        series = run.get(name)
        assert series is not None, name
        assert series.count == wanted["points"]
        assert [series.steps[0], series.values[0]] == wanted["first"]
        assert [series.steps[-1], series.values[-1]] == wanted["last"]
        assert min(v for v in series.values if math.isfinite(v)) == wanted["min"][1]
        assert sum(not math.isfinite(v) for v in series.values) == wanted.get("non_finite", 0)
    for key, value in facts["facts"].items():
        if key.startswith("hf."):
            assert run.noted[key].value == value, key
    assert isinstance(run.recipe.max_steps, Known)
    assert run.recipe.max_steps.value == facts["facts"]["run.steps.planned"]
    assert max(max(s.steps) for s in run.series) == facts["facts"]["run.steps.last"]
    assert isinstance(run.logged.epochs, Known)
    assert run.logged.epochs.value == pytest.approx(facts["facts"]["run.budget.epochs"])
