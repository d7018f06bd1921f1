"""Bytes to a Run. One file per dialect; nothing that is read is ever executed or unpickled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import AmbiguousInput, NotText, UnreadableInput
from ..run import Run
from . import nanogpt, nanogpt_log
from .given import SETTINGS_FILE, Given, given_by_options, read_settings
from .text import read_text

__all__ = ["Given", "given_by_options", "read", "reread_config"]

_CONFIG_SUFFIX = ".py"
_LOG_SUFFIXES = (".log", ".txt", ".out", "")
_SNIFF_BYTES = 262_144
_MAX_FILES = 10_000
_MAX_DEPTH = 3
_CLEAR = 0.5
_SHOWN = 6


def read(*paths: str | os.PathLike[str], given: Given | None = None) -> Run:
    """Read one training run from a folder, or from its files one by one.

    Parameters
    ----------
    *paths : str or path
        A run folder, or a config, a log, an ``auscult.toml``, in any order. A config alone is a preflight.
    given : Given, optional
        Facts that the files do not hold; they win over an ``auscult.toml``.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        When nothing can be read; the message says what, where, and what to do next.
    """
    if not paths:
        raise AmbiguousInput("nothing to read", hint="name a run folder, a config or a log")
    roots = [Path(path) for path in paths]
    configs: list[tuple[str, Path, str]] = []
    logs: list[tuple[str, Path]] = []
    settings: list[tuple[str, Path]] = []
    for root in roots:
        if _is_folder(root):
            _discover(root, configs, logs, settings)
        else:
            _classify(root, configs, logs, settings)
    for root in roots:
        beside = root.parent / SETTINGS_FILE
        if not settings and not _is_folder(root) and beside.is_file():
            settings.append((SETTINGS_FILE, beside))
    overrides = [file for file, _path, text in configs if not nanogpt.is_training_script(text)]
    for kind, files in (("configs", overrides), ("logs", [file for file, _path in logs])):
        if len(files) > 1:
            more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
            raise AmbiguousInput(
                f"it holds {len(files)} {kind}, and a run has one",
                where=str(roots[0]),
                found=", ".join(sorted(files)[:_SHOWN]) + more,
                hint="name the files of one run: auscult diagnose CONFIG LOG",
            )
    if not configs and not logs:
        raise AmbiguousInput(
            "nothing in it looks like a training run",
            where=str(roots[0]),
            expected="a nanoGPT config (train_*.py) or the text that training printed (*.log)",
            hint="name the files directly, or check that the log has lines such as `iter 10: loss 7.1234, time 90.00ms, mfu 30.00%`",
        )
    facts = given or Given()
    for file, path in settings:
        facts = facts.over(read_settings(path, file))
    log = nanogpt_log.read_log(logs[0][1], logs[0][0]) if logs else None
    if log is not None and not configs and not log.series and not log.notices and not log.echoes:
        raise AmbiguousInput(
            "the log has no metric line that is whole", where=log.file, hint="check that it was not cut"
        )
    anchors = [root if _is_folder(root) else root.parent for root in roots]
    return nanogpt.assemble(
        _name(roots),
        configs=configs,
        log=log,
        given=facts,
        roots=[folder for anchor in anchors for folder in (anchor, anchor.parent)],
        sources=tuple([file for file, *_ in configs] + [file for file, _ in logs] + [file for file, _ in settings]),
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise UnreadableInput(
            f"it cannot be opened ({error.strerror})", where=str(path), hint="check its permissions"
        ) from None


def _name(roots: list[Path]) -> str:
    first = roots[0].resolve()
    return first.name if _is_folder(first) else first.stem


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below a folder: bounded in depth and number, hidden and linked folders left out."""
    count = 0
    for folder, names, files in os.walk(root):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        names[:] = sorted(n for n in names if not n.startswith((".", "__"))) if depth < _MAX_DEPTH else []
        for name in sorted(files):
            count += 1
            if count > _MAX_FILES:
                raise AmbiguousInput(
                    f"it holds more than {_MAX_FILES:,} files",
                    where=str(root),
                    hint="name the config and the log directly",
                )
            if not name.startswith("."):
                yield here / name


def _head(path: Path) -> str:
    try:
        if not path.is_file():  # a pipe or a device would keep us waiting
            return ""
        with path.open("rb") as raw:
            data = raw.read(_SNIFF_BYTES)
    except OSError:
        return ""
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="replace")


def _discover(
    root: Path, configs: list[tuple[str, Path, str]], logs: list[tuple[str, Path]], settings: list[tuple[str, Path]]
) -> None:
    """Find the config, the log and the settings in a folder, by what the files hold rather than by their names."""
    first_bad: Exception | None = None
    for path in _walk(root):
        file = path.relative_to(root).as_posix()
        suffix = path.suffix.lower()
        if file == SETTINGS_FILE:
            settings.append((file, path))
        elif not path.is_file():
            continue
        elif suffix == _CONFIG_SUFFIX:
            if nanogpt.sniff_config(_head(path)) >= _CLEAR:
                configs.append((file, path, read_text(path, file)))
        elif suffix in _LOG_SUFFIXES:
            if nanogpt_log.sniff(_head(path)) >= _CLEAR:
                logs.append((file, path))
            elif suffix == ".log" and first_bad is None:
                first_bad = _why_not(path, file)
    if not configs and not logs and first_bad is not None:
        raise first_bad


def _why_not(path: Path, file: str) -> Exception | None:
    """Return the error that reading this log gives, if it cannot be read at all."""
    try:
        nanogpt_log.read_log(path, file)
    except (NotText, UnreadableInput) as error:
        return error
    return None


def _classify(
    path: Path, configs: list[tuple[str, Path, str]], logs: list[tuple[str, Path]], settings: list[tuple[str, Path]]
) -> None:
    """Sort one file that the user named; what it holds decides, and a file that holds nothing known is an error."""
    file = path.name
    if file == SETTINGS_FILE:
        settings.append((file, path))
    elif path.suffix.lower() == _CONFIG_SUFFIX:
        text = read_text(path, file)
        if not nanogpt.sniff_config(text) and not nanogpt.is_training_script(text):
            raise NotText(
                "no nanoGPT setting is recognised in it",
                where=str(path),
                expected="lines such as `n_embd = 768`",
                hint="give the config that training was started with",
            )
        configs.append((file, path, text))
    else:
        head = _head(path)
        if nanogpt_log.sniff(head) < nanogpt.sniff_config(head):
            configs.append((file, path, read_text(path, file)))
            return
        log = nanogpt_log.read_log(path, file)
        if not log.series and not log.echoes and not log.notices:
            raise NotText(
                "no training log is recognised in it",
                where=str(path),
                expected="lines such as `iter 10: loss 7.1234, time 90.00ms, mfu 30.00%`",
                found=f"`{head.strip().splitlines()[0][:80]}`" if head.strip() else "blank lines",
                hint="give the text that training printed",
            )
        logs.append((file, path))


def reread_config(text: str, file: str) -> Run:
    """Read a config's text again, as after an edit; the log and the data are left out.

    Raises
    ------
    BadConfig
        When the text is not valid Python.
    """
    return nanogpt.assemble(
        file, configs=[(file, Path(file), text)], log=None, given=Given(), roots=[], sources=(file,)
    )
