"""Progress bars: one point a step, the axis that the bar counts, and what is no training bar."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Known, Unknown
from log_files import corpus_case as case
from log_files import notice_counts as notices
from log_files import plain, points

DIALECT = find_dialect("tqdm")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "output.log") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "output.log") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


def bar(
    done: int,
    total: int,
    postfix: str = "",
    description: str = "Training",
    elapsed: str = "00:10",
    rate: str = " 2.00s/it",
) -> str:
    head = f"{description}: " if description else ""
    return f"{head} {100 * done // max(total, 1)}%|█▌   | {done}/{total} [{elapsed}<01:10, {rate}{postfix}]"


LOG = "".join(
    f"\r{bar(n, 500, f', loss={8 - (n - 1) / 10:.4f}, lr=1.00e-04, mfu=-100.0%')}"
    f"\r{bar(n, 500, f', loss={8 - n / 10:.4f}, lr=1.00e-04, mfu=-100.0%')}"
    for n in range(1, 20)
)


def test_the_last_draw_of_each_step_counts() -> None:
    """Each step is drawn twice, first with the loss before it: the later draw is the step's."""
    reading = read(LOG + "\n")
    assert points(reading, "train_loss") == [(n, round(8 - n / 10, 4)) for n in range(1, 20)]
    assert points(reading, "learning_rate")[0] == (1, 1e-4)
    assert points(reading, "step_time_s")[0] == (1, 2.0)
    assert points(reading, "mfu") == []
    assert plain(reading, "recipe.max_steps") == 500
    assert notices(reading)["redrawn"] == 19
    assert "seams" not in notices(reading)


def test_an_epoch_with_its_number_runs_on() -> None:
    """In few epochs a bar of batches gives steps that run on from epoch to epoch."""
    text = "".join(
        f"\r{bar(n, 40, f', loss={9 - e - n / 50:.3f}', f'Epoch {e}/3')}" for e in (1, 2, 3) for n in range(1, 41)
    )
    reading = read(text)
    found = points(reading, "train_loss")
    assert [step for step, _ in found] == list(range(1, 121))
    assert plain(reading, "recipe.max_steps") == 120


def test_an_epoch_without_its_number_runs_on() -> None:
    """A bar that is put up again after it was full is the loop's next epoch, not a new run."""
    text = ""
    for _epoch in range(3):
        text += "\r" + bar(0, 40, "", "", "00:00", "?it/s")
        text += "".join(f"\r{bar(n, 40, ', loss=2.5', '')}" for n in range(1, 41))
    reading = read(text)
    assert [step for step, _ in points(reading, "train_loss")] == list(range(1, 121))


def test_many_epochs_are_the_axis() -> None:
    """With hundreds of epochs planned they are the axis, with a point for each batch that was drawn."""
    text = "".join(
        bar(n, 94, "", f"Epoch: [{e}/2500] Loss: {2 - e / 1000 + n / 1000:.4f} Acc: 1.50%") + "\n"
        for e in range(841, 861)
        for n in (1, 40, 94)
    )
    reading = read(text)
    loss = reading.get("train_loss")
    assert loss is not None
    assert loss.axis == "epoch"
    assert points(reading, "train_loss")[0] == (841, round(2 - 0.841 + 0.001, 4))
    assert (len(loss), len(set(loss.steps))) == (60, 20)
    assert points(reading, "acc")[0][1] == pytest.approx(0.015)
    assert "recipe.max_steps" not in reading.settings


def test_a_step_in_the_postfix_is_the_step() -> None:
    """A program that shows its own step is believed."""
    text = "".join(f"\r{bar(n, 500, f', loss=3.5, step={100 + n}')}" for n in range(1, 5))
    assert [step for step, _ in points(read(text), "train_loss")] == [101, 102, 103, 104]


def test_other_bars_are_no_training() -> None:
    """Bars of evaluations give validation, once each; bars of other work give nothing."""
    text = bar(50, 50, "", "Tokenizing") + "\n"
    text += "".join(f"\r{bar(n, 500, ', loss=3.5')}" for n in range(1, 6))
    text += "".join(f"\r{bar(n, 10, f', loss={4 - n / 10}', 'Validation')}" for n in range(1, 11))
    text += "\r" + bar(7, 9, ", loss=0.1", "Generating")
    text += "".join(f"\r{bar(n, 500, ', loss=3.4')}" for n in range(6, 8))
    reading = read(text)
    assert points(reading, "val_loss") == [(5, 3.0)]
    assert [value for _, value in points(reading, "train_loss")] == [3.5] * 5 + [3.4] * 2


