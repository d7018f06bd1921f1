"""What an out-of-memory message says: how much was asked for, and how the memory of the card was shared at that moment."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

__all__ = ["OomMessage", "Span", "excerpt_messages", "parse_oom_messages"]

Span: TypeAlias = tuple[int, int]
"""The least and the most bytes that print as what was printed."""
Allocator: TypeAlias = Literal["cuda", "mps", "xla", "cpu"]

TracedPhase: TypeAlias = Literal["loading", "evaluation", "forward", "backward", "optimizer"]
_ROUNDING_APART: tuple[Allocator, ...] = ("mps", "xla", "cpu")

WINDOW = 2_000
"""Characters of one message: PyTorch's longest, with its advice and link, has 800; logs wrap and prefix its lines."""
TRACE = 16_000
"""Characters before a message in which its traceback is looked for: 80 frames of 200."""
TRACE_LINES = 200
MOST_LINES = 16
"""A message of 800 characters, wrapped at 80 and a little."""
MOST_MESSAGES = 64
"""Messages that are read from one text: each rank prints its own."""

_UNITS = {
    **dict.fromkeys(("b", "byte", "bytes"), 1),
    **dict.fromkeys(("kib", "kb", "k"), 2**10),
    **dict.fromkeys(("mib", "mb", "m"), 2**20),
    **dict.fromkeys(("gib", "gb", "g"), 2**30),
    **dict.fromkeys(("tib", "tb", "t"), 2**40),
}
"""PyTorch's allocators and XLA divide by powers of 1,024 whatever they call the unit (MPS printed "GB" until PyTorch 2.4)."""

_SIZE = r"(?P<{name}>\d[\d,]*(?:\.\d+)?)\s?(?P<{name}_unit>[KMGT]i?B|[KMGT]|bytes?|B)\b"


def _size(name: str) -> str:
    return _SIZE.replace("{name}", name)


_START = re.compile(
    r"(?P<cuda>(?:CUDA|HIP|XPU) out of memory)|(?P<mps>MPS backend out of memory|Invalid buffer size:)"
    r"|(?P<xla>RESOURCE_EXHAUSTED|ResourceExhaustedError)|(?P<cpu>DefaultCPUAllocator)"
    r"|(?P<bare>(?:CUDA|HIP) error: out of memory|CUDA_ERROR_OUT_OF_MEMORY)",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"[ \t]*\n[ \t]*(?:\[(?:rank ?)?\d+\]:?[ \t]*)*")
_REQUESTED = re.compile(
    r"(?:(?:tried|trying) to allocate|out of memory allocating|attempting to allocate|Invalid buffer size:)\s"
    + _size("n"),
    re.IGNORECASE,
)
_FRAMES: dict[TracedPhase, re.Pattern[str]] = {
    "optimizer": re.compile(r"\boptimi[sz]ers?\.step\(|[/\\\"]torch[/\\]optim[/\\]"),
    "backward": re.compile(r"_run_backward|\bautograd\.backward|\.backward\("),
    "evaluation": re.compile(r"\bin (?:estimate_loss|evaluat\w*|validat\w*|eval_\w+)\b"),
    "loading": re.compile(r"\bin (?:from_pretrained|load_state_dict|load_checkpoint|_apply)\b"),
    "forward": re.compile(r"\bin (?:forward|_call_impl|cross_entropy)\b"),
}
"""What the frames of a traceback hold in each phase: of PyTorch's own files, and of functions as trainers name them."""
_TRACE_START = "Traceback (most recent call last)"
_GPU = re.compile(r"\bGPU (\d+)\b")
_FIELDS = {
    # Old and new wordings of c10/cuda/CUDACachingAllocator.cpp ("capacty" was printed by 2.1), then of MPSAllocator.mm.
    "capacity": (
        _size("n") + r"\s(?:total capacity|max allowed)",
        r"total capaci?ty of\s" + _size("n"),
        r"max allowed:\s" + _size("n"),
    ),
    "free": (_size("n") + r"\sfree\b", r"of which\s" + _size("n") + r"\sis free"),
    "allocated": (
        _size("n") + r"\salready allocated",
        r"Of the allocated memory\s" + _size("n") + r"\sis allocated by PyTorch",
        r"MPS allocated:\s" + _size("n"),
    ),
    "reserved": (_size("n") + r"\s(?:reserved in total by PyTorch|cached)",),
    "unallocated": (_size("n") + r"\sis reserved by PyTorch but unallocated",),
    "in_use": (r"this process has\s" + _size("n") + r"\smemory in use",),
    "others": (r"other allocations:\s" + _size("n"),),
}
_PATTERNS = {name: [re.compile(p, re.IGNORECASE) for p in patterns] for name, patterns in _FIELDS.items()}


