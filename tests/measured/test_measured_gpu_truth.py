"""Results of benchmarks/gpu_truth become rows of the error table; its design is what its text says."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gpu_truth.__main__ import Worker, card_bytes, done_before, run
from benchmarks.gpu_truth.card import Sampler
from benchmarks.gpu_truth.design import SHAPES, Job, design
from benchmarks.gpu_truth.table import COLUMNS, main, records, rows_of
from scripts.measured import memory, speed
from scripts.measured.rows import facts, gpu_truth_rows, read_rows

from auscult.facts.parameters import count_parameters

GIB = 2**30
MACHINE = {"kind": "machine", "device": "cuda", "card": {"name": "NVIDIA H100 80GB HBM3"}}
STEP: dict[str, Any] = {
    "shape": {"n_layer": 12, "n_head": 12, "d_model": 768, "vocab_size": 50304, "context": 1024, "micro_batch": 16},
    "family": "gpt2",
    "compiled": False,
    "dropout": 0.1,
    "checkpointing": "full",
    "optimizer": "adamw",
    "cross_entropy": "full",
    "backend": "auto",
    "dtype": "bfloat16",
    "accumulation": 1,
}


def record(**changes: Any) -> dict[str, Any]:
    """Return a made-up result of a timed step."""
    values = {
        "name": "grid step",
        "section": "grid",
        "kind": "step",
        "step": STEP,
        "status": "ok",
        "peak_allocated_bytes": 11 * GIB,
        "peak_reserved_bytes": 12 * GIB,
        "tokens_per_s": 250_000.0,
    }
    return values | changes


def results(folder: Path, *lines: dict[str, Any], machine: dict[str, Any] = MACHINE) -> Path:
    """Write a made-up file of results."""
    path = folder / "card.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (machine, *lines)), encoding="utf-8")
    return path


def test_a_result_is_a_row_with_its_model_and_setup(tmp_path: Path) -> None:
    """Shape, dropout, checkpointing, both peaks and the speed arrive as measured; the row is used for memory and for speed."""
    results(tmp_path, record())
    (row,) = gpu_truth_rows(tmp_path)
    assert row.unusable == ""
    assert row.model is not None
    assert row.setup is not None
    width, layers = 768, 12
    assert count_parameters(row.model).total == (50304 + 1024 + 2) * width + layers * (12 * width**2 + 13 * width)
    assert (row.setup.micro_batch, row.setup.context, row.setup.gradient_accumulation_steps) == (16, 1024, 1)
    assert (row.setup.dropout, row.setup.checkpointing, row.setup.compiled) == (0.1, "full", False)
    assert (row.setup.precision, row.setup.loss, row.setup.optimizer) == ("amp_bf16", "eager", "adamw")
    assert (row.memory_kind, row.peak_memory_bytes, row.reserved_memory_bytes) == ("allocated", 11 * GIB, 12 * GIB)
    assert (row.group, row.number, row.card_bytes) == ("auscult/gpu_truth", 2, 80 * GIB)
    (peak,) = memory.results([row])
    assert (peak.test, peak.seen, peak.measured) == ("equal", "allocated", 11 * GIB)
    (rate,) = speed.results([row])
    assert rate.error == pytest.approx(rate.step.tokens_per_s.value / 250_000 - 1)


def test_each_factor_reaches_the_setup(tmp_path: Path) -> None:
    """Compilation, Muon, the chunked loss, the modern family and fp32 are told apart."""
    shape = STEP["shape"]
    changes = ({"compiled": True}, {"optimizer": "muon"}, {"cross_entropy": "chunked"}, {"dtype": "float32"})
    lines = [record(step=STEP | change) for change in (*changes, {"family": "modern"})]
    results(tmp_path, *lines, record(step=STEP | {"shape": shape | {"n_head": 6}, "dropout": 0.0}))
    compiled, muon, chunked, fp32, modern, wide_heads = gpu_truth_rows(tmp_path)
    assert compiled.setup is not None
    assert compiled.setup.compiled
    assert compiled.setup.loss_path == "compiled"
    assert muon.setup is not None
    assert muon.setup.optimizer == "muon"
    assert chunked.setup is not None
    assert chunked.setup.loss == "fused"
    assert fp32.setup is not None
    assert fp32.setup.precision == "fp32"
    assert modern.model is not None
    assert not modern.model.tied
    assert wide_heads.model is not None
    assert next(iter(wide_heads.model.attentions))[0].qk_dim == 128
    assert wide_heads.setup is not None
    assert wide_heads.setup.dropout == 0


def test_what_ran_out_of_memory_is_shown_as_that(tmp_path: Path) -> None:
    """Out of memory is a row without a peak; what failed, had no time or is no step is none; a processor's results are none."""
    path = results(
        tmp_path,
        record(status="out of memory"),
        record(status="failed"),
        record(status="no time left"),
        {"kind": "agreement", "status": "ok"},
        {"kind": "end"},
    )
    (row,) = gpu_truth_rows(tmp_path)
    assert row.out_of_memory
    assert not row.fits
    assert row.peak_memory_bytes is None
    assert [result.test for result in memory.results([row])] == ["out of memory"]
    assert len(records(path)[1]) == 4
    results(tmp_path, record(), machine=MACHINE | {"card": {}})
    assert gpu_truth_rows(tmp_path) == []


