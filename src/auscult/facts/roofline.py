"""How long a step takes: every operation at the arithmetic or the memory rate that the card allows, whichever is slower."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..architectures import Attention, Block, Experts, Linear, Mlp, Model, Ssm
from .flops import count_flops
from .parameters import count_adapters, count_parameters
from .scaling import Band
from .setup import Setup

__all__ = ["Device", "StepEstimate", "estimate_step"]

MATMUL_EFFICIENCY = 0.79
"""Of the peak that a large, well-shaped matrix multiplication reaches: the best found on an A100 is 271 of 312 TFLOP/s, on an
H100 794 of 989, on a B200 1745 of 2250 (stas00/ml-engineering, MAMF table): 78 to 87 %; inside a model, between other kernels
and at varying shapes, somewhat less than the best. This one, FAST_CARD_LOSS, ATTENTION_EFFICIENCY, BANDWIDTH_EFFICIENCY and the two figures of the
exchange are the values with the least median error on the 209 rows of llm-foundry (``scripts/measured/speed.py``, ``calibration``)."""
FAST_CARD_FLOPS_PER_BYTE = 200.0
"""Beyond this many FLOPs for each byte of memory traffic (A100: 153 to 200, H100: 295), launch gaps, power limits and the
shared-memory bandwidth of tensor cores keep models further from the peak."""
FAST_CARD_LOSS = 0.28
"""Of the peak that is lost for each doubling beyond that; calibrated with MATMUL_EFFICIENCY."""
ATTENTION_EFFICIENCY = 0.32
"""Of the half that is computed, both passes; calibrated (above), on rows of FlashAttention in Triton. FlashAttention-2 alone reaches
50 to 73 % of an A100's peak (Dao 2023, arXiv:2307.08691, figures 4 to 6), so that long contexts can be faster than this."""
MATH_ATTENTION_BYTES = 26
"""Of memory traffic for each score where the T x T matrix is written: scores, mask, softmax and dropout in both passes, fp32."""
ATTENTION_FURTHER_LOSS = 0.6
"""The same for attention on such cards: FlashAttention-2 reaches 35 % of an H100's peak (Shah et al. 2024, arXiv:2407.08608)."""
SHADER_RATIO = 4.0
"""Cards whose tensor cores compute at most this many times what their shaders do (GeForce: 2; A100: 16; H100: 15) keep them
busy far more easily, in matrix multiplications as in attention's exponentials."""
BALANCED_MATMUL_EFFICIENCY = 0.93
"""Of the peak on such cards: an RTX 5060 Ti was measured at 47.0 of 47.4 TFLOP/s (QuantumDrizzy/BLACKWALL), an RTX 4090 at 158.6
to 167.1 of 165.2 (mli/transformers-benchmarks, issue 4); inside a model somewhat less."""
BALANCED_ATTENTION_EFFICIENCY = 0.6
"""A judgement: no measurement of the kernels alone on such a card was at hand."""
BANDWIDTH_EFFICIENCY = 0.7
"""Of the nominal bandwidth that the kernels of a model reach; calibrated (above). Long streams reach more (BabelStream on A100:
1.35 to 1.4 of 1.555 TB/s, 88 %), short kernels less."""
TILES = ((256, 128, 1.0), (128, 128, 0.97), (128, 64, 0.80), (64, 64, 0.62))
"""Tiles that cuBLAS chooses among (NVIDIA, "Matrix Multiplication Background User's Guide", section 4), and how well each uses the
tensor cores: larger tiles reuse more of what they load. The shares are judgements."""
UNALIGNED_EFFICIENCY = 0.5
"""Of matrix multiplications with a dimension that is no multiple of 8 (the same guide, section 3: tensor cores want multiples
of 16 bytes)."""
LAUNCH_S = 5.5e-6
"""Between kernels that the host launches one by one (PyTorch eager; CUDA launch latency of 3 to 5 µs and the dispatcher)."""
EAGER_KERNELS = (26, 44)
COMPILED_KERNELS = (12, 20)
"""Of a layer, forward and backward: an estimate from the operations of a GPT-2 block, with autograd's and autocast's own."""
EXCHANGE_EXPOSED = 0.25
OVERLAP_SHARE = 0.6
"""Of weights and gradients on the wire, the share that nothing hides (the first gather, the last bucket, contention for memory
and multiprocessors); and of the arithmetic, the share that the rest can hide behind. That it hides: Li et al. 2020, "PyTorch
Distributed", arXiv:2006.15704; both figures are calibrated on the llm-foundry rows of 16 and more cards."""
UNKNOWN_LINK_BYTES_PER_S = 25e9
"""PCIe 4.0 x16 in practice: what is assumed between cards whose link is not known, with a wider interval."""
INTERVAL = (0.55, 1.35)
"""Of the predicted speed; set with all measured rows in view. Those of llm-foundry lie within 0.73 to 1.15 of it, 19 of the 20 of
other publishers within 0.62 to 1.02, one at 0.51. It reaches further up for cards of which only single runs are public, further
down because the same model on the same card ran up to 1.5 times slower in early records of modded-nanogpt than in later ones:
a plan cannot know how good the code will be. ``held_out`` of ``scripts/measured/speed.py`` tells what an interval from the other
publishers alone would have covered."""
INTERVAL_WIDE = (0.4, 1.6)
"""The same for what no measured row stands behind (see ``StepEstimate.uncalibrated``): a judgement."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a step's time depends on.

    Attributes
    ----------
    peak_flops_per_s : float
        Dense, for the precision of the run [FLOP/s].
    bandwidth_bytes_per_s : float
        Of the card's memory [B/s].
    sm_count : int or None
        Multiprocessors; None leaves wave quantisation out, and widens the interval.
    link_bytes_per_s : float or None
        What one card exchanges with the others [B/s]; None assumes PCIe, and widens the interval where there are several.
    shader_flops_per_s : float or None
        Of fp32 outside the tensor cores [FLOP/s]; None takes the card for one of a data centre.
    calibrated : bool
        Whether rows of this vendor stand behind the efficiencies.
    """

    peak_flops_per_s: float
    bandwidth_bytes_per_s: float
    sm_count: int | None
    link_bytes_per_s: float | None = None
    shader_flops_per_s: float | None = None
    calibrated: bool = True

    def __post_init__(self) -> None:
        if not (self.peak_flops_per_s > 0 and self.bandwidth_bytes_per_s > 0):
            raise ValueError("a device needs a peak and a bandwidth above 0")

    @property
    def balanced(self) -> bool:
        """Whether the tensor cores are few times faster than the shaders."""
        shaders = self.shader_flops_per_s
        return shaders is not None and self.peak_flops_per_s <= SHADER_RATIO * shaders

    @property
    def _behind(self) -> float:
        """How many doublings of FLOPs for each byte the card is beyond what its memory feeds well."""
        balance = self.peak_flops_per_s / self.bandwidth_bytes_per_s
        return 0.0 if self.balanced else max(0.0, math.log2(balance / FAST_CARD_FLOPS_PER_BYTE))

    @property
    def matmul_flops_per_s(self) -> float:
        """What a large, well-shaped matrix multiplication inside a model reaches [FLOP/s]."""
        if self.balanced:
            return self.peak_flops_per_s * BALANCED_MATMUL_EFFICIENCY
        return self.peak_flops_per_s * MATMUL_EFFICIENCY * max(0.2, 1 - FAST_CARD_LOSS * self._behind)

    @property
    def attention_flops_per_s(self) -> float:
        """What flash attention reaches, of the half that is computed where it is causal [FLOP/s]."""
        if self.balanced:
            return self.peak_flops_per_s * BALANCED_ATTENTION_EFFICIENCY
        return self.peak_flops_per_s * ATTENTION_EFFICIENCY * max(0.2, 1 - ATTENTION_FURTHER_LOSS * self._behind)


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """The time of one optimiser step.

    Attributes
    ----------
    seconds : float
        The estimate [s].
    tokens_per_s : Band
        Of all cards together, with its interval [tokens/s].
    mfu : Band
        Model FLOPs over the peak of all cards (fraction).
    parts : mapping
        Seconds by part; they add up to ``seconds``.
    uncalibrated : tuple of str
        What of this step no measured row stands behind; where there is any, the interval is the wide one.
    """

    seconds: float
    tokens_per_s: Band
    mfu: Band
    parts: Mapping[str, float]
    uncalibrated: tuple[str, ...] = ()


