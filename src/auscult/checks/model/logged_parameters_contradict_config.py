from __future__ import annotations

from ...examination import Examination
from ...facts.parameters import ParameterCount
from ...prose import say
from ...run import Known, Logged, value_of
from ..base import CannotTell, Clear, Found, Verdict, check

COUNTED = {
    "total without the position table": ("without_position", "without the position table"),
    "total": ("total", "all of them"),
    "non-embedding": ("non_embedding", "without the embeddings"),
}
"""What trainers leave out of the count that they print: the part of ours that it is compared with."""


@check("MDL006", "The log was printed by another model than the config describes", "error")
def logged_parameters_contradict_config(exam: Examination, parameter_count: Known[ParameterCount]) -> Verdict:
    """
    What it looks for
    -----------------
    The trainer's own "number of parameters" against the count that the config gives.

    Why it matters
    --------------
    When they differ, config and log belong to different runs, or the model code was changed; every figure that mixes the
    two would be wrong.

    What else could explain it
    --------------------------
    A fork of the trainer with another architecture.

    What to do
    ----------
    Find the config that this run was started with.

    References
    ----------
    nanoGPT model.py get_num_params: the position table is left out, the figure is rounded to 0.01M.
    """
    logged: Logged = exam.run.logged
    if not isinstance(logged.parameters, Known):
        return CannotTell(say("the log prints no parameter count"))
    low, high = logged.parameters.value
    convention = value_of(logged.parameters_convention)
    if convention not in COUNTED:
        return CannotTell(
            say("what the printed count leaves out is not known: {said}", said=convention or "no word on it")
        )
    name, words = COUNTED[convention]
    count: int = getattr(parameter_count.value, name)
    if low <= count <= high:
        vocab, bias, proved = exam.vocab_and_bias
        how = (
            say(
                "; only a vocabulary of {vocab:count} {bias} biases gives it",
                vocab=value_of(vocab),
                bias="with" if value_of(bias) else "without",
            )
            if proved
            else say("")
        )
        return Clear(say("the log's count and the config's agree: {count:count}{how}", count=count, how=str(how)))
    return Found(
        headline=say("the config gives {count:si4}, the log prints {logged:si4}", count=count, logged=(low + high) / 2),
        message=say(
            "the config gives {count:si4} parameters ({words}), the log prints {logged:si4}",
            words=words,
            count=count,
            logged=(low + high) / 2,
        ),
        meaning=say("config and log belong to different runs, or the model code was changed"),
        action=say("give the config that this run was started with"),
        evidence=(logged.parameters.source,),
        numbers={"computed": count, "logged_low": low, "logged_high": high},
    )
