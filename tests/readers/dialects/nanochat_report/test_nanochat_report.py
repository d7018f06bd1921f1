"""nanochat's report card."""

from __future__ import annotations

import contextlib
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.nanochat_report import DIALECT
from auscult.readers.files import InputFile
from auscult.run import Known

REPORT = """# nanochat training report

Generated: 2025-11-02 10:00:00

## Environment

### Hardware
- Platform: Linux
- GPUs: 8x NVIDIA H100 80GB HBM3
- GPU Memory: 632.0 GB total

Run started: 2025-11-02 10:00:00

---

## Tokenizer training
timestamp: 2025-11-02 10:02:00

- vocab_size: 65,536
- token_bytes_mean: 6.9

## Base model training
timestamp: 2025-11-02 13:00:00

- run: d10
- depth: 10
- max_seq_len: 2048
- aspect_ratio: 64
- head_dim: 128
- device_batch_size: 32
- total_batch_size: 524,288
- Number of parameters: 160,000,512
- Number of FLOPs per token: 1.100000e+09
- Calculated number of iterations: 3,000
- DDP world size: 8
- Minimum validation bpb: 0.9010
- CORE metric estimate: 0.1234
- MFU %: 45.50%
- Total training time: 40.00m

## Midtraining
timestamp: 2025-11-02 13:20:00

- total_batch_size: 131,072
- Number of iterations: 765
- Minimum validation bpb: 0.4010
"""


def file_of(text: str, name: str = "report.md") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def test_the_machine_and_the_model_are_set() -> None:
    """GPUs, ranks, depth, width, parameters and vocabulary are settings, each with its line."""
    (reading,) = DIALECT.read(file_of(REPORT))
    values = {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)}
    assert values["machine.gpu_name"] == "NVIDIA H100 80GB HBM3"
    assert values["machine.gpu_count"] == values["recipe.world_size"] == 8
    assert values["architecture.n_layer"] == 10
    assert values["architecture.d_model"] == 640
    assert values["architecture.vocab_size"] == 65_536
    assert values["logged.parameters"] == (160_000_512, 160_000_512)
    gpus = reading.settings["machine.gpu_name"]
    assert isinstance(gpus, Known)
    assert gpus.source.line == REPORT.split("\n").index("- GPUs: 8x NVIDIA H100 80GB HBM3") + 1


def test_what_stages_do_not_share_is_noted_only() -> None:
    """Batch and steps of a stage are noted under its name, as a setting they would leak into the others."""
    (reading,) = DIALECT.read(file_of(REPORT))
    assert not {"recipe.max_steps", "logged.tokens_per_step", "recipe.batch_size"} & set(reading.settings)
    assert reading.noted["nanochat.report.midtraining.total_batch_size"].value == 131_072
    assert reading.noted["nanochat.report.base-model-training.minimum_validation_bpb"].value == 0.901
    assert reading.noted["nanochat.report.base-model-training.mfu"].value == 45.5


def test_it_claims_its_own_and_leaves_others() -> None:
    """A report and a section file are its; another Markdown page is not."""
    assert DIALECT.sniff(file_of(REPORT)) == 1.0
    assert DIALECT.sniff(file_of("## Base model training\ntimestamp: 2025-11-02 13:00:00\n\n- depth: 4\n")) == 0.9
    assert DIALECT.sniff(file_of("# A report\n\n- GPUs: 8\n")) == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=60)
@given(name=st.text(max_size=20), value=st.text(max_size=30) | st.integers().map(str))
def test_any_item_does_no_harm(name: str, value: str) -> None:
    """Whatever stands in a list of the report, it is read, left out or refused."""
    for key in (name, "depth", "Number of parameters", "aspect_ratio", "head_dim", "DDP world size"):
        with contextlib.suppress(InputError):
            tuple(DIALECT.read(file_of(REPORT + f"\n## Base model training\n\n- {key}: {value}\n")))
