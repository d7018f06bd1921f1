"""Nanotron's lines, its numbers of three digits, ranks, and the configs that it prints."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Unknown
from log_files import file_of, plain
from log_files import notice_kinds as notices

DIALECT = find_dialect("nanotron")
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


def points(reading: Reading, name: str) -> list[tuple[int, object]]:
    """Return a series as pairs of step and value."""
    series = reading.get(name)
    return [] if series is None else list(zip(series.steps, series.values, strict=True))


def stamp(text: str, ranks: str = "|DP=0|PP=0|TP=0|node7") -> str:
    """Return a message as nanotron's formatter writes it."""
    return f"03/26 10:00:00 [INFO{ranks}]: {text}"


def rec(step: int, loss: str = "9.87", ranks: str = "|DP=0|PP=0|TP=0|node7") -> str:
    """Return a record since March 2025."""
    return stamp(
        f"iteration: {step} / 15000 | consumed_tokens: {step * 1.05:.3g}M | time_per_iteration_ms: 1.2K | tokens_per_sec: 874K"
        f" | tokens_per_sec_per_gpu: 109K | global_batch_size: 1.05M | grad_norm: 0.532 | lm_loss: {loss} | lr: 0.0003"
        " | model_tflops_per_gpu: 210 | eta: 5:00:00",
        ranks,
    )


CONFIG = [
    stamp("=" * 50),
    stamp("Config:"),
    stamp("Parsing config: /home/somebody/config.yaml"),
    stamp("Config(general=GeneralArgs(project='p',"),
    stamp("                           run='small',"),
    stamp("                           seed=42),"),
    stamp("       parallelism=ParallelismArgs(dp=4,"),
    stamp("                                   pp=1,"),
    stamp("                                   tp=2),"),
    stamp("       optimizer=OptimizerArgs(optimizer_factory=AdamWOptimizerArgs(adam_beta1=0.9,"),
    stamp("                                                                    adam_beta2=0.95,"),
    stamp("                                                                    name='adamW'),"),
    stamp("                               weight_decay=0.01,"),
    stamp("                               clip_grad=1.0,"),
    stamp("                               learning_rate_scheduler=LRSchedulerArgs(learning_rate=0.0003,"),
    stamp("                                                                       lr_warmup_steps=100,"),
    stamp("                                                                       lr_decay_style='cosine',"),
    stamp("                                                                       min_decay_lr=1e-05)),"),
    stamp("       tokens=TokensArgs(sequence_length=256,"),
    stamp("                         train_steps=15000,"),
    stamp("                         micro_batch_size=2,"),
    stamp("                         batch_accumulation_per_replica=3))"),
    stamp("Model Config:"),
    stamp("LlamaConfig(bos_token_id=1,"),
    stamp("            hidden_size=64,"),
    stamp("            intermediate_size=256,"),
    stamp("            num_attention_heads=4,"),
    stamp("            num_hidden_layers=2,"),
    stamp("            num_key_value_heads=2,"),
    stamp("            tie_word_embeddings=True,"),
    stamp("            vocab_size=1000)"),
]
SAMPLE = [
    *CONFIG,
    stamp("Total number of parameters: 1.24M (2.36MiB)"),
    stamp(
        "mbs: 2 | grad_accum: 3 | cp: 1 | sequence_length: 256 | global_batch_size: 24 | train_steps: 15000 | start_iteration_step: 0 | consumed_tokens_total: 0"
    ),
    *[rec(i, f"{10 - i / 10:.3g}") for i in range(1, 9)],
]


def test_records() -> None:
    """A record gives loss, rate, norm, times and throughput in the field's units, and that they have three digits."""
    reading = one(*SAMPLE)
    assert points(reading, "train_loss")[:2] == [(1, 9.9), (2, 9.8)]
    assert points(reading, "step_time_s")[0] == (1, pytest.approx(1.2))
    assert points(reading, "tokens_per_s")[0] == (1, 874_000.0)
    assert points(reading, "tokens_per_s_per_gpu")[0] == (1, 109_000.0)
    assert points(reading, "grad_norm")[0] == (1, 0.532)
    assert points(reading, "learning_rate")[0] == (1, 0.0003)
    assert points(reading, "tflops_per_gpu")[0] == (1, 210.0)
    assert points(reading, "tokens_seen")[0] == (1, pytest.approx(1.05e6))
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.scope, loss.convention, loss.lines[0]) == ("global", "printed with three digits", len(CONFIG) + 3)
    assert reading.noted["nanotron.global_batch_size_in_tokens"].value == 1.05e6


