"""The card, the speed, and the memory of a step."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from functools import cached_property
from statistics import median_high

from ..architectures import Model
from ..facts import flops as flops_facts
from ..facts.flops import Convention, count_flops
from ..facts.memory import TrainingMemory as MemoryEstimate
from ..facts.memory import estimate_training_memory, precision_of, training_memory
from ..facts.scaling import Band
from ..facts.setup import Checkpointing, Optimizer, Setup, Sharding
from ..facts.throughput import StepTimes, attainable_mfu, processes_from_mfu, separate_step_times, undisturbed_mfu
from ..hardware import Gpu, find_gpu, suggest
from ..run import Known, Quantity, Series, Source, Unknown, derive, known, value_of
from .blueprint import VERSIONS, of_gpt2, trains_a_part
from .budget import BudgetFacts
from .model import Shape
from .naming import trainer_of

__all__ = ["MachineFacts"]

MFU_HALF_LIFE = 7
"""Logged iterations after which half of a disturbance is left in nanoGPT's running average (0.9⁷ = 0.48)."""
FORK_SLACK = 0.25
"""How far the implied processes may lie from the number of the machine's cards: an MLP left out shifts them by an eighth."""
WHOLE_SLACK = 0.1
MAX_SLACK = 0.15
"""How far from a whole number the implied processes may lie: a tenth (the shape may be a fork's), and never so far that any
number would count as whole."""


