"""``auscult train``: from a recipe to a run folder; what stands around the trainer."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .data import TokenSplit, open_split
from .errors import AuscultError, BadConfig, LostRank, UnreadableInput, UsageError
from .facts.flops import count_flops
from .facts.parameters import count_parameters
from .hardware import find_gpu
from .journal import Journal, Meter, NotFinite, SilentJournal
from .preflight import Preflight, good_checkpoint, load_recipe, named_checkpoints, preflight, seams
from .preflight.blueprint import blueprint_of, dtype_of
from .recipe import (
    ModelSettings,
    TrainingRecipe,
    hugging_face_config,
    recipe_digest,
    recipe_from_values,
    recipe_values,
)
from .version import __version__

if TYPE_CHECKING:
    import torch

    from .trainer.loop import Trainer
    from .trainer.ranks import Ranks

__all__ = ["Outcome", "train"]

MFU_CONVENTION = "6N+12LdT"
"""Kaplan's 6N over all parameters but positions, and attention not halved, as nanoGPT and PaLM count (facts/flops.py)."""
_LAST = 1 << 62
"""Beyond every step."""
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of ``mallopt(3)``."""
_LOCK = ".lock"
_STEP = "auscult_step"
"""The key of ``weights/config.json`` that says how many steps the weights have had."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    status : str
        ``done``, ``stopped`` (by a signal, and saved) or ``not_finite``.
    step : int
        How many steps are done.
    message : str
        The same in a sentence or two.
    signal_number : int
        What stopped it, or 0.
    """

    status: Literal["done", "stopped", "not_finite"]
    step: int
    message: str
    signal_number: int = 0


@dataclass(frozen=True, slots=True)
class _Machine:
    """What torch found to train on."""

    device: str
    gpu: str | None
    memory_bytes: int | None
    compiled: bool
    notes: tuple[str, ...]


def train(
    path: Path | str,
    *,
    output: Path | str | None = None,
    force: bool = False,
    accept_changes: bool = False,
    preflight_only: bool = False,
    tell: Callable[[str], None] = print,
) -> Outcome | None:
    """Train a recipe, or go on with its run.

    Parameters
    ----------
    path : path
        A recipe in TOML, or a nanoGPT config, which is parsed and never run.
    output : path, optional
        The run's folder; ``runs/NAME`` by default. Where it holds checkpoints, the run goes on from the last good one.
    force : bool
        Train although the preflight refuses.
    accept_changes : bool
        Go on although the recipe is no longer the one of the checkpoint, where that is possible.
    preflight_only : bool
        Say what there is to say before step 0, and return None.
    tell : callable
        Told the lines before the first step.

    Raises
    ------
    UsageError
        When torch is not installed, the preflight refuses, or a changed recipe is not accepted.
    InputError
        When the recipe, the data, the weights or the checkpoints cannot be used.
    LostRank
        When another process of the run went away.
    """
    if importlib.util.find_spec("torch") is None:
        raise UsageError("auscult train needs PyTorch, which is not installed. Next: pip install 'auscult[train]'.")
    path = Path(path)
    try:
        recipe = load_recipe(path)
    except AuscultError:
        if os.environ.get("LOCAL_RANK", "0") != "0":  # told once a node, which has its own files
            raise SystemExit(2) from None
        raise
    folder = Path(output) if output is not None else Path("runs") / recipe.name
    elsewhere = _elsewhere(recipe) if preflight_only else None
    with _joined_ranks(recipe.machine.device if elsewhere is None else "cpu") as ranks, contextlib.ExitStack() as held:
        with _told_once(ranks):
            machine = elsewhere or _machine(recipe, ranks, probed=not preflight_only)
            splits = _splits(recipe, verify=recipe.data.verify and ranks.rank == 0)
            before = preflight(
                path,
                recipe,
                gpu=machine.gpu,
                world_size=ranks.world_size,
                device=machine.device,
                memory_bytes=machine.memory_bytes,
                compiled=machine.compiled,
                train_tokens=splits["train"].token_count,
                val_tokens=splits["val"].token_count if "val" in splits else None,
                folder=folder,
            )
            for line in (*before.lines, *machine.notes) if ranks.rank == 0 else ():
                tell(line)
            if before.refusal is not None and not force:
                raise UsageError(before.refusal)
            if not preflight_only:
                held.enter_context(_locked(folder, ranks))
        if preflight_only:
            return None
        outcome = _trained(path, recipe, folder, splits, ranks, machine, before, accept_changes=accept_changes)
        ranks.least(0)  # a launcher ends rank 0 when another leaves with a status: it has by now written all it writes
        return outcome


@contextlib.contextmanager
def _told_once(ranks: Ranks) -> Iterator[None]:
    """Let one rank tell what all refuse, or what it alone met; the others, which cannot go on either, leave in silence."""
    error = None
    try:
        yield
    except AuscultError as found:
        error = found
    first = ranks.least(ranks.world_size if error is None else ranks.rank)
    if error is not None and first == ranks.rank:
        raise error
    if first < ranks.world_size:
        raise SystemExit(2)


@contextlib.contextmanager
def _joined_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, or be alone; leave on the way out."""
    import torch
    import torch.distributed as dist

    from .trainer.ranks import Ranks

    cuda = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise UsageError("device = 'cuda': torch finds no CUDA device. Next: device = 'auto', or look at nvidia-smi.")
    world_size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(local)
    if world_size > 1:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")  # ranks agree on checkpoints over gloo
    try:
        yield Ranks(rank, world_size, local)
    finally:
        if world_size > 1:
            dist.destroy_process_group()


