"""Between a plan and a trainer's config: what a recipe asks for, and the config that a plan becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..architectures import build
from ..errors import UsageError
from ..examination import Examination
from ..facts.learning_rate import BETA1, BETA2, GRAD_CLIP, WEIGHT_DECAY, floor_learning_rate, warmup_steps
from ..facts.setup import Precision
from ..prose import say
from ..run import Known, Unknown, value_of
from .plan import Plan, Planning
from .planned import PlannedRun
from .targets import Target
from .writers import Document, documents

__all__ = ["asked_by_recipe", "config_of"]

_PRECISIONS: Mapping[str, Precision] = {"bfloat16": "amp_bf16", "float16": "amp_fp16", "float32": "fp32"}


def asked_by_recipe(exam: Examination) -> tuple[str | None, dict[str, Any], Target]:
    """Return what a recipe asks of a plan: its card, the values of a request, and its model.

    Parameters
    ----------
    exam : Examination
        The run that the recipe describes.

    Raises
    ------
    UsageError
        When its model is not known in every number.
    """
    recipe = exam.run.recipe
    config = _config(exam)
    values: dict[str, Any] = {
        "tokens_per_step": value_of(exam.tokens_per_step),
        "tokens": value_of(exam.tokens_planned),
        "context": value_of(recipe.architecture.context),
        "dataset": value_of(recipe.dataset),
        "dropout": value_of(recipe.dropout),
        "learning_rate": value_of(recipe.learning_rate),
        "precision": _PRECISIONS.get(value_of(exam.dtype) or ""),
    }
    cards = value_of(exam.run.machine.gpu_count) or value_of(recipe.world_size) or 1
    name = value_of(exam.gpu_name)
    gpu = None if name is None else f"{name} x{cards}"
    why = say("as {name} describes it", name=exam.run.name)
    return gpu, {key: value for key, value in values.items() if value is not None}, Target(config, build(config), why)


def _config(exam: Examination) -> dict[str, Any]:
    """Return the architecture of a run, keys as in transformers or as its trainer's family has them."""
    if isinstance(exam.model, Unknown):
        raise UsageError(
            f"--recipe: the model of {exam.run.name} is not known in every number ({exam.model.reason}). Next: add what is"
            " missing, or say --like or --params."
        )
    details, shape = exam.run.recipe.architecture.details, exam.shape
    if isinstance(details, Known):
        return dict(details.value)
    assert isinstance(shape, Known)  # a model without a whole config is a GPT-2 drawn from its shape
    return {
        "model_type": "gpt2",
        "n_layer": shape.value.n_layer,
        "n_head": shape.value.n_head,
        "n_embd": shape.value.d_model,
        "vocab_size": shape.value.vocab_size,
        "n_positions": shape.value.context,
        "bias": shape.value.bias,
    }


def config_of(planning: Planning, dialect: str, plan: Plan | None = None) -> tuple[Document, ...]:
    """Return a plan as the files that a trainer of some dialect reads.

    Parameters
    ----------
    planning : Planning
        The answer to a request.
    dialect : str
        One of ``auscult.planner.writers.dialects()``.
    plan : Plan, optional
        One of its plans; where it is not given, the best of those for the same model that the dialect can express.

    Raises
    ------
    UsageError
        When there is no plan, or the dialect cannot express it.
    """
    if not planning.plans:
        raise UsageError("There is no plan that a config could be written of.")
    if plan is not None:
        return documents(_decided(planning, plan), dialect)
    refusal: UsageError | None = None
    for each in planning.plans:
        if each.target.config != planning.plans[0].target.config:
            continue
        decided = _decided(planning, each)
        if refusal is not None:  # the card shown is that of the best plan: say that this is another
            decided = replace(decided, why=(*decided.why, f"not the best plan: {refusal}"))
        try:
            return documents(decided, dialect)
        except UsageError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _decided(planning: Planning, plan: Plan) -> PlannedRun:
    setup = plan.choice.setup
    rate = float(f"{plan.learning_rate.value:.2g}")  # more digits than the suggestion has would look exact
    warmup = min(warmup_steps(plan.steps, setup.tokens_per_step), plan.steps - 1)
    memory = plan.choice.memory
    why = (
        f"auscult plan: {plan.parameters.total:,} parameters, {setup.tokens_per_step:,} tokens a step, {plan.tokens:,} in all",
        f"memory: {memory.total_bytes / 2**30:.1f} of {planning.machine.limit_bytes / 2**30:.1f} GiB a card; {plan.why}",
        f"speed: about {plan.tokens_per_s.value:,.0f} tokens/s ({plan.tokens_per_s.low:,.0f} to {plan.tokens_per_s.high:,.0f})",
        "learning rate: " + "; ".join(f"{b.value:.1e} by {b.name}, {b.source}" for b in plan.learning_rate.basis),
        *(f"changed: {note}" for note in plan.changed),
    )
    config = plan.target.config
    if setup.context != config.get("n_positions", setup.context):
        config = {**config, "n_positions": setup.context}
    return PlannedRun(
        config=config,
        setup=replace(setup, loss="eager"),
        steps=plan.steps,
        learning_rate=rate,
        min_lr=floor_learning_rate(rate),
        warmup_steps=warmup,
        decay_steps=plan.steps,
        weight_decay=WEIGHT_DECAY,
        beta1=BETA1,
        beta2=BETA2,
        grad_clip=GRAD_CLIP,
        dataset=planning.request.dataset,
        why=why,
        gpu=planning.machine.gpu.name,
        gpu_count=setup.gpu_count,
    )