def estimate_step(model: Model, setup: Setup, device: Device) -> StepEstimate:
    """Estimate the time of one optimiser step [s].

    Parameters
    ----------
    model : Model
        The blueprint.
    setup : Setup
        How it is trained.
    device : Device
        One of the cards.

    Returns
    -------
    StepEstimate

    Notes
    -----
    A roofline for each operation: a matrix multiplication takes the longer of its FLOPs at the attainable share of the peak
    (reduced where tiles or waves of tiles are not full) and its bytes at the attainable bandwidth; norms, activations,
    residuals, cross-entropy and the optimiser are bytes only. A pass costs at least the launches of its kernels. Gradients
    are exchanged once a step, FSDP's weights in every pass; part of it hides behind arithmetic. Left out: loading of data,
    evaluations, checkpoints, stragglers, the adapters' own multiplications and the dequantisation of frozen weights under
    LoRA, the exchange of tokens between experts, and pipeline bubbles beyond (p − 1) / passes. FP8 is not modelled.

    MFU counts both halves of causal attention, as is the convention, while flash kernels compute one: at long contexts on
    cards that keep their tensor cores busy it can exceed what the hardware's counters would show.

    References
    ----------
    Williams et al. 2009, "Roofline", doi:10.1145/1498765.1498785; NVIDIA, "Matrix Multiplication Background User's Guide";
    the constants of this module name their own sources.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> gpt2 = build({"model_type": "gpt2", "vocab_size": 50304, "bias": False})
    >>> step = estimate_step(gpt2, Setup(8, 1024, 64, compiled=True), Device(58.3e12, 504e9, 46))
    >>> 0.5 < step.mfu.value < 0.8
    True
    """
    tokens = setup.tokens_per_pass // setup.context_parallel
    passes = setup.gradient_accumulation_steps
    work = _pass_seconds(model, _per_pass(setup), device)
    parts = {name: seconds * passes / setup.pipeline_parallel for name, seconds in work.items()}
    launches = _launch_seconds(model, setup) * passes / setup.pipeline_parallel
    busy = sum(parts.values())
    if launches > busy:
        parts["launches"] = launches - busy
    parts.update(_per_step(model, setup, device, tokens, max(busy, launches)))
    if setup.pipeline_parallel > 1:
        parts["pipeline bubble"] = sum(parts.values()) * (setup.pipeline_parallel - 1) / passes
    seconds = sum(parts.values())
    rate = setup.tokens_per_step / seconds
    flops = count_flops(
        model, context=setup.context, lora_rank=setup.lora_rank, lora_targets=setup.lora_targets
    ).training
    mfu = rate * flops / (device.peak_flops_per_s * setup.gpu_count)
    unknown = tuple(_uncalibrated(model, setup, device))
    low, high = INTERVAL_WIDE if unknown else INTERVAL
    high = max(1.0, min(high, 1.0 / mfu))  # no code is faster than the card
    return StepEstimate(seconds, _band(rate, low, high), _band(mfu, low, high), parts, unknown)


