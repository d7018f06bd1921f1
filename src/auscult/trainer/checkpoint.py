"""Checkpoints: written in the background, whole or not there, and in safetensors alone, so that nothing is unpickled.

``step-00000100/`` holds a file for each rank (DCP's layout: any number of ranks can read it) and ``checkpoint.json``: step,
recipe, data, size and CRC-32C of each file. A folder is named when all of it is on disk; until then it ends in ``.partial``.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer

from ..journal import Journal, SilentJournal
from ..preflight.saved import name_checkpoint, reason_of
from .ranks import Ranks

__all__ = ["Checkpoints", "load_state", "state_tensors"]

warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)  # one process is meant


def state_tensors(model: nn.Module, optimizers: tuple[Optimizer, ...]) -> dict[str, Tensor]:
    """Return every tensor that decides what a run does next; the rest is a function of the step and the recipe."""
    if isinstance(model, FSDPModule):
        model.reshard()  # an evaluation leaves the root's parameters gathered
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors = {f"model.{name}": parameter.detach() for parameter, name in names.items()}
    for optimizer in optimizers:
        for parameter, slots in optimizer.state.items():
            tensors |= {f"optimizer.{names[parameter]}.{slot}": value for slot, value in slots.items()}
    return tensors


def load_state(path: Path, tensors: dict[str, Tensor]) -> None:
    """Read a checkpoint into tensors, in place: of sharded ones, this rank's part."""
    load(tensors, storage_reader=HuggingFaceStorageReader(str(path)))


class Checkpoints:
    """The last ``keep`` checkpoints of a run; the journal is told of each, and a run goes on where one cannot be written."""

    def __init__(self, folder: Path, keep: int, ranks: Ranks, journal: Journal | SilentJournal) -> None:
        self.folder, self._keep, self._ranks, self._journal = folder, keep, ranks, journal
        self._under_way: tuple[Path, int, Future[str | None]] | None = None
        self._group = dist.new_group(backend="gloo") if ranks.world_size > 1 else None  # steps use the other one
        if ranks.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob("*.partial"):
                shutil.rmtree(left, ignore_errors=True)

    def save(self, step: int, tensors: dict[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Copy the tensors and write them in the background, once the save before is done."""
        self.wait()
        partial = self.folder / f"step-{step:08d}.partial"
        named: Future[str | None] = Future()

        def name(written: Future[Any]) -> None:
            try:
                written.result()
                if self._ranks.rank == 0:
                    name_checkpoint(partial, {"step": step, **facts}, self._keep)
                named.set_result(None)
            except BaseException as error:  # whatever a full or vanished disk raises; DCP's is no Exception
                named.set_result(reason_of(error))

        try:
            writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
            written = async_save(tensors, storage_writer=writer, process_group=self._group)
            assert isinstance(written, Future)  # what it returns where the writer is a thread
        except (Exception, CheckpointException) as error:
            written = Future()
            written.set_exception(error)
        written.add_done_callback(name)
        self._under_way = partial, step, named

    def wait(self, *, only_if_done: bool = False) -> bool:
        """Wait for the save under way and tell of it; return whether it succeeded."""
        if self._under_way is None or (only_if_done and not self._under_way[2].done()):
            return True
        (partial, step, named), self._under_way = self._under_way, None
        if (reason := named.result()) is None:
            self._journal.checkpoint({"step": step, "path": str(partial.with_suffix(""))})
            return True
        self._journal.note(f"{partial.stem} could not be written ({reason}); the checkpoints before it stay")
        if self._ranks.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
        return False
