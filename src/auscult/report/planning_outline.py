"""What the answer to ``auscult plan`` says, before it is drawn: the best plan first, then the others, then what fails and why."""

from __future__ import annotations

from dataclasses import dataclass

from ..facts.scaling import Band
from ..facts.setup import Setup
from ..planner.plan import Plan, Planning
from ..planner.search import Choice
from ..prose import duration, si
from .outline import Block, Bullets, Paragraph, Section, Table
from .printable import printable

__all__ = ["PlanScreen", "layout_name", "plan_screen", "plan_sections"]

GIB = 2**30
SHOWN_REFUSALS = 8


@dataclass(frozen=True, slots=True)
class PlanScreen:
    """The first lines: what was asked, what makes it impossible, and the best plan under labels."""

    header: str
    binding: str
    rows: tuple[tuple[str, str], ...]


def layout_name(setup: Setup) -> str:
    """Return how the cards share the model, in a few words.

    Examples
    --------
    >>> layout_name(Setup(1, 1024, sharding="fsdp", data_parallel=4, tensor_parallel=2))
    'FSDP 4 × TP 2'
    """
    if setup.gpu_count == 1:
        return "one card"
    names = {"none": "replicas", "ddp": "DDP", "zero1": "ZeRO-1", "zero2": "ZeRO-2", "fsdp": "FSDP"}
    data = f"{names[setup.sharding]} {setup.data_parallel}" if setup.data_parallel > 1 else ""
    tensor = f"TP {setup.tensor_parallel}" if setup.tensor_parallel > 1 else ""
    return " × ".join(part for part in (data, tensor) if part)


def plan_screen(planning: Planning) -> PlanScreen:
    """Compose the first screen of a plan."""
    request, machine = planning.request, planning.machine
    cards = f"{machine.count} × " if machine.count > 1 else ""
    header = f"plan for {cards}{machine.gpu.name}, {machine.limit_bytes / GIB:.1f} GiB usable each"
    if request.dataset:
        header += f", on {printable(request.dataset)}"
    binding = f"Not possible as asked: {planning.binding}." if planning.binding is not None else ""
    return PlanScreen(header, binding, _rows(planning.plans[0]) if planning.plans else ())


def _rows(plan: Plan) -> tuple[tuple[str, str], ...]:
    setup, memory = plan.choice.setup, plan.choice.memory
    rows = [
        ("change", "; ".join(map(str, plan.changed))) if plan.changed else ("", ""),
        ("model", f"{shape_name(plan)}: {plan.parameters.total:,} parameters; {plan.target.why}"),
        ("batch", f"{_batch(plan.choice)} = {setup.tokens_per_step:,} tokens a step, exactly"),
        ("how", f"{_how(setup)}; {plan.why}"),
        (
            "memory",
            f"{memory.total_bytes / GIB:.1f} GiB a card ({memory.low_bytes / GIB:.1f}–{memory.high_bytes / GIB:.1f})",
        ),
        (
            "speed",
            f"{_band_si(plan.tokens_per_s)} tokens/s, {plan.choice.step.mfu.value:.0%} of the peak".replace("%", " %"),
        ),
        (
            "run",
            f"{plan.steps:,} steps, {si(plan.tokens, 4)} tokens: {duration(plan.hours.low, plan.hours.high)}{_spent(plan)}",
        ),
        (
            "rate",
            f"learning rate {plan.learning_rate.value:.1e} ({plan.learning_rate.low:.1e}–{plan.learning_rate.high:.1e})",
        ),
    ]
    if plan.expected is not None:
        band, anchor = plan.expected
        rows.append(("expect", f"loss {band.low:.2f}–{band.high:.2f} at the end, after {anchor.name}"))
    return tuple(row for row in rows if row[0])


def shape_name(plan: Plan) -> str:
    """Return the architecture in a few words."""
    model = plan.target.model
    heads = next((f", {a.n_head} heads" for a, _count in model.attentions), "")
    return f"{model.family}, {model.n_layer} layers × {model.d_model} wide{heads}, vocabulary {model.vocab_size:,}"


def _batch(choice: Choice) -> str:
    setup = choice.setup
    ranks = f" × {setup.data_parallel} cards" if setup.data_parallel > 1 else ""
    return f"{setup.micro_batch} × {setup.gradient_accumulation_steps} accumulation steps{ranks}, {setup.context:,} tokens each"


