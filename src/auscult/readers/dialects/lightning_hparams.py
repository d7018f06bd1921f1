"""The ``hparams.yaml`` that Lightning writes beside its logs: what ``save_hyperparameters`` was given, whatever that is.

It may be ``{}``, may hold ``!!python/object`` tags (ignored: nothing is made of them) and follows no names but the module's.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..files import InputFile
from ..loose_settings import settings_of
from ..reading import FRAMEWORK, Dialect, Reading
from ..yaml_text import read_yaml

__all__ = ["DIALECT"]


def _sniff(file: InputFile) -> float:
    return 0.9 if file.base in ("hparams.yaml", "hparams.yml") and not file.is_binary and file.size != 0 else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_yaml(file.text(), file.name)
    settings, problems, noted = settings_of(values, "lightning")
    if not settings and not noted and not problems:
        return ()
    return (
        Reading(
            DIALECT.name, file.name, "config", settings=settings, problems=problems, noted=noted, authority=FRAMEWORK
        ),
    )


DIALECT = Dialect(
    name="lightning_hparams",
    title="Lightning hparams.yaml",
    role="config",
    example="d_model: 768\nlr: 0.0003\nmax_seq_len: 1024\nvocab_size: 50257",
    reads="hyperparameters under the names that are common across trainers (`n_layer`, `lr`, `max_seq_len`, `batch_size` …),"
    " nested or not; tags of Python objects are ignored, and nothing is made of them",
    cannot="what names of the module's own mean, what was not given to `save_hyperparameters`, the number of devices and the"
    " gradient accumulation of the Trainer",
    source="Lightning-AI/pytorch-lightning, core/saving.py",
    sniff=_sniff,
    read=_read,
    missing="hparams.yaml does not say: add the script's config",
)
