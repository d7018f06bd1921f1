from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check

ORDINARY = frozenset({"checkpoint", "resumed", "sm_gate"})
"""What any healthy log shows, or another check explains (THR003: sm_gate; LOG020: resumed)."""
TOLD_ELSEWHERE = frozenset(
    {
        "out_of_memory",
        "interrupted",
        "killed",
        "traceback",
        "ranks_interleaved",
        "processes_interleaved",
        "records_repeated",
        "redrawn",
        "lines_wrapped",
        "several_runs_in_file",
        "steps_jump",
        "truncated",
        "truncated_binary",
        "output_shortened",
        "stray_keystrokes",
        "source_code_in_log",
        "log_inside_markdown",
        "log_inside_notebook",
        "prose_not_a_log",
        "skipped_iterations",
        "nan_iterations",
        "record_without_loss",
        "no_loss_logged",
        "grad_norm_constant_zero",
        "mfu_not_measured",
        "throughput_constant_zero",
        "padding_nan",
        "several_copies",
        "no_metrics",
        "no_history",
        "nan_loss",
        "nan_logged_as_zero",
        "config_has_variants",
        "config_inherits",
        "training_args_pickled",
    }
)
"""Kinds of notice that have a check of their own."""
SHOWN = 4


@check("LOG023", "Some values mean something else than usual", "info")
def values_need_care(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    What the readers know of a format that changes what its numbers mean: a chart's export that was sampled down, steps that
    count micro-batches or log calls, counters that are printed rounded, a loss that is no cross-entropy of tokens.

    Why it matters
    --------------
    Such values are read as they stand. A comparison with another run must take what they mean into account.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Give the trainer's own log, where there is one.

    References
    ----------
    The page of each dialect (docs/dialects.md).
    """
    if not exam.run.notices and not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = [n for n in exam.run.notices if n.kind not in ORDINARY | TOLD_ELSEWHERE]
    if not found:
        return Clear(say("the values mean what they usually do"))
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return Found(
        message=say(
            "{what}{more}", what="; ".join(n.detail or n.kind.replace("_", " ") for n in found[:SHOWN]), more=more
        ),
        meaning=say("the values were read as they stand; what they mean limits what they can be compared with"),
        action=say("give the trainer's own log, where there is one; otherwise keep it in mind"),
        evidence=tuple(n.source for n in found),
        numbers={"kinds": sorted(n.kind for n in found)},
    )
