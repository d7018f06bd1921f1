"""What happens to a log on its way into a file, told apart by a parser of a made-up dialect: ``it N | loss F``."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.files import InputFile
from auscult.readers.log import LogParser, number, read_log, wrap_width
from auscult.readers.meaning import LEARNING_RATE, TRAIN_LOSS
from auscult.readers.privacy import without_names
from auscult.readers.reading import Reading
from auscult.readers.text import Line
from auscult.run import Notice, value_of

_RECORD = re.compile(r"(?:^|\s)it (\d{1,30}) \| loss (\d\.\d{3}|nan)(?: \| lr (\d\.\d{5}))?$")


class MadeUp(LogParser):
    """``it N | loss F[ | lr F]``, ``size N``, and a banner ``hello NAME``."""

    dialect = "made_up"

    def line(self, line: Line) -> bool:
        """Take one line."""
        if found := _RECORD.search(line.text):
            values = [(TRAIN_LOSS, float(found[2]))]
            if found[3]:
                values.append((LEARNING_RATE, float(found[3])))
            self.record(int(found[1]), values, line)
        elif size := re.match(r"size (\d)$", line.text):
            self.set("recipe.batch_size", int(size[1]), line)
            self.note("made_up.size", size[1], line)
        elif line.text.startswith("hello"):
            self.start_run(line, line.text[6:])
        elif re.search(r"(?:^|\s)it \d{1,30} \| ", line.text):
            self.broken(line)
        else:
            return False
        return True


class Micro(MadeUp):
    """A trainer that prints each micro-batch of a step."""

    repeats_steps = True


def file_of(text: str, name: str = "train.log") -> InputFile:
    """Return a text as a file."""
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def readings(*lines: str, end: str = "\n", name: str = "train.log", parser: type[LogParser] = MadeUp) -> list[Reading]:
    """Return what is read of a log with these lines."""
    return list(read_log(file_of("\n".join(lines) + end, name), parser))


def one(*lines: str, end: str = "\n", name: str = "train.log", parser: type[LogParser] = MadeUp) -> Reading:
    """Return the only run of a log with these lines."""
    (reading,) = readings(*lines, end=end, name=name, parser=parser)
    return reading


def rec(step: int, loss: float | None = None, lr: float | None = None) -> str:
    """Return a record."""
    return f"it {step} | loss {5 - step / 1000 if loss is None else loss:.3f}" + (
        "" if lr is None else f" | lr {lr:.5f}"
    )


def recs(*steps: int) -> list[str]:
    """Return records at these steps."""
    return [rec(step) for step in steps]


def steps(reading: Reading) -> list[int]:
    """Return the steps of the train loss."""
    series = reading.get("train_loss")
    return [] if series is None else list(series.steps)


def notices(reading: Reading) -> dict[str, Notice]:
    """Return the notices by kind."""
    return {notice.kind: notice for notice in reading.notices}


def test_records_with_their_lines() -> None:
    """Values stand at their steps with the numbers of their lines, and a metric printed now and then has its own points."""
    reading = one("start", rec(0, lr=0.5), rec(10), "", rec(20, lr=0.25))
    loss, rate = reading.get("train_loss"), reading.get("learning_rate")
    assert loss is not None
    assert rate is not None
    assert (list(loss.steps), list(loss.lines)) == ([0, 10, 20], [2, 3, 5])
    assert (list(rate.steps), list(rate.values)) == ([0, 20], [0.5, 0.25])
    assert loss.source(1).line == 3
    assert reading.role == "log"


@pytest.mark.parametrize("said", ["torch.cuda.OutOfMemoryError: CUDA out of memory.", "out of memory"])
def test_a_card_that_ran_out_of_memory(said: str) -> None:
    """PyTorch says it in a sentence, llm.c on a line of its own; a sentence about memory is not it."""
    assert "out_of_memory" in notices(one(*recs(1, 2, 3), said))
    assert "out_of_memory" not in notices(one(*recs(1, 2, 3), "this is how not to run out of memory"))


def test_settings_stand_with_their_place() -> None:
    """What the log says of itself is kept under its key, with its line."""
    reading = one("size 8", *recs(0, 1))
    assert repr(reading.settings["recipe.batch_size"]) == "Known(8, train.log:1)"
    assert reading.noted["made_up.size"].value == "8"


def test_settings_alone_are_a_reading() -> None:
    """A log that was killed before its first record still says what was asked for."""
    reading = one("size 8")
    assert reading.series == ()
    assert value_of(reading.settings["recipe.batch_size"]) == 8


# ---- several processes


@pytest.mark.parametrize(
    "tag", ["[rank{}]: ", "[default{}]:", "[{}]: ", "rank {}: ", "[rank {}] ", "{}: ", "RANK={}| "]
)
def test_of_tagged_ranks_the_first_is_kept(tag: str) -> None:
    """Where processes name themselves, one of them is the run, and a notice says which and how many lines were left."""
    lines = [tag.format(rank) + rec(step, 5 - step / 100 + rank / 10) for step in range(8) for rank in (3, 0, 1)]
    reading = one(*lines)
    assert steps(reading) == list(range(8))
    loss = reading.get("train_loss")
    assert loss is not None
    assert loss.values[0] == pytest.approx(5.3)
    notice = notices(reading)["ranks_interleaved"]
    assert (notice.count, notice.detail) == (16, "kept: rank 3")
    assert notice.source.line == 2


def test_a_number_in_brackets_may_be_part_of_the_record() -> None:
    """A prefix that only looks like a rank is given to the dialect too, when what follows says nothing."""

    class Bracketed(MadeUp):
        def line(self, line: Line) -> bool:
            if found := re.match(r"\[(\d+)\] loss=(\d\.\d{3})$", line.text):
                self.record(int(found[1]), [(TRAIN_LOSS, float(found[2]))], line)
                return True
            return False

    assert steps(one("[10] loss=3.000", "[20] loss=2.900", parser=Bracketed)) == [10, 20]


def test_another_rank_may_speak_for_the_next_run() -> None:
    """The process that speaks is found anew for each run of a file."""
    first = ["hello a", *[f"[rank7]: {r}" for r in recs(0, 1, 2)]]
    second = ["hello b", *[f"[rank3]: {r}" for r in recs(0, 1, 2, 3)]]
    assert [steps(r) for r in readings(*first, *second)] == [[0, 1, 2], [0, 1, 2, 3]]


def test_ranks_without_a_tag_take_turns() -> None:
    """Processes that print out of step without their names are told from a run that is resumed again and again."""
    lines = [rec(step) for pair in zip(range(1, 60), range(58), strict=False) for step in pair]
    reading = one(*lines)
    assert notices(reading)["ranks_interleaved"].detail == "no rank is named"
    assert reading.seams == ()


def test_ranks_without_a_tag_in_step() -> None:
    """Processes that print the same steps with other values are told by the repeats."""
    reading = one(*[rec(step, 4 + rank / 10) for step in range(10) for rank in range(4)])
    notice = notices(reading)["ranks_interleaved"]
    assert notice.detail == "each step is printed about 4.0 times; no rank is named"
    assert (notice.source.line, notice.last_line, notice.count) == (2, 40, 30)


def test_the_same_record_again_and_again() -> None:
    """A file that prints every record several times is said to repeat itself."""
    assert set(notices(one(*[rec(step) for step in range(10) for _ in range(3)]))) == {"records_repeated"}


def test_micro_batches_are_not_ranks() -> None:
    """A trainer that prints each micro-batch of a step has no ranks for that."""
    assert notices(one(*[rec(s, 4 + k / 10) for s in range(10) for k in range(4)], parser=Micro)) == {}


# ---- several runs, and one that was taken up again


def test_a_resumed_run_has_a_seam() -> None:
    """A log that goes back to a checkpoint goes on as one run, with the place where it did."""
    reading = one(*recs(*range(0, 100, 10)), "loading", *recs(*range(70, 150, 10)))
    assert [(seam.step_before, seam.step_after, seam.source.line) for seam in reading.seams] == [(90, 70, 12)]
    assert steps(reading)[-1] == 140
    assert "several_runs_in_file" not in notices(reading)


def test_a_return_to_the_start_is_another_run() -> None:
    """A log that begins again holds two runs; the second has the first one's settings unless it says otherwise."""
    first, second = readings("size 8", *recs(0, 10, 20, 30, 40, 50), *recs(0, 10, 20))
    assert (steps(first), steps(second)) == ([0, 10, 20, 30, 40, 50], [0, 10, 20])
    assert (first.label, second.label) == ("1", "2")
    assert value_of(second.settings["recipe.batch_size"]) == 8
    assert notices(second)["several_runs_in_file"].detail == "run 2 of 2"