def test_configs() -> None:
    """The configs, printed over many lines with a prefix each, give parallelism, recipe and shape with their lines."""
    reading = one(*CONFIG, *[rec(i) for i in (1, 2)])
    assert plain(reading, "recipe.world_size") == plain(reading, "machine.gpu_count") == 8
    assert plain(reading, "recipe.gradient_accumulation_steps") == 12
    assert plain(reading, "recipe.batch_size") == 2
    assert plain(reading, "recipe.warmup_steps") == 100
    assert plain(reading, "recipe.schedule") == "cosine"
    assert plain(reading, "recipe.beta2") == 0.95
    assert plain(reading, "recipe.min_lr") == 1e-5
    assert plain(reading, "recipe.run_name") == "small"
    assert [
        plain(reading, f"architecture.{k}")
        for k in ("n_layer", "n_head", "n_kv_head", "d_model", "d_ff", "vocab_size", "context", "tied")
    ] == [2, 4, 2, 64, 256, 1000, 256, True]
    assert repr(reading.settings["recipe.warmup_steps"]) == "Known(100, train.log:16)"


def test_the_line_before_the_first_iteration() -> None:
    """Batch, accumulation over all ranks and tokens of a step follow from it exactly."""
    reading = one(*SAMPLE)
    assert plain(reading, "logged.tokens_per_step") == 24 * 256
    assert plain(reading, "recipe.gradient_accumulation_steps") == 12
    assert plain(reading, "recipe.max_steps") == 15000
    assert plain(reading, "logged.parameters") == (1_235_000, 1_245_000)
    odd = one(stamp("mbs: 5 | grad_accum: 3 | sequence_length: 256 | global_batch_size: 24 | train_steps: 9"), rec(1))
    assert isinstance(odd.settings["recipe.gradient_accumulation_steps"], Unknown)


def test_before_march_2025() -> None:
    """Older versions name the time otherwise, count the batch in sequences and put the norm at the end."""
    line = stamp(
        "iteration: 7 / 100 | consumed_tokens: 57.3K | elapsed_time_per_iteration_ms: 250 | tokens_per_sec: 32.8K"
        " | tokens_per_sec_per_gpu: 32.8K | global_batch_size: 32 | lm_loss: 9.5 | lr: 1e-05 | model_tflops_per_gpu: 2.5"
        " | hardware_tflops_per_gpu: 2.5 | grad_norm: 12.3 | cuda_memory_allocated: 1.2G"
    )
    reading = one(line)
    assert points(reading, "step_time_s") == [(7, 0.25)]
    assert points(reading, "grad_norm") == [(7, 12.3)]
    assert reading.noted["nanotron.global_batch_size_in_sequences"].value == 32


def test_ranks() -> None:
    """Of several ranks that print, the first is the run."""
    lines = [rec(i, f"{5 + r}", f"|DP={r}|node{r}") for i in range(1, 6) for r in (0, 1)]
    reading = one(*lines)
    assert {value for _step, value in points(reading, "train_loss")} == {5.0}
    assert "ranks_interleaved" in notices(reading)


def test_no_host_is_named() -> None:
    """The prefix of every line names the machine; nothing that is kept does."""
    reading = one(*SAMPLE, rec(9)[:60], rec(10))
    assert "node7" not in repr(reading.settings) + repr(reading.problems) + repr(reading.notices) + repr(reading.noted)
    assert "somebody" not in repr(reading)


def test_other_items_keep_their_names() -> None:
    """Items of other models and of the data loader are kept under their own names."""
    reading = one(rec(1).replace("| eta", "| dataloader/consumed_tokens/web: 1.05M | eta"))
    assert points(reading, "dataloader/consumed_tokens/web") == [(1, 1.05e6)]


def test_a_cut_record_is_no_record() -> None:
    """Wherever the file ends inside a record, nothing of it is read."""
    whole = rec(2)
    start = whole.index("iteration: ") + len("iteration: 2 / 15000")
    for size in range(start, len(whole) - 3):
        assert points(one(rec(1), whole[:size], end=""), "train_loss") == [(1, 9.87)]


def test_sniff() -> None:
    """Its lines are unmistakable; Megatron's iterations are not its own."""
    assert recognise(file_of("\n".join(SAMPLE)))[1] is DIALECT
    assert DIALECT.sniff(file_of(" iteration       10/     100 | consumed samples:  320 | lm loss: 9.5E+00 |")) == 0


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
