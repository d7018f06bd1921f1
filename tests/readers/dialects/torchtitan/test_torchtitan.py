"""What torchtitan prints: fields of all versions, colours, doubled ranks, figures, several runs in one file."""

from __future__ import annotations

import io

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from log_files import corpus_case as case
from log_files import notice_counts as notices
from log_files import plain, points

DIALECT = find_dialect("torchtitan")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "train.log") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "train.log") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


def stamp(text: str, rank: str = "[rank0]:") -> str:
    return f"{rank}[titan] 2026-01-02 03:04:05,678 - root - INFO - {text}"


def step(number: int, loss: float, rank: str = "[rank0]:") -> str:
    fields = f"step: {number:2}  loss: {loss:8.5f}  grad_norm:  1.2500  memory: 10.50GiB(13.12%)  tps: 1,234  tflops: 56.78  mfu: 12.50%"
    return stamp(fields, rank)


SETUP = "\n".join(
    stamp(text)
    for text in (
        "torchtitan version: 0.3.1 (0.0.0 means __version__ is not defined correctly).",
        "Building device mesh with parallelism: pp=1, dp_replicate=2, dp_shard=4, cp=1, tp=2, ep=4",
        "CUDA capacity: NVIDIA H100 80GB HBM3 with 79.10GiB memory",
        "Total parameter count: dense 1,000,000, sparse 2,000,000, active 1,500,000",
        "\x1b[34mModel made_up 3M \x1b[31msize: 3,000,000 total parameters\x1b[39m",
        "Compiling each TransformerBlock with torch.compile",
        "Peak FLOPS used for computing MFU: 9.890e+14",
        "Trainer is initialized with local batch size 4, global batch size 64, gradient accumulation steps 2,"
        " sequence length 2048, total steps 1000 (warmup 50)",
    )
)
LOG = SETUP + "\n" + "\n".join(step(n, 10 - n / 10) for n in range(1, 8)) + "\n"


def test_a_step_line_has_all_its_fields() -> None:
    """Every field of a step line becomes a series in its unit, with its line."""
    reading = read(LOG)
    assert points(reading, "train_loss") == [(n, 10 - n / 10) for n in range(1, 8)]
    assert points(reading, "mfu")[0] == (1, 0.125)
    assert points(reading, "memory_bytes")[0] == (1, 10.5 * 2**30)
    assert points(reading, "tokens_per_s_per_gpu")[0] == (1, 1234.0)
    assert points(reading, "tflops_per_gpu")[0] == (1, 56.78)
    loss, mfu = reading.get("train_loss"), reading.get("mfu")
    assert loss is not None
    assert (loss.mode, loss.scope, loss.lines[0]) == ("train", "global", 9)
    assert mfu is not None
    assert "989 TFLOP/s" in mfu.convention


def test_figures_of_the_setup() -> None:
    """Model size, card, ranks (expert parallelism borrows them), batch over all ranks, planned steps, peak."""
    reading = read(LOG)
    assert plain(reading, "logged.parameters") == (3_000_000, 3_000_000)
    assert plain(reading, "machine.gpu_name") == "NVIDIA H100 80GB HBM3"
    assert plain(reading, "machine.gpu_count") == plain(reading, "recipe.world_size") == 16
    assert plain(reading, "recipe.batch_size") == 4
    assert plain(reading, "recipe.gradient_accumulation_steps") == 16
    assert plain(reading, "logged.tokens_per_step") == 64 * 2048
    assert plain(reading, "recipe.max_steps") == 1000
    assert plain(reading, "recipe.warmup_steps") == 50
    assert plain(reading, "recipe.compile") is True
    assert plain(reading, "logged.mfu_peak_flops_per_s") == 989e12
    assert reading.noted["torchtitan.active_parameters"].value == 1_500_000


def test_colours_and_doubled_ranks_are_taken_off() -> None:
    """24-bit colours before each field and a rank printed twice change nothing."""
    text = (
        "[rank0]:[rank0]:[titan] 2026-01-02 03:04:05,678 - root - INFO - \x1b[31mstep:  1  \x1b[32mloss: 11.90123  "
        "\x1b[38;2;180;60;0mgrad_norm: 11.1250  \x1b[38;2;54;234;195mmemory: 43.25GiB(54.12%)  \x1b[34mtps: 1,999  "
        "\x1b[36mtflops: 111.11  \x1b[35mmfu: 7.00%\x1b[39m\n"
    )
    reading = read(text)
    assert points(reading, "train_loss") == [(1, 11.90123)]
    assert points(reading, "grad_norm") == [(1, 11.125)]


def test_older_versions() -> None:
    """Versions without grad_norm say wps, list the mesh by dimension, and start at a step."""
    reading = read(
        stamp("Building 2-D device mesh with ['dp_shard', 'tp'], [4, 2]")
        + "\n"
        + stamp(
            "Building llama3 8B with ModelArgs(dim=4096, n_layers=32, n_heads=32, n_kv_heads=8, vocab_size=128256, norm_eps=1e-05)"
        )
        + "\n"
        + stamp(
            "Training starts at step 1, with local batch size 1, global batch size 4, sequence length 8192, total steps 10 (warmup 2)"
        )
        + "\n"
        + stamp("step:  1  loss: 11.9876  memory: 20.25GiB(21.43%)  wps: 1,234  mfu: 3.40%")
        + "\n"
        + stamp("step: 10  loss: 10.1000  memory: 20.25GiB(21.43%)  wps: 2,345  mfu: N/A")
        + "\n"
    )
    assert points(reading, "train_loss") == [(1, 11.9876), (10, 10.1)]
    assert points(reading, "mfu") == [(1, 0.034)]
    assert plain(reading, "machine.gpu_count") == 8
    assert plain(reading, "architecture.d_model") == 4096
    assert plain(reading, "architecture.n_kv_head") == 8
    assert plain(reading, "recipe.gradient_accumulation_steps") == 4


