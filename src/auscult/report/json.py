"""The JSON contract, ``auscult.diagnosis/1``: one object a run, every missing value null with its reason in ``unknown``.

Several runs make one ``auscult.diagnoses/1``, with how they belong together.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from ..checks.base import Edit, Finding
from ..diagnosis import Diagnosis
from ..examination import Examination
from ..facts.memory import TrainingMemory as MemoryEstimate
from ..facts.scaling import Band
from ..readers import Found
from ..run import Known, Quantity, Series, Source, Unknown, value_of

__all__ = ["SCHEMA", "SCHEMA_OF_SEVERAL", "as_dict", "dumps", "dumps_several", "load_schema"]

SCHEMA = "auscult.diagnosis/1"
SCHEMA_OF_SEVERAL = "auscult.diagnoses/1"
_FILES = {SCHEMA: "diagnosis.schema.json", SCHEMA_OF_SEVERAL: "diagnoses.schema.json"}


@functools.cache
def load_schema(name: str = SCHEMA) -> dict[str, Any]:
    """Return the JSON Schema of the contract, as shipped with the package.

    Parameters
    ----------
    name : str
        ``auscult.diagnosis/1``, or ``auscult.diagnoses/1`` (which refers to the former).
    """
    text = resources.files(__package__ or "auscult.report").joinpath(_FILES[name]).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def dumps(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as one JSON object; NaN and infinity never occur in it."""
    return json.dumps(as_dict(diagnosis), indent=2, ensure_ascii=False, allow_nan=False)


def dumps_several(diagnoses: Sequence[Diagnosis], found: Found) -> str:
    """Return several diagnoses as one JSON object, with the relations of their runs and the files left unread."""
    body = {
        "schema": SCHEMA_OF_SEVERAL,
        "runs": [as_dict(diagnosis) for diagnosis in diagnoses],
        "relations": [
            {"kind": r.kind, "runs": list(r.runs), "files": list(r.files), "detail": r.detail} for r in found.relations
        ],
        "unread": [str(error) for error in found.unread],
    }
    return json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Return a value that strict JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class _Writer:
    """Collects the reason of every null on the way."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}

    def put(self, path: str, quantity: Quantity[Any]) -> Any:
        if isinstance(quantity, Known):
            value = _plain(quantity.value)
            if value is None:
                self.unknown[path] = "not a finite number"
            return value
        self.unknown[path] = quantity.reason
        return None

    def group(self, prefix: str, **quantities: Quantity[Any]) -> dict[str, Any]:
        return {name: self.put(f"{prefix}.{name}", quantity) for name, quantity in quantities.items()}


def as_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the diagnosis as plain objects, in the shape of the contract."""
    writer = _Writer()
    exam = diagnosis.examination
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "run": _run(writer, exam),
        "verdict": {
            "cause": diagnosis.verdict.cause,
            "summary": str(diagnosis.verdict.summary),
            "confidence": round(diagnosis.verdict.confidence, 4),
        },
        "status": diagnosis.status,
        "hypotheses": [
            {
                "cause": h.cause,
                "probability": h.probability,
                "for": [str(text) for text in h.evidence_for],
                "against": [str(text) for text in h.evidence_against],
                "test": str(h.test),
            }
            for h in diagnosis.hypotheses
        ],
        "findings": [_finding(writer, finding) for finding in diagnosis.findings],
        "checks": [
            {"code": o.check.code, "name": o.check.name, "verdict": o.word, "reason": str(o.reason)}
            for o in diagnosis.outcomes
        ],
        "curve": _curve(writer, exam),
        "forecast": _forecast(writer, diagnosis),
        "prescription": _prescription(writer, diagnosis),
    }
    body["unknown"] = dict(sorted(writer.unknown.items()))
    return body


def _source(source: Source) -> dict[str, Any]:
    return {"file": source.file, "line": source.line, "text": source.text or source.formula}


def _places(quantity: Quantity[Any]) -> str | None:
    return quantity.source.place if isinstance(quantity, Known) else None