def _band(value: float, low: float, high: float) -> Band:
    return Band(value * low, value, value * high)


def _uncalibrated(model: Model, setup: Setup, device: Device) -> Iterator[str]:
    """Yield what no row of the measured runs has."""
    if not device.calibrated:
        yield "the vendor of the card"
    if device.sm_count is None:
        yield "the number of multiprocessors is not known"
    if setup.gpu_count > 1 and device.link_bytes_per_s is None:
        yield "the link between the cards is not known"
    if max(setup.tensor_parallel, setup.pipeline_parallel, setup.context_parallel) > 1:
        yield "tensor, pipeline or context parallelism"
    if setup.precision == "fp32":
        yield "fp32"
    if setup.lora_rank:
        yield "LoRA"
    if not setup.flash:
        yield "attention without a flash kernel"
    if any(isinstance(stack.block.mlp, Experts) for stack in model.stacks):
        yield "experts"
    if any(isinstance(stack.block.mixer, Ssm) for stack in model.stacks):
        yield "state-space layers"


@dataclass(frozen=True, slots=True)
class _Pass:
    """What of a setup one forward and backward pass depends on."""

    tokens: int
    context: int
    mixed: bool
    half: bool
    compiled: bool
    flash: bool
    dropout: bool
    checkpointing: str
    loss: str
    tensor_parallel: int
    lora: bool