def test_bars_without_a_total() -> None:
    """A loader of unknown length is counted all the same."""
    text = "".join(f"\r{n}it [10:00,  2.05it/s, loss=2.{n}]" for n in range(1, 6))
    assert points(read(text), "train_loss")[-1] == (5, 2.5)


def test_two_processes_in_one_file() -> None:
    """Draws of a process that lags behind are not points, and no seams."""
    text = "".join(f"\r{bar(n, 500, ', loss=3.5')}\r{bar(max(n - 2, 1), 500, ', loss=3.6')}" for n in range(1, 30))
    reading = read(text)
    assert [step for step, _ in points(reading, "train_loss")] == list(range(1, 30))
    assert not reading.seams


def test_a_nanogpt_fork() -> None:
    """The config that a fork echoes before its bars is read with nanoGPT's names."""
    text = (
        "Overriding config with config/train_x.py:\nn_layer = 12\nlearning_rate = 1e-7  # small\n\n"
        "tokens per iteration will be: 1,310,720\nnumber of parameters: 123.59M\n" + LOG + "\n"
    )
    reading = read(text)
    assert plain(reading, "logged.tokens_per_step") == 1_310_720
    assert plain(reading, "logged.parameters") == (123_585_000, 123_595_000)
    rate = reading.parts[0].raw["learning_rate"]
    assert isinstance(rate, Known)
    assert rate.value == 1e-7
    assert len(points(reading, "train_loss")) == 19
    assert recognise(file_of(text))[1] is DIALECT


def test_interrupted_and_cut() -> None:
    """A key press at the end is told, and a draw that was cut gives nothing."""
    reading = read(LOG + "\r" + bar(20, 500, ", loss=5.9999")[:-4] + "\nKeyboardInterrupt\n")
    assert points(reading, "train_loss")[-1][0] == 19
    assert "interrupted" in notices(reading)


def test_it_knows_its_own() -> None:
    """Bars with a loss are recognised; bars without one, and other text, are not."""
    assert DIALECT.sniff(file_of(LOG)) >= 0.5
    assert DIALECT.sniff(file_of("\r".join(bar(n, 9) for n in range(9)))) == 0
    assert isinstance(DIALECT.sniff(file_of("100%|done")), float)


def test_corpus_epochs() -> None:
    """The real log of epochs 841 to 1,923 has 956 of them."""
    (reading,) = DIALECT.read(open_path(case("custom-reversal-tqdm") / "output.log", "output.log"))
    found = points(reading, "train_loss")
    assert (found[0], found[-1], len({step for step, _ in found})) == ((841, 1.7606), (1923, 0.9093), 956)
    assert min(found, key=lambda point: point[1]) == (1881, 0.7488)
    assert "interrupted" in notices(reading)


def test_corpus_zeroth_order() -> None:
    """The real fork's log has a point a step, and what it echoed counts more than another version of its config."""
    folder = case("nanogpt-zeroth-order-not-learning")
    (reading,) = DIALECT.read(open_path(folder / "lozo_gpt2_training.log", "lozo_gpt2_training.log"))
    found = points(reading, "train_loss")
    assert (found[0], found[-1], len(found)) == ((0, 11.0084), (11_947, 10.9584), 11_948)
    rates = {
        run.recipe.learning_rate.value for run in read_all(folder).runs if isinstance(run.recipe.learning_rate, Known)
    }
    assert 1e-7 in rates
    assert not isinstance(reading.settings["recipe.max_steps"], Unknown)


@_HARMLESS
@given(data=st.data())
def test_mutations_do_no_harm(data: st.DataObject) -> None:
    """A log that is cut, spliced and sprinkled with odd pieces is read, or refused with an error of ours."""
    text = LOG
    for _edit in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(text)))
        odd = st.sampled_from(
            ["\n", "\r", "nan", "-1", "inf", "9" * 40, "9" * 400, "|", "{", "'", '"', ": ", "None", "\x1b[31m"]
        )
        piece = data.draw(st.one_of(st.text(max_size=6), odd))
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 12)) :]
    file = InputFile("output.log", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