def test_a_run_that_died_at_once_and_its_successor() -> None:
    """A crash and a return to the start are two runs, however short the first was."""
    first, second = readings(*recs(0, 1), "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried", *recs(0, 1, 2))
    assert (steps(first), steps(second)) == ([0, 1], [0, 1, 2])
    assert "out_of_memory" in notices(first)
    assert "out_of_memory" not in notices(second)


def test_a_banner_begins_a_run() -> None:
    """A banner divides runs whatever their steps, names them, and what was said before it does not go over."""
    lines = ["hello one", "size 8", *recs(0, 1), "hello two", *recs(5, 6)]
    first, second = readings(*lines)
    assert [(r.label, steps(r)) for r in (first, second)] == [("one", [0, 1]), ("two", [5, 6])]
    assert "recipe.batch_size" not in second.settings


def test_banners_without_records_are_one_run() -> None:
    """A trainer that prints its banner once for each process begins one run."""
    assert steps(one("hello a", "hello a", "hello a", *recs(0, 1))) == [0, 1]


def test_runs_without_end_are_bounded() -> None:
    """A file of many thousand tiny runs is read in bounded memory, and no step is lost."""
    parser = MadeUp("x.log")
    for index in range(5_000):
        parser.feed(Line(2 * index + 1, "hello"))
        parser.feed(Line(2 * index + 2, rec(1)))
    found = parser.finish()
    assert len(found) <= 2_001
    assert sum(len(steps(r)) for r in found) == 5_000