def _per_pass(setup: Setup) -> _Pass:
    return _Pass(
        tokens=setup.tokens_per_pass // setup.context_parallel,
        context=setup.context,
        mixed=setup.precision in ("amp_bf16", "amp_fp16"),
        half=setup.precision != "fp32",
        compiled=setup.compiled,
        flash=setup.flash,
        dropout=setup.dropout > 0,
        checkpointing=setup.checkpointing,
        loss=setup.loss_path,
        tensor_parallel=setup.tensor_parallel,
        lora=setup.lora_rank > 0,
    )


@functools.lru_cache(maxsize=512)
def _pass_seconds(model: Model, one: _Pass, device: Device) -> dict[str, float]:
    """Return the seconds of one forward and backward pass over all layers, by part."""
    parts = {"attention projections": 0.0, "attention": 0.0, "mlp": 0.0, "experts": 0.0, "elementwise": 0.0}
    repeated = {"none": 0.0, "selective": 0.5, "full": 1.0}[one.checkpointing]
    recomputed = 0.0
    for stack in model.stacks:
        for name, forward, backward in _block(stack.block, model.d_model, one, device):
            parts[name] += stack.count * (forward + backward)
            recomputed += stack.count * forward * repeated
    head = [model.head, *model.linears]
    logits = sum(sum(_linear(linear, one.tokens, one, device)) for linear in head)
    parts["head"] = logits
    parts["cross-entropy"] = _stream(one.tokens * model.vocab_size / one.tensor_parallel * _loss_bytes(one), device)
    parts["recomputation"] = recomputed
    parts["embedding"] = _stream(one.tokens * model.d_model * 16, device)
    return {name: seconds for name, seconds in parts.items() if seconds}


def _block(block: Block, d_model: int, one: _Pass, device: Device) -> Iterator[tuple[str, float, float]]:
    """Yield the parts of a layer with their forward and backward seconds."""
    mixer = block.mixer
    if mixer is not None:
        times = [_linear(linear, one.tokens, one, device) for linear in mixer.linears]
        yield "attention projections", sum(f for f, _b in times), sum(b for _f, b in times)
    if isinstance(mixer, Attention):
        yield "attention", *_attention(mixer, one, device)
    elif isinstance(mixer, Ssm):
        inner = mixer.n_head * mixer.head_dim
        flops = one.tokens * inner * (2 * mixer.chunk + 6 * mixer.d_state)
        moved = one.tokens * (inner + 2 * mixer.n_groups * mixer.d_state) * 12
        forward = max(flops / (device.peak_flops_per_s * 0.25), _stream(moved, device))
        yield "attention", forward, 2.5 * forward
    inside = 0.0
    part = block.mlp
    if isinstance(part, Mlp):
        times = [_linear(linear, one.tokens, one, device) for linear in part.linears]
        yield "mlp", sum(f for f, _b in times), sum(b for _f, b in times)
        inside = part.d_ff * (3 if part.gated else 2)
    elif isinstance(part, Experts):
        yield "experts", *_experts(part, one, device)
        inside = part.active * part.expert.d_ff * (3 if part.expert.gated else 2) + 4 * part.active * d_model
    forward = _stream(one.tokens * _elementwise_bytes(block, d_model, inside, one), device)
    yield "elementwise", forward, 1.7 * forward


