"""What is to be said of a run before step 0: its size, its cost, what it does not fit, and what it contradicts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..architectures import Model
from ..checks.base import Finding
from ..diagnosis import diagnose
from ..facts.memory import model_states
from ..facts.parameters import count_parameters
from ..facts.roofline import estimate_step
from ..hardware import Gpu, find_gpu
from ..prose import Prose, duration, say
from ..readers import given_by_options, read
from ..recipe import TrainingRecipe
from .blueprint import blueprint_of, setup_of
from .micro_batch import MicroBatch, choose_micro_batch, nearest_that_fits, roofline_of

__all__ = ["Preflight", "checkpoint_bytes", "preflight"]

_OWN = frozenset({"MEM001", "MEM002"})
"""Findings that are left out: the trainer chooses the micro-batch itself, and what it says of memory is of that one."""
_FORCE = "--force trains it as it stands"


@dataclass(frozen=True, slots=True)
class Preflight:
    """The answer.

    Attributes
    ----------
    lines : tuple of str
        To print, in order.
    refusal : str or None
        Why this run should not be started, in one paragraph that ends with the way on; None where nothing speaks against it.
    micro_batch : MicroBatch
        What it would be trained with.
    """

    lines: tuple[str, ...]
    refusal: str | None
    micro_batch: MicroBatch


def preflight(
    path: Path,
    recipe: TrainingRecipe,
    *,
    gpu: str | None,
    world_size: int,
    device: str,
    memory_bytes: int | None = None,
    compiled: bool | None = None,
    train_tokens: int | None = None,
    val_tokens: int | None = None,
    folder: Path | None = None,
) -> Preflight:
    """Look at a run before it starts.

    Parameters
    ----------
    path : Path
        The recipe's file, which is diagnosed as any other config is, comments and name included.
    recipe : TrainingRecipe
        What :func:`load_recipe` makes of it, with what the command line changes.
    gpu : str or None
        The card's name, as the driver or a person says it.
    world_size : int
        Ranks.
    device : str
        ``cuda`` or ``cpu``.
    memory_bytes : int, optional
        Of one card, or of the computer; that of the named card where it is not given.
    compiled : bool, optional
        Whether ``torch.compile`` is used in effect; the recipe's wish where it is not given.
    train_tokens, val_tokens : int, optional
        Of the splits.
    folder : Path, optional
        Where the run will be written: its disk must hold the checkpoints.

    Raises
    ------
    UsageError
        When the ranks cannot share a step (see :func:`choose_micro_batch`).
    InputError
        When the file cannot be read.
    """
    card = find_gpu(gpu) if gpu is not None and device == "cuda" else None
    if memory_bytes is None and card is not None:
        memory_bytes = card.memory_bytes
    machine = _Machine(
        card, gpu, world_size, device, memory_bytes, recipe.machine.compile if compiled is None else compiled
    )
    chosen = choose_micro_batch(
        recipe,
        world_size=world_size,
        memory_bytes=memory_bytes,
        device=device,
        compiled=machine.compiled,
        gpu=card,
    )
    given = given_by_options(
        gpu=None if gpu is None or device != "cuda" else f"{gpu} x{world_size}",
        train_tokens=train_tokens,
        val_tokens=val_tokens,
    )
    dialect = None if path.suffix == ".py" else "auscult_recipe"  # load_recipe has read it as one
    diagnosis = diagnose(read(path, given=given, dialect=dialect))
    findings = [finding for finding in diagnosis.findings if finding.code not in _OWN]
    model = blueprint_of(recipe.model)
    facts = [
        *_size(recipe, model, train_tokens),
        *_passes(recipe, chosen, machine),
        *_speed(recipe, model, chosen, machine),
    ]
    needed, free = checkpoint_bytes(recipe, model), _free_bytes(folder)
    facts.append(_disk(recipe, needed, free))
    against = [
        *(_as_refusal(finding) for finding in findings if finding.severity == "error"),
        *_does_not_fit(recipe, chosen, machine),
        *_no_room(needed, free, folder),
    ]
    warnings = [_as_warning(finding) for finding in findings if finding.severity == "warning"]
    edits = any(finding.severity == "error" and finding.edits for finding in findings)
    rewritable = diagnosis.run.config is not None and edits
    way_on = f"`auscult fix {path}` shows the edits; " if rewritable else ""
    refusal = f"{path}: {' '.join(map(str, against))} {_capital(way_on + _FORCE)}." if against else None
    return Preflight(tuple(str(line) for line in (*facts, *warnings)), refusal, chosen)


def checkpoint_bytes(recipe: TrainingRecipe, model: Model) -> int:
    """Return what the checkpoints that are kept take, with the one being written and the final weights [bytes].

    Notes
    -----
    A checkpoint holds the weights and the optimiser's states, in fp32 and whole, however they are sharded.

    Examples
    --------
    >>> recipe = TrainingRecipe()  # AdamW: 12 bytes a parameter and checkpoint, 3 of which are kept
    >>> round(checkpoint_bytes(recipe, blueprint_of(recipe.model)) / count_parameters(blueprint_of(recipe.model)).total)
    52
    """
    setup = setup_of(recipe, 1, world_size=1, device="cpu", compiled=False, chunked=False)
    states = model_states(model, setup)
    return (recipe.checkpoint.keep + 1) * (states.weights + states.optimizer) + states.weights


@dataclass(frozen=True, slots=True)
class _Machine:
    """What the run would be trained on."""

    card: Gpu | None
    name: str | None
    world_size: int
    device: str
    memory_bytes: int | None
    compiled: bool

    @property
    def words(self) -> str:
        """The device in words."""
        if self.device != "cuda":
            return "the CPU"
        return self.card.name if self.card is not None else self.name or "the card"


def _size(recipe: TrainingRecipe, model: Model, train_tokens: int | None) -> Iterator[Prose]:
    count = count_parameters(model)
    tokens = recipe.batch.tokens_per_step * recipe.schedule.steps
    yield say(
        "{total:count} parameters, {share:percent} of them embeddings: {n_layer} layers, {d_model} wide, {n_head} heads of {head}.",
        total=count.total,
        share=(count.total - count.non_embedding) / count.total,
        n_layer=recipe.model.n_layer,
        d_model=recipe.model.d_model,
        n_head=recipe.model.n_head,
        head=recipe.model.head_size,
    )
    yield say(
        "{each:count} tokens a step, {steps:count} step{s}: {tokens:si4} tokens, {ratio} for each parameter{epochs}.",
        each=recipe.batch.tokens_per_step,
        steps=recipe.schedule.steps,
        s="" if recipe.schedule.steps == 1 else "s",
        tokens=tokens,
        ratio=_short(tokens / count.total),
        epochs=""
        if not train_tokens
        else str(say("; {epochs} epochs of {split:si4}", epochs=_short(tokens / train_tokens), split=train_tokens)),
    )


def _passes(recipe: TrainingRecipe, chosen: MicroBatch, machine: _Machine) -> Iterator[Prose]:
    memory = ""
    if chosen.estimated_bytes is not None and chosen.limit_bytes is not None:
        memory = str(
            say(
                "; about {need:gib} of {limit:gib} on {device}",
                need=chosen.estimated_bytes,
                limit=chosen.limit_bytes,
                device=machine.words,
            )
        )
    yield say(
        "{micro} sequence{s} of {context:count} tokens a pass × {passes}{ranks} ({why}){memory}, the loss in {path}.",
        micro=chosen.micro_batch,
        s="" if chosen.micro_batch == 1 else "s",
        context=recipe.model.context,
        passes=chosen.gradient_accumulation_steps,
        ranks="" if machine.world_size == 1 else f" × {machine.world_size} ranks",
        why=chosen.why,
        memory=memory,
        path="full" if chosen.cross_entropy == "full" else "chunks",
    )


def _speed(recipe: TrainingRecipe, model: Model, chosen: MicroBatch, machine: _Machine) -> Iterator[Prose]:
    """Say how fast it will go, where the card is known; of a CPU the first steps tell."""
    roofline = roofline_of(recipe, machine.card, machine.world_size)
    if roofline is None or not chosen.fits:
        return
    assert machine.card is not None
    setup = setup_of(
        recipe,
        chosen.micro_batch,
        world_size=machine.world_size,
        device=machine.device,
        compiled=machine.compiled,
        chunked=chosen.cross_entropy == "chunked",
        has_bfloat16=machine.card.bf16_flops_per_s is not None,
    )
    rate = estimate_step(model, setup, roofline).tokens_per_s
    tokens = recipe.batch.tokens_per_step * recipe.schedule.steps
    yield say(
        "Expected: {low:si} to {high:si} tokens/s on {cards}{card}, {time} without evaluations.",
        low=rate.low,
        high=rate.high,
        cards="" if machine.world_size == 1 else f"{machine.world_size} × ",
        card=machine.card.name,
        time=duration(tokens / rate.high / 3600, tokens / rate.low / 3600),
    )


def _disk(recipe: TrainingRecipe, needed: int, free: int | None) -> Prose:
    kept = recipe.checkpoint.keep
    return say(
        "Disk: {needed:gib} for the last {kept} checkpoint{s}, the one being written and the final weights{free}.",
        needed=needed,
        kept=kept,
        s="" if kept == 1 else "s",
        free="" if free is None else str(say("; {free:gib} are free", free=free)),
    )


def _free_bytes(folder: Path | None) -> int | None:
    """Return what is free on the disk of a folder that may not be there yet."""
    if folder is None:
        return None
    there = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), None)
    try:
        return None if there is None else shutil.disk_usage(there).free
    except OSError:
        return None


def _no_room(needed: int, free: int | None, folder: Path | None) -> Iterator[Prose]:
    if free is not None and needed > free:
        yield say(
            "Its checkpoints need {needed:gib}, and {folder} has {free:gib} free. Next: make room, keep fewer (keep under"
            " [checkpoint]), or choose another disk.",
            needed=needed,
            free=free,
            folder=folder,
        )


def _does_not_fit(recipe: TrainingRecipe, chosen: MicroBatch, machine: _Machine) -> Iterator[Prose]:
    if chosen.fits:
        return
    nearest = nearest_that_fits(
        recipe,
        world_size=machine.world_size,
        memory_bytes=machine.memory_bytes,
        device=machine.device,
        compiled=machine.compiled,
        gpu=machine.card,
    )
    yield say(
        "It does not fit: a single sequence a pass needs about {need:gib} of the {limit:gib} that {device} offers. Next: {nearest}.",
        need=chosen.estimated_bytes,
        limit=chosen.limit_bytes,
        device=machine.words,
        nearest="choose a smaller model" if nearest is None else f"the nearest that would fit has {nearest[1]}",
    )


def _as_refusal(finding: Finding) -> Prose:
    place = finding.evidence[0].place if finding.evidence else ""
    return say(
        "{message} ({code}{place}): {meaning}. Next: {action}.",
        message=_capital(str(finding.message)),
        code=finding.code,
        place=f", {place}" if place else "",
        meaning=str(finding.meaning),
        action=str(finding.action),
    )


def _as_warning(finding: Finding) -> Prose:
    return say(
        "Warning {code}: {message}; {meaning}. Next: {action}.",
        code=finding.code,
        message=str(finding.message),
        meaning=str(finding.meaning),
        action=str(finding.action),
    )


def _short(ratio: float) -> str:
    """Return a ratio to two or three digits, never as a power of ten."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
