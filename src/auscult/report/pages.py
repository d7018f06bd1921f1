"""Pages from the things themselves: a check's for ``auscult explain`` and ``docs/checks/``, a dialect's for ``docs/dialects.md``,
the cards' ``docs/hardware.md``.
"""

from __future__ import annotations

import re

from ..checks.base import Check
from ..hardware import Gpu
from ..readers.reading import Dialect

__all__ = ["check_index", "check_page", "dialect_page", "dialect_section", "hardware_page"]


def check_page(check: Check) -> str:
    """Return the page of a check as Markdown."""
    body = re.sub(r"^(.+)\n-{3,}$", r"## \1", check.documentation.strip(), flags=re.M)
    body = body.replace("``", "`")
    needs = ", ".join(f"`{name}`" for name in check.requires) or "only the run itself"
    return (
        f"# {check.code} {check.name}\n\n**{check.title}.** Severity: {check.severity}. Family: {check.family}.\n\n"
        f"{body}\n\n## Needs\n\n{needs}; where one is unknown the answer is *cannot tell*, with the reason.\n"
    )


def check_index(checks: tuple[Check, ...]) -> str:
    """Return the table of all checks as Markdown."""
    rows = "\n".join(f"| [{c.code}]({c.code}.md) | `{c.name}` | {c.title} | {c.severity} |" for c in checks)
    return f"# Checks\n\nGenerated from the checks themselves by `make docs`.\n\n| code | defect | in words | severity |\n|---|---|---|---|\n{rows}\n"


_ROLES = {
    "log": "Logs: what trainers print",
    "metrics": "Metrics: what trainers and trackers store",
    "config": "Configs: what was asked for",
    "summary": "Summaries: final figures and metadata",
    "weights": "Weights: shapes, never contents",
}


def dialect_section(dialect: Dialect) -> str:
    """Return a dialect's part of the page as Markdown."""
    return (
        f"### {dialect.title} (`{dialect.name}`)\n\n```text\n{dialect.example.rstrip()}\n```\n\n"
        f"**Read:** {_sentence(dialect.reads)}\n\n**Cannot be known from it:** {_sentence(dialect.cannot)}\n\n"
        f"**Grammar:** {_sentence(dialect.source)}\n"
    )


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."


def dialect_page(dialects: tuple[Dialect, ...]) -> str:
    """Return ``docs/dialects.md``."""
    parts = [
        "# Dialects\n",
        "Generated from the readers themselves by `make docs`. A file is recognised by what it holds, not by its name;"
        " `--dialect NAME` overrides. Nothing that is read is executed or unpickled. `.gz` and `.zst` are read as what is in"
        " them, `-` is stdin, and URLs need the extra `remote`.\n",
    ]
    for role, title in _ROLES.items():
        mine = sorted((d for d in dialects if d.role == role), key=lambda d: d.title.lower())
        if mine:
            parts.append(f"## {title}\n")
            parts += [dialect_section(dialect) for dialect in mine]
    return "\n".join(parts)


_CARDS_BEFORE = """# Cards

Generated from `src/auscult/hardware/gpus.csv` and `power.csv` by `make docs`. A card that is not here has no figures and is never
taken for a neighbour; where a name fits several (`A100`), what differs between them is unknown.

`--gpu` takes a name as people write it (`4070`, `h100 sxm`) or as a program prints it (`NVIDIA A100-SXM4-80GB`, `TPU v5 lite`), with
`x8` behind it for eight. `--gpu auto` asks `nvidia-smi`, then `rocm-smi`: every card of the machine, with the memory that the driver
shows. A card in MIG mode, a machine with cards of two kinds, and a card outside the table are refused, with what to say instead.

Peaks are dense and accumulate in fp32, in TFLOP/s; a GeForce is twice as fast where float16 is also accumulated in float16, which
PyTorch's matrix multiplications do not do. `float32` is TF32 where the card has it. Memory is nominal: a driver shows 92 % to 99.5 %
of it. An MI250, an MI250X and the TPUs v2, v3 and v7x are two devices each to a program, in one row here; `--gpu auto` halves the
first two.

## A card of your own

`auscult plan` reads `[[gpu]]` tables from an `auscult.toml` in the working directory, and asks them before the table:

```toml
[[gpu]]
name = "RTX 4070 Laptop GPU"
memory_gib = 8
bandwidth_gb_per_s = 256
sm_count = 36
boost_clock_mhz = 2175
compute_capability = "8.9"
geforce = true
```

`name` and a peak are needed, and `plan` needs memory and bandwidth too. The peak is `bf16_tflops`, `fp16_tflops`, `tf32_tflops` or
`fp32_tflops` (dense), or it follows from SMs x boost clock x FLOP per SM and cycle as above: 1024 on Volta, 2048 on an A100, 4096 on an
H100, 8192 on a B200; on Turing, other Ampere cards, Ada and RTX Blackwell 1024, and 512 where the card is a GeForce. Further keys:
`fp8_tflops`, `fp16_accumulate_tflops`, `board_power_w`, `vendor`, `source`.

## The table
"""


def hardware_page(cards: tuple[Gpu, ...]) -> str:
    """Return ``docs/hardware.md``."""
    head = (
        "| card | SMs or cores | memory GiB | GB/s | bf16 | fp16 | float32 | fp8 | W | source |\n" + "|---" * 10 + "|"
    )
    return "\n".join([_CARDS_BEFORE, head, *map(_card_row, cards)]) + "\n"


def _card_row(card: Gpu) -> str:
    def figure(value: float | None, unit: float) -> str:
        return "" if value is None else f"{value / unit:.6g}"

    cells = [
        card.name,
        figure(card.sm_count, 1),
        figure(card.memory_bytes, 2**30),
        figure(card.bandwidth_bytes_per_s, 1e9),
        figure(card.bf16_flops_per_s, 1e12),
        figure(card.fp16_flops_per_s, 1e12),
        figure(card.peak_flops_per_s("float32"), 1e12),
        figure(card.fp8_flops_per_s, 1e12),
        figure(card.board_power_w, 1),
        card.source.replace("|", "\\|"),
    ]
    return f"| {' | '.join(cells)} |"
