from __future__ import annotations

from dataclasses import replace

from ...examination import Examination, Shape
from ...facts.claims import Claim
from ...facts.parameters import ParameterCount, closest_width, nearest_standard
from ...facts.scaling import loss_difference
from ...prose import say
from ...run import Known, Unknown, value_of
from ..base import CannotTell, Clear, Edit, Effect, Found, Verdict, change, check

STANDARD_TOLERANCE = 0.10
"""A claim names a standard model when that model's count lies within 10 % of it."""
_SETTINGS = {"n_embd": "d_model"}
"""The keys of :func:`auscult.facts.parameters.nearest_standard` in canonical terms."""


@check("MDL001", "The model is not the size that its config claims", "error")
def width_contradicts_claim(
    exam: Examination, parameter_count: Known[ParameterCount], parameters_claimed: Known[Claim]
) -> Verdict:
    """
    What it looks for
    -----------------
    A parameter count in a comment ("~125M parameters") or in the run's name ("125M-…") that no convention of counting
    gives for the shape in the config: not the total, not nanoGPT's count without the position table, not the count
    without embeddings.

    Why it matters
    --------------
    Size sets the loss that a run can reach. A width of 384 in place of 768 makes a GPT-2 small three times smaller, half
    of it embeddings; days go by before the flat-looking curve gives it away.

    What else could explain it
    --------------------------
    The comment may be older than the shape, and the smaller model meant. Then the comment is what is wrong.

    What to do
    ----------
    Set the width (or depth) that the claim needs, and start again from step 0: tensors change shape. Or correct the claim.

    References
    ----------
    Parameter formula: Radford et al. 2019; nanoGPT model.py get_num_params. Worth in nats: differences of published
    scaling laws at equal tokens (Besiroglu 2024, Muennighoff 2023, Porian 2024, Gadre 2024).
    """
    count, claim = parameter_count.value, parameters_claimed.value
    if isinstance(exam.shape, Unknown) and not exam.draws_all:
        return CannotTell(say("needs shape: {reason}", reason=exam.shape.reason))
    actual = (count.total, count.without_position, count.non_embedding)
    if any(abs(claim.value - n) <= claim.tolerance * n for n in actual):
        return Clear(
            say(
                "the config claims {claimed:si} parameters and has {total:count}",
                claimed=claim.value,
                total=count.total,
            )
        )
    said = [c for c in exam.claims if c.kind == "parameters" and not c.from_name]
    if any(abs(c.value - n) <= c.tolerance * n for c in said for n in actual):
        return Clear(say("a comment says what the shape gives: {total:count}", total=count.total))
    printed = value_of(exam.run.logged.parameters)
    if printed is not None and any(abs(claim.value - n) <= claim.tolerance * n for n in printed):
        return Clear(
            say("the log prints the claimed {claimed:si}; it is the config that differs (MDL006)", claimed=claim.value)
        )
    a = exam.run.recipe.architecture
    shape = value_of(exam.shape)
    edits, model_name = ((), "") if shape is None else _edits(exam, shape, claim)
    keys = ", ".join(f"{e.word} {e.before} in place of {e.after}" for e in edits)
    evidence = (claim.source, *(q.source for q in (a.n_layer, a.d_model) if isinstance(q, Known)))
    return Found(
        message=say(
            "the config claims {claim}; {n_layer} layers × {d_model} wide are {total:count} parameters, {embedding:count} of them ({share:percent}) the {tied}embedding",
            claim=f"“{claim.text}”" if not claim.from_name else f"{claim.value / 1e6:g}M in its name",
            n_layer=value_of(a.n_layer),
            d_model=value_of(a.d_model),
            tied="tied " if count.tied_head else "",
            total=count.total,
            embedding=count.embedding,
            share=count.embedding / count.without_position,
        ),
        meaning=say("another model is trained than the one named: {model} with {keys}", model=model_name, keys=keys)
        if edits
        else say(
            "another model is trained than the one named{hint}",
            hint=", and no standard GPT-2 has the claimed size" if shape is not None else "",
        ),
        action=say(
            "set {edits} and start again from step 0, or correct the claim if this size is meant",
            edits=", ".join(f"{e.word} = {e.after}" for e in edits),
        )
        if edits
        else say("correct the claim, or the shape"),
        evidence=evidence,
        numbers={
            "claimed": claim.value,
            "total": count.total,
            "without_position": count.without_position,
            "non_embedding": count.non_embedding,
            "embedding": count.embedding,
            "position": count.position,
            "embedding_share": count.embedding / count.without_position,
            "nearest_standard": model_name or None,
        },
        effect=_worth(exam, shape, edits) if shape is not None else Effect("clarity"),
        edits=edits,
        severity=None if not claim.from_name else "warning",
        headline=say(
            "{shape} makes {total:si}; the config claims {claimed}",
            shape=keys.partition(" in place")[0] or "the shape",
            total=count.total,
            claimed=("~" if claim.text.startswith("~") else "") + f"{claim.value / 1e6:g}M",
        ),
    )


def _worth(exam: Examination, shape: Shape, edits: tuple[Edit, ...]) -> Effect:
    """Return the difference that the published laws make between the two models at equal tokens, where they say something."""
    tokens = value_of(exam.tokens_for_budget)
    if not edits or not tokens:
        return Effect("clarity")
    larger = replace(shape, **{edit.setting: edit.after for edit in edits})
    sizes = [one.parameters.without_position for one in (shape, larger)]
    outside = exam.outside_fits(parameters=min(sizes), tokens=tokens)
    if outside is not None:
        return Effect("nats", reason=outside)
    gain = loss_difference((sizes[0], tokens), (sizes[1], tokens))
    return Effect("nats", gain.value, gain.low, gain.high)


def _edits(exam: Examination, s: Shape, claim: Claim) -> tuple[tuple[Edit, ...], str]:
    """Return the smallest change of shape that keeps the claim, and the name of the model it makes."""
    model, differs = nearest_standard(s.n_layer, s.n_head, s.d_model)
    made = replace(s, n_layer=model.n_layer, n_head=model.n_head, d_model=model.d_model).parameters
    why = say("the claimed {claimed:si} parameters need it", claimed=claim.value)
    if differs and abs(made.total - claim.value) <= STANDARD_TOLERANCE * claim.value:
        return (
            tuple(
                edit
                for key, (here, there) in differs.items()
                for edit in change(exam, _SETTINGS.get(key, key), here, there, why, "needs_restart")
            ),
            model.name,
        )
    width = closest_width(
        round(claim.value), n_layer=s.n_layer, n_head=s.n_head, vocab_size=s.vocab_size, context=s.context, bias=s.bias
    )
    if width is None or width == s.d_model:
        return (), model.name
    return change(exam, "d_model", s.d_model, width, why, "needs_restart"), f"a {s.n_layer}-layer GPT-2"