# ---- bars, terminals


def test_redraws_of_one_step_are_one_record() -> None:
    """Of a bar drawn over many times, the last state of each step counts."""
    text = "\r".join([rec(1, 4.5), rec(1, 4.4), rec(1, 4.3), rec(2, 4.2), rec(2, 4.1)])
    reading = one(text, rec(3, 4.0))
    loss = reading.get("train_loss")
    assert loss is not None
    assert list(zip(loss.steps, loss.values, strict=True)) == [(1, 4.3), (2, 4.1), (3, 4.0)]
    assert notices(reading)["redrawn"].count == 3


def test_bars_of_two_ranks() -> None:
    """A redraw of one process is not drawn over by another's, and keeps its process."""
    reading = one(f"[rank0]: {rec(1, 4.5)}\r[rank1]: {rec(1, 9.0)}\r[rank0]: {rec(2, 4.4)}")
    loss = reading.get("train_loss")
    assert loss is not None
    assert list(loss.values) == [4.5, 4.4]
    assert notices(reading)["ranks_interleaved"].count == 1


LONG = "it {} | loss {:.3f} | grad {:.4f} | tokens per second and per device {:7d} | lr {:.5f}"


class Long(MadeUp):
    """Records that are longer than a terminal is wide."""

    def line(self, line: Line) -> bool:
        """Take one line."""
        if found := re.match(r"it (\d+) \| loss (\d\.\d{3}) \|.* \| lr (\d\.\d{5})$", line.text):
            self.record(int(found[1]), [(TRAIN_LOSS, float(found[2])), (LEARNING_RATE, float(found[3]))], line)
            return True
        if line.text.startswith("it "):
            self.broken(line)
        return False


def screen(lines: list[str], width: int) -> list[str]:
    """Return lines as a terminal of that width shows them."""
    return [line[i : i + width] for line in lines for i in range(0, len(line), width)]


@pytest.mark.parametrize("width", [60, 80])
def test_a_terminal_of_few_columns(width: int) -> None:
    """Records that a screen or tmux capture wrapped are put together, and keep the number of their first line."""
    lines = [LONG.format(s, 5 - s / 100, 1 / (s + 1), 100_000 + s, 0.001) for s in range(40)]
    shown = screen(lines, width)
    assert wrap_width("\n".join(shown)) == width
    reading = one(*shown, parser=Long)
    loss = reading.get("train_loss")
    assert loss is not None
    assert list(loss.values) == pytest.approx([5 - s / 100 for s in range(40)], abs=5e-4)
    assert loss.lines[1] == 1 + len(screen(lines[:1], width))
    assert notices(reading)["lines_wrapped"].detail == f"at {width} columns"
    assert reading.problems == ()