def _run(w: _Writer, exam: Examination) -> dict[str, Any]:
    run, recipe, a = exam.run, exam.run.recipe, exam.run.recipe.architecture
    count = exam.parameter_count
    vocab, bias, _proved = exam.vocab_and_bias

    def part(name: str) -> Quantity[int]:
        return count if isinstance(count, Unknown) else Known(getattr(count.value, name), count.source)

    claimed = exam.parameters_claimed
    logged = run.logged.parameters
    parameters = w.group(
        "run.parameters",
        total=part("total"),
        embedding=part("embedding"),
        position=part("position"),
        non_embedding=part("non_embedding"),
        without_position=part("without_position"),
        claimed=claimed if isinstance(claimed, Unknown) else Known(claimed.value.value, claimed.source),
        logged=logged if isinstance(logged, Unknown) else Known(sum(logged.value) / 2, logged.source),
    )
    convention = run.logged.parameters_convention
    parameters["logged_convention"] = w.put("run.parameters.logged_convention", convention)
    if parameters["total"] is None and value_of(convention) == "total" and isinstance(logged, Known):
        low, high = logged.value
        if low == high:
            parameters["total"] = w.put("run.parameters.total", Known(low, logged.source))
            del w.unknown["run.parameters.total"]
    mfu_logged = exam.mfu_logged_printed
    throughput = w.group(
        "run.throughput",
        step_time_s=exam.step_time_s,
        tokens_per_s=exam.tokens_per_s,
        flops_per_token=exam.flops_per_token,
        flops_per_s=exam.flops_per_s,
        mfu=exam.mfu,
        mfu_logged=mfu_logged,
        mfu_logged_last=exam.mfu_logged_last,
        mfu_logged_peak_flops_per_s=exam.mfu_logged_peak,
    )
    return {
        "name": run.name,
        "dialect": run.dialect,
        "sources": list(run.sources),
        "steps": w.group(
            "run.steps",
            first=exam.first_step,
            last=exam.last_step,
            planned=recipe.max_steps,
            logged=Known(
                max((s.count for s in run.series), default=0), Source("derived", formula="points of the longest series")
            ),
        ),
        "architecture": w.group(
            "run.architecture",
            family=a.family,
            n_layer=a.n_layer,
            n_head=a.n_head,
            n_kv_head=a.n_kv_head,
            d_model=a.d_model,
            d_ff=a.d_ff,
            vocab_size=vocab,
            context=a.context,
            tied=a.tied,
            bias=bias,
        ),
        "parameters": parameters,
        "budget": w.group(
            "run.budget",
            tokens_per_step=exam.tokens_per_step,
            tokens_seen=exam.tokens_seen,
            tokens_planned=exam.tokens_planned,
            dataset_tokens=run.data.train_tokens,
            val_tokens=run.data.val_tokens,
            epochs=exam.epochs,
            tokens_per_parameter=exam.tokens_per_parameter,
            chinchilla_ratio=exam.chinchilla_ratio,
        ),
        "hardware": w.group(
            "run.hardware",
            name=exam.gpu_name,
            card=exam.gpu if isinstance(exam.gpu, Unknown) else Known(exam.gpu.value.name, exam.gpu.source),
            count=exam.processes,
            peak_flops_per_s=exam.peak_flops_per_s,
            memory_bytes=exam.memory_limit_bytes,
        ),
        "recipe": w.group(
            "run.recipe",
            batch_size=recipe.batch_size,
            gradient_accumulation_steps=recipe.gradient_accumulation_steps,
            world_size=exam.processes,
            optimizer=recipe.optimizer,
            learning_rate=recipe.learning_rate,
            min_lr=recipe.min_lr,
            warmup_steps=recipe.warmup_steps,
            decay_steps=recipe.decay_steps,
            schedule=recipe.schedule,
            weight_decay=recipe.weight_decay,
            beta1=recipe.beta1,
            beta2=recipe.beta2,
            grad_clip=recipe.grad_clip,
            dropout=recipe.dropout,
            dtype=exam.dtype,
            compile=recipe.compile,
            dataset=recipe.dataset,
        ),
        "places": {name: _places(quantity) for name, quantity in _placed(exam)},
        "series": [_series(series) for series in run.series],
        "throughput": throughput,
        "seams": [
            {"step_before": s.step_before, "step_after": s.step_after, "source": s.source.place} for s in run.seams
        ],
        "noted": {key: {"value": _plain(q.value), "source": q.source.place} for key, q in sorted(run.noted.items())},
    }


