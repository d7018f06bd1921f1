"""modded-nanogpt's logs of every era; programs and numbers are invented look-alikes."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.modded_nanogpt import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known, Unknown, value_of

RULE = "=" * 100 + "\n"
PROGRAM = """import os
import sys
from dataclasses import dataclass

class Muon(torch.optim.Optimizer):
    def __init__(self):
        self.note = "step:3/9 train_loss:1.0000 train_time:1ms step_avg:1.00ms"  # G @ V^T

@dataclass
class Hyperparameters:
    # data hyperparams
    input_bin : str = 'data/tiny10B/tiny_train_*.bin' # input .bin to train on
    batch_size : int = 8*16 # batch size, in sequences, across all devices
    device_batch_size : int = 16 # batch size, in sequences, per device
    sequence_length : int = 512 # sequence length, in tokens
    num_iterations : int = 40 # number of iterations to run
    learning_rate : float = 0.0036
    warmup_iters : int = 0
    warmdown_iters : int = 10
    weight_decay : float = 0
    val_loss_every : int = 20
    run_id : str = f"{uuid.uuid4()}"
    danger : int = __import__('os').system('true')
args = Hyperparameters()
num_vocab = 50304
model = GPT(GPTConfig(vocab_size=num_vocab, n_layer=6, n_head=3, n_embd=384))
"""
SMI = """Running pytorch 2.5.1+cu124 compiled for CUDA 12.4
nvidia-smi:
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
|   0  NVIDIA H100 80GB HBM3          On  |   00000000:61:00.0 Off |                    0 |
| N/A   44C    P0             73W /  700W |       4MiB /  81559MiB |      0%      Default |
|   1  NVIDIA H100 80GB HBM3          On  |   00000000:62:00.0 Off |                    0 |
"""
RECORDS = "step:0/40 val_loss:10.8000 train_time:200ms step_avg:nanms\n" + "".join(
    f"step:{i}/40 train_loss:{10.8 - i / 10:.4f} train_time:{100 * i}ms step_avg:{'nan' if i < 5 else '101.50'}ms\n"
    + (f"step:{i}/40 val_loss:{10.7 - i / 10:.4f} train_time:{100 * i + 1}ms step_avg:101.60ms\n" if i == 8 else "")
    for i in range(1, 9)
)
LOG = RULE + PROGRAM + RULE + SMI + RULE + RECORDS


def file_of(text: str, name: str = "train.txt") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "train.txt") -> tuple[Reading, ...]:
    return tuple(DIALECT.read(file_of(text, name)))


def points(reading: Reading, name: str) -> list[tuple[int, float]]:
    series = reading.get(name)
    assert series is not None, name
    return list(zip(series.steps, series.values, strict=True))


def values(reading: Reading) -> dict[str, object]:
    return {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)}


def settings_of(fields: str, more: str = "") -> dict[str, object]:
    """Return what a program with these hyperparameters means."""
    program = f"import os\nimport sys\nclass Hyperparameters:\n{fields}\nargs = Hyperparameters()\n{more}"
    return values(read(RULE + program + RULE + SMI + RULE + RECORDS)[0])


def test_records() -> None:
    """Losses are read from records alone, not from the look-alike in the program."""
    (run,) = read(LOG)
    losses = points(run, "train_loss")
    assert (len(losses), losses[0], losses[-1]) == (8, (1, 10.7), (8, 10.0))
    assert points(run, "val_loss") == [(0, 10.8), pytest.approx((8, 9.9))]
    loss = run.get("train_loss")
    assert loss is not None
    assert (loss.scope, loss.window) == ("rank", "rank 0's last micro-batch of the step")


def test_nan_step_averages_are_no_measurements() -> None:
    """``step_avg:nanms`` in the first steps is left out; it is no nan loss."""
    (run,) = read(LOG)
    assert [step for step, _value in points(run, "step_time_s")] == [5, 6, 7, 8]
    assert points(run, "step_time_s")[0][1] == pytest.approx(0.1015)
    assert points(run, "train_time_s")[-1] == pytest.approx((8, 0.8))


def test_the_program_is_parsed_and_never_run() -> None:
    """Literals and arithmetic of the class are the recipe, with their lines; calls are not evaluated."""
    (run,) = read(LOG)
    found = values(run)
    assert found["recipe.batch_size"] == 16
    assert found["recipe.gradient_accumulation_steps"] == 8
    assert found["logged.tokens_per_step"] == 65_536
    assert found["architecture.context"] == 512
    assert found["recipe.max_steps"] == 40
    assert found["recipe.learning_rate"] == 0.0036
    assert found["recipe.schedule"] == "trapezoidal"
    assert (found["architecture.n_layer"], found["architecture.n_head"], found["architecture.d_model"]) == (6, 3, 384)
    assert found["architecture.vocab_size"] == 50_304
    assert found["recipe.optimizer"] == "muon"
    assert found["recipe.dataset"] == "tiny10B"
    rate = run.settings["recipe.learning_rate"]
    assert isinstance(rate, Known)
    assert rate.source.line == LOG.split("\n").index("    learning_rate : float = 0.0036") + 1
    kinds = {n.kind for n in run.notices}
    assert "source_code_in_log" in kinds
    assert "stray_keystrokes" not in kinds, "V^T is no key"


def test_the_machine() -> None:
    """nvidia-smi's rows are the cards."""
    found = values(read(LOG)[0])
    assert (found["machine.gpu_name"], found["machine.gpu_count"]) == ("NVIDIA H100 80GB HBM3", 2)