def test_records_of_one_length_are_not_wrapped() -> None:
    """A log whose records all have the same length is no capture."""
    lines = [LONG.format(s, 4.123, 0.5, 100_000, 0.001) for s in range(10, 60)]
    assert wrap_width("\n".join(lines)) is None
    assert "lines_wrapped" not in notices(one(*lines, parser=Long))


def test_a_record_that_just_fills_the_width() -> None:
    """In a capture, a record as long as the terminal is wide is not joined to the record after it."""
    lines = [LONG.format(s, 4.5, 0.25, 100_000 if s % 9 else 1_234_567_890, 0.001) for s in range(10, 90)]
    width = min(map(len, lines))
    assert [line[:5] for line in screen(lines, width) if len(line) == width] == [line[:5] for line in lines]
    reading = one(*screen(lines, width), parser=Long)
    assert wrap_width("\n".join(screen(lines, width))) is None
    assert len(steps(reading)) == sum(1 for s in range(10, 90) if s % 9)


def test_a_table_is_not_wrapped() -> None:
    """Lines of a table that are all as wide as the widest of the log are left as they are."""
    table = ["+" + "-" * 70 + "+", *[f"| {i:<68} |" for i in "abcdefgh"], "+" + "=" * 70 + "+"]
    reading = one(*table, *recs(*range(20)))
    assert wrap_width("\n".join([*table, *recs(*range(20))])) is None
    assert notices(reading) == {}


@pytest.mark.parametrize("keys", ["^[[A", "^[[B^[[B", "^[OA", "^L"])
def test_keys_pressed_into_a_record(keys: str) -> None:
    """Keys that a terminal echoed as text are taken out of a record, and noted."""
    reading = one(rec(0), rec(1)[:13] + keys + rec(1)[13:], keys + rec(2))
    assert steps(reading) == [0, 1, 2]
    assert notices(reading)["stray_keystrokes"].count == 2
    assert reading.problems == ()


def test_keys_and_a_return_break_a_record() -> None:
    """A record that the return key divided is reported and not guessed."""
    reading = one(rec(0), rec(1)[:13] + "^[[A", rec(1)[13:], rec(2))
    assert steps(reading) == [0, 2]
    assert [(p.kind, p.source.line) for p in reading.problems] == [("broken_record", 2)]


def test_control_c_is_an_interruption() -> None:
    """``^C`` as a terminal shows it says that the run was interrupted."""
    reading = one(*recs(0, 1), "^CTraceback (most recent call last):", "KeyboardInterrupt")
    assert {"interrupted", "traceback"} <= set(notices(reading))
    assert notices(one(rec(0), "x^Cy")) == {}


@pytest.mark.parametrize("prompt", ["ann@box7:~/run$ ", "(env) ann@box7:/data$ ", "[ann@box7 run]$ ", "root@box7:/x# "])
def test_a_prompt_before_a_record(prompt: str) -> None:
    """A job in the background prints after the shell's prompt; the prompt is taken away, with the names in it."""
    reading = one(rec(0), prompt + rec(1), prompt + "it 2 | lo")
    assert steps(reading) == [0, 1]
    assert "ann" not in repr(reading)
    assert "box7" not in repr(reading)


# ---- ends and breaks


def test_a_file_that_ends_inside_a_record() -> None:
    """A last line without its end that is no whole record is a problem and says that the file was cut."""
    reading = one(rec(0), rec(1)[:14], end="")
    assert steps(reading) == [0]
    assert notices(reading)["truncated"].source.line == 2
    assert [p.kind for p in reading.problems] == ["broken_record"]


def test_a_whole_last_record_without_a_newline() -> None:
    """A last line that lacks only its newline is a record."""
    reading = one(rec(0), rec(1), end="")
    assert steps(reading) == [0, 1]
    assert notices(reading) == {}


def test_a_broken_record_in_the_middle_is_no_truncation() -> None:
    """A garbled record between others is counted, and the file is not said to be cut."""
    reading = one(rec(0), "it 1 | los", "it 2 | l", rec(3))
    assert reading.problems[0].count == 2
    assert "truncated" not in notices(reading)


def test_a_jump_of_steps() -> None:
    """A stretch of missing records far beyond the usual distance is noted with its ends."""
    reading = one(*recs(*range(20)), *recs(*range(200, 220)))
    assert notices(reading)["steps_jump"].detail == "from step 19 to 200"
    assert notices(reading)["steps_jump"].source.line == 21


def test_no_jump_where_records_become_rarer() -> None:
    """A trainer that logs more rarely later on has no gap."""
    assert notices(one(*recs(*range(10)), *recs(*range(10, 300, 10)))) == {}