def _trained(
    path: Path,
    recipe: TrainingRecipe,
    folder: Path,
    splits: Mapping[str, TokenSplit],
    ranks: Ranks,
    machine: _Machine,
    before: Preflight,
    *,
    accept_changes: bool,
) -> Outcome:
    import torch

    from .trainer.loop import Trainer

    notes: list[str] = []
    with _told_once(ranks):
        step, saved = _checkpoint(folder, ranks, notes)
        if saved is not None:
            notes += _seams(recipe, saved, step, splits, accept_changes=accept_changes, folder=folder)
        if ranks.rank == 0:
            _keep_recipe(path, folder, replace_it=accept_changes)
    steps = recipe.schedule.steps
    if step == steps and ranks.least(_weights_step(folder) if ranks.rank == 0 else _LAST) == steps:
        return Outcome("done", steps, f"{folder}: its {steps:,} steps are done already; nothing is left to train")
    values = recipe_values(recipe)
    journal: Journal | SilentJournal = SilentJournal()
    if ranks.rank == 0:
        journal = Journal(folder, recipe.log, steps=steps, first_step=step, recipe=values)
    with journal:
        dtype = torch.bfloat16 if _dtype(recipe, machine) == "bfloat16" else torch.float32
        chosen = before.micro_batch
        with _told_once(ranks):
            trainer = Trainer(
                recipe,
                folder,
                splits,
                ranks,
                journal,
                dtype=dtype,
                compiled=machine.compiled,
                cross_entropy=chosen.cross_entropy,
            )
            if step:
                trainer.resume(folder / "checkpoints" / f"step-{step:08d}", step)
            trainer.confirm(chosen.candidates)
        facts = _facts(recipe, trainer, splits, machine, ranks)
        if ranks.rank == 0:
            _write_json(folder / "run.json", {**facts, "recipe": values})
        journal.start(facts)
        for note in notes:
            journal.note(note)
        peak = facts["peak_flops_per_s"]
        meter = Meter(
            journal,
            steps=steps,
            log_every_steps=recipe.log.every_steps,
            tokens_per_step=recipe.batch.tokens_per_step,
            lag=int(machine.device == "cuda"),
            flops_per_token=facts["flops_per_token"],
            peak_flops_per_s=None if peak is None else peak * ranks.world_size,
            memory_bytes=lambda: torch.cuda.max_memory_allocated() if machine.device == "cuda" else None,
        )
        kept = {"recipe": values, "data_fingerprint": splits["train"].fingerprint, "auscult_version": __version__}
        try:
            with _told_of_lost_ranks(trainer, ranks):
                trainer.train(kept, meter)
                weights = trainer.weights()
                with _told_once(ranks):
                    if ranks.rank == 0:
                        _write_weights(weights, trainer)
        except NotFinite as found:
            return _not_finite(found, trainer, journal)
        return _left(trainer, journal)