def _placed(exam: Examination) -> Iterator[tuple[str, Quantity[Any]]]:
    """Yield the values of the recipe whose place is told."""
    recipe, a = exam.run.recipe, exam.run.recipe.architecture
    vocab, bias, _proved = exam.vocab_and_bias
    yield from (("vocab_size", vocab), ("bias", bias), ("dtype", exam.dtype))
    for name in ("n_layer", "n_head", "d_model", "context"):
        yield name, getattr(a, name)
    for name in (
        "batch_size",
        "gradient_accumulation_steps",
        "learning_rate",
        "min_lr",
        "warmup_steps",
        "decay_steps",
        "max_steps",
        "weight_decay",
        "beta1",
        "beta2",
        "grad_clip",
        "dropout",
        "compile",
    ):
        yield name, getattr(recipe, name)


def _series(series: Series) -> dict[str, Any]:
    finite = [i for i, value in enumerate(series.values) if math.isfinite(value)]
    lowest = min(finite, key=lambda i: series.values[i], default=None)

    def point(index: int | None) -> dict[str, Any]:
        if index is None:
            return {"step": None, "value": None}
        return {"step": series.steps[index], "value": _plain(series.values[index])}

    return {
        "name": series.name,
        "split": series.split,
        "mode": series.mode,
        "unit": series.unit,
        "window": series.window,
        "scope": series.scope,
        "convention": series.convention,
        "axis": series.axis,
        "points": series.count,
        "kept_every": series.stride,
        "first": point(0),
        "last": point(len(series) - 1),
        "min": point(lowest),
        "non_finite": len(series) - len(finite),
        "source": series.source(0).place,
    }


def _finding(w: _Writer, f: Finding) -> dict[str, Any]:
    if f.effect.reason:
        w.unknown[f"findings.{f.code}.effect.value"] = f.effect.reason
    return {
        "code": f.code,
        "name": f.name,
        "title": f.title,
        "severity": f.severity,
        "message": str(f.message),
        "meaning": str(f.meaning),
        "action": str(f.action),
        "evidence": [_source(source) for source in f.evidence],
        "numbers": _plain(f.numbers),
        "effect": {"unit": f.effect.unit, "value": f.effect.value, "low": f.effect.low, "high": f.effect.high},
        "edits": [_edit(edit) for edit in f.edits],
    }


def _edit(edit: Edit) -> dict[str, Any]:
    return {"key": edit.key, "from": edit.before, "to": edit.after, "why": str(edit.why), "safety": edit.safety}


def _band(path: str, w: _Writer, band: Quantity[Band]) -> dict[str, Any]:
    low, high = ("loss_low", "loss_high") if path.endswith("loss") else ("floor_low", "floor_high")
    middle = low.removesuffix("_low")
    if isinstance(band, Unknown):
        return {name: w.put(f"{path.rpartition('.')[0]}.{name}", band) for name in (low, middle, high)}
    return {low: band.value.low, middle: band.value.value, high: band.value.high}


