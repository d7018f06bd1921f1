"""W&B and trackio, for those who name a project: asked for nothing else, and never a reason for a run to fail."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = ["Kind", "Tracker"]

Kind: TypeAlias = Literal["wandb", "trackio"]


class Tracker:
    """A run in W&B or trackio, whose Python interfaces are alike.

    Parameters
    ----------
    kind : str
        ``wandb`` or ``trackio``: the package that is imported.
    project : str
        As the recipe names it.
    folder : Path
        Of the run; W&B writes its files below it, and the run's identity is kept there, so that a resumed run goes on.
    name : str
        Of the run.
    recipe : mapping
        What is stored as its config.
    resumed : bool
        Whether the run goes on; trackio, which knows runs by their name, would else take a second one for the first.
    note : callable
        Told, once, in one sentence, why nothing is tracked: the package is missing, there is no network, no login.
    """

    def __init__(
        self,
        kind: Kind,
        project: str,
        *,
        folder: Path,
        name: str,
        recipe: Mapping[str, Any],
        resumed: bool,
        note: Callable[[str], None],
    ) -> None:
        self._kind, self._note = kind, note
        self._module: Any = None
        try:
            module = importlib.import_module(kind)
        except ImportError:
            note(f"{kind} is not installed, so nothing is sent to the project {project!r}. Next: pip install {kind}.")
            return
        except Exception as error:  # a package that is there, but cannot be imported
            self._failed("cannot be imported", error)
            return
        try:
            own = {"resume": "allow" if resumed else "never"}
            if kind == "wandb":
                own = {"resume": "allow", "id": _identity(folder), "dir": str(folder)}
            module.init(project=project, name=name, config=dict(recipe), **own)
        except Exception as error:  # whatever a network, a server or a login does
            self._failed("does not start", error)
            return
        self._module = module

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Send values, all of one step."""
        if self._module is None:
            return
        try:
            self._module.log(dict(values), step=step)
        except Exception as error:  # as above
            self._module = None
            self._failed("stopped", error)

    def close(self) -> None:
        """End the tracked run."""
        module, self._module = self._module, None
        if module is None:
            return
        try:
            module.finish()
        except Exception as error:  # as above
            self._failed("could not finish", error)

    def _failed(self, what: str, error: Exception) -> None:
        said = (str(error).strip().splitlines() or [""])[0][:200]
        self._note(
            f"{self._kind} {what}, and the run goes on without it: {type(error).__name__}{f': {said}' if said else ''}"
        )


def _identity(folder: Path) -> str:
    """Return what W&B knows this run by: kept in its folder, or new."""
    kept = folder / "wandb" / "run-id.txt"
    if kept.is_file() and (found := kept.read_text(encoding="utf-8").strip()):
        return found
    new = secrets.token_hex(8)
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(new + "\n", encoding="utf-8")
    return new