def _how(setup: Setup) -> str:
    parts = [
        layout_name(setup),
        "compiled" if setup.compiled else "eager",
        {"none": "no checkpointing", "selective": "selective checkpointing", "full": "full checkpointing"}[
            setup.checkpointing
        ],
        setup.precision.replace("_", " "),
    ]
    if setup.optimizer != "adamw":
        parts.append(setup.optimizer.replace("_", " "))
    return ", ".join(parts)


def _how_briefly(setup: Setup) -> str:
    """Return what tells the choices of one answer apart: the layout, compilation, and checkpointing where there is any."""
    parts = [layout_name(setup)] if setup.gpu_count > 1 else []
    parts.append("compiled" if setup.compiled else "eager")
    if setup.checkpointing != "none":
        parts.append(f"{setup.checkpointing} checkpoints")
    return ", ".join(parts)


def _band_si(band: Band) -> str:
    return f"{si(band.value)} ({si(band.low)}–{si(band.high)})"


def _spent(plan: Plan) -> str:
    parts = []
    if plan.energy_kwh is not None:
        parts.append(f"{_range(plan.energy_kwh)} kWh")
    if plan.cost is not None:
        parts.append(f"cost {_range(plan.cost)}")
    return "".join(f", {part}" for part in parts)


def _range(band: Band) -> str:
    def shown(value: float) -> str:
        return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"

    low, high = shown(band.low), shown(band.high)
    return low if low == high else f"{low}–{high}"


def plan_sections(planning: Planning) -> list[Section]:
    """Compose what stands below the first screen."""
    found: list[Section] = []
    if planning.plans:
        found.append(_memory_section(planning.plans[0], planning.machine.limit_bytes))
        found.append(_basis_section(planning))
    if len(planning.plans) > 1:
        found.append(_plans_section(planning))
    if planning.refused:
        found.append(_refused_section(planning))
    return found


def _memory_section(plan: Plan, limit_bytes: int) -> Section:
    memory = plan.choice.memory
    parts = sorted(memory.parts.items(), key=lambda item: -item[1])
    rows = tuple((name.replace("_", " "), f"{size / GIB:.2f}") for name, size in parts if size)
    total = ("total", f"{memory.total_bytes / GIB:.2f}")
    limit = ("usable", f"{limit_bytes / GIB:.2f}")
    phases = ", ".join(f"{name.replace('_', ' ')} {size / GIB:.2f}" for name, size in memory.phases.items())
    blocks: tuple[Block, ...] = (
        Table(("part", "GiB"), (*rows, total, limit), frozenset({1})),
        Paragraph(
            f"The peak is in the phase {memory.peak_phase.replace('_', ' ')}. Allocated in each phase, GiB: {phases}."
        ),
    )
    return Section("Memory of a card", blocks)


def _basis_section(planning: Planning) -> Section:
    best = planning.plans[0]
    items = [*(f"assumed: {note}" for note in planning.assumed)]
    items += [f"learning rate {basis.value:.1e}: {basis.name} ({basis.source})" for basis in best.learning_rate.basis]
    if best.expected is not None:
        items.append(f"expected loss: {best.expected[1].source}")
    items.append(f"card: {planning.machine.gpu.source}")
    return Section("What it rests on", (Bullets(tuple(printable(item) for item in items)),))


def _plans_section(planning: Planning) -> Section:
    rows = []
    for plan in planning.plans:
        setup = plan.choice.setup
        rows.append(
            (
                f"{si(plan.parameters.total, 4)} ({plan.target.model.n_layer} × {plan.target.model.d_model})",
                f"{setup.micro_batch} × {setup.gradient_accumulation_steps}",
                _how_briefly(setup),
                f"{plan.choice.memory.total_bytes / GIB:.1f}",
                si(plan.tokens_per_s.value),
                duration(plan.hours.low, plan.hours.high),
                "; ".join(map(str, plan.changed)) or "–",
            )
        )
    differ = any(plan.changed for plan in planning.plans)
    columns = ("model", "batch", "how", "GiB", "tokens/s", "time", "changed")
    kept = len(columns) if differ else len(columns) - 1
    shown = tuple(row[:kept] for row in rows)
    return Section("Plans, best first", (Table(columns[:kept], shown, frozenset({3, 4})),))


def _refused_section(planning: Planning) -> Section:
    rows = []
    for refusal in planning.refused[:SHOWN_REFUSALS]:
        setup = refusal.setup
        rows.append(
            (f"{setup.micro_batch} × {setup.gradient_accumulation_steps}", _how_briefly(setup), str(refusal.reason))
        )
    return Section("Refused", (Table(("batch", "how", "why"), tuple(rows)),))
