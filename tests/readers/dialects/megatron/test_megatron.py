"""What Megatron prints: records of all versions, skipped iterations, sentinels, arguments, evaluations."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Known, Unknown
from log_files import corpus_case as case
from log_files import notice_counts as notices
from log_files import plain, points

DIALECT = find_dialect("megatron")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "train.out") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "train.out") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


def dump(**changes: object) -> str:
    arguments: dict[str, object] = {
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "bf16": False,
        "clip_grad": 1.0,
        "data_parallel_size": 8,
        "data_path": "['/gpfs/home/somebody/corpus']",
        "eval_interval": 100,
        "eval_iters": 10,
        "ffn_hidden_size": 2048,
        "fp16": True,
        "global_batch_size": 64,
        "hidden_dropout": 0.1,
        "hidden_size": 512,
        "log_interval": 10,
        "lr": 0.0003,
        "lr_decay_iters": 800,
        "lr_decay_style": "cosine",
        "lr_warmup_fraction": 0.01,
        "lr_warmup_iters": 0,
        "micro_batch_size": 4,
        "min_lr": 1e-05,
        "num_attention_heads": 8,
        "num_layers": 6,
        "optimizer": "adam",
        "params_dtype": "torch.float16",
        "pipeline_model_parallel_size": 1,
        "rampup_batch_size": None,
        "seq_length": 1024,
        "tensor_model_parallel_size": 1,
        "train_iters": 1000,
        "train_samples": None,
        "weight_decay": 0.01,
        "world_size": 8,
        **changes,
    }
    rows = "".join(f"  {name} {'.' * (48 - len(name))} {value}\n" for name, value in arguments.items())
    return (
        f"------------------------ arguments ------------------------\n{rows}"
        "-------------------- end of arguments ---------------------\n"
        " > padded vocab (size: 50257) with 47 dummy tokens (new size: 50304)\n"
    )


def record(
    step: int,
    middle: str = "lm loss: 9.500000E+00 | loss scale: 1.0 | grad norm: 1.250 |",
    skipped: int = 0,
    batch: int = 64,
) -> str:
    return (
        f" iteration {step:8d}/    1000 | consumed samples: {64 * step:12d} | elapsed time per iteration (ms): 250.0 |"
        f" learning rate: 1.500E-04 | global batch size: {batch:5d} | {middle}"
        f" number of skipped iterations: {skipped:3d} | number of nan iterations:   0 |\n"
    )


LOG = (
    dump()
    + "".join(record(10 * n) for n in range(1, 6))
    + (" validation loss at iteration 50 | lm loss value: 9.400000E+00 | lm loss PPL: 1.208838E+04 | \n")
)


def test_a_record_has_all_its_fields() -> None:
    """Each field becomes a series in its unit, with the line it stands in."""
    reading = read(LOG)
    assert points(reading, "train_loss") == [(10 * n, 9.5) for n in range(1, 6)]
    assert points(reading, "step_time_s")[0] == (10, 0.25)
    assert points(reading, "learning_rate")[0] == (10, 1.5e-4)
    assert points(reading, "grad_norm")[0] == (10, 1.25)
    assert points(reading, "loss_scale")[0] == (10, 1.0)
    assert points(reading, "val_loss") == [(50, 9.4)]
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.mode, loss.scope) == ("train", "global")
    assert "iteration       10/" in LOG.split("\n")[loss.lines[0] - 1]


def test_arguments_become_settings() -> None:
    """The dump gives shape, batch over all ranks, schedule, precision and ranks, each with its line."""
    reading = read(LOG)
    wanted = {
        "architecture.n_layer": 6,
        "architecture.d_model": 512,
        "architecture.n_head": 8,
        "architecture.d_ff": 2048,
        "architecture.context": 1024,
        "architecture.vocab_size": 50304,
        "architecture.tied": True,
        "recipe.batch_size": 4,
        "recipe.gradient_accumulation_steps": 16,
        "recipe.learning_rate": 3e-4,
        "recipe.min_lr": 1e-5,
        "recipe.warmup_steps": 8,
        "recipe.decay_steps": 800,
        "recipe.schedule": "cosine",
        "recipe.max_steps": 1000,
        "recipe.dtype": "float16",
        "recipe.dropout": 0.1,
        "recipe.world_size": 8,
        "machine.gpu_count": 8,
        "logged.tokens_per_step": 64 * 1024,
    }
    assert {key: plain(reading, key) for key in wanted} == wanted
    layers = reading.settings["architecture.n_layer"]
    assert isinstance(layers, Known)
    assert layers.source.text is not None
    assert layers.source.text.startswith("num_layers ...")


def test_no_path_is_shown() -> None:
    """Paths of the dump, which may hold a user's name, stand nowhere in the reading."""
    assert "somebody" not in repr(read(LOG))


