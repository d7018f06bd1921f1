"""The JSON contract of ``auscult plan``: one object, ``auscult.plan/1``."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from ..architectures import Attention, Model
from ..facts.memory import MemoryEstimate
from ..facts.scaling import Band
from ..facts.setup import Setup
from ..planner.plan import Plan, Planning
from ..planner.search import Refusal

__all__ = ["PLAN_SCHEMA", "load_plan_schema", "plan_as_dict", "plan_dumps"]

PLAN_SCHEMA = "auscult.plan/1"


@functools.cache
def load_plan_schema() -> dict[str, Any]:
    """Return the JSON Schema of the contract, as shipped with the package."""
    text = resources.files(__package__ or "auscult.report").joinpath("plan.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def plan_dumps(planning: Planning) -> str:
    """Return the answer as one JSON object."""
    return json.dumps(plan_as_dict(planning), indent=2, ensure_ascii=False, allow_nan=False)


def plan_as_dict(planning: Planning) -> dict[str, Any]:
    """Return the answer as plain objects."""
    limit = planning.machine.limit_bytes
    return {
        "schema": PLAN_SCHEMA,
        "request": _request(planning),
        "plans": [_plan(item, limit) for item in planning.plans],
        "refused": [_refusal(item, limit) for item in planning.refused],
    }


def _request(planning: Planning) -> dict[str, Any]:
    request, machine = planning.request, planning.machine
    return {
        "like": request.like,
        "params": request.params,
        "loss": request.loss,
        "hours": request.hours,
        "tokens": request.tokens,
        "tokens_per_step": request.tokens_per_step,
        "context": request.context,
        "dataset": request.dataset,
        "gpu": {
            "name": machine.gpu.name,
            "count": machine.count,
            "memory_bytes": machine.gpu.memory_bytes,
            "limit_bytes": machine.limit_bytes,
            "source": machine.gpu.source,
        },
        "precision": machine.precision,
        "possible": planning.binding is None,
        "binding": None if planning.binding is None else str(planning.binding),
        "assumed": [str(note) for note in planning.assumed],
    }


def _band(band: Band | None) -> dict[str, float] | None:
    return None if band is None else {"low": band.low, "mid": band.value, "high": band.high}


def _architecture(model: Model) -> dict[str, Any]:
    attention: Attention | None = next((a for a, _count in model.attentions), None)
    return {
        "family": model.family,
        "n_layer": model.n_layer,
        "n_head": attention.n_head if attention else None,
        "n_kv_head": attention.n_kv_head if attention else None,
        "d_model": model.d_model,
        "vocab_size": model.vocab_size,
        "tied": model.tied,
    }


def _setup(setup: Setup) -> dict[str, Any]:
    return {
        "micro_batch": setup.micro_batch,
        "gradient_accumulation_steps": setup.gradient_accumulation_steps,
        "context": setup.context,
        "checkpointing": setup.checkpointing,
        "compile": setup.compiled,
        "sharding": setup.sharding,
        "data_parallel": setup.data_parallel,
        "tensor_parallel": setup.tensor_parallel,
        "precision": setup.precision,
        "optimizer": setup.optimizer,
        "dropout": setup.dropout,
        "tokens_per_step": setup.tokens_per_step,
    }


def _memory(memory: MemoryEstimate, limit_bytes: int) -> dict[str, Any]:
    return {
        "total_bytes": memory.total_bytes,
        "low_bytes": memory.low_bytes,
        "high_bytes": memory.high_bytes,
        "limit_bytes": limit_bytes,
        "peak_phase": memory.peak_phase,
        "parts": dict(memory.parts),
        "phases": dict(memory.phases),
    }


def _plan(plan: Plan, limit_bytes: int) -> dict[str, Any]:
    count, rate = plan.parameters, plan.learning_rate
    return {
        "architecture": {**_architecture(plan.target.model), "config": dict(plan.target.config)},
        "parameters": {
            "total": count.total,
            "active": count.active,
            "embedding": count.embedding,
            "position": count.position,
            "non_embedding": count.non_embedding,
            "matmul": count.matmul,
        },
        **_setup(plan.choice.setup),
        "gpu_count": plan.choice.setup.gpu_count,
        "memory": _memory(plan.choice.memory, limit_bytes),
        "tight": plan.choice.tight,
        "steps": plan.steps,
        "tokens": plan.tokens,
        "tokens_per_s": _band(plan.tokens_per_s),
        "mfu": _band(plan.choice.step.mfu),
        "hours": _band(plan.hours),
        "energy_kwh": _band(plan.energy_kwh),
        "cost": _band(plan.cost),
        "learning_rate": {
            "low": rate.low,
            "mid": rate.value,
            "high": rate.high,
            "basis": [{"name": b.name, "value": b.value, "source": b.source} for b in rate.basis],
        },
        "expected": None
        if plan.expected is None
        else {
            "loss_low": plan.expected[0].low,
            "loss": plan.expected[0].value,
            "loss_high": plan.expected[0].high,
            "basis": plan.expected[1].source,
        },
        "changed": [str(note) for note in plan.changed],
        "why": str(plan.why),
        "target": str(plan.target.why),
    }


def _refusal(refusal: Refusal, limit_bytes: int) -> dict[str, Any]:
    return {
        **_setup(refusal.setup),
        "memory": _memory(refusal.memory, limit_bytes),
        "constraint": refusal.constraint,
        "reason": str(refusal.reason),
    }
