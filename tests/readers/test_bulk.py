"""Reading a log in blocks gives what reading it line by line gives."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auscult.readers.bulk as bulk
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect


def readings_of(text: bytes) -> tuple[Reading, ...]:
    return tuple(find_dialect("nanogpt").read(InputFile("train.log", lambda: io.BytesIO(text), len(text))))


def told(reading: Reading) -> dict[str, object]:
    """Return all that a reading says, in a form that can be compared."""
    return {
        "label": reading.label,
        "series": {
            s.name: (list(s.steps), [repr(v) for v in s.values], list(s.lines), s.count, s.stride)
            for s in reading.series
        },
        "settings": {key: repr(value) for key, value in reading.settings.items()},
        "raw": {key: repr(value) for key, value in reading.raw.items()},
        "notices": [(n.kind, n.count, n.source.line, n.last_line, n.detail) for n in reading.notices],
        "problems": [(p.kind, p.count, p.source.line) for p in reading.problems],
        "seams": [(s.step_before, s.step_after, s.source.line) for s in reading.seams],
        "parts": [(p.label, {key: repr(value) for key, value in p.raw.items()}) for p in reading.parts],
    }


def compare(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "LARGE_BYTES", 0)
        fast = [told(reading) for reading in readings_of(text)]
        patch.setattr(bulk, "LARGE_BYTES", 1 << 60)
        slow = [told(reading) for reading in readings_of(text)]
    assert fast == slow


ODD = [
    "number of parameters: 40.56M",
    "Overriding config with config/x.py:",
    "n_layer = 4",
    "saving checkpoint to out",
    "Traceback (most recent call last):",
    "iter 12: loss 3",
    "[rank0]: iter 7: loss 3.1234, time 90.00ms, mfu 30.00%",
    "[rank1]: iter 7: loss 3.1234, time 90.00ms, mfu 30.00%",
    "bar 10%\rbar 20%\riter 3: loss 3.1234, time 90.00ms, mfu 30.00%",
    "iter 5: loss nan, time 90.00ms, mfu -100.00%",
    "Resuming training from out",
    "",
]


@settings(database=None, derandomize=True, deadline=None, max_examples=150)
@given(data=st.data())
def test_blocks_and_lines_agree(data: st.DataObject) -> None:
    """Whatever stands between the records, and wherever steps go back or repeat, both ways say the same."""
    lines: list[str] = []
    step = data.draw(st.integers(0, 50))
    for _ in range(data.draw(st.integers(1, 40))):
        kind = data.draw(st.integers(0, 9))
        if kind == 0:
            lines.append(data.draw(st.sampled_from(ODD)))
        elif kind == 1:
            lines.append(f"step {step}: train loss 3.{step % 10}000, val loss 3.5{step % 10}00")
        else:
            lines.append(f"iter {step}: loss 4.{step % 7}123, time {90 + step % 5}.25ms, mfu {20 + step % 9}.50%")
            step += data.draw(st.sampled_from([1, 1, 1, 10, 0, -5, 400]))
            step = max(step, 0)
    end = data.draw(st.sampled_from(["\n", "", "\r\n"]))
    with pytest.MonkeyPatch.context() as patch:
        compare(("\n".join(lines) + end).encode(), patch)


def test_a_large_log_is_read_in_blocks_with_all_its_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several blocks, line numbers, the smallest value and a resume seam are those of the slow way."""
    rows = [f"iter {i}: loss {9 - i / 90_000:.4f}, time 90.00ms, mfu 30.00%" for i in range(60_000)]
    rows += ["Resuming training from out"]
    rows += [f"iter {i}: loss {9 - i / 90_000:.4f}, time 90.00ms, mfu 30.00%" for i in range(59_000, 90_000)]
    text = ("\n".join(rows) + "\n").encode()
    assert len(text) > bulk.LARGE_BYTES
    compare(text, monkeypatch)
    (reading,) = readings_of(text)
    assert [(s.step_before, s.step_after) for s in reading.seams] == [(59_999, 59_000)]
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.count, loss.lines[-1]) == (91_000, 91_001)


def test_a_log_that_was_thinned_keeps_its_last_and_its_smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound on points every second is kept, and the count, the last and the smallest are exact."""
    monkeypatch.setattr("auscult.readers.log.LogParser.limit", 100)
    rows = [f"iter {i}: loss {2 if i == 333 else 5}.0000, time 90.00ms, mfu 30.00%" for i in range(1_000)]
    (reading,) = readings_of(("\n".join(rows) + "\n").encode())
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.count, loss.stride) == (1_000, 16)
    assert (loss.steps[-1], min(loss.values)) == (999, 2.0)
    assert loss.steps[list(loss.values).index(2.0)] == 333
    assert list(loss.steps) == sorted(loss.steps)