def _curve(w: _Writer, exam: Examination) -> dict[str, Any]:
    """The statistics behind the verdict (beyond the contract's minimum)."""
    slope, noise, gap, dropout = exam.slope, exam.noise, exam.gap, exam.dropout_cost
    rate = exam.learning_rate_at(exam.last_step.value) if isinstance(exam.last_step, Known) else exam.last_step

    def pick(quantity: Quantity[Any], name: str) -> Quantity[Any]:
        return quantity if isinstance(quantity, Unknown) else Known(getattr(quantity.value, name), quantity.source)

    return w.group(
        "curve",
        slope_nats_per_efold=pick(slope, "value"),
        slope_low=pick(slope, "low"),
        slope_high=pick(slope, "high"),
        slope_points=pick(slope, "points"),
        noise_sd=pick(noise, "sd"),
        learning_rate_at_last_step=rate,
        learning_rate_share=exam.learning_rate_share,
        val_minus_train=pick(gap, "mean"),
        val_minus_train_standard_error=pick(gap, "standard_error"),
        val_below_train=pick(gap, "below"),
        val_train_evaluations=pick(gap, "evaluations"),
        dropout_cost=pick(dropout, "value"),
        dropout_cost_standard_error=pick(dropout, "standard_error"),
        expected_loss_low=pick(exam.expected_loss, "low"),
        expected_loss=pick(exam.expected_loss, "value"),
        expected_loss_high=pick(exam.expected_loss, "high"),
    )


def _forecast(w: _Writer, diagnosis: Diagnosis) -> dict[str, Any]:
    forecast = diagnosis.forecast
    loss: Quantity[Band] = forecast if isinstance(forecast, Unknown) else Known(forecast.value.loss, forecast.source)
    step: Quantity[int] = (
        forecast if isinstance(forecast, Unknown) else Known(forecast.value.final_step, forecast.source)
    )
    basis: Quantity[str] = (
        forecast if isinstance(forecast, Unknown) else Known(str(forecast.value.basis), forecast.source)
    )
    return (
        {"final_step": w.put("forecast.final_step", step)}
        | _band("forecast.loss", w, loss)
        | _band("forecast.floor", w, diagnosis.examination.floor)
        | {"basis": w.put("forecast.basis", basis)}
    )


def _memory(memory: MemoryEstimate) -> dict[str, Any]:
    return {"total_bytes": memory.total, "parts": memory.parts()}


def _prescription(w: _Writer, diagnosis: Diagnosis) -> dict[str, Any]:
    p = diagnosis.prescription
    fit, resume = value_of(p.fit), value_of(p.resume)
    for name in ("micro_batch", "gradient_accumulation_steps", "memory", "refused"):
        if isinstance(p.fit, Unknown):
            w.unknown[f"prescription.{name}"] = p.fit.reason
    if fit is not None and fit.refused is None:
        w.unknown["prescription.refused"] = "the next larger micro-batch fits too, or there is none"
    if isinstance(p.resume, Unknown):
        w.unknown["prescription.resume"] = p.resume.reason
    if not p.expected:
        w.unknown["prescription.expected"] = p.expected_reason
    refused = fit.refused if fit is not None else None
    expected = [
        {"step": e.step, "loss_low": e.band.low, "loss": e.band.value, "loss_high": e.band.high, "basis": e.basis}
        for e in p.expected
    ]
    return {
        "edits": [_edit(edit) for edit in p.edits],
        "micro_batch": fit.micro_batch if fit else None,
        "gradient_accumulation_steps": fit.gradient_accumulation_steps if fit else None,
        "tokens_per_step": w.put("prescription.tokens_per_step", p.tokens_per_step),
        "memory": _memory(fit.memory) | {"limit_bytes": fit.limit_bytes} if fit else None,
        "refused": {
            "micro_batch": refused.micro_batch,
            "gradient_accumulation_steps": refused.gradient_accumulation_steps,
            "reason": str(refused.reason),
            **_memory(refused.memory),
        }
        if refused
        else None,
        **{
            name: w.put(
                f"prescription.{name}",
                p.hours if isinstance(p.hours, Unknown) else Known(getattr(p.hours.value, attribute), p.hours.source),
            )
            for name, attribute in (("hours", "value"), ("hours_low", "low"), ("hours_high", "high"))
        },
        "resume": {
            "possible": resume.possible,
            "why": str(resume.why),
            "tensors": [
                {"name": c.name, "from": list(c.before) if c.before else None, "to": list(c.after) if c.after else None}
                for c in resume.changes
            ],
        }
        if resume
        else None,
        "expected": expected[-1] if expected else None,
        "expected_at": expected,
    }
