"""The command line: verbs of the library, nothing more."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import AuscultError, UsageError
from .data import add_data
from .files import write_atomically
from .oom import add_explain_oom
from .plan import add_plan
from .train import add_train

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ..diagnosis import Diagnosis
    from ..readers import Found

__all__ = ["main"]

_SEVERITY = {"info": 0, "warning": 1, "error": 2}
_FAIL_ON = ("error", "warning", "info", "never")
PROGRESS_AFTER_S = 1.0
EXIT_FINDINGS, EXIT_ERROR, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0 nothing at or above ``--fail-on``; 1 findings at or above it; 2 unreadable input or a wrong command line; 130
    interrupted.
    """
    try:
        arguments = _parser().parse_args(argv)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except AuscultError as error:
        print(f"auscult: {error}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("auscult: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def console_main() -> None:
    """Entry point of the installed command."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(main())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="auscult",
        description="The doctor for language-model training runs: what is really trained, why the loss stopped falling (or has not), what to change.",
    )
    parser.add_argument("--version", action="version", version=f"auscult {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    diagnose = verbs.add_parser("diagnose", help="diagnose a run: a folder, a config and a log, or either alone")
    _add_run(diagnose)
    diagnose.add_argument(
        "--format",
        choices=("terminal", "json", "markdown"),
        default="terminal",
        help="how to print (default: terminal)",
    )
    diagnose.add_argument("--output", metavar="FILE", help="write there instead of stdout, atomically")
    diagnose.add_argument(
        "--fail-on",
        choices=_FAIL_ON,
        default="error",
        help="exit 1 when a finding is at least this severe (default: error)",
    )
    diagnose.add_argument("--quiet", action="store_true", help="the first screen only")
    diagnose.add_argument("--verbose", action="store_true", help="every check with its reason, too")
    diagnose.set_defaults(run=_diagnose)

    fix = verbs.add_parser("fix", help="show the corrected config as a diff, or write it")
    _add_run(fix)
    target = fix.add_mutually_exclusive_group()
    target.add_argument(
        "--write",
        metavar="FILE",
        help="write the corrected config there (beside the old one, when only a name); never overwrites",
    )
    target.add_argument("--in-place", action="store_true", help="rewrite the config itself, atomically")
    fix.set_defaults(run=_fix)

    explain = verbs.add_parser("explain", help="explain a check: what it looks for, why, what else it could be")
    explain.add_argument("code", metavar="CODE", help="such as MDL001, or a check's name")
    explain.set_defaults(run=_explain)

    dialects = verbs.add_parser("dialects", help="list every dialect that is read, or explain one")
    dialects.add_argument("name", nargs="?", metavar="NAME", help="such as nanogpt")
    dialects.set_defaults(run=_dialects)

    add_plan(verbs)
    add_explain_oom(verbs)
    add_train(verbs)
    add_data(verbs)

    checks = verbs.add_parser("checks", help="list every check and what it needs")
    checks.set_defaults(run=_checks)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a run folder, or its files: log, metrics, config; - is stdin"
    )
    parser.add_argument("--dialect", metavar="NAME", help="read the files as this dialect, whatever they look like")
    parser.add_argument("--run", metavar="NAME", dest="which", help="which run, where there are several")
    parser.add_argument("--gpu", metavar="NAME", help='the card, such as "RTX 4070", or "H100 SXM x8" for several')
    parser.add_argument("--train-tokens", metavar="N", help="tokens in the training split, such as 1.2B")
    parser.add_argument("--val-tokens", metavar="N", help="tokens in the validation split, such as 5.3k")
    parser.add_argument(
        "--expect-at",
        metavar="STEP",
        type=_step,
        help="also tell the loss to expect of the prescribed run at this step",
    )


def _step(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"expected a step from 1 on, found {text!r}")
    return int(digits)


def _read(arguments: argparse.Namespace) -> tuple[Found, str]:
    from ..readers import Found, given_by_options, read, read_all
    from ..report.printable import quoted

    given = given_by_options(gpu=arguments.gpu, train_tokens=arguments.train_tokens, val_tokens=arguments.val_tokens)
    options = [
        part
        for name in ("gpu", "train_tokens", "val_tokens", "dialect")
        if (value := getattr(arguments, name)) is not None
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    with _progress_bar():
        if arguments.which is not None:
            run = read(*arguments.paths, given=given, dialect=arguments.dialect, run=arguments.which)
            return Found((run,)), quoted([*arguments.paths, *options, "--run", arguments.which])
        found = read_all(*arguments.paths, given=given, dialect=arguments.dialect)
    return found, quoted([*arguments.paths, *options])


@contextlib.contextmanager
def _progress_bar() -> Iterator[None]:
    """Show on stderr how far large files are read, from the first second on; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    import time

    from ..readers import watched
    from ..readers.text import clean

    start = time.monotonic()
    bars: list[Progress] = []
    tasks: dict[str, TaskID] = {}

    def show(file: str, done: int, total: int) -> None:
        if time.monotonic() - start < PROGRESS_AFTER_S:
            return
        if not bars:
            bars.append(_start_bar())
        bar = bars[0]
        if file not in tasks:
            tasks[file] = bar.add_task(f"reading {clean(file)}", total=total or None)
        bar.update(tasks[file], completed=done)

    try:
        with watched(show):
            yield
    finally:
        for bar in bars:
            bar.stop()


def _start_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.start()
    return bar


def _diagnose(arguments: argparse.Namespace) -> int:
    from ..diagnosis import diagnose

    found, invocation = _read(arguments)
    diagnoses = [diagnose(run, expect_at=arguments.expect_at) for run in found.runs]
    _emit(diagnoses, found, invocation, arguments)
    if arguments.fail_on == "never":
        return 0
    bar = _SEVERITY[arguments.fail_on]
    return EXIT_FINDINGS if any(_SEVERITY[f.severity] >= bar for d in diagnoses for f in d.findings) else 0


def _emit(diagnoses: Sequence[Diagnosis], found: Found, invocation: str, arguments: argparse.Namespace) -> None:
    one = diagnoses[0] if len(diagnoses) == 1 else None
    if arguments.format == "json":
        from ..report.json import dumps, dumps_several

        text = (dumps(one) if one is not None else dumps_several(diagnoses, found)) + "\n"
    elif arguments.format == "markdown":
        from ..report.markdown import render_markdown
        from ..report.several import several_as_markdown

        if one is not None:
            text = render_markdown(one, invocation, quiet=arguments.quiet, verbose=arguments.verbose)
        else:
            text = several_as_markdown(diagnoses, found, invocation)
    else:
        import io

        from ..report.several import render_several
        from ..report.terminal import make_console, render_terminal, stdout_console

        buffer = io.StringIO()
        console = make_console(buffer) if arguments.output else stdout_console()
        if one is not None:
            render_terminal(one, console, invocation, quiet=arguments.quiet, verbose=arguments.verbose)
        else:
            render_several(diagnoses, found, console, invocation)
        text = buffer.getvalue()
        if not arguments.output:
            return
    if arguments.output:
        write_atomically(Path(arguments.output), text)
    else:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        sys.stdout.write(text)


def _fix(arguments: argparse.Namespace) -> int:
    from ..diagnosis import diagnose
    from ..prescription import diff, fixed_config, unverified_comments

    found, _invocation = _read(arguments)
    if len(found.runs) > 1:
        names = ", ".join(run.name for run in found.runs[:6])
        raise UsageError(
            f"{arguments.paths[0]}: it holds {len(found.runs)} runs ({names}), and fix corrects one config. Next: name its files, or --run NAME."
        )
    diagnosis = diagnose(found.runs[0], expect_at=arguments.expect_at)
    fixed = fixed_config(diagnosis.examination, diagnosis.prescription)
    config = diagnosis.run.config
    assert config is not None
    assert config.path is not None
    source = Path(config.path)
    if fixed == config.text:
        print("nothing to fix", file=sys.stderr)
        return 0
    if (note := _data_beside(diagnosis, Path(arguments.write or ""))) is not None:
        print(note, file=sys.stderr)
    for line in unverified_comments(diagnosis.examination, diagnosis.prescription):
        print(f"check the comment beside what changed: {line}", file=sys.stderr)
    if arguments.in_place:
        write_atomically(source, fixed)
        print(f"rewrote {source}", file=sys.stderr)
        return 0
    if arguments.write:
        target = Path(arguments.write)
        if target.parent == Path() and not target.is_absolute():
            target = source.parent / target
        if target.exists():
            raise UsageError(
                f"{target}: the file exists, and fix --write never overwrites. Next: choose another name, or use --in-place to rewrite {source}."
            )
        write_atomically(target, fixed)
        print(f"wrote {target}", file=sys.stderr)
        return 0
    sys.stdout.write(diff(diagnosis.examination, fixed))
    for edit in diagnosis.prescription.edits:
        print(
            f"{edit.key}: {edit.before!r} → {edit.after!r}: {edit.why} [{edit.safety.replace('_', ' ')}]",
            file=sys.stderr,
        )
    return 0


def _data_beside(diagnosis: Diagnosis, target: Path) -> str | None:
    """Return what is to be said where a recipe's data would not be found from where the corrected recipe will stand."""
    config = diagnosis.run.config
    data = config.get("data.path") if config is not None else None
    if config is None or config.path is None or data is None or not isinstance(data.value, str):
        return None
    folder = Path(config.path).parent / target.parent
    if (folder / Path(data.value).expanduser()).exists():
        return None
    return (
        f'data.path = "{data.value}" is relative to the recipe, and nothing is there from {folder}: put the corrected recipe'
        " where the one that was trained stood"
    )


def _explain(arguments: argparse.Namespace) -> int:
    from ..checks import all_checks, find_check
    from ..report.pages import check_page

    found = find_check(arguments.code)
    if found is None:
        import difflib

        names = [name for check in all_checks() for name in (check.code, check.name)]
        near = difflib.get_close_matches(arguments.code, names, 1) or difflib.get_close_matches(
            arguments.code.upper(), names, 1
        )
        raise UsageError(
            f"There is no check {arguments.code!r}{f'; did you mean {near[0]}' if near else ''}. Next: auscult checks lists them all."
        )
    sys.stdout.write(check_page(found))
    return 0


def _dialects(arguments: argparse.Namespace) -> int:
    from ..readers.registry import all_dialects, find_dialect
    from ..report.pages import dialect_section

    if arguments.name is not None:
        sys.stdout.write(dialect_section(find_dialect(arguments.name)))
        return 0
    for dialect in all_dialects():
        print(f"{dialect.name:24s} {dialect.role:8s} {dialect.title}")
    return 0


def _checks(arguments: argparse.Namespace) -> int:
    from ..checks import all_checks

    for check in all_checks():
        needs = ", ".join(check.requires) or "the run itself"
        print(f"{check.code}  {check.name}  [{check.severity}]\n        {check.title}. Needs: {needs}.")
    return 0