def _write_weights(weights: dict[str, torch.Tensor], trainer: Trainer) -> None:
    from safetensors import SafetensorError

    from .trainer.weights import save_weights

    folder, model = trainer.folder / "weights", trainer.recipe.model
    try:
        folder.mkdir(exist_ok=True)
        save_weights(weights, model, folder / "model.safetensors")
        config = {**hugging_face_config(model), _STEP: trainer.step}  # written last: it vouches for both
        _write_json(folder / "config.json", config)
    except (OSError, SafetensorError) as error:
        raise UnreadableInput(
            f"the weights could not be written ({error}); the checkpoint of step {trainer.step:,} is",
            where=str(folder),
            hint="make room and run the same command: it has nothing else left to do",
        ) from None


def _left(trainer: Trainer, journal: Journal | SilentJournal) -> Outcome:
    step, steps = trainer.step, trainer.recipe.schedule.steps
    if step == steps:
        journal.end({"step": step})
        return Outcome("done", step, f"{steps:,} steps done; the weights are in {trainer.folder / 'weights'}")
    said = f"stopped by {trainer.signals.name} at step {step:,} of {steps:,}, and saved; the same command goes on from there"
    journal.stop(said, {"step": step})
    return Outcome("stopped", step, said, trainer.signals.number or signal.SIGTERM)


def _not_finite(found: NotFinite, trainer: Trainer, journal: Journal | SilentJournal) -> Outcome:
    kept = named_checkpoints(trainer.checkpoints.folder)
    good = f"The last good state is {kept[-1]}." if kept else "No checkpoint had been written yet."
    said = (
        f"{found} Training stopped, and nothing of that state was saved. {good} Next: auscult diagnose {trainer.folder} shows"
        " what led there; a lower learning_rate, a longer warm-up or grad_clip = 1.0 are the usual cures."
    )
    journal.stop(said, {"step": found.step, "loss_nats_per_token": found.loss, "grad_norm": found.grad_norm})
    return Outcome("not_finite", found.step, said)


def _elsewhere(recipe: TrainingRecipe) -> _Machine | None:
    """Return the machine with the card that a recipe names, where this one has none to ask; None where it is this one."""
    import torch

    if recipe.machine.gpu is None or recipe.machine.device == "cpu" or torch.cuda.is_available():
        return None
    return _Machine("cuda", recipe.machine.gpu, None, recipe.machine.compile, ())


def _machine(recipe: TrainingRecipe, ranks: Ranks, *, probed: bool) -> _Machine:
    import torch

    device, notes = ranks.device.type, []
    compiled = recipe.machine.compile
    if compiled and probed:
        problem = _compile_problem(ranks.device)
        if not ranks.least(int(problem is None)):
            compiled = False
            notes.append(
                f"torch.compile does not work here ({problem or 'on another rank'}): training runs eager, which is slower."
                " It needs a C++ compiler (g++) and the headers of Python (python3-dev), on a GPU Triton too."
            )
    if device == "cuda":
        properties = torch.cuda.get_device_properties(ranks.device)
        return _Machine(device, properties.name, properties.total_memory, compiled, tuple(notes))
    _keep_freed_memory()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _Machine(device, None, memory, compiled, tuple(notes))