def _experts(part: Experts, one: _Pass, device: Device) -> tuple[float, float]:
    """Every expert gets its share of the tokens, as one grouped multiplication."""
    share = max(1, one.tokens * part.active // part.count)
    forward = backward = 0.0
    for linear in part.expert.linears:
        f, b = _linear(linear, share, one, device)
        forward, backward = forward + part.count * f, backward + part.count * b
    always = (part.router, *(part.shared.linears if part.shared else ()))
    for linear in always:
        f, b = _linear(linear, one.tokens, one, device)
        forward, backward = forward + f, backward + b
    return forward, backward


def _elementwise_bytes(block: Block, d_model: int, inside: float, one: _Pass) -> float:
    """Return the traffic of norms, residuals and activations of a token in the forward pass [B].

    Two norms read the residual stream and write half precision, two additions read both and write it: 32 B of width in fp32
    residuals, half of it in pure half precision; activations read and write 2 B. Without fusion every cast is a pass of its own.
    """
    width = (32 if one.mixed or not one.half else 16) * d_model * len(block.norms) / 2
    total = width + (2 if one.half else 4) * inside
    if one.dropout:
        total += 4 * d_model
    return total if one.compiled else 2.0 * total


def _loss_bytes(one: _Pass) -> float:
    """Return the traffic of cross-entropy, both passes, for each token and entry of the vocabulary [B]."""
    return {"eager": 40.0, "compiled": 10.0, "chunked": 24.0, "fused": 4.0}[one.loss]


def _attention(mixer: Attention, one: _Pass, device: Device) -> tuple[float, float]:
    """Scores and values; the causal half is not computed by flash kernels, everything is by the plain ones."""
    seen = min(mixer.window or one.context, one.context)
    pairs = one.tokens * seen * (0.5 if mixer.causal and one.flash else 1.0) * mixer.n_head / one.tensor_parallel
    flops = 2 * pairs * (mixer.qk_dim + mixer.v_dim)
    if not one.flash:
        moved = MATH_ATTENTION_BYTES / 3 * pairs
        forward = flops / device.matmul_flops_per_s + _stream(moved, device)
        return forward, 2 * forward
    rate = device.attention_flops_per_s
    if not one.half:
        rate /= 2  # no flash kernel in fp32: the memory-efficient one
    moved = one.tokens * (2 * mixer.n_head + 2 * mixer.n_kv_head) * (mixer.qk_dim + mixer.v_dim) / one.tensor_parallel
    forward = max(flops / rate, _stream(moved, device))
    return forward, max(2.5 * flops / rate, 2 * _stream(moved, device))


def _linear(linear: Linear, tokens: int, one: _Pass, device: Device) -> tuple[float, float]:
    """Return forward and backward seconds of a matrix; a frozen one needs only the gradient of its input."""
    d_in, d_out = linear.d_in, max(1, linear.d_out // one.tensor_parallel)
    forward = _matmul(tokens, d_out, d_in, one.half, device)
    backward = _matmul(tokens, d_in, d_out, one.half, device)
    if not one.lora:
        backward += _matmul(d_in, d_out, tokens, one.half, device)
    return forward, backward


@functools.lru_cache(maxsize=4096)
def _matmul(m: int, n: int, k: int, half: bool, device: Device) -> float:
    """Return the seconds of an m x k by k x n multiplication."""
    width = 2 if half else 4
    moved = width * (m * k + k * n + m * n)
    efficiency = _fill(m, n, k, device.sm_count)
    if m % 8 or n % 8 or k % 8:
        efficiency *= UNALIGNED_EFFICIENCY
    return max(2.0 * m * n * k / (device.matmul_flops_per_s * efficiency), _stream(moved, device))


def _fill(m: int, n: int, k: int, sm_count: int | None) -> float:
    """Return how full the best choice of tiles keeps the multiprocessors; long sums may be split to fill them."""
    best = 0.0
    splits = max(1, min(k // 2048, 8))
    for rows, columns, reuse in TILES:
        area = -(-m // rows) * -(-n // columns)
        used = reuse * m * n / (area * rows * columns)
        if sm_count is not None:
            tiles = area * splits
            used *= tiles / (-(-tiles // sm_count) * sm_count)
        best = max(best, used)
    return best


def _stream(moved_bytes: float, device: Device) -> float:
    return moved_bytes / (device.bandwidth_bytes_per_s * BANDWIDTH_EFFICIENCY)


def _launch_seconds(model: Model, setup: Setup) -> float:
    """Return the least time of a pass in which every kernel is launched by the host [s]."""
    forward, backward = COMPILED_KERNELS if setup.compiled else EAGER_KERNELS
    again = {"none": 0.0, "selective": 0.5, "full": 1.0}[setup.checkpointing]
    return model.n_layer * (forward * (1 + again) + backward) * LAUNCH_S


def _per_step(model: Model, setup: Setup, device: Device, tokens: int, busy: float) -> dict[str, float]:
    """Return what happens once a step, or once a pass whatever its tokens: optimiser, casts, gradients, exchange."""
    count = count_parameters(model)
    held = count.total / (setup.tensor_parallel * setup.pipeline_parallel)
    trained = held if not setup.lora_rank else count_adapters(model, rank=setup.lora_rank, targets=setup.lora_targets)
    states = trained / (setup.data_parallel if setup.sharding in ("zero1", "zero2", "fsdp") else 1)
    passes = setup.gradient_accumulation_steps
    width = _state_bytes(setup)
    traffic = {"adamw": 7.0, "adamw_8bit": 4.0, "muon": 6.0, "lion": 5.0, "adafactor": 4.0, "sgd": 3.0}[setup.optimizer]
    found = {"optimiser": _stream(states * width * traffic, device)}
    if setup.optimizer == "muon":
        flops = sum(stack.count * _newton_schulz(stack.block) for stack in model.stacks)
        found["optimiser"] += flops / (device.matmul_flops_per_s * setup.gpu_count)
    found["gradients and casts"] = _stream(
        passes * (trained * 3 * width + (held * 6 if setup.precision.startswith("amp") else 0)), device
    )
    found["exchange"] = _exchange_seconds(setup, device, trained, held, busy)
    found["tensor exchange"] = _tensor_exchange_seconds(model, setup, device, tokens)
    return {name: seconds for name, seconds in found.items() if seconds}


def _state_bytes(setup: Setup) -> int:
    """Return the width of a weight, its gradient and its states."""
    return 2 if setup.precision == "bf16" and not setup.fp32_states else 4


def _newton_schulz(block: Block) -> float:
    """Return the FLOPs of five Newton-Schulz iterations on each matrix of a layer (Jordan et al. 2024, Muon)."""
    linears = [(linear, 1) for linear in (block.mixer.linears if block.mixer else ())]
    if isinstance(block.mlp, Mlp):
        linears += [(linear, 1) for linear in block.mlp.linears]
    elif block.mlp is not None:
        linears += [(linear, block.mlp.count) for linear in block.mlp.expert.linears]
        linears += [(linear, 1) for linear in (block.mlp.shared.linears if block.mlp.shared else ())]
    flops = 0.0
    for linear, count in linears:
        small, large = sorted((linear.d_in, linear.d_out))
        flops += count * 5 * (4 * small * small * large + 2 * small**3)
    return flops


def _exchange_seconds(setup: Setup, device: Device, trained: float, held: float, busy: float) -> float:
    """Return what data-parallel ranks exchange, as far as the ``busy`` seconds of arithmetic do not hide it."""
    if setup.data_parallel == 1 or setup.sharding == "none":
        return 0.0
    moved = 2.0 * trained * _state_bytes(setup)  # reduced and gathered once
    window = busy / setup.gradient_accumulation_steps  # only the last pass has gradients to send
    if setup.sharding == "fsdp":  # weights gathered twice, gradients scattered once, in half precision, every pass
        width = 4 if setup.precision == "fp32" else 2
        moved, window = setup.gradient_accumulation_steps * (2.0 * held + trained) * width, busy
    share = (setup.data_parallel - 1) / setup.data_parallel
    wire = moved * share / (device.link_bytes_per_s or UNKNOWN_LINK_BYTES_PER_S)
    return EXCHANGE_EXPOSED * wire + max(0.0, (1 - EXCHANGE_EXPOSED) * wire - OVERLAP_SHARE * window)


def _tensor_exchange_seconds(model: Model, setup: Setup, device: Device, tokens: int) -> float:
    """Return four all-reduces of the residual stream in a layer, forward and backward, which nothing hides."""
    width = 4 if setup.precision == "fp32" else 2
    share = 2 * (setup.tensor_parallel - 1) / setup.tensor_parallel
    moved = 4 * model.n_layer / setup.pipeline_parallel * tokens * model.d_model * width * share
    return setup.gradient_accumulation_steps * moved / (device.link_bytes_per_s or UNKNOWN_LINK_BYTES_PER_S)
