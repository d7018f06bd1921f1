"""auscult: the doctor for language-model training runs.

>>> import auscult
>>> run = auscult.read("examples/fineweb-40m")          # doctest: +SKIP
>>> auscult.diagnose(run).verdict.cause                 # doctest: +SKIP
'undetermined'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .checks.base import Edit, Effect, Finding
from .diagnosis import Diagnosis, Forecast, Verdict, diagnose
from .differential import Hypothesis
from .errors import AuscultError, InputError, UsageError
from .prescription import Prescription
from .readers import Found, Given, Relation, read, read_all
from .run import Known, Run, Series, Source, Unknown
from .version import __version__

if TYPE_CHECKING:
    from .planner import Plan, Planning, Request, plan
    from .training import Outcome, train

__all__ = [
    "AuscultError",
    "Diagnosis",
    "Edit",
    "Effect",
    "Finding",
    "Forecast",
    "Found",
    "Given",
    "Hypothesis",
    "InputError",
    "Known",
    "Outcome",
    "Plan",
    "Planning",
    "Prescription",
    "Relation",
    "Request",
    "Run",
    "Series",
    "Source",
    "Unknown",
    "UsageError",
    "Verdict",
    "__version__",
    "diagnose",
    "plan",
    "read",
    "read_all",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import the planner and the trainer when they are first asked for: a diagnosis does without them."""
    if name in ("Plan", "Planning", "Request", "plan"):
        from . import planner

        return getattr(planner, name)
    if name in ("Outcome", "train"):
        from . import training

        return getattr(training, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