def test_batches_of_every_era() -> None:
    """Sequences, tokens, one sequence for each rank: the tokens of a step come out in each era's terms."""
    packed = settings_of("    batch_size : int = 8\n    sequence_length : int = 64*1024")
    assert packed["logged.tokens_per_step"] == 524_288
    assert packed["recipe.batch_size"] == 1
    tokens = settings_of("    batch_size = 8*64*1024 # batch size in tokens\n    max_device_batch_size = 64*1024")
    assert tokens["logged.tokens_per_step"] == 524_288
    ranks = settings_of("    train_seq_len = 48*1024", "assert world_size == 8\n")
    assert ranks["logged.tokens_per_step"] == 393_216
    assert ranks["recipe.world_size"] == 8
    eighths = settings_of("    train_seq_len = 48*1024", "grad_accum_steps = 8 // world_size\n")
    assert eighths["logged.tokens_per_step"] == 393_216
    named = settings_of("    train_batch_size: int = 2048 * 16 * 8\n    train_max_seq_len: int = 128 * 16")
    assert named["logged.tokens_per_step"] == 262_144
    assert named["architecture.context"] == 2048


def test_a_batch_that_grows_is_unknown() -> None:
    """Where the batch changes during the run, no number of tokens holds for a step."""
    program = "import os\nclass Hyperparameters:\n    train_bs_schedule: tuple = (8 * 2048, 16 * 2048)\nargs = 1\n"
    (run,) = read(RULE + program + RULE + RECORDS)
    quantity = run.settings["logged.tokens_per_step"]
    assert isinstance(quantity, Unknown)
    assert "grows" in quantity.reason


def test_validation_only_and_seconds() -> None:
    """Later eras print no training loss, and one prints seconds, the card and the ranks."""
    text = (
        "import os\nimport sys\ndef f():\nbatch_size = 4 * 16 * 1024\n"
        + RULE
        + "Running PyTorch 2.11.0+cu128 compiled for CUDA 12.8 on NVIDIA H100 80GB HBM3 with world_size 4\n"
        + RULE
        + "step:0/350 val_loss:10.82584 train_time:0.001s step_avg:nanms\n"
        + "step:125/350 val_loss:4.66393 train_time:22.870s step_avg:182.95ms\n"
        + "peak memory allocated: 31361 MiB reserved: 36734 MiB\n"
    )
    (run,) = read(text)
    assert run.get("train_loss") is None
    assert points(run, "train_time_s") == [(0, 0.001), (125, 22.87)]
    found = values(run)
    assert found["logged.tokens_per_step"] == 65_536
    assert (found["machine.gpu_count"], found["recipe.world_size"]) == (4, 4)
    assert run.noted["modded_nanogpt.peak_memory_mib"].value == 31_361


