"""Which cards this machine has, as its driver says (``--gpu auto``). The only module of auscult that starts a program."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess  # a fixed list of arguments, no shell; tests/test_layers.py allows it here and nowhere else
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import UsageError
from .gpu import Gpu
from .names import find_gpu, merge, namesakes, suggest

__all__ = ["Device", "detect", "devices"]

TIMEOUT_S = 10.0
"""A driver that is stuck does not answer at all; nvidia-smi on a busy node of eight takes up to two seconds."""
_MOST_BYTES = 2**18
_NVIDIA = (
    "--query-gpu=name,memory.total,clocks.max.sm,compute_cap,mig.mode.current",
    "--format=csv,noheader,nounits",
)
_NVIDIA_OLD = ("--query-gpu=name,memory.total,clocks.max.sm", "--format=csv,noheader,nounits")
"""Older drivers do not know compute_cap or mig.mode.current."""
_AMD = ("--showproductname", "--showmeminfo", "vram", "--json")
_SAY = 'Next: say which, such as --gpu "RTX 4070" or --gpu "H100 SXM x8"'
_TWO_DIES = ("MI250", "MI250X")
_ONE_DIE = 0.6
"""These cards are two dies, each a device to rocm-smi and PyTorch, in one row of the table: a device of at most this share
of the row's memory is one die."""

_LEAST_SHOWN, _MOST_SHOWN = 0.9, 1.03
"""What a driver shows of the nominal memory: 92 % of an A10 with ECC, 94 % of a T4, 99.5 % of an H100 (``nvidia-smi`` in public
logs). The nearest other size of a card's name is a fifth away."""


@dataclass(frozen=True, slots=True)
class Device:
    """One card as the driver describes it; None where it does not say. ``sliced`` where a program sees only parts (MIG)."""

    name: str
    memory_bytes: int | None = None
    max_clock_mhz: float | None = None
    compute_capability: tuple[int, int] | None = None
    sliced: bool = False


def detect(extra: Sequence[Gpu] = (), *, timeout_s: float = TIMEOUT_S) -> tuple[Gpu, int]:
    """Return the card of this machine and how many of it there are; its memory is what the driver says.

    Parameters
    ----------
    extra : sequence of Gpu
        Cards of the user, beside the table.
    timeout_s : float
        The most to wait for each tool.

    Raises
    ------
    UsageError
        When no tool answers, the cards differ, or the card is in no table. Nothing is assumed.
    """
    found = devices(timeout_s=timeout_s)
    names = sorted({device.name for device in found})
    if len(names) > 1:
        raise UsageError(f"--gpu auto: this machine has {', '.join(names)}, and a run uses cards of one kind. {_SAY}.")
    if any(device.sliced for device in found):
        raise UsageError(
            f"--gpu auto: {names[0]} is in MIG mode, and a program sees a slice of it. Next: describe the slice in a "
            "[[gpu]] table of auscult.toml, and name it with --gpu."
        )
    first = found[0]
    gpu = _card(first, extra)
    if gpu is None:
        near = suggest(first.name, extra=extra)
        hint = f"near: {', '.join(near)}; or " if near else ""
        raise UsageError(
            f"--gpu auto: {_described(first)} is not in the table of cards, and none is assumed. "
            f"Next: {hint}describe it in a [[gpu]] table of auscult.toml (name, memory_gib, bandwidth_gb_per_s, bf16_tflops)."
        )
    known = [device.memory_bytes for device in found if device.memory_bytes]
    if known:
        gpu = replace(_one_die(gpu, min(known)), memory_bytes=min(known))
    return gpu, len(found)


def _card(device: Device, extra: Sequence[Gpu]) -> Gpu | None:
    """Return the card with the driver's name and memory: the 3080 of 12 GB, another chip, is printed as that of 10 GB."""
    cards = namesakes(device.name, extra)
    if device.memory_bytes is None or not cards:
        return find_gpu(device.name, extra)
    fitting = [card for card in cards if _has(card, device.memory_bytes)]
    return merge(fitting, device.name) if fitting else None


def _has(card: Gpu, memory_bytes: int) -> bool:
    if card.memory_bytes is None:
        return True
    share = memory_bytes / card.memory_bytes
    return _LEAST_SHOWN <= share <= _MOST_SHOWN or (card.name in _TWO_DIES and share <= _ONE_DIE)


