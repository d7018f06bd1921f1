"""Generate ``docs/checks/``, ``docs/dialects.md``, ``docs/hardware.md`` and the settings in ``docs/train.md`` from the code itself.

``--check`` only says whether they are up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from auscult.checks import all_checks
from auscult.hardware import load_table
from auscult.readers import all_dialects
from auscult.report.pages import check_index, check_page, dialect_page, hardware_page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.recipe_tables import with_settings  # the checkout is put on the path first

DOCS = Path(__file__).resolve().parent.parent / "docs"
FOLDER = DOCS / "checks"


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    checks = all_checks()
    return {"README.md": check_index(checks)} | {f"{check.code}.md": check_page(check) for check in checks}


def single_pages() -> dict[str, str]:
    """Return the text of the pages that are one file each; ``train.md`` is written by hand but for its settings."""
    return {
        "dialects.md": dialect_page(all_dialects()),
        "hardware.md": hardware_page(load_table()),
        "train.md": with_settings((DOCS / "train.md").read_text(encoding="utf-8")),
    }


def main() -> int:
    """Write the pages, or compare them."""
    wanted = pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if "--check" in sys.argv[1:]:
        stale = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        if stale:
            print(f"docs/checks is out of date: {', '.join(stale)}; run make docs", file=sys.stderr)
        for name, text in single_pages().items():
            page = DOCS / name
            if not page.is_file() or page.read_text(encoding="utf-8") != text:
                stale.append(name)
                print(f"docs/{name} is out of date; run make docs", file=sys.stderr)
        return bool(stale)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in single_pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
