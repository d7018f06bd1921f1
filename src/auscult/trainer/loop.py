"""The loop: evaluate, step, tell, save, and leave in order."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor

from ..data import TokenSplit
from ..errors import AuscultError, UnreadableInput
from ..journal import Journal, Meter, Signals, SilentJournal
from ..preflight import learning_rate_at
from ..recipe import TrainingRecipe
from .batches import Batches
from .checkpoint import Checkpoints, load_state, state_tensors
from .evaluation import evaluations
from .fit import confirmed_micro_batch
from .model import Transformer, attention_mask
from .optimizer import build_optimizers
from .ranks import Ranks, parallel, synchronise
from .weights import load_weights

__all__ = ["Trainer"]


class Trainer:
    """A run in progress: its model and optimisers at ``step``, and what it is trained on, with and for.

    ``dtype`` is that of the passes; weights, gradients and optimiser states are fp32.
    """

    def __init__(
        self,
        recipe: TrainingRecipe,
        folder: Path,
        splits: Mapping[str, TokenSplit],
        ranks: Ranks,
        journal: Journal | SilentJournal,
        *,
        dtype: torch.dtype,
        compiled: bool,
        cross_entropy: str,
    ) -> None:
        self.recipe, self.folder, self.splits, self.ranks, self.journal = recipe, folder, splits, ranks, journal
        machine, self.dtype = recipe.machine, dtype
        torch.set_float32_matmul_precision("high")
        how = {"checkpointing": machine.checkpointing, "cross_entropy": cross_entropy}
        self.model = Transformer(recipe.model, seed=recipe.seed, **how)
        if recipe.model.weights is not None:
            load_weights(self.model, Path(recipe.model.weights))
        self.model.to(ranks.device)
        self.module = parallel(self.model, ranks, machine.sharding, dtype, compiled=compiled)
        self.optimizers = build_optimizers(self.model, recipe.optimizer)
        self.batches = Batches(splits["train"], recipe, ranks)
        self.checkpoints = Checkpoints(folder / "checkpoints", recipe.checkpoint.keep, ranks, journal)
        self.separator = splits["train"].separator if recipe.data.document_mask else None
        self.step, self.micro_batch, self.signals = 0, 0, Signals()

    def resume(self, checkpoint: Path, step: int) -> None:
        """Take up the state of a checkpoint."""
        load_state(checkpoint, state_tensors(self.model, self.optimizers))
        self.step = step

    def confirm(self, candidates: Sequence[int]) -> int:
        """Settle the micro-batch by a measured pass, and return it."""
        sequences = self.batches.at(min(self.step, self.recipe.schedule.steps - 1))
        self.module.train()
        told = self.journal.note
        self.micro_batch = confirmed_micro_batch(self.module, self.loss, candidates, sequences, self.ranks, told)
        return self.micro_batch

    def loss(self, module: nn.Module, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Return the summed loss of sequences [nats]."""
        mask = attention_mask(inputs_BT, self.separator, self.recipe.machine.attention)
        with torch.autocast(self.ranks.device.type, self.dtype, enabled=self.dtype != torch.float32):
            out: Tensor = module(inputs_BT, targets_BT, mask)
        return out

    def train(self, facts: Mapping[str, Any], meter: Meter) -> None:
        """Train to the last step, or until a signal; ``facts`` go into every checkpoint, and the last state is saved.

        Raises
        ------
        NotFinite
            When a loss is not; no state is saved after that.
        AuscultError
            When data cannot be read or the last checkpoint not be written; what can be saved is saved.
        """
        steps, evaluated = self.recipe.schedule.steps, self.recipe.evaluation.every_steps
        gc.collect()
        gc.freeze()  # what lives as long as the run is not searched again
        with self.signals:
            try:
                while self.step < steps and not meter.stopped:
                    if evaluated and self.step % evaluated == 0:
                        self._evaluate(meter)
                    meter.add(self.step, *self._train_step())
                    self.step += 1
                    if self.step % self.recipe.checkpoint.every_steps == 0 and self.step < steps and not meter.stopped:
                        self._save(facts, meter)
                    self.checkpoints.wait(only_if_done=True)
                meter.settle()
                if evaluated and (self.step == steps or not meter.stopped):
                    self._evaluate(meter)
                self._save(facts, meter)
            except AuscultError:
                if self.ranks.world_size == 1:  # the weights are those of the step before: keep them
                    self._save(facts, meter)
                raise
            finally:
                written = self.checkpoints.wait()
        if not written:
            hint = "make room and run the same command: it goes on from the checkpoint before"
            raise UnreadableInput("the last checkpoint could not be written", where=str(self.folder), hint=hint)

    def _train_step(self) -> tuple[float, Callable[[], Sequence[float]]]:
        """Take an optimiser step; return its learning rate, and what tells loss, gradient norm and a wish to stop."""
        recipe = self.recipe
        sequences = self.batches.at(self.step)
        if recipe.model.dropout > 0:  # dropout is a function of the step, too
            torch.manual_seed((recipe.seed * 1_000_003 + self.step) * 4096 + self.ranks.rank)
        parts = sequences.split(self.micro_batch)
        total = torch.zeros((), device=self.ranks.device)
        for index, part in enumerate(parts):
            synchronise(self.module, index == len(parts) - 1)
            loss = self.loss(self.module, part[:, :-1], part[:, 1:]) / (len(sequences) * recipe.model.context)
            loss.backward()
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optimizer.grad_clip or math.inf)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        rate = learning_rate_at(recipe, self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        stop = torch.tensor(float(self.signals.number > 0), device=self.ranks.device)
        return rate, _told(self.ranks.sum(torch.stack((total, norm, stop))) / self.ranks.world_size)

    def _evaluate(self, meter: Meter) -> None:
        with meter.paused():
            torch.manual_seed(self.recipe.seed + self.ranks.rank)  # of dropout, where it is measured with it
            for values in evaluations(self.module, self.loss, self.splits, self.recipe, self.ranks, self.micro_batch):
                self.journal.evaluation({"step": self.step, **values})

    def _save(self, facts: Mapping[str, Any], meter: Meter) -> None:
        with meter.paused():
            self.checkpoints.save(self.step, state_tensors(self.model, self.optimizers), facts)

    def weights(self) -> dict[str, Tensor]:
        """Return the whole weights, on the host."""
        state = get_model_state_dict(self.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _told(numbers: Tensor) -> Callable[[], Sequence[float]]:
    """Return what waits for numbers to be on the host, without making the device wait."""
    if numbers.device.type == "cpu":
        return numbers.tolist
    host, event = numbers.to("cpu", non_blocking=True), torch.cuda.Event()  # pinned memory
    event.record()

    def read() -> list[float]:
        event.synchronize()
        out: list[float] = host.tolist()
        return out

    return read