class MachineFacts(BudgetFacts):
    """Facts about hardware, throughput and memory."""

    @property
    def on_cpu(self) -> bool:
        """Whether the trainer says that it trained on the processor, so that there is no card to name."""
        device = self.run.noted.get("auscult.device")
        named = isinstance(self.run.machine.gpu_name, Known)
        return device is not None and str(device.value).startswith("cpu") and not named

    @cached_property
    def gpu_name(self) -> Quantity[str]:
        """The card's name: as given, or as the run's own name says it."""
        named = self.run.machine.gpu_name
        if isinstance(named, Known):
            return named
        for comment in self.run.comments if not self.on_cpu else ():
            if comment.key is None:
                continue
            for word in re.findall(
                r"(?i)(?:rtx[-_ ]?)?(?<!\d)(?:[345]0[6789]0(?:[-_ ]?ti)?(?:[-_ ]?super)?)(?!\d)|(?<![a-z0-9])(?:a100|h100|h200|b200|l40s|l4|t4|v100|a10|a40|a6000)(?![a-z0-9])",
                comment.text,
            ):
                if find_gpu(word.replace("_", " ").replace("-", " ")) is not None:
                    formula = f"the run's name {comment.text!r} names it; say --gpu if it is another"
                    return Known(word.upper(), Source("derived", formula=formula, inputs=(comment.source,)))
        return named

    @cached_property
    def gpu(self) -> Quantity[Gpu]:
        """The card's row in the table."""
        if isinstance(self.gpu_name, Unknown):
            return self.gpu_name
        found = find_gpu(self.gpu_name.value)
        if found is None:
            near = suggest(self.gpu_name.value)
            return Unknown(
                f"{self.gpu_name.value!r} is not in the GPU table" + (f"; near: {', '.join(near)}" if near else "")
            )
        return Known(
            found, Source("derived", formula="hardware/gpus.csv", text=found.source, inputs=(self.gpu_name.source,))
        )

    @cached_property
    def dtype(self) -> Quantity[str]:
        """The training dtype; nanoGPT's default is float16 on a card without bfloat16."""
        dtype = self.run.recipe.dtype
        if isinstance(dtype, Known) and dtype.source.how == "default" and isinstance(self.gpu, Known):
            card = self.gpu.value
            if card.vendor == "nvidia" and card.bf16_flops_per_s is None and card.fp16_flops_per_s is not None:
                return known("float16", "nanoGPT's default where the card has no bfloat16", dtype, self.gpu)
        return dtype

    @cached_property
    def peak_flops_per_s(self) -> Quantity[float]:
        """One card's dense peak for the training dtype [FLOP/s]."""
        for quantity in (self.gpu, self.dtype):
            if isinstance(quantity, Unknown):
                logged = self.run.logged.peak_flops_per_s
                return logged if isinstance(logged, Known) else quantity
        assert isinstance(self.gpu, Known)
        assert isinstance(self.dtype, Known)
        peak = self.gpu.value.peak_flops_per_s(self.dtype.value)
        if peak is None and isinstance(self.run.logged.peak_flops_per_s, Known):
            return self.run.logged.peak_flops_per_s
        if peak is None:
            return Unknown(f"no single {self.dtype.value} peak is known for {self.gpu.value.name}")
        return known(
            peak, f"dense {self.dtype.value} peak with fp32 accumulation, {self.gpu.value.name}", self.gpu, self.dtype
        )

    @cached_property
    def memory_limit_bytes(self) -> Quantity[int]:
        """One card's nominal memory [bytes]."""
        if isinstance(self.gpu, Unknown):
            return self.gpu
        memory = self.gpu.value.memory_bytes
        if memory is None:
            return Unknown(f"{self.gpu.value.name}: they differ in memory; say which")
        return known(memory, f"memory of {self.gpu.value.name}", self.gpu)

    @cached_property
    def evaluated_steps(self) -> frozenset[int]:
        """Steps at which an evaluation ran, by the log and by the config's interval."""
        steps = set(series.steps) if (series := self.run.get("val_loss")) is not None else set()
        interval, times = self.run.recipe.eval_interval, self.run.get("step_time_s")
        if isinstance(interval, Known) and times is not None:
            steps |= {step for step in times.steps if step % interval.value == 0}
        return frozenset(steps)

    @cached_property
    def step_times(self) -> Quantity[StepTimes]:
        """Steady step times, told apart from those with an evaluation inside."""
        series = self.run.get("step_time_s")
        if series is None:
            return Unknown("the log prints no step times")
        found = separate_step_times(series.steps, series.values, self.evaluated_steps)
        if found is None:
            return Unknown("every logged step holds an evaluation or the compilation")
        if not 0 < found.steady_s < math.inf:
            return Unknown(
                f"the printed step times are {found.steady_s:g} s: too short for the digits that are printed"
            )
        index = min(range(len(series)), key=lambda i: abs(series.values[i] - found.steady_s))
        return Known(
            found,
            Source("derived", formula="median of the steps without an evaluation", inputs=(series.source(index),)),
        )

    @cached_property
    def mfu_logged(self) -> Quantity[float]:
        """The MFU as printed, undisturbed by evaluations, in the trainer's own units (fraction)."""
        series = self._mfu_after_compilation
        if series is not None and (found := undisturbed_mfu(series.steps, series.values, self.evaluated_steps)):
            value, index = found
            return Known(
                value,
                Source(
                    "derived",
                    formula="median of the printed values before an evaluation enters the average",
                    inputs=(series.source(index),),
                ),
            )
        quoted = self.run.logged.mfu_range
        if isinstance(quoted, Known):
            low, high = quoted.value
            return known(0.5 * (low + high), f"middle of the quoted range {low:g} to {high:g}", quoted)
        if series is None:
            return Unknown("the log prints no MFU")
        if series is not self.run.get("mfu"):
            return Unknown("the only printed MFU is that of the step with the compilation")
        return Unknown("every printed MFU is the sentinel −100 %")

    @property
    def _mfu_after_compilation(self) -> Series | None:
        """The printed MFUs without the first, whose step holds the compilation; nanoGPT prints a sentinel for those steps."""
        series = self.run.get("mfu")
        if series is None or self._prints_share_of_process or not len(series):
            return series
        return series.take(range(1, len(series))) if len(series) > 1 or series.steps[0] <= 1 else series

    @cached_property
    def mfu_logged_printed(self) -> Quantity[float]:
        """The MFU that the trainer printed, in its own units (fraction): the median of what the log shows.

        Where evaluations come so often that nanoGPT's running average never recovers from them, its undisturbed value.
        """
        series = self.run.get("mfu")
        if series is None or not len(series.finite()):
            return self.mfu_logged
        series = series.finite()
        disturbed = sum(step in self.evaluated_steps for step in series.steps)
        if self._prints_share_of_process and disturbed * MFU_HALF_LIFE > len(series):
            return self.mfu_logged
        middle = median_high(series.values)
        index = min(range(len(series)), key=lambda i: abs(series.values[i] - middle))
        return Known(
            middle,
            Source(
                "derived", formula="median of the printed values (the upper one of two)", inputs=(series.source(index),)
            ),
        )

    @cached_property
    def mfu_logged_last(self) -> Quantity[float]:
        """The last MFU that the trainer printed, in its own units (fraction)."""
        series = self.run.get("mfu")
        if series is None or not len(series):
            return Unknown("the log prints no MFU")
        return Known(series.values[-1], series.source(len(series) - 1))

    @cached_property
    def flops_per_token(self) -> Quantity[int]:
        """FLOPs of one token, forward and backward [FLOPs/token].

        PaLM's count; of a GPT-2 nanoGPT's, which multiplies by every parameter but the positions.
        """

        def count(model: Model, context: int) -> int:
            convention: Convention = "nanogpt" if model.family == "gpt2" else "palm"
            return count_flops(model, context=context, convention=convention).training

        model = self.model if isinstance(self.parameter_count, Known) else self.parameter_count
        gpt2 = isinstance(model, Known) and model.value.family == "gpt2"
        frozen = (
            trains_a_part(self.run, self.parameter_count.value) if isinstance(self.parameter_count, Known) else None
        )
        counted: Quantity[int] = Unknown(frozen or "")
        if frozen is None:
            formula = "6N + 12·L·d·T (PaLM; N without the position table)" if gpt2 else "PaLM's count, by part"
            counted = derive(formula, count, model=model, context=self.run.recipe.architecture.context)
        logged = self.run.logged.flops_per_token
        versioned = (
            isinstance(model, Known) and model.value.family in VERSIONS
        )  # windows changed with the versions, too
        if isinstance(logged, Unknown) or (isinstance(counted, Known) and not versioned):
            return counted
        return known(round(logged.value), "FLOPs per token as the trainer prints them", logged)

    def _processes_if_divided_by(self, peak_flops_per_s: float) -> Quantity[float]:
        """The processes that the printed MFU implies, were it a share of some peak; a whole number where it was."""

        def count(mfu: float, times: StepTimes, flops: int, per_step: int) -> float:
            return processes_from_mfu(
                mfu_logged=mfu,
                step_time_s=times.steady_s,
                flops_per_token=flops,
                tokens_per_step=per_step,
                peak_flops_per_s=peak_flops_per_s,
            )

        if self.run.get("mfu") is None:
            return Unknown("the log prints no MFU")
        if isinstance(self.mfu_logged, Known) and self.mfu_logged.value <= 0:
            return Unknown("the printed MFU is 0.00 %: too small to tell how many processes share a step")
        return derive(
            f"FLOPs of a step / (step time · printed MFU · {peak_flops_per_s / 1e12:g} TFLOP/s)",
            count,
            mfu=self.mfu_logged,
            times=self.step_times,
            flops=self.flops_per_token,
            per_step=self.tokens_per_step,
        )

    def _whole(self, ratio: Quantity[float]) -> Quantity[int]:
        """Return a number of processes when it is whole and nanoGPT could run with it."""
        if isinstance(ratio, Unknown):
            return ratio
        whole, steps = round(ratio.value), value_of(self.run.recipe.gradient_accumulation_steps)
        if (
            whole < 1
            or abs(ratio.value - whole) > min(WHOLE_SLACK * whole, MAX_SLACK)
            or (steps is not None and steps % whole)
        ):
            return Unknown(
                f"the printed MFU and step time imply {ratio.value:.2f} processes: config and log do not fit together"
            )
        return Known(whole, ratio.source)

    @property
    def _prints_share_of_process(self) -> bool:
        """Whether the printed MFU is nanoGPT's: each process prints that of its own share of the step, of an A100's peak."""
        said, series = self.run.logged.mfu_peak_flops_per_s, self.run.get("mfu")
        if series is None:
            return True  # a person quotes it, of a nanoGPT log
        built_in = isinstance(said, Known) and said.source.how == "default"
        return built_in and series.scope == "rank" and value_of(said) == flops_facts.A100_PEAK_FLOPS_PER_S

    @cached_property
    def mfu_logged_peak(self) -> Quantity[float]:
        """The peak of which the printed MFU is a share [FLOP/s]: nanoGPT's 312 TFLOP/s, unless the numbers show another."""
        if isinstance(self.mfu_logged, Unknown):
            return self.mfu_logged
        said = self.run.logged.mfu_peak_flops_per_s
        if not self._prints_share_of_process:
            return said
        stock = known(flops_facts.A100_PEAK_FLOPS_PER_S, "nanoGPT divides by an A100's 312 TFLOP/s", self.mfu_logged)
        if isinstance(self._whole(self._processes_if_divided_by(stock.value)), Known):
            return stock
        peak = self.peak_flops_per_s
        if isinstance(peak, Known) and isinstance(self._whole(self._processes_if_divided_by(peak.value)), Known):
            return known(peak.value, "printed MFU and step time fit this card's own peak", self.mfu_logged, peak)
        return stock

    @cached_property
    def processes_in_log(self) -> Quantity[int]:
        """How many processes share a step, by the MFU that each prints for its share."""
        if isinstance(self.mfu_logged_peak, Unknown):
            return self.mfu_logged_peak
        if not self._prints_share_of_process:
            return Unknown("its MFU is not that of one process's share of a step")
        return self._whole(self._processes_if_divided_by(self.mfu_logged_peak.value))

    @property
    def _all_cards(self) -> Quantity[int]:
        """All cards of the machine, where the printed MFU fits them roughly: a fork's shape need not be nanoGPT's."""
        held = self.run.noted.get("wandb.gpu_count")
        if held is None or isinstance(self.mfu_logged_peak, Unknown) or not self._prints_share_of_process:
            return Unknown("the number of the machine's cards is not known")
        ratio = self._processes_if_divided_by(self.mfu_logged_peak.value)
        if isinstance(ratio, Unknown) or abs(ratio.value / held.value - 1) > FORK_SLACK:
            return Unknown("the printed MFU does not fit the machine's cards")
        return known(held.value, "the machine's cards, which the printed MFU fits to within a quarter", held, ratio)

    @cached_property
    def processes(self) -> Quantity[int]:
        """How many devices share a step: what the log proves, else as given."""
        if isinstance(self.processes_in_log, Known):
            return self.processes_in_log
        for named in (self.run.machine.gpu_count, self.run.recipe.world_size):
            if isinstance(named, Known):
                return named
        if isinstance(self._all_cards, Known):
            return self._all_cards
        given = self.run.machine.gpu_count
        return given if self.run.get("mfu") is None or not self._prints_share_of_process else self.processes_in_log

    @cached_property
    def tokens_per_s(self) -> Quantity[float]:
        """Steady throughput of all devices together [tokens/s]."""
        if isinstance(self.step_times, Known):
            return derive(
                "tokens per step / steady step time",
                lambda per_step, times: per_step / times.steady_s,
                per_step=self.tokens_per_step,
                times=self.step_times,
            )
        rates = self.run.get("tokens_per_s")
        if rates is not None and rates.scope == "global" and len(finite := rates.finite()):
            middle = median_high(finite.values)
            index = min(range(len(finite)), key=lambda i: abs(finite.values[i] - middle))
            return Known(
                middle, Source("derived", formula="median of the printed rates", inputs=(finite.source(index),))
            )
        if isinstance(self.mfu_logged, Known) and self.mfu_logged.value > 0:  # each process prints its own share's MFU
            cards = value_of(self.processes) or 1
            return derive(
                "devices · printed MFU · the peak it is a share of / FLOPs per token",
                lambda mfu, share_of, flops: cards * mfu * share_of / flops,
                mfu=self.mfu_logged,
                share_of=self.mfu_logged_peak,
                flops=self.flops_per_token,
            )
        return self.step_times

    @cached_property
    def step_time_s(self) -> Quantity[float]:
        """Steady time of one step [s]."""
        if isinstance(self.step_times, Known):
            return known(self.step_times.value.steady_s, "median of the steps without an evaluation", self.step_times)
        return derive(
            "tokens per step / tokens per second",
            lambda per_step, rate: per_step / rate if rate > 0 else math.inf,
            per_step=self.tokens_per_step,
            rate=self.tokens_per_s,
        )

    @cached_property
    def flops_per_s(self) -> Quantity[float]:
        """Model FLOP/s achieved by all devices together [FLOP/s]."""
        return derive(
            "tokens/s · FLOPs per token",
            lambda rate, flops: rate * flops,
            rate=self.tokens_per_s,
            flops=self.flops_per_token,
        )

    def hours_for(self, shape: Quantity[Shape]) -> Quantity[Band]:
        """The hours that all planned tokens take in a model of some shape on this machine [h].

        At the FLOP/s that the run achieves where the log shows it; otherwise between the ends of what public runs reach
        on such a card.
        """

        def total(shape: Shape, tokens: int) -> float:
            per_token = flops_facts.flops_per_token(
                params_without_position=shape.parameters.without_position,
                n_layer=shape.n_layer,
                d_model=shape.d_model,
                context=shape.context,
            )
            return float(per_token) * tokens

        flops = derive("FLOPs of all planned tokens", total, shape=shape, tokens=self.tokens_planned)
        if isinstance(shape, Unknown) and self.draws_all:
            flops = derive(
                "FLOPs of all planned tokens",
                lambda per_token, tokens: float(per_token) * tokens,
                per_token=self.flops_per_token,
                tokens=self.tokens_planned,
            )
        if isinstance(self.flops_per_s, Known):
            return derive(
                "FLOPs of all planned tokens / FLOP/s achieved now",
                lambda flops, rate: Band(*(3 * (flops / rate / 3600,))),
                flops=flops,
                rate=self.flops_per_s,
            )
        if isinstance(self.gpu, Unknown):
            return self.gpu
        low, high = attainable_mfu(self.gpu.value.name)
        cards = value_of(self.run.machine.gpu_count) or 1

        def span(flops: float, peak: float) -> Band:
            ideal = flops / (peak * cards) / 3600
            return Band(ideal / high, ideal / math.sqrt(low * high), ideal / low)

        formula = f"FLOPs of all planned tokens at {100 * low:.0f} to {100 * high:.0f} % of the peak of {cards} card{'s' if cards > 1 else ''}"
        return derive(formula, span, flops=flops, peak=self.peak_flops_per_s)

    @cached_property
    def mfu(self) -> Quantity[float]:
        """Model FLOPs utilisation against this card's own peak (fraction)."""
        compared = isinstance(self._processes_if_divided_by(flops_facts.A100_PEAK_FLOPS_PER_S), Known)
        if isinstance(self.processes, Unknown) and isinstance(self.mfu_logged, Known) and not compared:
            return derive(
                "printed MFU · the peak it is a share of / this card's peak",
                lambda mfu, share_of, peak: mfu * share_of / peak,
                mfu=self.mfu_logged,
                share_of=self.mfu_logged_peak,
                peak=self.peak_flops_per_s,
            )
        return derive(
            "achieved FLOP/s / (devices · peak)",
            lambda achieved, peak, devices: achieved / (peak * devices),
            achieved=self.flops_per_s,
            peak=self.peak_flops_per_s,
            devices=self.processes,
        )

    def memory_for(self, shape: Shape | None, batch_size: int, dropout: float) -> Quantity[MemoryEstimate]:
        """Estimate the memory of a step of some shape under this run's dtype and compilation [bytes].

        Without a shape, of the model as it is drawn: of auscult's own trainer, whose every setting is known.
        """
        if trainer_of(self.run) == "auscult train":
            return self._memory_of_ours(shape, batch_size, dropout)
        if shape is None:
            return (
                self.shape
                if isinstance(self.shape, Unknown)
                else self.memory_for(self.shape.value, batch_size, dropout)
            )
        count = shape.parameters
        return derive(
            "memory by part",
            lambda dtype, compiled: estimate_training_memory(
                parameters=count,
                n_layer=shape.n_layer,
                n_head=shape.n_head,
                d_model=shape.d_model,
                vocab_size=shape.vocab_size,
                context=shape.context,
                batch_size=batch_size,
                dropout=dropout,
                dtype=dtype,
                compiled=compiled,
            ),
            dtype=self.dtype,
            compiled=self.run.recipe.compile,
        )

    @cached_property
    def memory(self) -> Quantity[MemoryEstimate]:
        """The estimated memory of one step of this run on one card [bytes]."""
        shape, batch, dropout = self.shape, self.run.recipe.batch_size, self.run.recipe.dropout
        if isinstance(shape, Unknown) and not self.draws_all:
            return shape
        if isinstance(batch, Unknown):
            return batch
        if isinstance(dropout, Unknown):
            return dropout
        return self.memory_for(value_of(shape), batch.value, dropout.value)

    @property
    def wrote_no_checkpoint(self) -> bool:
        """Whether the log, which tells of every checkpoint, tells of none: only auscult's own does."""
        silent = not any(notice.kind in ("checkpoint", "resumed") for notice in self.run.notices)
        return silent and self.run.dialect == "auscult_log"

    @property
    def draws_all(self) -> bool:
        """Whether what needs a GPT-2's shape elsewhere is worked out of the blueprint: auscult's own trainer, any family."""
        return trainer_of(self.run) == "auscult train" and isinstance(self.model, Known)

    def _memory_of_ours(self, shape: Shape | None, batch_size: int, dropout: float) -> Quantity[MemoryEstimate]:
        """Estimate a step of auscult's own trainer [bytes]."""
        model = self.model
        if shape is not None and shape != value_of(self.shape):
            numbers = {item.name: getattr(shape, item.name) for item in fields(Shape)}
            if shape.d_model % shape.n_head:
                numbers["n_head"] = 1
            model = known(of_gpt2(**numbers), "GPT-2 of that shape")

        def said(name: str) -> str | None:
            became, asked = (self.run.noted.get(f"auscult.{key}") for key in (name, f"machine.{name}"))
            return str(became.value) if became is not None else str(asked.value) if asked is not None else None

        ranks = value_of(self.processes) or 1
        optimizer: Optimizer = "muon" if value_of(self.run.recipe.optimizer) == "muon" else "adamw"
        checkpointing: Checkpointing = "full" if said("checkpointing") == "full" else "none"
        sharding: Sharding = "none" if ranks == 1 else "fsdp" if said("sharding") == "fsdp" else "ddp"
        return derive(
            "memory by part",
            lambda model, context, dtype, compiled: training_memory(
                model,
                Setup(
                    micro_batch=batch_size,
                    context=context,
                    gradient_accumulation_steps=2,
                    precision=precision_of(dtype),
                    compiled=compiled,
                    dropout=dropout,
                    loss="fused" if said("cross_entropy") == "chunked" else "eager",
                    optimizer=optimizer,
                    checkpointing=checkpointing,
                    sharding=sharding,
                    data_parallel=ranks,
                ),
            ),
            model=model,
            context=self.run.recipe.architecture.context,
            dtype=self.dtype,
            compiled=self.run.recipe.compile,
        )
