"""Interrupted at any moment, a preparation goes on and ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auscult.data import BadData
from auscult.data.prepare import PrepareSettings, prepare
from auscult.errors import UsageError
from token_files import contents, write_jsonl

DYING = """
import json, os, signal, sys
from pathlib import Path
from auscult.data import prepare as module
last, inputs, output, settings = json.loads(sys.argv[1])
calls = 0
def dying(real):
    def call(*arguments, **named):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call
os.fsync, os.truncate = dying(os.fsync), dying(os.truncate)
Path.replace, Path.unlink = dying(Path.replace), dying(Path.unlink)
module.prepare(inputs, Path(output), module.PrepareSettings(**settings))
"""


def child(last: int, inputs: list[str], output: Path, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    told = json.dumps([last, inputs, str(output), settings])
    return subprocess.Popen([sys.executable, "-c", DYING, told], stderr=subprocess.PIPE)


@pytest.fixture
def inputs(tmp_path: Path, corpus: Path) -> list[str]:
    """All kinds of sources: files, lines plain and packed, a table, and one document that comes in pieces."""
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [path.read_text("utf-8") for path in sorted(corpus.rglob("*.txt"))]
    lines = write_jsonl(tmp_path / "a.jsonl", texts)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.read_bytes()))
    pq.write_table(pa.table({"text": texts}), tmp_path / "c.parquet", row_group_size=7)
    (tmp_path / "long.txt").write_text("\n".join(texts * 4), encoding="utf-8")
    return [str(corpus), *(str(tmp_path / name) for name in ("a.jsonl", "b.jsonl.gz", "c.parquet", "long.txt"))]


@pytest.mark.parametrize("seed", range(2))
def test_killed_between_any_two_acts_on_the_disk_it_ends_the_same(tmp_path: Path, inputs: list[str], seed: int) -> None:
    """Life after life ends before some fsync, rename or removal; the folder is that of a life without death, byte for byte."""
    settings = {
        "tokenizer": "bytes",
        "val_share": 0.3,
        "shard_tokens": 200_003,
        "commit_every_s": 0.0,
        "unit_bytes": 100_000,
        "workers": 1,
    }
    prepare(inputs, tmp_path / "whole", PrepareSettings(**settings))  # type: ignore[arg-type] # one dictionary for both ways
    chance = random.Random(seed)
    deaths = 0
    while True:
        with child(chance.randint(1, 30), inputs, tmp_path / "killed", settings) as process:
            said = process.communicate()[1].decode()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        deaths += 1
        assert deaths < 200
        finished = list((tmp_path / "killed").glob("*.bin"))
        assert all((tmp_path / "whole" / path.name).read_bytes() == path.read_bytes() for path in finished)
    assert deaths >= 5
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_killed_with_its_workers_it_ends_the_same(tmp_path: Path, corpus: Path, tokenizer_json: Path) -> None:
    """`kill -9` of a process with workers: they end, too, and the next one continues to the same bytes."""
    texts = [path.read_text("utf-8") for path in sorted(corpus.rglob("*.txt"))]
    source = write_jsonl(tmp_path / "a.jsonl", texts * 6)
    settings: dict[str, Any] = {
        "tokenizer": str(tokenizer_json),
        "val_share": 0.2,
        "workers": 2,
        "shard_tokens": 100_000,
    }
    settings |= {"commit_every_s": 0.0, "unit_bytes": 60_000}
    prepare([str(source)], tmp_path / "whole", PrepareSettings(**{**settings, "workers": 1}))
    for _death in range(2):
        process = child(-1, [str(source)], tmp_path / "killed", settings)
        ledger = tmp_path / "killed" / "prepare.ledger"
        before = ledger.stat().st_size if ledger.exists() else 0
        deadline = time.monotonic() + 180
        while process.poll() is None and (not ledger.exists() or ledger.stat().st_size < before + 2500):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it could be killed"
        workers = _children(process.pid)
        assert len(workers) >= 2
        process.kill()
        process.communicate()
        while alive := [pid for pid in workers if _runs(pid)]:
            assert time.monotonic() < deadline, f"orphans: {alive}"
            time.sleep(0.05)
    assert prepare([str(source)], tmp_path / "killed", PrepareSettings(**settings)).resumed
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    if not found.exists():
        pytest.skip("only Linux tells the children of a process")
    return [int(child) for child in found.read_text().split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def begun(tmp_path: Path, inputs: list[str], **more: Any) -> dict[str, Any]:
    """Interrupt a preparation in the middle."""
    settings = {"tokenizer": "bytes", "val_share": 0.3, "shard_tokens": 200_003, "workers": 1}
    settings |= {"commit_every_s": 0.0, "unit_bytes": 100_000, **more}
    with child(60, inputs, tmp_path / "out", settings) as process:
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return settings


def test_other_settings_do_not_continue(tmp_path: Path, inputs: list[str]) -> None:
    """An interrupted preparation is continued by the same command only, and the difference is named."""
    settings = begun(tmp_path, inputs)
    before = contents(tmp_path / "out")
    for change, named in (
        ({"seed": 3}, "seed"),
        ({"val_share": 0.2}, "val-share"),
        ({"separator": "none"}, "tokenizer"),
    ):
        with pytest.raises(UsageError, match=rf"with other settings was interrupted there \(different: {named}\)"):
            prepare(inputs, tmp_path / "out", PrepareSettings(**{**settings, **change}))
    with pytest.raises(UsageError, match=r"its inputs have changed since \(.*long\.txt\)"):
        prepare(inputs[:-1], tmp_path / "out", PrepareSettings(**settings))
    Path(inputs[1]).write_text('{"text": "another"}\n')
    with pytest.raises(UsageError, match=r"its inputs have changed since \(.*a\.jsonl\)"):
        prepare(inputs, tmp_path / "out", PrepareSettings(**settings))
    assert contents(tmp_path / "out") == before


def test_what_was_begun_is_checked_before_it_goes_on(tmp_path: Path, inputs: list[str]) -> None:
    """A shard that was removed or changed meanwhile, or a ledger that is none, is said; nothing is built upon it."""
    settings = PrepareSettings(**begun(tmp_path, inputs))
    output = tmp_path / "out"
    saved = contents(output)

    def restored() -> None:
        for name, data in saved.items():
            (output / name).write_bytes(data)

    finished = sorted(output.glob("*.bin"))
    assert finished
    finished[0].unlink()
    with pytest.raises(BadData, match=rf"{finished[0].name}: a finished shard was removed or changed"):
        prepare(inputs, output, settings)
    restored()
    for partial in output.glob("*.partial"):
        partial.write_bytes(b"x" * partial.stat().st_size)
    with pytest.raises(BadData, match="the last shard is not what it was"):
        prepare(inputs, output, settings)
    restored()
    (output / "prepare.ledger").write_text("not a ledger\n")
    with pytest.raises(BadData, match=r"prepare\.ledger: not a ledger"):
        prepare(inputs, output, settings)
    restored()
    with (output / "prepare.ledger").open("ab") as stream:
        stream.write(b'{"cursor": {"source": 1, "posi')  # a line that a crash cut off
    assert prepare(inputs, output, settings).resumed


def test_two_processes_do_not_write_into_one_folder(tmp_path: Path, inputs: list[str]) -> None:
    """The second one is told of the first."""
    fcntl = pytest.importorskip("fcntl")
    settings = PrepareSettings(**begun(tmp_path, inputs))
    with (tmp_path / "out" / "prepare.ledger").open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process is preparing data there"):
            prepare(inputs, tmp_path / "out", settings)
    assert prepare(inputs, tmp_path / "out", settings).resumed


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from auscult.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_file_that_cannot_grow_is_one_paragraph_and_goes_on_later(tmp_path: Path, corpus: Path) -> None:
    """With a limit on the size of files the command ends with a sentence and no manifest; without it, it continues."""
    command = [
        "data",
        "prepare",
        str(corpus),
        "--output",
        str(tmp_path / "out"),
        "--tokenizer",
        "bytes",
        "--val-share",
        "0.2",
    ]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "300000", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the disk is full (File too large)" in done.stderr
    assert "run the same command again: it continues" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").glob("*.bin"))
    subprocess.run([sys.executable, "-m", "auscult", *command], check=True, capture_output=True)
    prepare([str(corpus)], tmp_path / "whole", PrepareSettings("bytes", val_share=0.2))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_full_disk_at_any_act_is_survived(tmp_path: Path, inputs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC from any fsync is the same paragraph, and the work goes on from there."""
    settings = PrepareSettings(
        "bytes", val_share=0.3, shard_tokens=200_003, commit_every_s=0.0, unit_bytes=100_000, workers=1
    )
    prepare(inputs, tmp_path / "whole", settings)
    chance = random.Random(7)
    real = os.fsync
    left = 0

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    failures = 0
    while True:
        left = chance.randint(1, 35)
        try:
            prepare(inputs, tmp_path / "out", settings)
            break
        except UsageError as error:
            assert "the disk is full (No space left on device)" in str(error)  # noqa: PT017 # whether it is raised is chance
            failures += 1
    assert failures >= 4
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
