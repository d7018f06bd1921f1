"""nanochat's ``report.md``: the report card of a whole pipeline, or one of the section files that it is made of.

Sections are ``## Base model training``, ``## Midtraining``, ``## SFT`` … with lines ``- key: value``; the head lists the
machine. It was dropped from nanochat on 2026-07-02. (karpathy/nanochat ``nanochat/report.py`` at f10bd75^.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...run import Known, Problem, Quantity, Source, known
from ..files import InputFile
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..vocabulary import checked
from .nanochat import model_settings

__all__ = ["DIALECT"]

_SECTION = lazy(r"^## ([A-Za-z][\w (),/-]{0,60})\s*$")
_ITEM = lazy(r"^- ([\w][\w :%@./()-]{0,60}?): (\S.{0,300})$")
_GPUS = lazy(r"^(\d{1,6})x (.{1,80})$")
_NUMBER = lazy(r"^[-+]?(?:\d{1,3}(?:,\d{3}){1,8}|\d{1,30})(?:\.\d{1,20})?(?:[eE][-+]?\d{1,3})?(?=(?:%|m|MiB)?$)")
_BASE = "base-model-training"
_KEPT_SECTIONS = ("tokenizer-training", _BASE, "base-model-loss", "base-model-evaluation", "midtraining", "sft", "rl")
_MAX_NOTED = 500
_HIDDEN = lazy(r"(?i)host|user|path|dir\b|sample|branch|message")


@dataclass
class _Report:
    file: str
    settings: dict[str, Quantity[Any]] = field(default_factory=dict)
    noted: dict[str, Known[Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def set(self, key: str, value: Any, source: Source) -> None:
        quantity, problem = checked(key, Known(value, source))
        self.settings[key] = quantity
        if problem is not None:
            self.problems.append(problem)

    def item(self, section: str, name: str, text: str, source: Source) -> None:
        found = _NUMBER.match(text)
        value = float(found[0].replace(",", "")) if found else None
        whole = int(value) if value is not None and value.is_integer() and abs(value) < 1e15 else value
        if section in ("", "environment") and name == "GPUs" and (gpus := _GPUS.match(text)):
            self.set("machine.gpu_count", int(gpus[1]), source)
            self.set("machine.gpu_name", gpus[2].strip(), source)
        elif section.startswith("chat-evaluation") or section in _KEPT_SECTIONS:
            self._note(section, name, whole, text, source)
            if section == _BASE:
                self._base(name, whole, source)
            if section == "tokenizer-training" and name == "vocab_size" and whole is not None:
                self.set("architecture.vocab_size", whole, source)

    def _note(self, section: str, name: str, value: Any, text: str, source: Source) -> None:
        if len(self.noted) < _MAX_NOTED and not _HIDDEN.search(name) and (value is not None or len(text) <= 40):
            key = re.sub(r"\W+", "_", name.lower()).strip("_")
            self.noted[f"nanochat.report.{section}.{key}"] = Known(text if value is None else value, source)

    def _base(self, name: str, value: Any, source: Source) -> None:
        """Take what describes the model or the machine; what only one stage means stays among what is noted."""
        if value is None:
            return
        if name == "Number of parameters" and isinstance(value, int) and value > 0:
            self.settings["logged.parameters"] = Known((value, value), source)
            self.settings["logged.parameters_convention"] = Known("total", source)
        elif name == "Number of FLOPs per token":
            self.set("logged.flops_per_token", value, source)
        elif name == "DDP world size":
            self.set("recipe.world_size", value, source)
            self.set("machine.gpu_count", value, source)
        elif name == "depth":
            self.set("architecture.n_layer", value, source)
        elif name == "max_seq_len":
            self.settings.update(model_settings({"sequence_len": Known(value, source)}))

    def width(self) -> None:
        """Derive the width from depth and aspect ratio, where every version of the script agrees on it."""
        depth = self.settings.get("architecture.n_layer")
        aspect = self.noted.get(f"nanochat.report.{_BASE}.aspect_ratio")
        head = self.noted.get(f"nanochat.report.{_BASE}.head_dim")
        if not isinstance(depth, Known) or aspect is None or head is None:
            return
        if not all(isinstance(q.value, int) and q.value > 0 for q in (aspect, head)):
            return
        if depth.value * aspect.value % head.value == 0:
            width = known(depth.value * aspect.value, "depth · aspect_ratio", depth, aspect)
            self.settings["architecture.d_model"] = width
            self.settings["architecture.n_head"] = known(width.value // head.value, "d_model / head_dim", width, head)


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".md", ".markdown", ".txt", ""):
        return 0.0
    text = file.sample
    if text.lstrip().startswith("# nanochat training report"):
        return 1.0
    head = re.match(r"\s*## (?:Base model training|Midtraining|SFT|RL|Base model loss|Base model evaluation)\n", text)
    return 0.9 if head and re.search(r"^timestamp: \d{4}-", text[:300], re.MULTILINE) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    report, section = _Report(file.name), ""
    for line in file.lines():
        if heading := _SECTION.match(line.text):
            section = heading[1].strip().lower().replace(" ", "-")
        elif len(line.text) < 500 and (item := _ITEM.match(line.text)):
            source = Source("read", file.name, line.number, line.text.strip()[:160])
            report.item(section, item[1].strip(), item[2].strip(), source)
    report.width()
    return (
        Reading(
            DIALECT.name,
            file.name,
            "summary",
            settings=report.settings,
            authority=FRAMEWORK,
            problems=tuple(report.problems),
            noted=report.noted,
        ),
    )


DIALECT = Dialect(
    name="nanochat_report",
    title="nanochat report card",
    role="summary",
    example="# nanochat training report\n- GPUs: 8x NVIDIA H100 80GB HBM3\n## Base model training\n"
    "- depth: 20\n- Number of parameters: 560,988,160\n- Minimum validation bpb: 0.8120",
    reads="the GPUs, the number of ranks, depth and context, parameters, FLOPs per token and vocabulary; the final"
    " figures of every stage (validation in bits per byte, CORE, chat scores, MFU, training time) are noted",
    cannot="any history; batch and planned steps are noted for each stage rather than set, as the stages differ",
    source="karpathy/nanochat nanochat/report.py at f10bd75^",
    sniff=_sniff,
    read=_read,
    missing="the report card does not say: add the text that training printed",
)