def devices(*, timeout_s: float = TIMEOUT_S) -> tuple[Device, ...]:
    """Return every card that nvidia-smi, or else rocm-smi, lists.

    Raises
    ------
    UsageError
        When neither is installed, or neither says anything that can be understood.

    Notes
    -----
    Every card of the machine, whatever ``CUDA_VISIBLE_DEVICES`` leaves to a run.
    """
    failures: list[str] = []
    for tool, attempts, parse in (("nvidia-smi", (_NVIDIA, _NVIDIA_OLD), _nvidia), ("rocm-smi", (_AMD,), _amd)):
        program = shutil.which(tool)
        if program is None:
            failures.append(f"{tool} is not installed")
            continue
        for arguments in attempts:
            output, failure = _run(program, arguments, timeout_s)
            found = parse(output) if failure is None else ()
            if found:
                return found
            if failure == "did not answer":
                break
        failures.append(f"{tool} {failure or 'lists no card'}")
    raise UsageError(f"--gpu auto: {', and '.join(failures)}, so no card is known. {_SAY}.")


def _run(program: str, arguments: Sequence[str], timeout_s: float) -> tuple[str, str | None]:
    """Return what a program prints, bounded in size and time, and why it cannot be used (None where it can)."""
    try:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it started ends with it
        )
    except OSError as error:
        return "", f"cannot be started ({error.strerror or error})"
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(timeout_s, end)
    timer.start()
    try:
        assert process.stdout is not None  # it was asked for
        raw = process.stdout.read(_MOST_BYTES)
        if len(raw) == _MOST_BYTES:
            _kill(process)
        status = process.wait()
    finally:
        timer.cancel()
        if process.stdout is not None:
            process.stdout.close()
    text = raw.decode("utf-8", "replace")
    if late.is_set():
        return "", "did not answer"
    if len(raw) == _MOST_BYTES:
        return "", "prints without end"
    said = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return (text, None) if status == 0 else ("", f"failed ({said[:160] or f'status {status}'})")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except OSError:
        pass  # it ended by itself in between


def _nvidia(text: str) -> tuple[Device, ...]:
    found: list[Device] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 3 or not cells[0] or not re.search(r"[A-Za-z]", cells[0]):
            continue
        mebibytes, clock = _number(cells[1]), _number(cells[2])
        capability = re.fullmatch(r"(\d{1,2})\.(\d)", cells[3]) if len(cells) > 3 else None
        found.append(
            Device(
                cells[0][:200],
                round(mebibytes * 2**20) if mebibytes else None,
                clock,
                (int(capability[1]), int(capability[2])) if capability else None,
                len(cells) > 4 and cells[4].lower() == "enabled",
            )
        )
    return tuple(found)


def _amd(text: str) -> tuple[Device, ...]:
    start = text.find("{")
    try:
        cards = json.loads(text[start:]) if start >= 0 else {}
    except (ValueError, RecursionError):
        return ()
    found: list[Device] = []
    for card in cards.values() if isinstance(cards, dict) else ():
        if not isinstance(card, dict):
            continue
        said = {str(key).lower(): str(value) for key, value in card.items()}
        series = [said[key] for key in ("card series", "card model", "gfx version") if said.get(key)]
        # Old versions print the series as a number ("0x74a1") and the model as words, or the other way round.
        named = next((name for name in series if find_gpu(name)), None) or next(
            (name for name in series if not name.lower().startswith("0x")), None
        )
        memory = _number(said.get("vram total memory (b)", ""))
        if named:
            found.append(Device(named[:200], round(memory) if memory else None))
    return tuple(found)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,15}(\.\d{1,6})?", text) and float(text) > 0 else None


def _one_die(gpu: Gpu, memory_bytes: int) -> Gpu:
    if gpu.name not in _TWO_DIES or not gpu.memory_bytes or memory_bytes > _ONE_DIE * gpu.memory_bytes:
        return gpu

    def half(value: float | None) -> float | None:
        return value / 2 if value else None

    return replace(
        gpu,
        name=f"{gpu.name} (one die)",
        sm_count=gpu.sm_count // 2 if gpu.sm_count else None,
        bandwidth_bytes_per_s=half(gpu.bandwidth_bytes_per_s),
        bf16_flops_per_s=half(gpu.bf16_flops_per_s),
        fp16_flops_per_s=half(gpu.fp16_flops_per_s),
        fp16_accumulate_flops_per_s=half(gpu.fp16_accumulate_flops_per_s),
        tf32_flops_per_s=half(gpu.tf32_flops_per_s),
        fp32_flops_per_s=half(gpu.fp32_flops_per_s),
        fp8_flops_per_s=half(gpu.fp8_flops_per_s),
        board_power_w=half(gpu.board_power_w),
    )


def _described(device: Device) -> str:
    facts = [f"{device.memory_bytes / 2**30:.1f} GiB"] if device.memory_bytes else []
    if device.compute_capability:
        facts.append(f"compute capability {device.compute_capability[0]}.{device.compute_capability[1]}")
    return f"{device.name!r}" + (f" ({', '.join(facts)})" if facts else "")
