"""The command that started an llm.c run."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.llmc_command import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known, Unknown

SCRIPT = """#!/bin/bash
# 124M on 10B tokens
make train_gpt2cu USE_CUDNN=1
out_dir="log_small"
while true; do
    mpirun -np 4 ./train_gpt2cu \\
        -i "dev/data/fineweb10B/fineweb_train_*.bin" \\
        -o $out_dir \\
        -v 250 -b 32 -t 1024 \\
        -d 262144 \\
        -c 0.1 -l 0.0006 -q 0.1 -u 700 \\
        -x 9000 -y 1 \\
        -e "d12"
    sleep 1
done
"""


def file_of(text: str, name: str = "run.sh") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "run.sh") -> tuple[Reading, ...]:
    return tuple(DIALECT.read(file_of(text, name)))


def values(reading: Reading) -> dict[str, object]:
    return {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)}


def test_flags_are_settings_with_their_lines() -> None:
    """Each flag's value stands with the line that it is on, continued lines included."""
    (reading,) = read(SCRIPT)
    found = values(reading)
    assert found["recipe.batch_size"] == 32
    assert found["recipe.learning_rate"] == 6e-4
    assert found["recipe.min_lr"] == pytest.approx(6e-5)
    assert found["recipe.warmup_steps"] == 700
    assert found["recipe.max_steps"] == 9000
    assert found["logged.tokens_per_step"] == 262_144
    assert found["recipe.gradient_accumulation_steps"] == 8, "over all four ranks"
    assert found["machine.gpu_count"] == found["recipe.world_size"] == 4
    assert found["recipe.dataset"] == "fineweb10B"
    assert found["recipe.run_name"] == "log_small", "the script sets the variable to a plain word"
    rate = reading.settings["recipe.learning_rate"]
    assert isinstance(rate, Known)
    assert (rate.source.line, rate.source.text) == (11, "-l 0.0006")


def test_the_descriptor_is_a_shape() -> None:
    """d12, gpt2:d24 and gpt3:c768 stand for shapes, a checkpoint's name for none."""
    assert values(read(SCRIPT)[0])["architecture.d_model"] == 768
    two = values(read(SCRIPT.replace('"d12"', '"gpt2:d24"'))[0])
    assert (two["architecture.n_layer"], two["architecture.d_model"], two["architecture.n_head"]) == (24, 1024, 16)
    three = values(read(SCRIPT.replace('"d12"', '"gpt3:c1536"'))[0])
    assert (three["architecture.n_layer"], three["architecture.n_head"]) == (24, 16)
    assert "architecture.n_layer" not in values(read(SCRIPT.replace('"d12"', '"gpt2_124M_bf16.bin"'))[0])


def test_defaults_say_that_they_are() -> None:
    """What is not set has the trainer's default, named as such."""
    (reading,) = read("./train_gpt2cu -x 100\n")
    batch = reading.settings["recipe.batch_size"]
    assert isinstance(batch, Known)
    assert (batch.value, batch.source.how) == (4, "default")
    assert "-b = 4" in (batch.source.formula or "")
    assert values(reading)["logged.tokens_per_step"] == 4096


def test_a_variable_is_never_executed() -> None:
    """A value that the shell computes is unknown, and the reason names its place."""
    (reading,) = read(SCRIPT.replace("-l 0.0006", "-l $(python lr.py)").replace("-x 9000", "-x $STEPS"))
    steps = reading.settings["recipe.max_steps"]
    assert isinstance(steps, Unknown)
    assert "run.sh:12" in steps.reason


def test_the_pytorch_trainer() -> None:
    """train_gpt2.py's long flags mean the same."""
    text = "torchrun --standalone --nproc_per_node=2 train_gpt2.py --batch_size=8 --sequence_length 256 --total_batch_size=8192 --num_iterations 50 --model d12\n"
    found = values(read(text)[0])
    assert found["recipe.gradient_accumulation_steps"] == 4
    assert found["recipe.world_size"] == 2
    assert found["recipe.max_steps"] == 50
    assert found["architecture.n_layer"] == 12


def test_paths_and_names_are_not_shown() -> None:
    """An output folder under someone's home is no run name."""
    (reading,) = read(SCRIPT.replace("-o $out_dir", "-o /home/somebody/runs/a"))
    assert "somebody" not in repr(reading)


def test_it_claims_its_own_and_leaves_others() -> None:
    """A script that only builds the trainer, and one of another trainer, are not its."""
    assert DIALECT.sniff(file_of(SCRIPT)) == 0.9
    assert DIALECT.sniff(file_of("make train_gpt2cu\n")) == 0.0
    assert DIALECT.sniff(file_of("torchrun train.py --batch_size 3\n")) == 0.0
    assert DIALECT.sniff(file_of(SCRIPT, "train_gpt2.cu")) == 0.0
    with pytest.raises(InputError, match="no llm"):
        read("make train_gpt2cu\n")


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_mangled_scripts_never_break_it(data: st.DataObject) -> None:
    """Cut and spliced scripts give readings or an error of ours."""
    at = data.draw(st.integers(0, len(SCRIPT)))
    middle = data.draw(st.text(max_size=12) | st.sampled_from(["-b -1", '"', "'", "\\\n", "$", "=", "-d 7"]))
    text = SCRIPT[:at] + middle + SCRIPT[at + data.draw(st.integers(0, 30)) :]
    with contextlib.suppress(InputError):
        read(text)
