"""Before a run exists: what fits on a machine, how to train it at exactly the same tokens per step, and how long it takes."""

from .plan import Plan, Planning, plan
from .recipe import asked_by_recipe, config_of
from .request import Request, parse_amount, parse_hours
from .search import Choice, Refusal
from .targets import Target

__all__ = [
    "Choice",
    "Plan",
    "Planning",
    "Refusal",
    "Request",
    "Target",
    "asked_by_recipe",
    "config_of",
    "parse_amount",
    "parse_hours",
    "plan",
]
