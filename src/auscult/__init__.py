"""auscult: the doctor for language-model training runs.

>>> import auscult
>>> run = auscult.read("examples/fineweb-40m")          # doctest: +SKIP
>>> auscult.diagnose(run).verdict.cause                 # doctest: +SKIP
'undetermined'
"""

from __future__ import annotations

from .checks.base import Edit, Effect, Finding
from .diagnosis import Diagnosis, Forecast, Verdict, diagnose
from .differential import Hypothesis
from .errors import AuscultError, InputError, UsageError
from .prescription import Prescription
from .readers import Found, Given, Relation, read, read_all
from .run import Known, Run, Series, Source, Unknown

__version__ = "0.1.0"

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
    "Prescription",
    "Relation",
    "Run",
    "Series",
    "Source",
    "Unknown",
    "UsageError",
    "Verdict",
    "__version__",
    "diagnose",
    "read",
    "read_all",
]
