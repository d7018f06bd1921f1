from __future__ import annotations

from ...examination import Examination
from ...facts.throughput import StepTimes
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Effect, Found, NotApplicable, Verdict, check

VISIBLE = 1.3
"""Steps with an evaluation inside stand out from 1.3 times a steady one."""
COSTLY_SHARE = 0.05


@check("THR002", "Some step times contain an evaluation", "info")
def evaluation_inside_step_time(exam: Examination, step_times: Known[StepTimes]) -> Verdict:
    """
    What it looks for
    -----------------
    Logged step times at evaluation steps that are longer than the steady ones.

    Why it matters
    --------------
    nanoGPT counts the evaluation and the checkpoint into the step's time; where such steps are logged, its running MFU dips
    and recovers like a saw, which looks like a slowing card and is not.

    What else could explain it
    --------------------------
    A slow disk makes the checkpoint part of it long.

    What to do
    ----------
    Read speed from the other steps. Where evaluation takes more than 5 % of the run, evaluate less often or on fewer batches.

    References
    ----------
    nanoGPT train.py (3adf61e): ``t0`` is taken before ``estimate_loss()``; ``running_mfu`` is 0.9 old + 0.1 new.
    """
    t = step_times.value
    if t.with_evaluation_s is None:
        return NotApplicable(say("no logged step coincides with an evaluation"))
    if t.with_evaluation_s < VISIBLE * t.steady_s:
        return Clear(
            say(
                "steps with an evaluation take {loaded:.3g} s, others {steady:.3g} s",
                loaded=t.with_evaluation_s,
                steady=t.steady_s,
            )
        )
    extra = t.with_evaluation_s - t.steady_s
    interval, last = value_of(exam.run.recipe.eval_interval), value_of(exam.last_step)
    share = extra / (interval * t.steady_s + extra) if interval else None
    hours = (last or 0) / interval * extra / 3600 if interval else None
    series = exam.run.get("step_time_s")
    assert series is not None
    slow = next(
        i
        for i, (step, time) in enumerate(zip(series.steps, series.values, strict=True))
        if step in exam.evaluated_steps and time >= VISIBLE * t.steady_s and step > 0
    )
    low = exam.run.get("mfu")
    return Found(
        headline=say("MFU dips are evaluations in the average, not a slow card")
        if low is not None
        else say("slow steps hold an evaluation: not a slow card"),
        message=say(
            "{n} logged steps hold an evaluation: {loaded:.1f} s against {steady:.2f} s",
            n=t.evaluation_points,
            loaded=t.with_evaluation_s,
            steady=t.steady_s,
        ),
        meaning=say("not a slow card: the printed MFU dips because its running average takes those steps in")
        if low is not None
        else say("not a slow card: the evaluation's time is counted into the step"),
        action=say("read the speed from the other steps; evaluation costs {share:percent1} of the run", share=share)
        if share is not None
        else say("read the speed from the other steps"),
        evidence=(series.source(slow),),
        numbers={
            "steady_s": t.steady_s,
            "with_evaluation_s": t.with_evaluation_s,
            "evaluation_s": extra,
            "share_of_run": share,
            "mfu_lowest": min(low.values) if low else None,
        },
        effect=Effect("hours", -hours, -hours, 0.0)
        if hours is not None and share is not None and share > COSTLY_SHARE
        else Effect("clarity"),
        severity="warning" if share is not None and share > COSTLY_SHARE else None,
    )
