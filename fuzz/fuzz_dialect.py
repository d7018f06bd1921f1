"""Fuzz one reader with atheris: any bytes must give readings or an error of ours, in bounded time and memory.

Run as ``python fuzz/fuzz_dialect.py DIALECT [SECONDS]``; ``make fuzz`` runs every dialect, ``make fuzz DIALECT=nanogpt``
one. Seeds are the dialect's own example and what earlier runs found (``fuzz/corpus``, not kept in the repository).
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["auscult.readers"]):
    from auscult.errors import InputError
    from auscult.readers.files import InputFile
    from auscult.readers.registry import find_dialect

HERE = Path(__file__).resolve().parent
MAX_MEMORY_MB, MAX_SECONDS_PER_INPUT = 1024, 20
NAMES = ("train.log", "trainer_state.json", "config.yaml", "metrics.csv", "run.toml", "x.jsonl", "notes.md", "a.ipynb")


def main() -> None:
    """Run libFuzzer on one dialect."""
    name, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 600
    dialect = find_dialect(name)
    folder = HERE / "corpus" / dialect.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "example").write_bytes(b"\0" + dialect.example.encode())

    def one_input(data: bytes) -> None:
        if not data:
            return
        body = data[1:]
        file = InputFile(NAMES[data[0] % len(NAMES)], lambda: io.BytesIO(body), len(body))
        try:
            dialect.sniff(file)
            for _reading in dialect.read(file):
                pass
        except InputError:
            pass

    atheris.Setup(
        [
            sys.argv[0],
            str(folder),
            f"-max_total_time={seconds}",
            f"-rss_limit_mb={MAX_MEMORY_MB}",
            f"-timeout={MAX_SECONDS_PER_INPUT}",
            "-max_len=65536",
            f"-artifact_prefix={HERE}/found-{dialect.name}-",
            "-print_final_stats=1",
            "-verbosity=0",
        ],
        one_input,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
