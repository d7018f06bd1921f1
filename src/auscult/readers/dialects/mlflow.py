"""MLflow's file store: ``mlruns/<experiment>/<run>/`` with ``metrics/``, ``params/``, ``tags/`` and ``meta.yaml``.

A metric is a file of lines ``timestamp value step`` (``/`` in its name makes folders; very old versions have no step), in the
order of arrival. A parameter is a file with its value, at most a few thousand characters. Each file is a reading of its own;
the run's folder puts them together. (mlflow store/tracking/file_store.py.)
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...errors import NotText
from ...run import Known, Notice, Problem, Series, Source
from ..columns import Thinned
from ..files import InputFile
from ..log import series_of
from ..loose_settings import settings_of
from ..meaning import Metric
from ..metric_names import MAX_NAME, Meant, meant
from ..patterns import lazy
from ..reading import TRACKER, Dialect, Reading
from ..table import tidy_up
from ..yaml_text import read_yaml

__all__ = ["DIALECT", "STATUS", "metric_of", "status_notices"]

STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_PLACE = lazy(r"^(?P<root>(?:.*/)?)(?P<kind>metrics|params|tags)/(?P<key>.+)$")
_RECORD = lazy(r"^(\d{9,16}) (\S{1,40})(?: (-?\d{1,18}))?(?: .{0,200})?$")
_HASH = lazy(r"(?:^|/)[0-9a-f]{32}/?$")
_RUN_TAG = "mlflow.runName"
_MAX_PARAM = 8_000


def _place(file: InputFile) -> tuple[str, str, str] | None:
    """Return the run's folder, the kind of file and its key, judged by the path."""
    name = file.name
    found = _PLACE.match(name)
    if found is None:
        return None
    # the run's folder is the one above the first of these names: a metric may be called metrics/…
    parts = name.split("/")
    for index, part in enumerate(parts[:-1]):
        if part in ("metrics", "params", "tags"):
            root, key = "/".join(parts[:index]), "/".join(parts[index + 1 :])
            return root, part, key
    return None


def _is_run_folder(file: InputFile, root: str, key: str) -> bool:
    """Return whether the folder above ``params`` is a run's: by its name, or by the meta.yaml in it."""
    if _HASH.search(root):
        return True
    if file.path is None:
        return False
    try:
        return (file.path.parents[key.count("/") + 1] / "meta.yaml").is_file()
    except (OSError, IndexError, ValueError):
        return False


def _run_id(root: str) -> str | None:
    last = root.rpartition("/")[2]
    return last if re.fullmatch(r"[0-9a-f]{32}", last) else None


def metric_of(key: str) -> Meant:
    """Return the meaning of an MLflow metric."""
    found = meant(key)
    if key.startswith("system/"):  # counted by the sampler of system metrics
        return Meant(Metric(key[:MAX_NAME], axis="row"))
    return found if found is not None else Meant(Metric(key.strip()[:MAX_NAME]))


def status_notices(status: str, source: Source) -> tuple[Notice, ...]:
    """Return what a run's status says about its end."""
    return (Notice("killed", source, 1, 0, "MLflow says the run was killed"),) if status == "KILLED" else ()


def _read_metric(file: InputFile, root: str | None, key: str) -> tuple[Reading, ...]:
    meaning = metric_of(key)
    points = Thinned()
    broken, first_broken, with_step = 0, 0, False
    for line in file.lines():
        found = _RECORD.match(line.text.strip())
        if found is None:
            if line.text.strip():
                broken, first_broken = broken + 1, first_broken or line.number
            continue
        try:
            value = float(found[2])
        except ValueError:
            broken, first_broken = broken + 1, first_broken or line.number
            continue
        with_step = with_step or found[3] is not None
        points.add(int(found[3]) if found[3] is not None else points.count, value * meaning.scale, line.number)
    if not points.count:
        return ()
    metric = meaning.metric if with_step else meaning.metric.but(axis="row")
    series, notices, settings = tidy_up((_whole(series_of(metric, file.name, points)),), file.name)
    problems = (
        (Problem("broken_record", f"lines cut or garbled: {broken}", Source("read", file.name, first_broken), broken),)
        if broken
        else ()
    )
    return (
        Reading(
            DIALECT.name,
            file.name,
            "metrics",
            series=series,
            settings=settings,
            notices=notices,
            problems=problems,
            authority=TRACKER,
            run_id=_run_id(root) if root else None,
            root=root,
        ),
    )