def test_validation_is_no_training() -> None:
    """A validate line gives the validation loss and no second train loss."""
    text = step(10, 3.5) + "\n" + stamp("validate step: 10  loss:  3.7000  memory: 10.50GiB(13.12%)  tps: 9,999") + "\n"
    reading = read(text)
    assert points(reading, "val_loss") == [(10, 3.7)]
    assert points(reading, "train_loss") == [(10, 3.5)]
    assert len(points(reading, "tokens_per_s_per_gpu")) == 1


def test_a_warmup_that_is_cut_down_is_the_shorter_one() -> None:
    """Torchtitan shortens a warm-up that is longer than the run; the configured one is noted."""
    text = LOG.replace("(warmup 50)", "(warmup 6000)").replace(
        "Peak FLOPS",
        "Warmup steps (6000) exceed total steps (1000). Adjusting warmup steps to 1000.\n" + stamp("Peak FLOPS"),
    )
    reading = read(text)
    assert plain(reading, "recipe.warmup_steps") == 1000
    assert reading.noted["torchtitan.warmup_steps_configured"].value == 6000


def test_several_runs_in_a_page() -> None:
    """Two logs quoted in Markdown are two runs, even of a few steps each, and the page is named as such."""
    page = f"# Results\n```\n{LOG}```\nThe second:\n```\n{LOG.replace('local batch size 4', 'local batch size 8')}```\n"
    one, two = DIALECT.read(file_of(page, "README.md"))
    assert plain(one, "recipe.batch_size") == 4
    assert plain(two, "recipe.batch_size") == 8
    assert {"several_runs_in_file", "log_inside_markdown"} <= notices(one).keys()


def test_out_of_memory_on_every_rank_is_counted() -> None:
    """Each rank's error counts, and the run keeps its step."""
    error = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    reading = read(LOG + "".join(f"[rank{r}]:[rank{r}]: {error}\n" for r in range(3)))
    assert notices(reading)["out_of_memory"] == 3
    assert len(points(reading, "train_loss")) == 7


def test_other_ranks_are_not_points() -> None:
    """When every rank prints, one rank's records are kept."""
    text = "".join(step(n, 5.0, f"[rank{r}]:") + "\n" for n in range(1, 4) for r in range(4))
    reading = read(text)
    assert len(points(reading, "train_loss")) == 3
    assert notices(reading)["ranks_interleaved"] == 9


def test_a_cut_line_gives_no_half_number() -> None:
    """A file that ends inside a number does not give that number."""
    reading = read(LOG + stamp("step:  9  loss:  3.1234  grad_norm:  1.2"))
    assert points(reading, "train_loss")[-1] == (9, 3.1234)
    assert points(reading, "grad_norm")[-1][0] == 7


def test_it_knows_its_own() -> None:
    """Its lines are recognised, with and without colours; other text is not."""
    assert recognise(file_of(LOG))[1] is DIALECT
    assert DIALECT.sniff(file_of("step 10: train loss 3.1, val loss 3.2\n")) == 0


def test_corpus_b200() -> None:
    """The real run on eight B200s has the facts of the corpus."""
    (reading,) = DIALECT.read(open_path(case("torchtitan-qwen3-14b-b200") / "run.log", "run.log"))
    assert points(reading, "train_loss") == [(1, 12.32859), (10, 5.53659)]
    assert plain(reading, "machine.gpu_name") == "NVIDIA B200"
    assert plain(reading, "machine.gpu_count") == 8
    assert plain(reading, "logged.peak_flops_per_s") == 2.25e15


def test_corpus_readme_and_out_of_memory() -> None:
    """Seven runs in a README; nine errors of memory after one step."""
    found = read_all(case("torchtitan-moe-readme"))
    assert sum(len(run.get("train_loss") or ()) for run in found.runs) == 70
    (reading,) = DIALECT.read(open_path(case("torchtitan-oom-qwen3-14b") / "run.log", "run.log"))
    assert notices(reading)["out_of_memory"] == 9
    assert points(reading, "train_loss") == [(1, 12.4352)]


@_HARMLESS
@given(data=st.data())
def test_mutations_do_no_harm(data: st.DataObject) -> None:
    """A log that is cut, spliced and sprinkled with odd pieces is read, or refused with an error of ours."""
    text = LOG
    for _edit in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(text)))
        odd = st.sampled_from(
            ["\n", "\r", "nan", "-1", "inf", "9" * 40, "9" * 400, "|", "{", "'", '"', ": ", "None", "\x1b[31m"]
        )
        piece = data.draw(st.one_of(st.text(max_size=6), odd))
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 12)) :]
    file = InputFile("train.log", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
