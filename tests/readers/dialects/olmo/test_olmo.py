"""OLMo's and OLMo-core's multi-line records, evaluations, figures, and the ends of cut files."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from log_files import file_of, plain, points
from log_files import notice_kinds as notices

DIALECT = find_dialect("olmo")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def readings(*lines: str, end: str = "\n", name: str = "train.log") -> list[Reading]:
    """Return what the dialect reads of these lines."""
    return list(DIALECT.read(file_of("\n".join(lines) + end, name)))


def one(*lines: str, end: str = "\n", name: str = "train.log") -> Reading:
    """Return the only run in these lines."""
    (reading,) = readings(*lines, end=end, name=name)
    return reading


PREFIX = "2024-05-10 17:11:31.123\tnode7.cluster:0\tolmo.train:967\tINFO\t"
CONFIG = (
    "TrainConfig(run_name='small', seed=1, model=ModelConfig(d_model=64, n_heads=4, n_kv_heads=None, n_layers=2, "
    "mlp_hidden_size=256, weight_tying=False, max_sequence_length=128, vocab_size=1000), "
    "optimizer=OptimizerConfig(name='adamw', learning_rate=0.0003, weight_decay=0.1, betas=(0.9, 0.95)), "
    "scheduler=SchedulerConfig(name='cosine_with_warmup', units='steps', t_warmup=200), max_grad_norm=1.0, "
    "precision='amp_bf16', global_train_batch_size=64, device_train_microbatch_size=4, save_folder='/home/somebody/x')"
)


def record(step: int, loss: str = "9.123", prefix: str = PREFIX) -> list[str]:
    """Return a record as OLMo prints it."""
    return [
        f"{prefix}[step={step}/1000,epoch=0]",
        f"    train/CrossEntropyLoss={loss}",
        "    train/Perplexity=9,163",
        "    optim/total_grad_norm=1.250",
        f"    throughput/total_tokens={step * 8192:,d}",
        "    throughput/device/tokens_per_second=12,345",
        "    throughput/device/batches_per_second=2.500",
        "    System/Peak GPU Memory (MB)=4,096",
    ]


EVALUATION = [
    f"{PREFIX}[eval_step=5/10]",
    f"{PREFIX}all-small",
    "    eval/all-small/CrossEntropyLoss=8.750",
    "    eval/all-small/Perplexity=6,310",
    "    eval/downstream/task_acc=0.2500",
]
SAMPLE = [
    PREFIX + CONFIG,
    PREFIX + "Total number of parameters: 1,190,400",
    PREFIX + "Number of non-embedding parameters: 190,400",
    *record(1),
    *record(10, "8.5000"),
    *EVALUATION,
]
CORE = [
    "2025-01-01 00:00:00.000\tnode7:0\tolmo_core.nn:1\tINFO\tBuilding transformer with 1,190,400 total params, 190,400 non-embedding params",
    "2025-01-01 00:00:00.000\tnode7:0\tx:1\tINFO\tDevice: NVIDIA H100 80GB HBM3, Device peak Flops/s: 989500000000000",
    "2025-01-01 00:00:00.000\tnode7:0\tx:63\tINFO\t[step=1/500,epoch=1,eta=1h20m]",
    "    train/CE loss=10.91",
    "    train/PPL=54,721",
    "    optim/total grad norm=2.500",
    "    optim/LR (group 0)=3.00E-06",
    "    throughput/device/TPS=1,200",
    "    throughput/device/TPS (actual avg)=1,100",
    "    throughput/device/BPS=0.5000",
    "    throughput/device/MFU=40.00",
    "    throughput/total tokens=4.194B",
    "    gpu_memory/GPU active mem (GiB)=10.00",
    "2025-01-01 00:00:01.000\tnode7:0\tx:61\tINFO\t[step=2/500,epoch=1]",
    "2025-01-01 00:00:01.000\tnode7:0\tx:178\tINFO\tFinished lm evals in 1.0 seconds. Metrics:",
    "    c4_en-validation/CE loss=9.500",
    "    c4_en-validation/PPL=13,359",
    "    pile-validation/CE loss=9.250",
]


def test_records() -> None:
    """Each indented line is a value at the step of the header above it, with its own line number."""
    reading = one(*SAMPLE)
    assert points(reading, "train_loss") == [(1, 9.123), (10, 8.5)]
    assert points(reading, "grad_norm") == [(1, 1.25), (10, 1.25)]
    assert points(reading, "tokens_seen") == [(1, 8192.0), (10, 81920.0)]
    assert points(reading, "step_time_s") == [(1, 0.4), (10, 0.4)]
    assert points(reading, "memory_bytes")[0] == (1, 4.096e9)
    loss = reading.get("train_loss")
    assert loss is not None
    assert (list(loss.lines), loss.scope, loss.mode) == ([5, 13], "global", "train")
    assert plain(reading, "recipe.max_steps") == 1000


def test_an_evaluation_stands_at_the_last_step() -> None:
    """The only validation set is the validation loss; tasks keep their names."""
    reading = one(*SAMPLE)
    assert points(reading, "val_loss") == [(10, 8.75)]
    assert points(reading, "eval/downstream/task_acc") == [(10, 0.25)]
    val = reading.get("val_loss")
    assert val is not None
    assert (val.mode, val.split) == ("eval", "val")
    assert "all-small" in val.window


def test_the_config_that_is_printed() -> None:
    """The config as Python shows it gives shape, recipe and the batch over all ranks, and no path."""
    reading = one(*SAMPLE)
    assert [
        plain(reading, f"architecture.{k}")
        for k in ("n_layer", "n_head", "d_model", "d_ff", "context", "vocab_size", "tied")
    ] == [2, 4, 64, 256, 128, 1000, False]
    assert plain(reading, "recipe.batch_size") == 4
    assert plain(reading, "recipe.gradient_accumulation_steps") == 16
    assert plain(reading, "logged.tokens_per_step") == 8192
    assert plain(reading, "recipe.warmup_steps") == 200
    assert plain(reading, "recipe.dtype") == "bfloat16"
    assert plain(reading, "recipe.beta2") == 0.95
    assert plain(reading, "logged.parameters") == (1_190_400, 1_190_400)
    assert reading.noted["olmo.non_embedding_parameters"].value == 190_400
    assert "somebody" not in repr(reading)


def test_olmo_core() -> None:
    """OLMo-core's names, its rounded numbers, its MFU with the peak that it names, and several validation sets."""
    reading = one(*CORE)
    assert points(reading, "train_loss") == [(1, 10.91)]
    assert points(reading, "learning_rate") == [(1, 3e-6)]
    assert points(reading, "mfu") == [(1, 0.4)]
    assert points(reading, "step_time_s") == [(1, 2.0)]
    assert points(reading, "tokens_seen") == [(1, 4.194e9)]
    assert points(reading, "tokens_per_s_per_gpu") == [(1, 1200.0)]
    assert points(reading, "memory_bytes") == [(1, 10 * 2**30)]
    assert points(reading, "val_loss/c4_en-validation") == [(2, 9.5)]
    assert points(reading, "val_loss/pile-validation") == [(2, 9.25)]
    assert plain(reading, "machine.gpu_name") == "NVIDIA H100 80GB HBM3"
    assert plain(reading, "logged.mfu_peak_flops_per_s") == 989.5e12
    assert plain(reading, "logged.parameters") == (1_190_400, 1_190_400)
    assert plain(reading, "recipe.max_steps") == 500