def test_a_step_beyond_all_bounds() -> None:
    """A number that no step can be is a broken record."""
    reading = one(rec(0), f"it {10**29} | loss 1.000", rec(2))
    assert steps(reading) == [0, 2]
    assert reading.problems[0].kind == "broken_record"


# ---- what any program prints

HAPPENED = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_memory"),
    ("RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB", "out_of_memory"),
    ("Traceback (most recent call last):", "traceback"),
    ("KeyboardInterrupt", "interrupted"),
    ("KeyboardInterruptkens = targets[0].sum()", "interrupted"),  # the last line of a traceback over another
    ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2024-01-01T00:00:00 DUE TO TIME LIMIT ***", "killed"),
    ("Killed", "killed"),
    ("saving checkpoint to out", "checkpoint"),
    ("Resuming training from out/last", "resumed"),
    ("Streaming output truncated to the last 5000 lines.", "output_shortened"),
]


@pytest.mark.parametrize(("line", "kind"), HAPPENED)
def test_what_happened_is_noted(line: str, kind: str) -> None:
    """Deaths, checkpoints and resumes are noted with their lines whatever the trainer."""
    notice = notices(one(rec(0), line, rec(1)))[kind]
    assert (notice.source.line, notice.count) == (2, 1)


def test_a_program_in_the_log_did_not_happen() -> None:
    """The text of the program in a log is noted as such, and what it would print has not happened."""
    program = [
        "import torch",
        "from torch import nn",
        *[f"def function_{i}(x):\n    return x" for i in range(20)],
        "    except torch.cuda.OutOfMemoryError:",
        '        print("CUDA out of memory")',
        '        raise RuntimeError("CUDA out of memory")',
        "    # Traceback (most recent call last): see above",
        '    logger.info("saving checkpoint to out")',
    ]
    assert set(notices(one(*program, *recs(0, 1)))) == {"source_code_in_log"}


@pytest.mark.parametrize(("name", "kind"), [("notes.md", "log_inside_markdown"), ("x.log", None)])
def test_a_log_quoted_in_a_page(name: str, kind: str | None) -> None:
    """A log inside Markdown is read, and said to be inside Markdown."""
    assert set(notices(one("# Title", "```", *recs(0, 1), "```", name=name))) == ({kind} if kind else set())


def test_names_of_people_and_machines_are_not_kept() -> None:
    """Quoted lines hold no e-mail address, login or home folder."""
    reading = one("Resuming training from /home/annabel/out (annabel@example.org)", rec(0))
    assert notices(reading)["resumed"].source.text == "Resuming training from ~/out (…)"
    assert without_names("annabel@node17: Killed") == "…: Killed"
    assert without_names(r"C:\Users\annabel\run") == r"~\run"
    assert without_names("acc@1 0.5, pass@k: 0.2") == "acc@1 0.5, pass@k: 0.2"


@pytest.mark.parametrize(("text", "value"), [("1,234.5", 1234.5), ("-1e-3", -0.001), (".5", 0.5)])
def test_numbers_as_trainers_print_them(text: str, value: float) -> None:
    """Thousands separators and exponents are numbers."""
    assert number(text) == value


LINES = st.sampled_from(
    [
        *recs(0, 1, 2, 5, 9),
        "hello x",
        "size 8",
        "it 3 | l",
        "[rank1]: " + rec(4),
        "^[[A" + rec(6),
        "a\rb",
        *[h for h, _ in HAPPENED],
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES | st.text(max_size=30), max_size=60), st.integers(0, 400))
def test_whatever_is_fed_gives_readings(lines: list[str], cut: int) -> None:
    """Any mixture of records, banners, deaths and noise, cut anywhere, gives readings or an error of ours."""
    text = "\n".join(lines).encode(errors="replace").decode()
    try:
        found = read_log(file_of(text[: len(text) - cut] if cut < len(text) else text), MadeUp)
    except InputError:
        return
    assert found
    for reading in found:
        for series in reading.series:
            assert list(series.lines) == sorted(series.lines)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=80))
def test_no_record_is_lost(order: list[int]) -> None:
    """Whatever order steps come in, every record is in one of the runs."""
    found = read_log(file_of("\n".join(recs(*order)) + "\n"), MadeUp)
    assert [step for reading in found for step in steps(reading)] == order