@pytest.mark.skipif(facts() is None, reason="no measured_runs.csv: set AUSCULT_FACTS to its folder")
def test_results_stand_beside_the_public_rows(tmp_path: Path) -> None:
    """The table has the public rows and then ours; a file asked for by name is read alone."""
    results(tmp_path, record())
    public = read_rows(results=tmp_path / "empty")
    assert [row.group for row in read_rows(results=tmp_path)[len(public) :]] == ["auscult/gpu_truth"]
    folder = facts()
    assert folder is not None
    assert len(read_rows(folder / "measured_runs.csv", results=tmp_path)) == len(public)


def test_the_table_prints_the_columns_of_measured_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CSV has every column of the public table, and each value of the row."""
    path = results(tmp_path, record())
    monkeypatch.setattr(sys, "argv", ["table", str(path)])
    main()
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(line) == list(COLUMNS)
    assert [line] == [row for _, row in rows_of(path)]
    folder = facts()
    if folder is not None:
        header = (folder / "measured_runs.csv").read_text(encoding="utf-8").splitlines()[0]
        assert header.split(",") == list(COLUMNS)


@pytest.mark.parametrize("text", ["", "no json\n", '{"kind": "step"}\n'])
def test_other_files_are_refused_with_their_line(tmp_path: Path, text: str) -> None:
    """A file that does not begin with the machine's line is refused by name and line."""
    path = tmp_path / "other.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.jsonl:1: "):
        records(path)


def test_the_design_is_the_half_that_it_says() -> None:
    """Four of eight combinations on each of 16 shapes: every pair of factors in full on each, every combination on eight."""
    grid = [job.values["step"] for job in design() if job.section == "grid"]
    factors = ("compiled", "dropout", "checkpointing")
    seen = {(*step["shape"].values(),): [] for step in grid}  # type: dict[tuple[int, ...], list[tuple[Any, ...]]]
    for step in grid:
        seen[(*step["shape"].values(),)].append(tuple(step[factor] for factor in factors))
    assert len(seen) == len(SHAPES) >= 16
    for combinations in seen.values():
        for one, other in itertools.combinations(range(3), 2):
            assert len({(c[one], c[other]) for c in combinations}) == 4
    assert set(Counter(itertools.chain.from_iterable(seen.values())).values()) == {8}
    names = [job.name for job in design()]
    assert len(set(names)) == len(names)


def test_a_smaller_card_gets_smaller_passes() -> None:
    """Micro-batches shrink with the card, never below one sequence, and the half of the factors stays that of the shape."""

    def grid(card: int | None) -> list[dict[str, Any]]:
        return [job.values["step"] for job in design(card_bytes=card) if job.section == "grid"]

    full, small = grid(None), grid(12 * GIB)
    assert [{**step, "shape": {**step["shape"], "micro_batch": 0}} for step in full] == [
        {**step, "shape": {**step["shape"], "micro_batch": 0}} for step in small
    ]
    assert all(1 <= s["shape"]["micro_batch"] <= f["shape"]["micro_batch"] for s, f in zip(small, full, strict=True))
    assert card_bytes({"memory.total": "12282 MiB"}) == 12282 * 2**20


def test_results_come_as_they_are_measured_and_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    """A job that kills its process is noted and the next one measured; no time, or measured before, is said and costs none."""
    tiny = {"tiny": True}
    jobs = [
        Job("ceilings", "first", tiny, 0, 120),
        Job("no such kind", "fails", {}, 0, 60),
        Job("ceilings", "again", tiny, 0, 60),
        Job("ceilings", "before", tiny, 0, 60),
        Job("ceilings", "late", tiny, 10_000, 60),
    ]
    worker = _Dying("cpu", tmp_path / "log")
    out = tmp_path / "out.jsonl"
    try:
        with out.open("w", encoding="utf-8") as stream:
            counts = run(jobs, worker, Sampler(), stream, 300, {jobs[3].name})
    finally:
        worker.close()
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["status"] for line in lines] == ["ok", "crashed", "ok", "done before", "no time left"]
    assert counts == {"ok": 2, "crashed": 1, "done before": 1, "no time left": 1}
    assert lines[0]["gemm_float32_flops_per_s"] > 0
    with out.open("r+", encoding="utf-8") as stream:
        stream.write(json.dumps(MACHINE) + "\n" + "".join(json.dumps(line) + "\n" for line in lines))
        stream.truncate()
    assert done_before([out], "NVIDIA H100 80GB HBM3") == {jobs[0].name, jobs[2].name}
    assert done_before([out], "another card") == set()


class _Dying(Worker):
    """A worker whose process dies when it is asked for what there is not."""

    def ask(self, job: Job, seconds: float) -> dict[str, Any]:
        if job.kind == "no such kind":
            assert self._process is not None
            os.kill(self._process.pid, 9)
            self._process.wait()
        return super().ask(job, seconds)