def _whole(series: Series) -> Series:
    """Return a series in the order of its steps, where MLflow's asynchronous logging mixed neighbours up."""
    order = sorted(range(len(series.steps)), key=lambda i: series.steps[i])
    if series.axis != "step" or order == list(range(len(order))) or series.stride > 1:
        return series
    furthest = max(abs(a - b) for a, b in enumerate(order))
    if furthest > 16:  # a run that was taken up again, not a few values that overtook one another
        return series
    return replace(
        series,
        steps=array("q", [series.steps[i] for i in order]),
        values=array("d", [series.values[i] for i in order]),
        lines=array("q", [series.lines[i] for i in order]),
    )


def _summary(file: InputFile, root: str | None, **said: Any) -> Reading:
    return Reading(
        DIALECT.name, file.name, "summary", authority=TRACKER, run_id=_run_id(root) if root else None, root=root, **said
    )


def _read_param(file: InputFile, root: str | None, key: str) -> tuple[Reading, ...]:
    text = file.text(_MAX_PARAM * 4).strip() if file.head else ""
    given: Known[Any] = Known(text, Source("read", file.name, 1, f"{key} = {text}"[:160]))
    settings, problems, noted = settings_of({key: given}, "mlflow")
    if not settings and not noted and not problems:
        return ()
    return (_summary(file, root, settings=settings, problems=problems, noted=noted),)


def _read_meta(file: InputFile) -> tuple[Reading, ...]:
    values = read_yaml(file.text(), file.name)
    if not {"run_id", "run_uuid"} & values.keys():
        return ()
    settings: dict[str, Any] = {}
    name = values.get("run_name")
    if name is not None and isinstance(name.value, str) and name.value:
        settings["recipe.run_name"] = Known(name.value[:MAX_NAME], Source("read", file.name, name.source.line))
    status = values.get("status")
    said = STATUS.get(status.value, "") if status is not None and isinstance(status.value, int) else ""
    if status is None or not said:
        return (_summary(file, file.folder, settings=settings),) if settings else ()
    noted = {"mlflow.status": Known(said, status.source)}
    return (_summary(file, file.folder, settings=settings, noted=noted, notices=status_notices(said, status.source)),)


def _read(file: InputFile) -> Iterable[Reading]:
    if file.base == "meta.yaml":
        return _read_meta(file)
    place = _place(file)
    if place is not None and place[1] == "params":
        return _read_param(file, place[0], place[2])
    if place is not None and place[1] == "tags":
        return _read_param(file, place[0], "run_name") if place[2] == _RUN_TAG else ()
    file.check()
    root, key = (place[0], place[2]) if place is not None else (None, file.base)
    found = _read_metric(file, root, key)
    if not found:
        raise NotText(
            "no metric of MLflow is recognised in it",
            where=file.name,
            expected="lines of a time in milliseconds, a value and a step: `1700000000000 4.21 100`",
            hint="give the run's folder below mlruns/",
        )
    return found


def _sniff(file: InputFile) -> float:
    if file.base == "meta.yaml":
        text = file.sample[:8192]
        return 0.95 if re.search(r"^run_(?:id|uuid):", text, re.M) and re.search(r"^artifact_uri:", text, re.M) else 0.0
    place = _place(file)
    if place is not None and place[1] in ("params", "tags"):
        if place[1] == "tags" and place[2] != _RUN_TAG:
            return 0.0
        return (
            0.95
            if file.size <= _MAX_PARAM * 4 and not file.is_binary and _is_run_folder(file, place[0], place[2])
            else 0.0
        )
    if not file.head[:9].isdigit() or file.is_binary:
        return 0.0
    first = file.sample[:400].split("\n", 1)[0].strip()
    if _RECORD.match(first) is None:
        return 0.0
    return 0.95 if place is not None and place[1] == "metrics" else 0.3


DIALECT = Dialect(
    name="mlflow",
    title="MLflow's file store",
    role="metrics",
    example="mlruns/0/3f…/metrics/train/loss: 1700000000000 4.2137 100",
    reads="every metric file of a run as a series, its parameters under the names that are common across trainers, its name and"
    " how it ended",
    cannot="what one value averages over; the step where none was logged (MLflow writes 0 then); the account, the host and the"
    " place of artifacts are never read",
    source="mlflow/mlflow store/tracking/file_store.py",
    sniff=_sniff,
    read=_read,
    tracker=True,
)