@dataclass(frozen=True, slots=True)
class OomMessage:
    """One message; None where it does not say.

    Attributes
    ----------
    allocator : str
        ``cuda`` (ROCm and XPU too, whose allocators round alike), ``mps``, ``xla`` or ``cpu``: how sizes are rounded.
    requested : (int, int) or None
        What was asked for: printed with two decimals, so an interval [bytes].
    device : int or None
        The card's index.
    capacity, free : (int, int) or None
        Of the card, as the driver shows it [bytes]. On MPS the capacity is what the allocator allows itself.
    allocated, unallocated : (int, int) or None
        What this process's tensors hold, and what its allocator holds beyond them [bytes].
    in_use : (int, int) or None
        By this process, CUDA context and libraries included [bytes].
    phase : str or None
        Of the step, where a traceback stands before the message and its frames tell.
    """

    allocator: Allocator
    requested: Span | None
    device: int | None = None
    capacity: Span | None = None
    free: Span | None = None
    allocated: Span | None = None
    unallocated: Span | None = None
    in_use: Span | None = None
    phase: TracedPhase | None = None

    @property
    def outside_bytes(self) -> int | None:
        """What of the card neither is free nor belongs to this process's allocator: other processes, context, libraries.

        None where the message does not account for the whole card. About right: four rounded figures.
        """
        if self.capacity is None or self.free is None or self.allocated is None:
            return None
        own = _middle(self.allocated) + (_middle(self.unallocated) if self.unallocated else 0)
        return max(0, _middle(self.capacity) - _middle(self.free) - own)

    @property
    def beside_bytes(self) -> int | None:
        """What of the card is held by others than this process, as far as the message tells them apart.

        Where it does not say what the process holds in all, context and libraries of this process are in it.
        """
        if self.allocator == "mps":
            return None  # its capacity is a limit that the allocator sets itself
        if self.in_use is None or self.capacity is None or self.free is None:
            return self.outside_bytes
        return max(0, _middle(self.capacity) - _middle(self.free) - _middle(self.in_use))


def parse_oom_messages(text: str) -> tuple[OomMessage, ...]:
    """Return every out-of-memory message in a text, in order, each once.

    Parameters
    ----------
    text : str
        A message, a traceback, or a whole log: of PyTorch on CUDA, ROCm, XPU, MPS or the CPU, or of XLA.

    Returns
    -------
    tuple of OomMessage
        Empty where there is none. "CUDA error: out of memory" is one without figures. A bare size, such as ``6.14 GiB``, is
        taken for the request of a CUDA message, as
        is "Tried to allocate 6.14 GiB" by itself.

    References
    ----------
    PyTorch ``c10/cuda/CUDACachingAllocator.cpp`` (``format_size`` and the message, 1.x to 2.9), ``aten/src/ATen/mps/
    MPSAllocator.mm``, ``c10/core/impl/alloc_cpu.cpp``; openxla/xla ``bfc_allocator.cc``.

    Examples
    --------
    >>> message, = parse_oom_messages("CUDA out of memory. Tried to allocate 394.00 MiB (GPU 0; 11.72 GiB total capacity;"
    ...                               " 10.20 GiB already allocated; 301.50 MiB free; 10.60 GiB reserved in total by PyTorch)")
    >>> message.device, round(message.requested[0] / 2**20), round(message.unallocated[1] / 2**20)
    (0, 394, 420)
    """
    alone = re.fullmatch(_size("n"), text.strip(), re.IGNORECASE)
    if alone:
        return (OomMessage("cuda", _span(alone)),)
    starts = list(_START.finditer(text)) or list(_REQUESTED.finditer(text))[:1]
    found: dict[OomMessage, None] = {}
    ends = [*(start.start() for start in starts[1:]), len(text)]
    for start, next_start in zip(starts, ends[-len(starts) :] if starts else (), strict=True):
        end = min(start.start() + WINDOW, next_start)
        message = _parse(start, _PREFIX.sub(" ", text[start.start() : end]))
        found[replace(message, phase=_traced(text[max(0, start.start() - TRACE) : start.start()]))] = None
        if len(found) >= MOST_MESSAGES:
            break
    return _without_echoes(list(found))


