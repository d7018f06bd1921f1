"""``*.safetensors``: the header alone, which names every tensor with its type and shape; no weight is read.

The file is ``u64le length | JSON header | data``. (huggingface/safetensors, format of README and ``safetensors/src/tensor.rs``.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...errors import InputTooLarge, NotText
from ...run import Known, Problem, Quantity, Source
from ..files import InputFile
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..vocabulary import checked

if TYPE_CHECKING:
    from ..tensor_names import Census, Tensor

__all__ = ["DIALECT"]

_MAX_HEADER = 64 * 2**20
"""The format allows 100 MB; a model of ten thousand tensors needs one."""
_MAX_TENSORS = 500_000
_SHARD = lazy(r"-(\d{5})-of-(\d{5})\.safetensors$")
_NOT_A_MODEL = lazy(r"optimizer|optim_states|scheduler|random_states")
_LARGEST = 2**40
_SHORT = 100
_DISTRIBUTED = "DCP_SHARDING_INFO"
"""torch.distributed.checkpoint: slices of tensors, those of the optimiser among them, whose shapes are not the model's."""
_ZERO_BIASES = "biases=zero"
"""auscult's trainer writes biases of 0 for a GPT-2 without any, because transformers' GPT-2 has them."""


def _header(file: InputFile) -> tuple[list[Tensor], int, frozenset[str]]:
    """Return the tensors that the header names, how many bytes their data take, and what the metadata say."""
    from ..tensor_names import Tensor  # only a run that has weights waits for it

    with file.binary() as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > _MAX_HEADER:
            raise InputTooLarge(
                "the header is too large to be that of a model",
                where=file.name,
                expected=f"at most {_MAX_HEADER / 2**20:,.0f} MiB",
                found=f"{length / 2**20:,.0f} MiB",
            )
        data = stream.read(length)
    try:
        header = json.loads(data) if len(data) == length else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise NotText("the header is cut or broken", where=file.name, hint="copy the file again")
    tensors: list[Tensor] = []
    end = 0
    for name, entry in header.items():
        if name == "__metadata__" or not isinstance(entry, dict) or len(tensors) >= _MAX_TENSORS:
            continue
        shape, dtype, offsets = entry.get("shape"), entry.get("dtype"), entry.get("data_offsets")
        if isinstance(dtype, str) and (sizes := _whole(shape)) is not None:
            tensors.append(Tensor(name, dtype, sizes))
            ends = _whole(offsets)
            end = max(end, ends[1] if ends is not None and len(ends) == 2 else 0)
    told = header.get("__metadata__")
    said = (
        frozenset(f"{k}={v}" if len(str(v)) < _SHORT else str(k) for k, v in told.items())
        if isinstance(told, dict)
        else frozenset()
    )
    return tensors, 8 + length + end, said


def _whole(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list) or len(value) > 16:
        return None
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= _LARGEST for n in value):
        return None
    return tuple(value)


def _settings(found: Census, file: str) -> tuple[dict[str, Quantity[Any]], list[Problem]]:
    def known(value: Any, text: str) -> Known[Any]:
        return Known(value, Source("read", file, None, text))

    settings: dict[str, Quantity[Any]] = {}
    problems = []
    for name, value, text in (
        ("n_layer", found.n_layer, "the largest index of a layer, and 1"),
        ("d_model", found.d_model, "columns of the token table"),
        ("d_ff", found.d_ff, "the inner width of an MLP"),
        ("vocab_size", found.vocab_size, "rows of the token table"),
        ("tied", found.tied, "there is no head of its own" if found.tied else "there is a head of its own"),
        ("bias", found.bias, "biases beside the weights"),
    ):
        if value is not None:
            settings[f"architecture.{name}"], problem = checked(f"architecture.{name}", known(value, text))
            problems += [problem] if problem is not None else []
    if found.parameters is not None:
        total = f"{found.parameters:,} numbers in all tensors but buffers"
        settings["logged.parameters"] = known((found.parameters, found.parameters), total)
        settings["logged.parameters_convention"] = known("total", total)
    return settings, problems


def _sniff(file: InputFile) -> float:
    head = file.head[:9]
    if len(head) < 9 or head[8:9] != b"{" or not 2 <= int.from_bytes(head[:8], "little") <= _MAX_HEADER:
        return 0.0
    if b'"dtype"' not in file.head and b'"__metadata__"' not in file.head[:64]:
        return 0.0
    return 1.0 if file.suffix == ".safetensors" else 0.8


def _read(file: InputFile) -> Iterable[Reading]:
    from ..tensor_names import Census, census

    tensors, wanted, said = _header(file)
    if _ZERO_BIASES in said:
        tensors = [tensor for tensor in tensors if not tensor.name.endswith(".bias")]
    problems: list[Problem] = []
    here = Source("read", file.name)
    if file.size and file.size < wanted:
        short = f"the file is cut: it should have {wanted:,} bytes and has {file.size:,}"
        problems.append(Problem("unread_bytes", short, here))
    found = census(tensors)
    noted: dict[str, Known[Any]] = {"checkpoint.tensors": Known(len(tensors), here)}
    types = sorted({t.dtype for t in tensors})
    if types:
        noted["checkpoint.dtypes"] = Known(types[:12], here)
    settings: dict[str, Quantity[Any]] = {}
    shard = _SHARD.search(file.name)
    if any(entry.startswith(_DISTRIBUTED) for entry in said):
        noted["checkpoint.kind"] = Known("one rank's part of a training state", here)
    elif _NOT_A_MODEL.search(file.base):
        noted["checkpoint.kind"] = Known("optimizer state", here)
    elif found.adapter:
        noted["checkpoint.kind"] = Known("adapter", here)
        if found.parameters is not None:
            noted["checkpoint.adapter_parameters"] = Known(found.parameters, here)
    elif shard is not None and int(shard[2]) > 1:
        noted["checkpoint.kind"] = Known("model weights", here)
        noted["checkpoint.shards"] = Known(int(shard[2]), here)
        # one shard of several: only what one tensor alone tells
        only = Census(None, found.d_model, found.d_ff, found.vocab_size, None, None, None, None, adapter=False)
        settings, wrong = _settings(only, file.name)
        problems += wrong
    else:
        noted["checkpoint.kind"] = Known("model weights", here)
        if found.positions is not None:
            noted["checkpoint.positions"] = Known(found.positions, here)
        settings, wrong = _settings(found, file.name)
        problems += wrong
    return (
        Reading(
            "safetensors",
            file.name,
            "weights",
            settings=settings,
            authority=FRAMEWORK,
            problems=tuple(problems),
            noted=noted,
        ),
    )


DIALECT = Dialect(
    name="safetensors",
    title="Safetensors (header only)",
    role="weights",
    example='{"model.embed_tokens.weight": {"dtype": "BF16", "shape": [32000, 2048], "data_offsets": [0, 131072000]}, …}',
    reads="the names, types and shapes of all tensors: from them the exact count of parameters (shared ones once, buffers left"
    " out), layers, width, inner width, vocabulary, whether the head is tied and whether there are biases. Of one shard of"
    " several only what one tensor alone tells; of an adapter its own parameters; of torch.distributed.checkpoint's that it is one",
    cannot="the weights, which are not read; the number of heads, which shapes do not show; the count where weights are quantised",
    source="huggingface/safetensors README (format) and safetensors/src/tensor.rs",
    sniff=_sniff,
    read=_read,
)