def _compile_problem(device: torch.device) -> str | None:
    """Compile next to nothing and return in a line why that did not work, if so; only a compiler that runs proves itself."""
    import torch

    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    try:
        torch.compile(twice)(torch.ones(8, device=device))
    except Exception as error:  # of torch's compilers, of a C++ compiler, of a linker: each has its own
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return None


def _keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next one, instead of handing it to the kernel and back, page by page.

    On two cores of an AMD EPYC a step of the 10.6M model of ``benchmarks/trainer`` made 10,000 to 45,000 page faults before,
    and 0 to 540 after; it took 4 to 9 % less time. Nothing happens where the C library has no ``mallopt``.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _dtype(recipe: TrainingRecipe, machine: _Machine) -> str:
    card = find_gpu(machine.gpu) if machine.gpu is not None else None
    return dtype_of(recipe, machine.device, has_bfloat16=card is None or card.bf16_flops_per_s is not None)


def _splits(recipe: TrainingRecipe, *, verify: bool) -> dict[str, TokenSplit]:
    where = Path(recipe.data.path)
    names: tuple[Literal["train", "val"], ...] = ("train", "val") if recipe.evaluation.every_steps else ("train",)
    limit = recipe.model.vocab_size
    splits: dict[str, TokenSplit] = {}
    for name in names:
        split = splits[name] = open_split(where, name, verify=verify, vocab_limit=limit)
        if not split.sequence_count(recipe.model.context):
            raise BadConfig(
                f"the {name} split is too short",
                where=recipe.data.path,
                expected=f"more than context = {recipe.model.context:,} tokens in a shard",
                found=f"{split.token_count:,}",
                hint="prepare more data, or shorten the context",
            )
    if recipe.data.document_mask and splits["train"].separator is None:
        raise BadConfig(
            "document_mask = true, and the data does not say which token separates documents",
            where=recipe.data.path,
            hint="auscult data prepare writes shards that do",
        )
    return splits


