"""minGPT's console, its first version's progress bar, and its config tree."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.mingpt import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known

CONFIG = """system:
    seed: 1
    work_dir: ./out/chargpt
data:
    block_size: 64
model:
    model_type: gpt-micro
    n_layer: None
    n_head: None
    n_embd: None
    vocab_size: None
    block_size: None
    embd_pdrop: 0.1
    resid_pdrop: 0.2
trainer:
    device: auto
    max_iters: None
    batch_size: 32
    learning_rate: 0.0004
    betas: (0.9, 0.98)
    weight_decay: 0.05
    grad_norm_clip: 0.5

data has 5000 characters, 40 unique.
number of parameters: 0.80M
running on device cuda
"""
RECORDS = "".join(f"iter_dt {12.5 if i else 0:.2f}ms; iter {10 * i}: train loss {3.6 - i / 10:.5f}\n" for i in range(6))


def read(text: str, name: str = "train.log") -> tuple[Reading, ...]:
    data = text.encode()
    return tuple(DIALECT.read(InputFile(name, lambda: io.BytesIO(data), len(data))))


def values(reading: Reading) -> dict[str, object]:
    return {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)}


def test_the_config_tree_is_the_recipe() -> None:
    """The tree's values, and the shape that the model type stands for, are settings."""
    (run,) = read(CONFIG + RECORDS)
    found = values(run)
    assert (found["architecture.n_layer"], found["architecture.n_head"], found["architecture.d_model"]) == (4, 4, 128)
    assert found["architecture.context"] == 64
    assert found["architecture.vocab_size"] == 40
    assert found["data.train_tokens"] == 5000
    assert found["recipe.batch_size"] == 32
    assert found["recipe.dropout"] == 0.2
    assert (found["recipe.beta1"], found["recipe.beta2"]) == (0.9, 0.98)
    assert found["recipe.grad_clip"] == 0.5
    assert "recipe.max_steps" not in found, "None is no limit"
    assert "machine.gpu_name" not in found, "cuda names no card"
    assert found["logged.parameters"] == (795_000, 805_000)
    assert found["logged.parameters_convention"] == "total without the output head"


def test_the_first_time_is_no_measurement() -> None:
    """iter_dt is 0.00ms before the first step has ended, which is left out."""
    (run,) = read(CONFIG + RECORDS)
    times = run.get("step_time_s")
    loss = run.get("train_loss")
    assert times is not None
    assert loss is not None
    assert times.steps[0] == 10
    assert times.values[0] == pytest.approx(0.0125)
    assert list(loss.steps) == [0, 10, 20, 30, 40, 50]
    assert (loss.mode, loss.lines[0]) == ("train", CONFIG.count("\n") + 1)


def test_samples_between_records_are_no_records() -> None:
    """Text that the model wrote, with braces and colons, changes nothing."""
    lines = (CONFIG + RECORDS).splitlines(keepends=True)
    text = "".join(
        line + ("O God: iter of\n  loss: 3\nsaving model\n" if line.startswith("iter_dt") else "") for line in lines
    )
    (run,) = read(text)
    assert (run.get("train_loss") or pytest.fail("none")).count == 6


def test_two_runs_in_one_page() -> None:
    """A second config begins another run with its own dataset, and the page is named as such."""
    second = CONFIG.replace("40 unique", "20 unique") + RECORDS
    one, two = read(CONFIG + RECORDS + second, "notes.md")
    assert (values(one)["architecture.vocab_size"], values(two)["architecture.vocab_size"]) == (40, 20)
    assert {"several_runs_in_file", "log_inside_markdown"} <= {n.kind for n in one.notices}


def test_the_first_versions_bar() -> None:
    """The bar's redraws give one record for each iteration, counted over epochs, and the test loss at its end."""
    bar = "".join(
        f"epoch {e} iter {i}: train loss {4 - e - i / 10:.5f}. lr 6.000000e-04:  50%|##5  | {i}/4 [00:01<00:01]\r"
        for e in (1, 2)
        for i in range(4)
    )
    (run,) = read(bar + "\nINFO:mingpt.trainer:test loss: 2.345678\n")
    loss, test, rate = run.get("train_loss"), run.get("val_loss"), run.get("learning_rate")
    assert loss is not None
    assert test is not None
    assert rate is not None
    assert list(loss.steps) == list(range(8))
    assert (test.steps[0], test.values[0]) == (7, 2.345678)


def test_the_adders_scores() -> None:
    """What the adder got right is a fraction at the iteration it was measured."""
    (run,) = read(CONFIG + RECORDS + "test final score: 45/50 = 90.00% correct\n")
    score = run.get("test_score")
    assert score is not None
    assert (score.steps[0], score.values[0], score.mode) == (50, 0.9, "eval")


def test_a_cut_end_is_a_problem() -> None:
    """A last loss with fewer than its five decimals is left out."""
    (run,) = read(CONFIG + RECORDS + "iter_dt 12.50ms; iter 60: train loss 2")
    assert (run.get("train_loss") or pytest.fail("none")).steps[-1] == 50
    assert "broken_record" in {p.kind for p in run.problems}


def test_it_claims_its_own_and_leaves_others() -> None:
    """NanoGPT's lines are not its."""

    def sniff(text: str) -> float:
        return DIALECT.sniff(InputFile("a.log", lambda: io.BytesIO(text.encode()), len(text)))

    assert sniff(RECORDS) == 1.0
    assert sniff("epoch 1 iter 5: train loss 2.00000. lr 6e-04\n") == 0.9
    assert sniff("iter 100: loss 2.5, time 10.00ms, mfu 10.00%\n") == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=60)
@given(data=st.data())
def test_mangled_text_never_breaks_it(data: st.DataObject) -> None:
    """Cut, repeated and spliced lines give readings or an error of ours."""
    lines = (CONFIG + RECORDS).splitlines(keepends=True)
    text = "".join(data.draw(st.lists(st.sampled_from(lines), max_size=25)))
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=10)) + text[at + data.draw(st.integers(0, 20)) :]
    with contextlib.suppress(InputError):
        read(text)


CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here: set AUSCULT_CORPUS")
def test_a_real_page_with_two_runs() -> None:
    """The two runs of the real page have all their points and the printed size."""
    path = CORPUS / "mingpt-char-two-runs" / "chargpt.md"
    one, two = DIALECT.read(InputFile(path.name, lambda: path.open("rb"), path.stat().st_size))
    points = [(r.get("train_loss") or pytest.fail("none")).count for r in (one, two)]
    assert points == [151, 241]
    assert values(two)["logged.parameters"] == (85_000, 95_000)
    assert values(two)["machine.gpu_name"] == "cpu"