def test_skipped_iterations_are_records_without_a_loss() -> None:
    """Records without lm loss count as steps, are summed, and say that no loss was logged."""
    reading = read(dump() + "".join(record(n, f"loss scale: {2.0 ** (32 - n)} |", skipped=1) for n in range(1, 5)))
    assert points(reading, "train_loss") == []
    assert [step for step, _ in points(reading, "learning_rate")] == [1, 2, 3, 4]
    assert reading.noted["megatron.skipped_iterations"].value == 4
    assert notices(reading)["skipped_iterations"] == 4
    assert "no_loss_logged" in notices(reading)


def test_sentinels_are_not_measurements() -> None:
    """A loss scale of -1.0 and a gradient norm of 0.000 throughout are left out, and the latter is told."""
    middle = "lm-loss: 1.198765E+01 | loss scale: -1.0 | grad norm: 0.000 | num zeros: 0.0 |"
    reading = read(dump() + "".join(record(n, middle) for n in range(1, 6)))
    assert len(points(reading, "train_loss")) == 5
    assert points(reading, "loss_scale") == points(reading, "grad_norm") == points(reading, "num_zeros_in_grad") == []
    assert notices(reading)["grad_norm_constant_zero"] == 5


def test_newer_and_other_versions() -> None:
    """Time stamps, throughput, consumed tokens, tokens per card and losses of its own names are read."""
    text = (
        " [2026-01-02 03:04:05.678901] iteration        7/    5000 | consumed samples:          128 |"
        " consumed tokens:       262144 | elapsed time per iteration (ms): 1234.5 | throughput per GPU (TFLOP/s/GPU): 412.5 |"
        " learning rate: 5.000000E-08 | global batch size:   128 | lm loss: 1.012345E+01 | load_balancing_loss: 1.100000E+00 |"
        " loss scale: 1.0 | grad norm: 12.345 | params norm: 123.4 | number of skipped iterations:   0 | number of nan"
        " iterations:   0 | samples per second: 45.678 | tokens per gpu per second (tgs): 1234.567 | TFLOPs: 67.89 |\n"
    )
    reading = read(f"[default7]:{text}")
    assert points(reading, "train_loss") == [(7, 10.12345)]
    assert points(reading, "tflops_per_gpu")[0] == (7, 412.5)
    assert points(reading, "tokens_seen") == [(7, 262144.0)]
    assert points(reading, "tokens_per_s_per_gpu") == [(7, 1234.567)]
    assert points(reading, "load_balancing_loss") == [(7, 1.1)]
    assert points(reading, "params_norm") == [(7, 123.4)]
    assert plain(reading, "recipe.max_steps") == 5000


def test_evaluations_at_the_end() -> None:
    """Evaluations after training stand at the last iteration, and the test split is no validation."""
    text = LOG + (
        " validation loss at iteration 1000 on test set | lm loss value: 9.300000E+00 | lm loss PPL: 1.0E+04 | \n"
        " validation loss at the end of training for val data | lm loss value: 9.200000E+00 | \n"
    )
    reading = read(text)
    assert points(reading, "val_loss")[-1] == (50, 9.2)
    assert points(reading, "test_loss") == [(1000, 9.3)]


