"""Levanter's bars of several processes in one file, and its evaluations."""

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
from log_files import corpus_case as case
from log_files import notice_counts as notices
from log_files import plain, points

DIALECT = find_dialect("levanter")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "nohup.out") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "nohup.out") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


def bar(step: int, loss: float | None, seconds: int = 9) -> str:
    shown = f", loss={loss}" if loss is not None else ""
    return f"train:   0%|          | {step}/5000 [00:{seconds:02d}<12:34:56,  2.00it/s{shown}]"


def said(process: int, text: str, module: str = "callbacks") -> str:
    return f"2026-01-02T03:04:05 - {process} - levanter.{module} - {module}.py:69 - INFO :: {text}\n"


SETUP = (
    "INFO:levanter.distributed:Initialized jax.distributed with 32 devices, 8 processes, coordinator_address=None\n"
    "INFO:levanter.trainer:Setting run id to ab12cd34\n"
    + said(2, "No training checkpoint found. Initializing model from HF checkpoint 'gpt2'", "main")
)


def steps(first: int, last: int, workers: int = 3) -> str:
    text = ""
    for step in range(first, last + 1):
        text += "".join(f"\r{bar(step, 10 - (step - 1) / 10)}" for _ in range(workers)) if step > 1 else ""
        text += "".join(f"\r{bar(step, 10 - step / 10)}" for _ in range(workers))
    return text + "\n"


LOG = (
    SETUP
    + steps(1, 6)
    + "\reval :  6it [00:00, 15.15it/s, loss=3.91]\x1b[A\x1b[A"
    + said(0, "validation loss: 3.912")
    + said(1, "validation loss: 3.912")
    + said(2, "validation loss: 3.912")
    + f"\r{bar(4, 9.9)}"
    + steps(7, 12)
    + said(1, "validation loss: 3.654")
    + said(0, "validation loss: 3.654")
)


def test_the_last_draw_of_each_step_counts() -> None:
    """Three processes draw each step several times: one point a step, with its last draw, and a lagging draw is none."""
    reading = read(LOG)
    found = points(reading, "train_loss")
    assert [step for step, _ in found] == list(range(1, 13))
    assert [value for _, value in found] == pytest.approx([10 - n / 10 for n in range(1, 13)])
    assert notices(reading)["redrawn"] > 20
    assert not reading.seams


def test_each_evaluation_counts_once() -> None:
    """An evaluation that every process logs is one point, at the step that was reached."""
    reading = read(LOG)
    assert points(reading, "val_loss") == [(6, 3.912), (12, 3.654)]
    assert notices(reading)["ranks_interleaved"] == 1
    loss = reading.get("val_loss")
    assert loss is not None
    assert (loss.mode, loss.split) == ("eval", "val")


def test_figures() -> None:
    """Devices, planned steps, the run's identity and where it started from."""
    reading = read(LOG)
    assert plain(reading, "machine.gpu_count") == 32
    assert plain(reading, "recipe.max_steps") == 5000
    assert plain(reading, "recipe.init_from") == "gpt2"
    assert reading.run_id == "ab12cd34"
    assert points(reading, "step_time_s")[0] == (1, 0.5)


def test_named_sets_and_bits_per_byte() -> None:
    """Evaluations by part of the validation set keep their names."""
    text = (
        LOG
        + said(0, "eval loss: 3.500", "eval")
        + said(0, "wikitext loss: 3.100", "eval")
        + said(0, "paloma/c4 bpb: 0.950", "eval")
    )
    reading = read(text)
    assert points(reading, "val_loss")[-1] == (12, 3.5)
    assert points(reading, "val_wikitext_loss") == [(12, 3.1)]
    assert points(reading, "val_paloma_c4_bpb") == [(12, 0.95)]


def test_newer_versions_log_their_bars() -> None:
    """Where there is no terminal, tqdm-loggable writes lines; a counter in thousands is rounded, and said to be."""
    line = "Progress on:train {}it/10.0kit rate:1.2it/s remaining:11:32 elapsed:01:36 postfix:loss=8.18"
    reading = read("".join(said(0, line.format(n), "tqdm") for n in ("118", "250", "1.50k")))
    assert [step for step, _ in points(reading, "train_loss")] == [118, 250, 1500]
    assert notices(reading)["steps_rounded"] == 1


def test_a_new_attempt_is_not_a_lagging_process() -> None:
    """A bar that is put up again far behind begins anew."""
    fresh = "\rtrain:   0%|          | 0/5000 [00:00<?, ?it/s]"
    assert len(list(DIALECT.read(file_of(LOG + fresh + steps(1, 12))))) == 2


def test_it_knows_its_own() -> None:
    """Its logs are recognised before any progress bar is; other text is not."""
    assert recognise(file_of(LOG))[1] is DIALECT
    assert DIALECT.sniff(file_of(bar(1, 2.5))) == 0


def test_corpus() -> None:
    """The real log of eight processes has 1,301 steps and 26 evaluations."""
    (reading,) = DIALECT.read(open_path(case("levanter-tpu-8-workers") / "nohup.out", "nohup.out"))
    found = points(reading, "train_loss")
    assert (found[0], found[-1], len(found)) == ((1, 12.6), (1301, 12.7), 1301)
    assert {value for _, value in points(reading, "val_loss")} == {3.725, 3.728, 3.73}
    assert len(read_all(case("levanter-tpu-8-workers")).runs) == 1


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
    file = InputFile("nohup.out", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
