"""What a report says, before it is drawn: the first screen and the sections below it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from ..checks.base import Clear, Finding
from ..diagnosis import Diagnosis
from ..examination import trainer_of
from ..facts.flops import A100_PEAK_FLOPS_PER_S
from ..prose import duration, si
from ..readers.registry import title_of
from ..run import Known, Quantity, Series, Source, Unknown, value_of
from .printable import printable

__all__ = ["Block", "Bullets", "Code", "Curve", "Paragraph", "Row", "Screen", "Section", "Table", "screen", "sections"]

SHOWN_EVIDENCE = 3
SHOWN_HYPOTHESES = 6
SHOWN_LINES = 4
LEAST_TFLOPS = 0.1
"""A slower run, on a processor, is told in GFLOP/s."""


@dataclass(frozen=True, slots=True)
class Row:
    """One finding on the first screen."""

    worth: str
    code: str
    headline: str
    place: str
    severity: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The judged loss curve and what is noted beside it."""

    label: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Screen:
    """The first screen: what a tired person reads."""

    header: str
    summary: str
    curve: Curve | None
    rows: tuple[Row, ...]
    fine: str
    prescription: tuple[str, ...]
    next_command: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; columns named in ``right`` are aligned to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be shown as it is."""

    text: str


Block = Paragraph | Bullets | Table | Code


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with blocks."""

    title: str
    blocks: tuple[Block, ...]


