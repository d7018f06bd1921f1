"""The Trainer's console: rows, their steps from the bar or the epoch, the banner, arguments, tables."""

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

DIALECT = find_dialect("hf_stdout")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "train.log") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "train.log") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


BANNER = """\
[INFO|trainer.py:1143] 2026-01-02 03:04:05,678 >> ***** Running training *****
[INFO|trainer.py:1144] 2026-01-02 03:04:05,678 >>   Num examples = 1,600
[INFO|trainer.py:1145] 2026-01-02 03:04:05,678 >>   Num Epochs = 2
[INFO|trainer.py:1146] 2026-01-02 03:04:05,679 >>   Instantaneous batch size per device = 4
[INFO|trainer.py:1147] 2026-01-02 03:04:05,679 >>   Total train batch size (w. parallel, distributed & accumulation) = 16
[INFO|trainer.py:1148] 2026-01-02 03:04:05,679 >>   Gradient Accumulation steps = 2
[INFO|trainer.py:1149] 2026-01-02 03:04:05,679 >>   Total optimization steps = 200
[INFO|trainer.py:1150] 2026-01-02 03:04:05,679 >>   Number of trainable parameters = 124,439,808
"""


def bar(step: int, total: int = 200) -> str:
    return f"\r {100 * step // total}%|█▌   | {step}/{total} [00:10<01:10,  1.67it/s]"


def row(step: int, loss: float, quoted: bool = False) -> str:
    q = "'" if quoted else ""
    return f"{{'loss': {q}{loss}{q}, 'grad_norm': {q}1.25{q}, 'learning_rate': {q}5e-05{q}, 'epoch': {q}{step / 100:.2f}{q}}}"


def rows(quoted: bool = False) -> str:
    text = ""
    for step in range(1, 51):
        text += bar(step)
        if step % 10 == 0:
            text += "\r                \r" + row(step, 8 - step / 100, quoted) + "\n"
    return text


LOG = (
    BANNER
    + rows()
    + "{'eval_loss': 7.25, 'eval_accuracy': 0.5, 'eval_runtime': 3.1, 'eval_samples_per_second': 9.9, 'epoch': 0.5}\n"
)


@pytest.mark.parametrize("quoted", [False, True])
def test_rows_stand_at_the_step_of_the_bar(quoted: bool) -> None:
    """A row between redraws has the bar's step; newest versions, which quote the values, are the same."""
    reading = read(BANNER + rows(quoted))
    assert points(reading, "train_loss") == [(n, 8 - n / 100) for n in range(10, 51, 10)]
    assert points(reading, "grad_norm")[0] == (10, 1.25)
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.mode, loss.window) == ("train", "mean over the steps since the row before, dropout on")


def test_evaluations() -> None:
    """The evaluation's row gives the validation loss and what else was measured, at the same step."""
    reading = read(LOG)
    assert points(reading, "val_loss") == [(50, 7.25)]
    assert points(reading, "eval_accuracy") == [(50, 0.5)]


def test_the_banner() -> None:
    """Batch, accumulation over all processes, devices, planned steps and trainable parameters."""
    reading = read(LOG)
    assert plain(reading, "recipe.batch_size") == 4
    assert plain(reading, "recipe.gradient_accumulation_steps") == 4
    assert plain(reading, "machine.gpu_count") == 2
    assert plain(reading, "recipe.max_steps") == 200
    assert plain(reading, "logged.parameters") == (124_439_808, 124_439_808)
    assert plain(reading, "logged.parameters_convention") == "trainable"
    assert plain(reading, "logged.epochs") == 0.5


def test_steps_follow_from_the_epoch_without_a_bar() -> None:
    """Without bars the step follows from the epoch; rows that fit one interval are put on its multiples."""
    text = BANNER.replace("1,600", "87,680").replace("= 200\n", "= 10960\n")
    epochs = [round(500 * i / 5480, 2) for i in range(1, 12)]
    text += "".join(f"{{'loss': 2.5, 'learning_rate': 5e-05, 'epoch': {epoch}}}\n" for epoch in epochs)
    reading = read(text)
    assert [step for step, _ in points(reading, "train_loss")] == [500 * i for i in range(1, 12)]
    loss = reading.get("train_loss")
    assert loss is not None
    assert "epoch" in loss.convention


def test_epochs_that_are_no_whole_number_of_steps() -> None:
    """Where the accumulation went on over an epoch's end, steps that follow from epochs do not drift away."""
    banner = BANNER.replace("1,600", "1,612").replace("Num Epochs = 2", "Num Epochs = 90").replace("= 200", "= 9,000")
    text = banner + "".join(f"{{'loss': 2.5, 'epoch': {round(16 * step / 1612, 2)}}}\n" for step in range(5, 6_001, 5))
    assert [step for step, _loss in points(read(text), "train_loss")] == list(range(5, 6_001, 5))


def test_rows_are_counted_when_nothing_tells_the_step() -> None:
    """With neither bar nor banner the axis is the row."""
    reading = read("".join(row(n, 5.0) + "\n" for n in (10, 20, 30)))
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.axis, list(loss.steps)) == ("row", [1, 2, 3])


def test_streams_that_were_not_written_together() -> None:
    """When all rows come after all bars, and no banner helps, rows are counted rather than put at the last step."""
    text = "".join(bar(n) for n in range(1, 51)) + "\n" + "".join(row(n, 5.0) + "\n" for n in range(10, 60, 10))
    loss = read(text).get("train_loss")
    assert loss is not None
    assert (loss.axis, list(loss.steps)) == ("row", [1, 2, 3, 4, 5])