def test_the_first_logs_are_in_llmcs_form() -> None:
    """With a program before them, ``s:`` lines are modded-nanogpt's."""
    text = RULE + PROGRAM + RULE + "s:0 tel:10.968871\ns:0 trl:10.965596\ns:1 trl:10.814037\n"
    assert DIALECT.sniff(file_of(text)) == 0.98
    (run,) = read(text)
    assert points(run, "train_loss") == [(0, 10.965596), (1, 10.814037)]
    assert values(run)["logged.tokens_per_step"] == 65_536


def test_trials_in_one_file_are_runs() -> None:
    """A program that trains several times gives several runs with one recipe."""
    long = "".join(f"step:{i}/40 val_loss:{9 - i / 10:.4f} train_time:{i}ms step_avg:1.00ms\n" for i in range(0, 40, 4))
    runs = read(RULE + PROGRAM + RULE + long + long)
    assert len(runs) == 2
    assert [values(r)["logged.tokens_per_step"] for r in runs] == [65_536, 65_536]


def test_a_cut_end_is_a_problem() -> None:
    """A last record that is cut inside its loss is left out."""
    (run,) = read(LOG + "step:9/40 train_loss:9.")
    assert points(run, "train_loss")[-1][0] == 8
    assert "broken_record" in {p.kind for p in run.problems}


GOLF = """logs/abc.txt
val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path=/root/secret/tokenizers/tiny.model
train_loader:dataset:tiny10B_sp512 train_shards:3
val_loader:shards pattern=/root/secret/tiny_val_*.bin tokens:70000
model_params:4321000
world_size:4 grad_accum_steps:2
attention_mode:gqa num_heads:8 num_kv_heads:2
tie_embeddings:True embed_lr:0.05 head_lr:0.0 matrix_lr:0.04 scalar_lr:0.04
train_batch_tokens:65536 train_seq_len:1024 iterations:900 warmup_steps:20 max_wallclock_seconds:60.000
seed:7
warmup_step:1/20
step:0/900 val_loss:6.2000 val_bpb:3.7000 train_time:0ms step_avg:0.01ms
step:1/900 train_loss:6.1900 train_time:40ms step_avg:40.00ms
step:2/900 train_loss:6.0500 train_time:80ms step_avg:40.10ms
step:3/900 val_loss:5.9000 val_bpb:3.5000 train_time:120ms step_avg:40.20ms
stopping_early: wallclock_cap train_time:120ms step:3/900
peak memory allocated: 900 MiB reserved: 920 MiB
final_int8_roundtrip_exact val_loss:5.91000000 val_bpb:3.51000000
"""


def test_parameter_golf_prints_its_settings() -> None:
    """Bits per byte are a series of their own; the run ends when its time is up; paths are not repeated."""
    (reading,) = read(GOLF)
    bpb, loss, each = reading.get("val_bpb"), reading.get("train_loss"), reading.get("step_time_s")
    assert bpb is not None
    assert loss is not None
    assert each is not None
    assert (list(bpb.steps), list(bpb.values), bpb.unit, bpb.mode) == ([0, 3], [3.7, 3.5], "bits_per_byte", "eval")
    assert (loss.scope, loss.window) == ("rank", "mean of rank 0's micro-batches of the step")
    assert list(each.steps) == [1, 2, 3], "before the first step there is no mean"
    expected = {
        "recipe.batch_size": 8,
        "recipe.gradient_accumulation_steps": 8,
        "recipe.world_size": 4,
        "recipe.max_steps": 3,
        "recipe.dataset": "tiny10B_sp512",
        "logged.tokens_per_step": 65536,
        "logged.parameters": (4321000, 4321000),
        "architecture.context": 1024,
        "architecture.n_kv_head": 2,
        "architecture.tied": True,
        "data.val_tokens": 70000,
    }
    assert {key: value_of(reading.settings[key]) for key in expected} == expected
    assert "recipe.warmup_steps" not in reading.settings, "its warm-up compiles, and is undone"
    assert value_of(reading.noted["modded_nanogpt.final_int8_roundtrip_exact.val_bpb"]) == 3.51
    assert "secret" not in repr(reading)
    assert DIALECT.sniff(file_of(GOLF)) == 1.0