def test_a_growing_batch_has_no_single_number() -> None:
    """With rampup_batch_size neither the accumulation nor the tokens of a step are one number; both say why."""
    reading = read(dump(rampup_batch_size="['16', '16', '1000']") + record(1, batch=16) + record(2, batch=32))
    assert isinstance(reading.settings["recipe.gradient_accumulation_steps"], Unknown)
    assert isinstance(reading.settings["logged.tokens_per_step"], Unknown)
    assert points(reading, "global_batch_size") == [(1, 16.0), (2, 32.0)]


def test_parameters() -> None:
    """A count is the model's when the model is not divided; a newer line gives it in billions, to its rounding."""
    line = " > number of parameters on (tensor, pipeline) model parallel rank (0, 0): 45678912\n"
    assert plain(read(dump() + line + record(1)), "logged.parameters") == (45_678_912, 45_678_912)
    divided = read(dump(tensor_model_parallel_size=4) + line + line.replace("(0, 0)", "(1, 0)") + record(1))
    assert "logged.parameters" not in divided.settings
    assert "ranks_interleaved" in notices(divided)
    billions = read(dump() + "Total number of parameters in billions: 3.50\n" + record(1))
    assert plain(billions, "logged.parameters") == (3_495_000_000, 3_505_000_000)


def test_a_cut_record_gives_no_half_number() -> None:
    """What was cut before its bar is left out."""
    reading = read(LOG + record(60).partition("9.500000E")[0] + "9.5")
    assert points(reading, "train_loss")[-1][0] == 50
    assert points(reading, "learning_rate")[-1][0] == 60


def test_a_restart_begins_a_run_and_a_resume_is_a_seam() -> None:
    """A second dump after records begins a run; a step back within one is a seam."""
    assert len(list(DIALECT.read(file_of(LOG + LOG)))) == 2
    back = dump() + "".join(record(10 * n) for n in (1, 2, 3, 4, 5, 3, 4, 5, 6))
    assert [(seam.step_before, seam.step_after) for seam in read(back).seams] == [(50, 30)]


def test_the_card_in_nvidia_smi() -> None:
    """A table of nvidia-smi at the top names the card, cut as it is printed."""
    row = "|   0  Tesla V100-SXM2...  On   | 00000000:1A:00.0 Off |                    0 |\n"
    assert plain(read(row + LOG), "machine.gpu_name") == "Tesla V100-SXM2"


def test_it_knows_its_own() -> None:
    """Its logs are recognised, also one that ends in its arguments; GPT-NeoX's and prose that quotes lines are not."""
    assert recognise(file_of(LOG))[1] is DIALECT
    assert DIALECT.sniff(file_of(dump())) >= 0.5
    neox = " samples/sec: 123.456 | iteration        1/     512 | elapsed time per iteration (ms): 1234.5 | lm_loss: 1.1E+01 |\n"
    assert DIALECT.sniff(file_of(neox)) < 0.5
    prose = "A long story.\n" * 60 + record(1) * 12
    assert DIALECT.sniff(file_of(prose, "chronicles.md")) < 0.5


@pytest.mark.parametrize(
    ("name", "first", "last", "lines"),
    [
        ("megatron-ds-3d-off-rises", (1, 12.44238), (62, 20.43871), 62),
        ("megatron-ds-3d-on-healthy", (1, 12.44238), (49, 7.747273), 49),
        ("megatron-fp16-overflow-killed", (20, 14.12743), (60, 16.9694), 5),
    ],
)
def test_corpus(name: str, first: tuple[int, float], last: tuple[int, float], lines: int) -> None:
    """The real logs have the losses of the corpus."""
    (path,) = case(name).glob("*.out")
    (reading,) = DIALECT.read(open_path(path, path.name))
    found = points(reading, "train_loss")
    assert (found[0], found[-1], len(found)) == (first, last, lines)


def test_corpus_all_skipped() -> None:
    """The real log whose iterations were all skipped has four records, no loss, and says so."""
    (path,) = case("megatron-all-iterations-skipped").glob("*.out")
    (reading,) = DIALECT.read(open_path(path, path.name))
    assert reading.noted["megatron.skipped_iterations"].value == 4
    assert {"no_loss_logged", "skipped_iterations", "killed"} <= notices(reading).keys()


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
    file = InputFile("train.out", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