def _minus(text: str) -> str:
    """Return the text with a true minus before numbers."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def worth(finding: Finding) -> str:
    """Return what acting on a finding is worth, in a few characters."""
    effect = finding.effect
    match effect.unit:
        case _ if effect.reason and finding.severity != "error":
            return "unknown"
        case "nats" if effect.value is not None:
            return _minus(f"{effect.value:+.2f} nats") if effect.value > 0 else _minus(f"{effect.value:.2f} nats")
        case "hours" if effect.value is not None:
            hours = effect.value
            return _minus(f"{hours:.1f} h" if abs(hours) >= 0.95 else f"{60 * hours:.0f} min")
        case _:
            return "must fix" if finding.severity == "error" else "clarity"


def _place(evidence: Iterable[Source]) -> str:
    first = next((source for source in evidence if source.file is not None), None)
    return first.place if first is not None else ""


def screen(diagnosis: Diagnosis, invocation: str) -> Screen:
    """Compose the first screen.

    Parameters
    ----------
    diagnosis : Diagnosis
        What is told.
    invocation : str
        Paths and options as the user gave them, for the next command.
    """
    rows = tuple(Row(worth(f), f.code, str(f.headline), _place(f.evidence), f.severity) for f in diagnosis.findings)
    return printable(
        Screen(
            header=_header(diagnosis),
            summary=str(diagnosis.verdict.summary),
            curve=_curve(diagnosis),
            rows=rows,
            fine=_fine(diagnosis),
            prescription=_prescription(diagnosis),
            next_command=_next(diagnosis, invocation),
        )
    )


def _header(d: Diagnosis) -> str:
    exam, a = d.examination, d.run.recipe.architecture
    parts = [d.run.name, title_of(d.run.dialect)]
    if isinstance(a.n_layer, Known) and isinstance(a.d_model, Known):
        parts.append(f"{a.n_layer.value} layers × {a.d_model.value} wide")
    if isinstance(exam.parameter_count, Known):
        parts.append(f"{si(exam.parameter_count.value.total, 4)} parameters")
    elif isinstance(exam.parameters_for_laws, Known):
        parts.append(f"{si(exam.parameters_for_laws.value, 4)} parameters as printed")
    last, seen = value_of(exam.last_step), value_of(exam.tokens_seen)
    planned, total = value_of(d.run.recipe.max_steps), value_of(exam.tokens_planned)
    if last is not None:
        parts.append((f"{si(seen)} tokens in " if seen else "") + f"{last:,} steps")
    elif planned is not None:
        parts.append((f"{si(total)} tokens in " if total is not None else "") + f"{planned:,} steps planned")
    name = exam.gpu.value.name if isinstance(exam.gpu, Known) else value_of(exam.gpu_name)
    if name is not None:
        count = value_of(exam.processes)
        parts.append(f"{count} × {name}" if count is not None and count > 1 else name)
    return " · ".join(parts)


def _curve(d: Diagnosis) -> Curve | None:
    exam = d.examination
    judged = value_of(exam.judged_series)
    names = ([judged.name] if judged is not None else []) + ["val_loss", "train_loss_eval", "train_loss"]
    series: Series | None = next((found for name in names if (found := d.run.get(name)) is not None), None)
    if series is None:
        return None
    shown = series.finite().latest_pass().where(lambda step, _value: step > 0)
    if not len(shown):
        return None
    notes = [f"{shown.values[-1]:.3f} at step {shown.steps[-1]:,}"]
    if isinstance(exam.slope, Known):
        slope = exam.slope.value
        notes.append(_minus(f"slope {slope.value:.2f} ± {slope.high - slope.value:.2f} nats per e-fold of tokens"))
    if isinstance(exam.noise, Known):
        one = "iteration" if series.name == "train_loss" else "evaluation"
        notes.append(f"one {one}: ± {exam.noise.value.sd:.3f}")
    return Curve(series.name.replace("_", " "), tuple(shown.steps), tuple(shown.values), tuple(notes))


def _fine(d: Diagnosis) -> str:
    clear = [o for o in d.outcomes if isinstance(o.verdict, Clear)]
    found = {o.check.family for o in d.outcomes if o.word in ("found", "cannot_tell")}
    families = sorted({o.check.family for o in clear} - found)
    unsure = sum(o.word == "cannot_tell" for o in d.outcomes)
    text = f"fine: {len(clear)} checks" + (f" ({', '.join(families)} throughout)" if families else "")
    return text + (f" · cannot tell: {unsure} (--verbose says why)" if unsure else "")


def _prescription(d: Diagnosis) -> tuple[str, ...]:
    p, exam = d.prescription, d.examination
    edits = {edit.setting: (edit.word, edit.after) for edit in p.edits}
    lines: list[str] = []
    batch = [edits.pop(key) for key in ("batch_size", "gradient_accumulation_steps") if key in edits]
    parts = [f"{word} {after}" for word, after in edits.values()]
    facts = []
    if batch:
        parts.append(" × ".join(f"{word} {after}" for word, after in batch))
        facts.append(f"{value_of(p.tokens_per_step) or 0:,} tokens a step, as now")
    broken = any(f.severity == "error" for f in d.findings)
    if parts:
        lines.append(" · ".join(parts))
    elif isinstance(exam.shape, Unknown) and not exam.draws_all:
        lines.append(f"unknown: {exam.shape.reason.partition(': ')[2] or exam.shape.reason}")
    else:
        lines.append(
            "no edit that can be written for you: see the findings" if broken else "nothing to change in the recipe"
        )
    unmended = [f.code for f in d.findings if f.severity == "error" and not f.edits]
    if parts and unmended:
        lines.append(f"{' and '.join(unmended)} first: no edit mends it")
    if isinstance(p.fit, Unknown) and isinstance(exam.gpu_name, Known):
        lines.append(f"memory: {p.fit.reason}")
    if isinstance(p.fit, Known):
        facts.append(f"{p.fit.value.memory.total / 2**30:.1f} of {p.fit.value.limit_bytes / 2**30:.1f} GiB")
    unfit = d.find("MEM001") is not None and isinstance(p.fit, Unknown)
    if isinstance(p.hours, Known) and isinstance(d.run.recipe.max_steps, Known) and not unfit:
        facts.append(f"{duration(p.hours.value.low, p.hours.value.high)} for {d.run.recipe.max_steps.value:,} steps")
    if facts:
        lines.append(" · ".join(facts))
    ours = trainer_of(d.run) == "auscult train"
    if exam.wrote_no_checkpoint and p.edits:
        lines.append("start again: no checkpoint was written")
    elif isinstance(p.resume, Known) and p.edits and d.run.series:
        resume = p.resume.value
        lines.append(
            f"a checkpoint can be resumed{' (--accept-changes)' if ours else ''}"
            if resume.possible
            else f"restart from step 0: {len(resume.changes)} tensors change shape"
        )
    if p.expected:
        bands = ", ".join(
            f"{e.band.low:.2f}–{e.band.high:.2f} at {'step ' if i == 0 else ''}{e.step:,}"
            for i, e in enumerate(p.expected)
        )
        gap = d.find("REG004")
        easier = f" (val here reads {abs(gap.numbers['gap']):.2f} lower)" if gap else ""
        lines.append(f"expect {bands}{easier}")
    elif isinstance(exam.run.recipe.dataset, Known):
        lines.append(f"expected loss: unknown, {p.expected_reason}")
    return tuple(lines)


def _next(d: Diagnosis, invocation: str) -> str:
    config = d.run.config
    false_comment = d.find("LOG002") is not None
    if config is not None and config.path is not None and (d.prescription.edits or false_comment):
        old = PurePath(config.file)
        new = old.with_name(f"{old.stem}_fixed{old.suffix}").name
        return f"auscult fix {invocation} --write {shlex.quote(new)}"
    if isinstance(d.run.recipe.max_steps, Unknown) and config is None:
        return f"auscult diagnose {invocation} CONFIG.py"
    if isinstance(d.examination.gpu, Unknown) and d.run.series and not d.examination.on_cpu:
        return f'auscult diagnose {invocation} --gpu "NAME"'
    if d.findings:
        return f"auscult explain {d.findings[0].code}"
    return f"auscult diagnose {invocation} --verbose"


# -- below the first screen --------------------------------------------------------------------------------------------


def sections(diagnosis: Diagnosis, *, verbose: bool = False) -> tuple[Section, ...]:
    """Compose what stands below the first screen; ``verbose`` adds every check with its reason."""
    parts = [
        _findings(diagnosis),
        _differential(diagnosis),
        _numbers(diagnosis),
        _memory(diagnosis),
        _resume(diagnosis),
    ]
    if verbose:
        parts.append(_checks(diagnosis))
    return printable(tuple(part for part in parts if part is not None))


def _findings(d: Diagnosis) -> Section | None:
    blocks: list[Block] = []
    for f in d.findings:
        low, high = f.effect.low, f.effect.high
        span = (
            _minus(f" ({low:.2f} to {high:.2f})")
            if f.effect.unit == "nats" and low is not None and high is not None and low != high
            else ""
        )
        blocks.append(Paragraph(f"{f.code} {f.name} [{f.severity}, worth {worth(f)}{span}]"))
        items = [_sentence(str(f.message)), _sentence(str(f.meaning)), "→ " + _sentence(str(f.action))]
        if f.effect.reason:
            items.append(_sentence(f"in {f.effect.unit} its worth is unknown: {f.effect.reason}"))
        shown = [s for s in dict.fromkeys(f.evidence) if s.file is not None][:SHOWN_EVIDENCE]
        items += [f"{source.place}  {source.text or ''}".rstrip() for source in shown]
        blocks.append(Bullets(tuple(items)))
    return Section("Findings", tuple(blocks)) if blocks else None


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:] if text and not re.match(r"[a-z_]+[_.\d]", text) else text
    return text if text.endswith((".", "?", "!")) else text + "."


def _differential(d: Diagnosis) -> Section:
    blocks: list[Block] = []
    for rank, h in enumerate(d.hypotheses):
        if (rank and not h.evidence_for and not h.evidence_against) or rank >= SHOWN_HYPOTHESES:
            continue
        share = f"{100 * h.probability:.0f} %" if h.probability >= 0.01 else "below 1 %"
        blocks.append(Paragraph(f"{h.cause.replace('_', ' ')}: {share}"))
        items = [f"for      {text}" for text in h.evidence_for] + [f"against  {text}" for text in h.evidence_against]
        blocks.append(Bullets((*(_minus(item) for item in items), f"to tell  {h.test}")))
    return Section("Why the loss stopped falling, or has not: the causes weighed", tuple(blocks))


def _from(quantity: Quantity[object]) -> str:
    """Return where a value comes from: its formula, and the lines that went into it."""
    if isinstance(quantity, Unknown):
        return quantity.reason
    lines: dict[str, list[int]] = {}
    for source in quantity.source.leaves():
        lines.setdefault(source.file or "", [])
        if source.line is not None and source.line not in lines[source.file or ""]:
            lines[source.file or ""].append(source.line)
    places = [
        f"{file}:{','.join(map(str, sorted(numbers)[:SHOWN_LINES]))}" if numbers else file
        for file, numbers in lines.items()
    ]
    formula = quantity.source.formula or ""
    return " · ".join([*places, formula] if formula else places)


def _numbers(d: Diagnosis) -> Section:
    e, rows = d.examination, []

    def add(name: str, quantity: Quantity[object], text: str | None) -> None:
        rows.append((name, text if isinstance(quantity, Known) and text is not None else "unknown", _from(quantity)))

    count = value_of(e.parameter_count)
    add("parameters, total", e.parameter_count, f"{count.total:,}" if count else None)
    if count is None or count.position:
        add("  as nanoGPT counts them", e.parameter_count, f"{count.without_position:,}" if count else None)
    tied = ", tied to the head" if count is None or count.tied_head else ""
    add(f"  token embedding{tied}", e.parameter_count, f"{count.embedding:,}" if count else None)
    add("  without embeddings", e.parameter_count, f"{count.non_embedding:,}" if count else None)
    vocab, bias, _proved = e.vocab_and_bias
    add("vocabulary", vocab, f"{value_of(vocab):,}" if isinstance(vocab, Known) else None)
    add("biases", bias, ("yes" if bias.value else "no") if isinstance(bias, Known) else None)
    per_step, seen, planned = value_of(e.tokens_per_step), value_of(e.tokens_seen), value_of(e.tokens_planned)
    add("tokens per step", e.tokens_per_step, f"{per_step:,}" if per_step else None)
    add("tokens seen", e.tokens_seen, f"{seen:,}" if seen is not None else None)
    add("tokens planned", e.tokens_planned, f"{planned:,}" if planned else None)
    ratio, epochs = value_of(e.chinchilla_ratio), value_of(e.epochs)
    add(
        "times the 20-tokens rule",
        e.chinchilla_ratio,
        f"{ratio:.1f}" if ratio is not None and ratio >= 0.1 else f"{ratio:.2g}" if ratio is not None else None,
    )
    add("epochs", e.epochs, (f"{epochs:.2f}" if epochs >= 0.01 else f"{epochs:.1g}") if epochs is not None else None)
    step, rate = value_of(e.step_time_s), value_of(e.tokens_per_s)
    add("steady step time", e.step_time_s, f"{step:.3f} s" if step else None)
    add("throughput", e.tokens_per_s, f"{rate:,.0f} tokens/s" if rate else None)
    flops, achieved = value_of(e.flops_per_token), value_of(e.flops_per_s)
    add("FLOPs per token", e.flops_per_token, f"{flops:,}" if flops else None)
    scale, unit = (1e12, "TFLOP/s") if achieved and achieved >= LEAST_TFLOPS * 1e12 else (1e9, "GFLOP/s")
    add("achieved", e.flops_per_s, f"{achieved / scale:.1f} {unit}" if achieved else None)
    mfu, logged = value_of(e.mfu), value_of(e.mfu_logged)
    add("MFU on this card", e.mfu, f"{100 * mfu:.1f} %" if mfu is not None else None)
    share_of = value_of(e.mfu_logged_peak)
    of = (
        " of an A100"
        if share_of == A100_PEAK_FLOPS_PER_S
        else f" of {share_of / 1e12:,.0f} TFLOP/s"
        if share_of
        else ""
    )
    add("MFU as printed", e.mfu_logged, f"{100 * logged:.2f} %{of}" if logged is not None else None)
    share, noise, slope = value_of(e.learning_rate_share), value_of(e.noise), value_of(e.slope)
    add(
        "learning rate at the last step",
        e.learning_rate_share,
        f"{100 * share:.0f} % of its peak" if share is not None else None,
    )
    add("noise of one evaluation", e.noise, f"{noise.sd:.4f} nats" if noise else None)
    add(
        "slope, nats per e-fold of tokens",
        e.slope,
        _minus(f"{slope.value:.3f} ({slope.low:.3f} to {slope.high:.3f})") if slope else None,
    )
    expected = value_of(e.expected_loss)
    add("expected here", e.expected_loss, f"{expected.low:.2f} to {expected.high:.2f}" if expected else None)
    forecast = value_of(d.forecast)
    add(
        "forecast",
        d.forecast,
        f"{forecast.loss.low:.3f} to {forecast.loss.high:.3f} at step {forecast.final_step:,}" if forecast else None,
    )
    floor = value_of(e.floor)
    add("floor, tokens without end", e.floor, f"{floor.low:.1f} to {floor.high:.1f}" if floor else None)
    folded = [
        (name, value, "″" if i and origin == rows[i - 1][2] and value != "unknown" else origin)
        for i, (name, value, origin) in enumerate(rows)
    ]
    return Section(
        "Numbers, and where each comes from", (Table(("fact", "value", "from"), tuple(folded), frozenset({1})),)
    )


def _memory(d: Diagnosis) -> Section | None:
    fit = d.prescription.fit
    if isinstance(fit, Unknown):
        return Section("Memory", (Paragraph(f"Unknown: {fit.reason}."),)) if d.prescription.edits else None
    chosen, refused = fit.value, fit.value.refused
    heads = ["part", f"{chosen.micro_batch} × {chosen.gradient_accumulation_steps}"]
    if refused is not None:
        heads.append(f"{refused.micro_batch} × {refused.gradient_accumulation_steps}")
    rows = []
    columns = [chosen.memory] + ([refused.memory] if refused else [])
    for name in chosen.memory.parts():
        rows.append((name.replace("_", " "), *(f"{m.parts()[name] / 2**30:.2f}" for m in columns)))
    rows.append(("total GiB", *(f"{m.total / 2**30:.2f}" for m in columns)))
    verdict = f"{chosen.limit_bytes / 2**30:.1f} GiB are usable. " + (
        f"Refused: {refused.reason}." if refused else "The next larger micro-batch fits too; the present one is kept."
    )
    return Section(
        "Memory of one step under the prescription, by part",
        (Table(tuple(heads), tuple(rows), frozenset({1, 2})), Paragraph(verdict)),
    )


def _resume(d: Diagnosis) -> Section | None:
    resume = value_of(d.prescription.resume)
    if resume is None or resume.possible or not d.prescription.edits or not d.run.series:
        return None
    groups: dict[tuple[str, str, str], list[str]] = {}
    for change in resume.changes:
        layer = re.match(r"(transformer\.h\.)(\d+)(\..*)", change.name)
        name = f"{layer[1]}*{layer[3]}" if layer else change.name
        groups.setdefault((name, str(change.before), str(change.after)), []).append(layer[2] if layer else "")
    rows = tuple(
        (
            name.replace("*", f"{layers[0]}–{layers[-1]}") if len(layers) > 1 else name.replace("*", layers[0]),
            before,
            after,
        )
        for (name, before, after), layers in groups.items()
    )
    return Section(
        "Why the checkpoint cannot be resumed: tensors that change shape",
        (Table(("tensor", "in the checkpoint", "in the new model"), rows),),
    )


def _checks(d: Diagnosis) -> Section:
    words = {"found": "found", "clear": "fine", "cannot_tell": "cannot tell", "not_applicable": "does not apply"}
    order = {"cannot_tell": 0, "clear": 1, "not_applicable": 2, "found": 3}
    rows = tuple(
        (o.check.code, o.check.name, words[o.word], str(o.reason))
        for o in sorted(d.outcomes, key=lambda o: (order[o.word], o.check.code))
        if o.word != "found"
    )
    return Section("Every other check, and why", (Table(("code", "defect", "verdict", "reason"), rows),))