def test_parameter_golfs_second_form() -> None:
    """Records without ``step:`` after a list of settings are read; a saved checkpoint between records is no record."""
    text = (
        "Hyperparameters:\n  datasets_dir: /root/some where/x\n  grad_accum_steps: 1\n  iterations: 500\n  model_dim: 256\n"
        "  num_heads: 4\n  num_layers: 5\n  train_batch_tokens: 8192\n  train_seq_len: 512\n  world_size: 2\n"
        "model_params:5000000\n0/500 val_loss: 7.1000 val_bpb: 3.2000\n"
        "1/500 train_loss: 7.0900 train_time: 0.0m tok/s: 90000\n2/500 train_loss: 6.9000 train_time: 1.5m tok/s: 91000\n"
        "stopping_early: wallclock_cap train_time: 90000ms step: 2/500\n"
    )
    (reading,) = read(text)
    loss, bpb, so_far = reading.get("train_loss"), reading.get("val_bpb"), reading.get("train_time_s")
    assert loss is not None
    assert bpb is not None
    assert so_far is not None
    assert (list(loss.values), list(bpb.values), list(so_far.values)) == ([7.09, 6.9], [3.2], [0.0, 90.0])
    wanted = {"architecture.n_layer": 5, "recipe.batch_size": 8, "recipe.max_steps": 2, "logged.tokens_per_step": 8192}
    assert {key: value_of(reading.settings[key]) for key in wanted} == wanted
    assert DIALECT.sniff(file_of(text)) >= 0.5
    (other,) = read(
        "step:0/9 val_loss:5.0 val_bpb:2.5\nstep:5 checkpoint saved\nstep:6/9 loss:4.5 t:60ms step_avg:10.0ms\n"
    )
    loss = other.get("train_loss")
    assert loss is not None
    assert list(loss.values) == [4.5]
    assert not other.problems


def test_it_claims_its_own_and_leaves_others() -> None:
    """llm.c's main.log and torchtitan's ``step: 1`` are not its."""
    assert DIALECT.sniff(file_of(LOG)) == 1.0
    assert DIALECT.sniff(file_of("s:0 tel:10.968871\ns:0 trl:10.965596\n", "main.log")) == 0.0
    assert DIALECT.sniff(file_of("step: 1  loss: 12.2  grad_norm: 1.0\n")) == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_mangled_logs_never_break_it(data: st.DataObject) -> None:
    """Cut and spliced programs and records give readings or an error of ours."""
    log = data.draw(st.sampled_from([LOG, GOLF]))
    at = data.draw(st.integers(0, len(log)))
    middle = data.draw(
        st.text(max_size=12)
        | st.sampled_from(["(" * 300, "9**9**9", "GPT(", "class Hyperparameters:\n", "= -1", "\x00", '"""'])
    )
    with contextlib.suppress(InputError):
        read(log[:at] + middle + log[at + data.draw(st.integers(0, 60)) :])


CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here: set AUSCULT_CORPUS")
@pytest.mark.parametrize(
    ("case", "first", "last", "tokens"),
    [
        ("modded-fp4-quantized", (1, 10.8259), (19073, 3.1341), 524_288),
        ("modded-muon-124m-2024-10", (1, 10.9184), (6200, 3.2533), 524_288),
    ],
)
def test_real_runs(case: str, first: tuple[int, float], last: tuple[int, float], tokens: int) -> None:
    """Real logs give every point, the tokens of a step and the eight cards."""
    path = CORPUS / case / "train.txt"
    (run,) = DIALECT.read(InputFile(path.name, lambda: path.open("rb"), path.stat().st_size))
    losses, found = points(run, "train_loss"), values(run)
    assert (len(losses), losses[0], losses[-1]) == (last[0], first, last)
    assert (found["logged.tokens_per_step"], found["machine.gpu_count"]) == (tokens, 8)
