"""nanoGPT's configs: Python files of overrides, and the ``train.py`` whose defaults they override. Parsed, never run."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import NotText
from ...run import ConfigText, Known, Problem, Quantity, Source, Unknown, split_lines
from ..files import InputFile
from ..nanogpt_keys import SANE, VOCABULARY, WITH_DEFAULTS, checked_key, sniff_keys
from ..patterns import lazy
from ..python_config import parse_config
from ..reading import FILE, SCRIPT, Dialect, Reading

__all__ = ["DIALECT", "raw_settings", "read_config"]

_STOCK_DTYPE = lazy(r"dtype\s*=\s*'bfloat16' if torch\.cuda\.is_available\(\)")


def is_training_script(text: str) -> bool:
    """Return whether a Python file is a ``train.py`` (its values are defaults) rather than a config of overrides."""
    return "configurator.py" in text or "def get_batch(" in text


def _settings_of(script: str) -> str:
    """Return the part of a ``train.py`` that sets values: what stands before it reads its overrides.

    The stock line that picks the dtype by what the card supports is nanoGPT's default, not a setting.
    """
    lines = split_lines(script)
    end = next(
        (i for i, line in enumerate(lines) if "configurator.py" in line and not line.lstrip().startswith("#")),
        len(lines),
    )
    return "".join("\n" if _STOCK_DTYPE.match(line) else line for line in lines[:end])


def raw_settings(
    config: ConfigText, problems: Iterable[Problem]
) -> tuple[dict[str, Quantity[object]], tuple[Problem, ...]]:
    """Return the values that a parsed config sets, and what was wrong with them."""
    raw: dict[str, Quantity[object]] = {
        WITH_DEFAULTS: Known(True, Source("read", config.file, None, "a config of overrides"))
    }
    wrong = [p for p in problems if " = " not in p.message or p.message.partition(" = ")[0] in SANE]
    for item in config.assignments:
        if item.key in SANE:
            raw[item.key], problem = checked_key(item.key, item.value, item.source)
            if problem is not None:
                wrong.append(problem)
    for key, problem in config.lost:
        if key in SANE:
            how = problem.message.partition(" = ")[2] or problem.message
            raw[key] = Unknown(f"{problem.source.place} sets it by {how}, which is never executed")
    return raw, tuple(wrong)


def read_config(text: str, file: str, path: str | None) -> Reading:
    """Read the text of a config or of a ``train.py``.

    Raises
    ------
    BadConfig
        When it is not Python.
    """
    script = is_training_script(text)
    config, problems = parse_config(_settings_of(text) if script else text, file, path=path)
    raw, wrong = raw_settings(config, () if script else problems)
    return Reading(
        DIALECT.name,
        file,
        "config",
        raw=raw,
        vocabulary=VOCABULARY,
        authority=SCRIPT if script else FILE,
        problems=wrong,
        comments=() if script else config.comments,
        config=config,
    )


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".py", ".txt", ".log", ".out", ""):
        return 0.0
    if file.suffix != ".py":
        score = sniff_keys(file.sample)
        return min(score, 0.55)  # a log that echoes its config looks like one too
    if is_training_script(file.sample):
        return 0.9 if sniff_keys(file.sample) >= 0.5 else 0.0
    return sniff_keys(file.sample)


def _read(file: InputFile) -> Iterable[Reading]:
    text = file.text()
    if not sniff_keys(text) and not is_training_script(text):
        raise NotText(
            "no nanoGPT setting is recognised in it",
            where=file.name,
            expected="lines such as `n_embd = 768`",
            hint="give the config that training was started with",
        )
    return (read_config(text, file.name, str(file.path) if file.path else None),)


DIALECT = Dialect(
    name="nanogpt_config",
    title="nanoGPT config",
    role="config",
    example="n_embd = 768  # ~125M parameters",
    reads="every top-level `key = value` of literals and arithmetic, with its line, and the comments beside them;"
    " what is not set has train.py's default, and says so",
    cannot="the number of processes (torchrun sets it), the vocabulary of a dataset with a meta.pkl, values computed at"
    " run time",
    source="karpathy/nanoGPT train.py and configurator.py at 3adf61e",
    sniff=_sniff,
    read=_read,
    uint16_splits=True,
)