def test_no_loss_is_said() -> None:
    """A run of a few steps logs no loss: the reading says so and keeps the steps and figures it has."""
    summary = (
        "{'train_runtime': 800.0, 'train_samples_per_second': 1.25, 'train_steps_per_second': 0.01, 'epoch': 1.0}\n"
    )
    bars = "".join(bar(n, 8) for n in range(9)) + "\n"
    reading = read(BANNER.replace("= 200\n", "= 8\n") + bars + summary)
    assert "no_loss_logged" in notices(reading)
    assert reading.noted["hf.train_runtime"].value == 800.0
    assert [step for step, _ in points(reading, "step_time_s")] == list(range(1, 9))


def test_the_mean_of_the_whole_run_is_no_point() -> None:
    """train_loss of the last row is noted, not taken for the last loss."""
    reading = read(LOG + "{'train_runtime': 10.0, 'train_loss': 3.5, 'epoch': 2.0}\n")
    assert reading.noted["hf.train_loss"].value == 3.5
    assert points(reading, "train_loss")[-1] == (50, 7.5)


def test_rows_with_the_time_so_far() -> None:
    """Where tokens are counted every row has a train_runtime; it is a row all the same, and only the last is the summary."""
    more = ", 'num_input_tokens_seen': 4096, 'train_runtime': 25.5, 'train_tokens_per_second': 160.0}"
    text = BANNER + "".join(bar(n) + "\n" + row(n, 8 - n / 100)[:-1] + more + "\n" for n in (10, 20, 30))
    reading = read(text + "{'train_runtime': 30.0, 'train_loss': 7.5, 'epoch': 0.3}\n")
    assert points(reading, "train_loss") == [(10, 7.9), (20, 7.8), (30, 7.7)]
    assert points(reading, "tokens_seen")[0] == (10, 4096)
    assert reading.noted["hf.train_runtime"].value == 30.0


def test_tables() -> None:
    """Tables of metrics are noted; an evaluation that stands only there is a point at the last step."""
    text = (
        BANNER
        + rows()
        + "***** eval metrics *****\n  epoch                   =        2.0\n  eval_loss               =     7.1250\n"
    )
    reading = read(text)
    assert points(reading, "val_loss") == [(50, 7.125)]
    assert reading.noted["hf.eval_loss"].value == 7.125


def test_an_evaluations_figures_are_not_the_trainings() -> None:
    """The banner of an evaluation has its own number of examples."""
    text = BANNER + "***** Running Evaluation *****\n  Num examples = 7\n  Batch size = 8\n" + rows()
    assert read(text).noted["hf.num_examples"].value == 1600


def test_training_arguments() -> None:
    """Arguments on one line or on many are kept under their names, without paths."""
    one = "Training parameters TrainingArguments(output_dir=/home/somebody/out, learning_rate=0.0002, adam_beta2=0.95, logging_steps=10)\n"
    many = "TrainingArguments(\n_n_gpu=1,\nlearning_rate=0.0002,\noutput_dir=/home/somebody/out,\nadam_beta2=0.95,\n)\n"
    for text in (one, many):
        reading = read(text + LOG)
        rate = reading.raw["learning_rate"]
        assert isinstance(rate, Known)
        assert rate.value == 0.0002
        assert "somebody" not in repr(reading)


def test_the_shape() -> None:
    """What a script overrides wins over the config that is printed; different models leave it unknown."""
    config = 'Model config GPT2Config {\n  "n_embd": 768,\n  "n_layer": 12,\n  "vocab_size": 50257\n}\n'
    overridden = read("INFO:__main__:Overriding config: n_embd=1024,n_layer=24\n" + config + LOG)
    assert plain(overridden, "architecture.d_model") == 1024
    assert plain(overridden, "architecture.vocab_size") == 50257
    two = read(config + config.replace("12", "6") + LOG)
    assert isinstance(two.settings["architecture.n_layer"], Unknown)


def test_many_processes_draw_the_bar() -> None:
    """Copies of the bar by several processes are told, and are no new runs."""
    fresh = "\r  0%|     | 0/8 [00:00<?, ?it/s]"
    text = BANNER.replace("= 200\n", "= 8\n") + (fresh + "".join(bar(n, 8) for n in range(1, 9)) + "\n") * 4
    reading = read(text)
    assert {"ranks_interleaved", "redrawn", "no_loss_logged"} <= notices(reading).keys()


def test_it_knows_its_own() -> None:
    """Its rows and its banner are recognised; JSON with the same keys is not."""
    assert recognise(file_of(LOG))[1] is DIALECT
    assert DIALECT.sniff(file_of(BANNER)) >= 0.5
    assert DIALECT.sniff(file_of('{"loss": 1.5, "epoch": 0.1}\n')) == 0
    assert DIALECT.sniff(file_of(row(10, 2.0), "page.md")) < 0.5


def test_corpus_many_ranks() -> None:
    """Two real jobs without any loss say so, each a run."""
    folder = case("hf-deepspeed-multirank")
    assert len(read_all(folder).runs) == 2
    (reading,) = DIALECT.read(open_path(folder / "hf_ds_n8.out", "hf_ds_n8.out"))
    assert {"no_loss_logged", "ranks_interleaved", "redrawn"} <= notices(reading).keys()
    assert plain(reading, "architecture.n_layer") == 64


def test_corpus_same_run_as_its_state() -> None:
    """The console of a fine-tuning gives the very steps of its trainer_state.json: together they are one run."""
    folder = case("hf-cpt-finetune-overfit")
    assert len(read_all(folder).runs) == 1
    (reading,) = DIALECT.read(open_path(folder / "cmd.txt", "cmd.txt"))
    assert [step for step, _ in points(reading, "train_loss")] == [500 * i for i in range(1, 11)]
    assert [step for step, _ in points(reading, "val_loss")] == [549 * i for i in range(1, 11)]


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
    file = InputFile("train.log", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