def test_no_host_is_named() -> None:
    """The prefix of every line names the machine; nothing that is kept does."""
    for lines in (SAMPLE, CORE):
        for series in one(*lines).series:
            assert "node7" not in repr(series.source(0))
    assert "node7" not in repr(one(*SAMPLE).settings["recipe.max_steps"])


def test_unknown_length_and_other_prefixes() -> None:
    """A run without an end, a Rich console and a Beaker time stamp before each line are read too."""
    rich = record(5, prefix="[05/10/24 17:11:31] INFO     [olmo.train:967, rank=0] ")
    beaker = ["2024-05-10T17:11:31.123Z " + line for line in record(6)]
    reading = one(*rich, *beaker, "[step=7/???,epoch=1]", "    train/CE loss=8.000")
    assert points(reading, "train_loss") == [(5, 9.123), (6, 9.123), (7, 8.0)]


def test_a_loss_that_is_not_finite() -> None:
    """OLMo stops at a loss that is not a number; the log says so."""
    assert "nan_loss" in notices(
        one(*record(1), "Traceback (most recent call last):", "ValueError: nan loss encountered")
    )


def test_a_resumed_run() -> None:
    """A log that goes back to a checkpoint has a seam."""
    lines = [line for step in (*range(1, 40), *range(30, 60)) for line in record(step)]
    assert [(s.step_before, s.step_after) for s in one(*lines).seams] == [(39, 30)]


@pytest.mark.parametrize(
    "cut",
    [
        "    train/CrossEntropyLoss=",
        "    train/CrossEntropyLoss=8.",
        "    train/CrossEntropyLoss=8.12",
        "    train/Cross",
    ],
)
def test_a_file_that_ends_inside_a_value(cut: str) -> None:
    """A number with fewer decimals than the trainer gives at its size is no value."""
    reading = one(*record(1), f"{PREFIX}[step=2/1000,epoch=0]", cut, end="")
    assert points(reading, "train_loss") == [(1, 9.123)]


def test_a_whole_value_at_the_end() -> None:
    """A last value with all its decimals is one, though its line has no end."""
    reading = one(*record(1), f"{PREFIX}[step=2/1000,epoch=0]", "    train/CrossEntropyLoss=8.125", end="")
    assert points(reading, "train_loss")[-1] == (2, 8.125)


def test_sniff() -> None:
    """Both consoles are recognised; indented assignments alone are not."""
    for lines in (SAMPLE, CORE):
        assert recognise(file_of("\n".join(lines)))[1] is DIALECT
    assert DIALECT.sniff(file_of("    train/loss=3\n    lr=2\n")) == 0


@_HARMLESS
@given(st.integers(0, 3000), st.text(max_size=6), st.integers(0, 40), st.booleans())
def test_whatever_is_changed_gives_readings_or_an_input_error(at: int, put: str, cut: int, end: bool) -> None:
    """A log with characters put in and taken out anywhere gives readings, or an error of ours."""
    text = "\n".join(SAMPLE)
    at %= len(text) + 1
    text = text[:at] + put + text[at + cut :] + ("\n" if end else "")
    try:
        found = list(DIALECT.read(file_of(text)))
    except InputError:
        return
    for reading in found:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines)


@_HARMLESS
@given(st.text(max_size=300))
def test_any_text_gives_readings_or_an_input_error(text: str) -> None:
    """Arbitrary text gives readings, or an error of ours, and is sniffed without harm."""
    file = file_of(text)
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        list(DIALECT.read(file))
    except InputError:
        return