@contextlib.contextmanager
def _locked(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Make the folder and keep other processes out of it."""
    if ranks.rank != 0:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}). Next: choose another --output.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{folder}: another process trains there. Next: wait for it, or choose another --output."
            ) from None
        except OSError:
            pass  # a file system without locks, as clusters have: then nobody is kept out
        yield


def _keep_recipe(recipe: Path, folder: Path, *, replace_it: bool) -> None:
    """Copy the recipe that a run began with, or that was accepted since, into its folder."""
    copy = folder / ("recipe.toml" if recipe.suffix != ".py" else recipe.name)
    if copy.exists() and not replace_it:
        return
    partial = copy.with_suffix(".partial")
    try:
        partial.write_bytes(recipe.read_bytes())
        partial.replace(copy)
    except OSError as error:
        raise UsageError(
            f"{copy}: cannot be written ({error.strerror}). Next: make room, or choose another --output."
        ) from None


def _weights_step(folder: Path) -> int:
    """Return the step that the weights of a run are of; -1 where there are none, or a kill came between them and their config."""
    try:
        found = json.loads((folder / "weights" / "config.json").read_text(encoding="utf-8"))[_STEP]
    except (OSError, ValueError, KeyError, TypeError):
        return -1
    return found if isinstance(found, int) else -1


def _checkpoint(folder: Path, ranks: Ranks, notes: list[str]) -> tuple[int, dict[str, Any] | None]:
    """Return the step of the last good checkpoint and its facts, which rank 0 finds; 0 and None where there is none."""
    step, facts = 0, None
    problem: UnreadableInput | None = None
    if ranks.rank == 0:
        try:
            found = good_checkpoint(folder / "checkpoints", notes.append)
        except UnreadableInput as error:
            step, problem = -1, error
        else:
            if found is not None:
                facts = found[1]
                step = facts["step"]
    step = ranks.least(step if ranks.rank == 0 else _LAST)
    if step < 0:
        raise problem or UnreadableInput("no checkpoint is whole; rank 0 says more", where=str(folder))
    if step and facts is None:
        text = (folder / "checkpoints" / f"step-{step:08d}" / "checkpoint.json").read_text(encoding="utf-8")
        facts = json.loads(text)
    return step, facts


def _seams(
    recipe: TrainingRecipe,
    saved: Mapping[str, Any],
    step: int,
    splits: Mapping[str, TokenSplit],
    *,
    accept_changes: bool,
    folder: Path,
) -> list[str]:
    """Return what is to be told of a resume; refuse what cannot be taken up, or was not accepted."""
    try:
        before = recipe_from_values(saved["recipe"])
    except (KeyError, TypeError):
        raise UnreadableInput(
            "its recipe is not one that this version of auscult reads",
            where=str(folder / "checkpoints"),
            found=f"auscult {saved.get('auscult_version')}",
            hint="go on with that version, or choose another --output",
        ) from None
    found = seams(
        before,
        recipe,
        step,
        shapes_before=_shapes(before.model),
        shapes_now=_shapes(recipe.model),
        same_data=saved.get("data_fingerprint") == splits["train"].fingerprint,
    )
    if found.impossible:
        raise UsageError(
            f"{folder}: the checkpoint of step {step:,} cannot be taken up: {'; '.join(found.impossible)}. Next: train into"
            " another folder (--output), from its weights if you like (weights under [model])."
        )
    if found.changes and not accept_changes:
        raise UsageError(
            f"{folder}: the recipe is no longer that of the checkpoint at step {step:,}: {'; '.join(found.changes)}. Next: undo"
            " the change, accept it with --accept-changes, or train from step 0 into another folder (--output)."
        )
    return [f"going on from step {step:,}", *(f"changed at step {step:,}: {change}" for change in found.changes)]


def _shapes(model: ModelSettings) -> dict[str, tuple[int, ...]]:
    import torch

    from .trainer.model import Transformer

    with torch.device("meta"):
        return {name: tuple(one.shape) for name, one in Transformer(model, seed=None).named_parameters()}


def _facts(
    recipe: TrainingRecipe, trainer: Trainer, splits: Mapping[str, TokenSplit], machine: _Machine, ranks: Ranks
) -> dict[str, Any]:
    import torch

    model, dtype = blueprint_of(recipe.model), _dtype(recipe, machine)
    card = find_gpu(machine.gpu) if machine.gpu is not None else None
    share = recipe.sequences_per_step // ranks.world_size
    return {
        "auscult_version": __version__,
        "torch_version": torch.__version__,
        "recipe_digest": recipe_digest(recipe),
        "parameters_total": count_parameters(model).total,
        "tokens_per_step": recipe.batch.tokens_per_step,
        "micro_batch": trainer.micro_batch,
        "gradient_accumulation_steps": share // trainer.micro_batch,
        "world_size": ranks.world_size,
        "device": machine.device,
        "gpu": machine.gpu,
        "dtype": dtype,
        "compiled": machine.compiled,
        "cross_entropy": trainer.model.cross_entropy,
        "flops_per_token": count_flops(model, context=recipe.model.context, convention="nanogpt").training,
        "peak_flops_per_s": None if card is None else card.peak_flops_per_s(dtype),
        "mfu_convention": MFU_CONVENTION,
        "train_tokens": splits["train"].token_count,
        "val_tokens": splits["val"].token_count if "val" in splits else None,
    }


@contextlib.contextmanager
def _told_of_lost_ranks(trainer: Trainer, ranks: Ranks) -> Iterator[None]:
    """Turn what a collective raises when another process went away into one paragraph."""
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if ranks.world_size == 1 or not any(word in said.lower() for word in ("gloo", "nccl", "connection", "peer")):
            raise
        raise LostRank(
            f"Rank {ranks.rank} lost the others at step {trainer.step:,} ({said.splitlines()[0][:200]}). Next: look at the first"
            f" error above, mend it, and start the same command again: it goes on from the last checkpoint in"
            f" {trainer.checkpoints.folder}."
        ) from None


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
