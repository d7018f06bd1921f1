"""What GPT-NeoX prints: records, DeepSpeed's copies of them, arguments with their origin, evaluations."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Unknown
from log_files import corpus_case as case
from log_files import plain, points

DIALECT = find_dialect("gpt_neox")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "slurm.out") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "slurm.out") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


def argument(name: str, value: object, origin: str = "updated") -> str:
    shown = str(value)
    return f"  {name} {'.' * (32 - len(name))} {shown}{'.' * max(28 - len(shown), 0)}{origin}\n"


def dump(**changes: object) -> str:
    arguments: dict[str, object] = {
        "global_num_gpus": 8,
        "hidden_size": 256,
        "lr": 0.001,
        "lr_decay_iters": 400,
        "lr_decay_style": "cosine",
        "min_lr": 0.0001,
        "no_weight_tying": True,
        "num_attention_heads": 4,
        "num_layers": 3,
        "optimizer": "{'type': 'Adam', 'params': {'lr': 0.001, 'betas': [0.9, 0.95], 'eps': 1e-08}}",
        "optimizer_type": "Adam",
        "pipe_parallel_size": 1,
        "precision": "fp16",
        "save": "/home/somebody/weights/",
        "seq_length": 512,
        "train_batch_size": 128,
        "train_iters": 400,
        "train_micro_batch_size_per_gpu": 8,
        "warmup": 0.05,
        **changes,
    }
    rows = "".join(argument(name, value) for name, value in arguments.items())
    rows += argument("gradient_clipping", "1.0", "default") + argument("model_parallel_size", 1, "default")
    return (
        f"-------------------- arguments --------------------\n{rows}---------------- end of arguments ----------------\n"
        "NeoXArgs.configure_distributed_args() using world size: 8 and model-parallel size: 1\n"
        " > padded vocab (size: 50277) with 27 dummy tokens (new size: 50304)\n"
    )


def record(step: int, loss: float = 9.5) -> str:
    return (
        f" samples/sec: 123.456 | iteration {step:8d}/     400 | elapsed time per iteration (ms): 500.0 | learning rate:"
        f" 1.000E-05 | approx flops per GPU: 14.4TFLOPS | lm_loss: {loss:.6E} | loss scale: 4096.0 | number of skipped"
        " iterations:   0 | number of nan iterations:   0 |\n"
    )


def copy(step: int, loss: float = 9.5) -> str:
    return f"steps: {step} loss: {loss:.4f} iter time (s): 0.500 samples/sec: 123.789\n"


LOG = (
    dump()
    + "".join(copy(n) + record(n) for n in range(1, 9))
    + (" validation results at iteration 8 | lm_loss value: 9.400000E+00 | lm_loss_ppl value: 1.208838E+04 | \n")
)


def test_each_step_counts_once() -> None:
    """DeepSpeed's copy of a step does not double it."""
    reading = read(LOG)
    assert points(reading, "train_loss") == [(n, 9.5) for n in range(1, 9)]
    assert reading.get("deepspeed_loss") is None
    assert points(reading, "val_loss") == [(8, 9.4)]
    assert points(reading, "tflops_per_gpu")[0] == (1, 14.4)
    assert points(reading, "step_time_s")[0] == (1, 0.5)


def test_deepspeeds_lines_alone_are_read() -> None:
    """Where the trainer's own lines are missing, DeepSpeed's give the loss."""
    assert points(read(dump() + copy(1, 9.75) + copy(2, 9.5)), "train_loss") == [(1, 9.75), (2, 9.5)]


def test_arguments_become_settings() -> None:
    """What the user set and what is the trainer's default both stand in the dump, and are read from there."""
    reading = read(LOG)
    wanted = {
        "architecture.n_layer": 3,
        "architecture.d_model": 256,
        "architecture.n_head": 4,
        "architecture.n_kv_head": 4,
        "architecture.d_ff": 1024,
        "architecture.context": 512,
        "architecture.vocab_size": 50304,
        "architecture.tied": False,
        "recipe.batch_size": 8,
        "recipe.gradient_accumulation_steps": 16,
        "recipe.warmup_steps": 20,
        "recipe.grad_clip": 1.0,
        "recipe.beta2": 0.95,
        "recipe.dtype": "float16",
        "recipe.max_steps": 400,
        "machine.gpu_count": 8,
        "logged.tokens_per_step": 128 * 512,
    }
    assert {key: plain(reading, key) for key in wanted} == wanted
    assert "somebody" not in repr(reading)


def test_another_mlp_is_not_guessed() -> None:
    """The inner width of an MLP that is not the regular one is unknown, not four times the width."""
    assert isinstance(read(dump(mlp_type="llama") + record(1)).settings["architecture.d_ff"], Unknown)


def test_newer_versions_print_their_mfu() -> None:
    """MFU and HFU are fractions."""
    text = record(1).replace(" lm_loss", " MFU: 41.5% | HFU: 50.0% | lm_loss")
    reading = read(text)
    assert points(reading, "mfu")[0][1] == pytest.approx(0.415)
    assert points(reading, "hfu")[0][1] == pytest.approx(0.5)


def test_evaluations_after_training() -> None:
    """Results at the end stand at the last iteration, test apart from validation."""
    reading = read(
        LOG
        + " validation results at the end of training for val data | lm_loss value: 9.300000E+00 | lm_loss_ppl value: 1.0E+04 | \n"
        + " test results at the end of training for test data | lm_loss value: 9.200000E+00 | lm_loss_ppl value: 1.0E+04 | \n"
    )
    assert points(reading, "val_loss")[-1] == (8, 9.3)
    assert points(reading, "test_loss") == [(8, 9.2)]


def test_parameters_of_an_undivided_model() -> None:
    """The count of a rank is the model's when nothing is divided, and not otherwise."""
    line = " > number of parameters on model parallel rank 0: 7654321\n"
    assert plain(read(dump() + line + record(1)), "logged.parameters") == (7_654_321, 7_654_321)
    assert "logged.parameters" not in read(dump(pipe_parallel_size=2) + line + record(1)).settings


def test_it_knows_its_own() -> None:
    """Its logs are recognised, also one that ends in its arguments; Megatron's are not."""
    assert recognise(file_of(LOG))[1] is DIALECT
    assert DIALECT.sniff(file_of(dump())) >= 0.5
    megatron = " iteration       10/    1000 | consumed samples: 40 | elapsed time per iteration (ms): 98.7 | lm loss: 9.1E+00 |\n"
    assert DIALECT.sniff(file_of(megatron)) == 0


def test_corpus() -> None:
    """The real log has 512 steps, eight ranks and a million tokens a step."""
    (reading,) = DIALECT.read(open_path(case("neox-70m-512step") / "slurm.out", "slurm.out"))
    found = points(reading, "train_loss")
    assert (found[0], found[-1], len(found)) == ((1, 11.06431), (512, 2.367784), 512)
    assert plain(reading, "logged.tokens_per_step") == 1_048_576
    assert plain(reading, "recipe.learning_rate") == 0.001


def test_corpus_two_lengths() -> None:
    """Two schedules in a folder are two runs, not one that was taken up again."""
    found = read_all(case("neox-70m-two-lengths"))
    assert sorted(len(run.get("train_loss") or ()) for run in found.runs) == [1024, 1536]
    assert not any(run.seams for run in found.runs)


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
    file = InputFile("slurm.out", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