def excerpt_messages(lines: Iterable[str]) -> str:
    r"""Return the lines of a log that hold out-of-memory messages, with what they are wrapped over and their tracebacks.

    Parameters
    ----------
    lines : iterable of str
        Read one by one: a log of any length is not kept in memory.

    Examples
    --------
    >>> excerpt_messages(["step 1", "CUDA out of memory. Tried to", "allocate 2.00 GiB"])
    'CUDA out of memory. Tried to\nallocate 2.00 GiB'
    """
    kept: list[str] = []
    before: deque[str] = deque(maxlen=TRACE_LINES)
    messages = after = 0
    for line in lines:
        if _TRACE_START in line:
            before.clear()
        if _START.search(line) or (after <= 0 and _REQUESTED.search(line)):
            messages += 1
            after = MOST_LINES
            if messages > MOST_MESSAGES:
                break
            if any(_TRACE_START in earlier for earlier in before):
                kept += before
            before.clear()
        if after > 0:
            kept.append(line[:WINDOW])
            after -= 1
        else:
            before.append(line[:WINDOW])
    return "\n".join(kept)


def _without_echoes(found: list[OomMessage]) -> tuple[OomMessage, ...]:
    """Leave out messages without figures where others have some: a trainer's own line above or below the error."""
    telling = [message for message in found if message.requested is not None]
    return tuple(telling or found)


def _parse(start: re.Match[str], body: str) -> OomMessage:
    groups = start.groupdict()
    allocator: Allocator = next((name for name in _ROUNDING_APART if groups.get(name)), "cuda")
    requested = _REQUESTED.search(body)
    spans = {name: _first(patterns, body) for name, patterns in _PATTERNS.items()}
    reserved, allocated, unallocated = spans["reserved"], spans["allocated"], spans["unallocated"]
    if unallocated is None and reserved is not None and allocated is not None:
        unallocated = (max(0, reserved[0] - allocated[1]), max(0, reserved[1] - allocated[0]))
    free = spans["free"]
    if allocator == "mps" and spans["others"] is not None:
        unallocated = spans["others"]
    device = _GPU.search(body)
    return OomMessage(
        allocator,
        _span(requested) if requested else None,
        int(device[1]) if device and len(device[1]) < 6 else None,
        capacity=spans["capacity"],
        free=free,
        allocated=allocated,
        unallocated=unallocated,
        in_use=spans["in_use"],
    )


def _traced(before: str) -> TracedPhase | None:
    """Return the phase of a step that the last traceback before a message tells."""
    at = before.rfind(_TRACE_START)
    if at < 0:
        return None
    last = {
        phase: max((found.start() for found in pattern.finditer(before, at)), default=-1)
        for phase, pattern in _FRAMES.items()
    }
    # Outer frames stand first. Lightning runs a whole pass as a closure of the optimiser's step; and checkpointing runs the
    # forward pass again under the backward pass.
    if last["optimizer"] > max(last["backward"], last["forward"]):
        return "optimizer"
    order: tuple[TracedPhase, ...] = ("backward", "evaluation", "loading", "forward")
    return next((phase for phase in order if last[phase] >= 0), None)


def _first(patterns: list[re.Pattern[str]], body: str) -> Span | None:
    for pattern in patterns:
        if found := pattern.search(body):
            return _span(found)
    return None


def _span(found: re.Match[str]) -> Span:
    """Return the bytes that print as this: half a unit of the last digit either way; whole bytes are exact."""
    text = found["n"].replace(",", "")[:24]
    factor = _UNITS[found["n_unit"].lower()]
    whole, _, decimals = text.partition(".")
    digits = int(whole + decimals)
    scale = 10 ** len(decimals)
    if factor == 1:
        return digits // scale, digits // scale
    # In integers: (digits ± 1/2) · factor / scale, rounded inwards.
    low, high = (2 * digits - 1) * factor, (2 * digits + 1) * factor
    return max(0, -(-low // (2 * scale))), high // (2 * scale)


def _middle(span: Span) -> int:
    return (span[0] + span[1]) // 2
