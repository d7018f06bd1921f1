"""YAML from a stranger: values with their lines, no object of any tag ever made, aliases bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BadConfig
from ..run import Known, Source
from .privacy import without_names

if TYPE_CHECKING:
    import yaml

__all__ = ["read_yaml"]

_MAX_NODES = 200_000
_MAX_DEPTH = 60
_MAX_PATH = 500
"""Longer dotted paths are left out: no setting has one, and each value under a long name would hold it again."""
_MAX_ITEMS = 1000
_MAX_SHOWN = 160


def read_yaml(text: str, file: str, *, first_line: int = 1) -> dict[str, Known[Any]]:
    r"""Return every scalar and list of scalars of a YAML mapping under its dotted path, with its line.

    Tags are ignored (``!!python/object`` makes nothing); an unresolved ``${…}`` stays the string it is. Lists of
    mappings are indexed: ``datasets.0.path``. ``1e-4``, which YAML 1.1 takes for a string, is a number here.

    Raises
    ------
    BadConfig
        When it is not YAML, is nested too deep, or unfolds into too many values.

    Examples
    --------
    >>> read_yaml("model:\n  dim: 64  # width", "a.yaml")
    {'model.dim': Known(64, a.yaml:2)}
    """
    import yaml  # forty milliseconds that a run without YAML need not wait

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + first_line if mark is not None else first_line
        raise BadConfig(
            f"not valid YAML ({getattr(error, 'problem', None) or 'it cannot be parsed'})",
            where=f"{file}:{line}",
            hint="mend that line",
        ) from None
    except (RecursionError, ValueError):
        raise BadConfig("not YAML that can be read: nested too deep, or broken characters", where=file) from None
    found: dict[str, Known[Any]] = {}
    lines = text.splitlines()
    if node is not None:
        _walk(node, "", found, file, lines, first_line, [0], 0)
    return found


def _walk(
    node: yaml.Node,
    path: str,
    found: dict[str, Known[Any]],
    file: str,
    lines: list[str],
    first_line: int,
    seen: list[int],
    depth: int,
) -> None:
    seen[0] += 1
    if isinstance(node.value, list):  # an alias to a list costs the whole list each time
        seen[0] += min(len(node.value), _MAX_ITEMS)
    if seen[0] > _MAX_NODES or depth > _MAX_DEPTH:
        raise BadConfig("it unfolds into too many values, or is nested too deep", where=file)
    if len(path) > _MAX_PATH:
        return
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = str(key.value)
                if name == "<<":
                    _walk(value, path, found, file, lines, first_line, seen, depth + 1)
                else:
                    _walk(value, f"{path}.{name}" if path else name, found, file, lines, first_line, seen, depth + 1)
        return
    row = node.start_mark.line
    source = Source("read", file, row + first_line, _shown(lines[row]) if row < len(lines) else None)
    if isinstance(node, yaml.SequenceNode):
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            if path:
                found[path] = Known([_scalar(item) for item in node.value[:_MAX_ITEMS]], source)
            return
        for index, item in enumerate(node.value):
            _walk(item, f"{path}.{index}" if path else str(index), found, file, lines, first_line, seen, depth + 1)
        return
    if isinstance(node, yaml.ScalarNode) and path:
        found[path] = Known(_scalar(node), source)


def _shown(line: str) -> str:
    return without_names(line[: 4 * _MAX_SHOWN].strip()[:_MAX_SHOWN])


def _scalar(node: yaml.ScalarNode) -> Any:
    """Return a plain scalar's value by YAML's rules; quoted ones stay strings."""
    text = str(node.value)
    if node.style in ("'", '"', "|", ">"):
        return text
    lowered = text.lower()
    if lowered in ("", "~", "null", "none"):
        return None
    if lowered in ("true", "yes", "on"):
        return True
    if lowered in ("false", "no", "off"):
        return False
    digits = text.replace("_", "")
    if digits.isascii():
        try:
            return int(digits)
        except ValueError:
            pass
        try:
            return float({".inf": "inf", "-.inf": "-inf", ".nan": "nan"}.get(lowered, digits))
        except ValueError:
            pass
    return text
