"""Megatron's launch scripts: variables, arrays, here-documents, batches that grow, what stays open."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.dialects.megatron_args import DIALECT
from auscult.readers.files import open_path
from auscult.run import Known
from config_files import case_files, file_of, line_of, mangled, plain, read_one, survives, why

SCRIPT = """\
#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gres=gpu:a100:4
LAYERS=3
SEQ_LEN=256   # tokens
GPUS=$((2*2))
OPTIMIZER_ARGS=" \\
    --lr 3e-4 \\
    --min-lr 3e-5 \\
    --lr-decay-style cosine \\
    --lr-warmup-iters 10 \\
    "
GPT_ARGS=(
    --num-layers $LAYERS
    --hidden-size 64
    --num-attention-heads 4
    --seq-length ${SEQ_LEN}
    --max-position-embeddings ${SEQ_LEN}
    --micro-batch-size 2   # of each rank
    --global-batch-size 32
    --train-iters ${ITERS:-500}
    --bf16
)
cat <<EOT > ds.json
{
  "train_batch_size": 32,
  "zero_optimization": {"stage": 1},
  "gradient_clipping": 0.5
}
EOT
torchrun --nproc_per_node $GPUS --nnodes $SLURM_NNODES pretrain_gpt.py \\
    "${GPT_ARGS[@]}" $OPTIMIZER_ARGS --data-path $DATA --weight-decay 0.1
"""


def test_settings() -> None:
    """Every value has the line on which it stands, through variables and arrays; defaults are Megatron's."""
    reading = read_one(DIALECT, SCRIPT, "train.sh")
    found = plain(reading)
    assert (found["n_layer"], found["d_model"], found["d_ff"], found["family"]) == (3, 64, 256, "gpt2")
    assert (found["batch_size"], found["gradient_accumulation_steps"], found["tokens_per_step"]) == (2, 16, 32 * 256)
    assert (found["max_steps"], found["decay_steps"], found["warmup_steps"], found["min_lr"]) == (500, 500, 10, 3e-5)
    assert (found["world_size"], found["gpu_count"], found["gpu_name"], found["dtype"]) == (8, 8, "A100", "bfloat16")
    assert (line_of(reading, "architecture.n_layer"), line_of(reading, "architecture.context")) == (4, 5)
    assert (line_of(reading, "recipe.batch_size"), line_of(reading, "recipe.learning_rate")) == (19, 8)
    clip = reading.settings["recipe.grad_clip"]
    assert isinstance(clip, Known)
    assert clip.source.how == "default"


def test_written_config() -> None:
    """A DeepSpeed config that the script writes is read with it, and adds what the command does not say."""
    (part,) = read_one(DIALECT, SCRIPT, "train.sh").parts
    assert (part.dialect, part.noted["deepspeed.zero_optimization.stage"].value) == ("deepspeed_config", 1)
    assert part.noted["deepspeed.zero_optimization.stage"].source.line == 27
    assert not part.settings.keys() & read_one(DIALECT, SCRIPT, "train.sh").settings.keys()


def test_growing_batch() -> None:
    """Samples over a batch that grows come out in the steps of Megatron's own loop; tokens of a step are no one number."""
    text = SCRIPT.replace("--train-iters ${ITERS:-500}", "--train-samples 1_000 --rampup-batch-size 8 8 240")
    reading = read_one(DIALECT, text, "train.sh")
    found = plain(reading)
    # 10 steps of 8, 5 of 16, 4 of 24 see 256 samples; the other 744 are 23 steps of 32
    assert (found["max_steps"], found["tokens_planned"]) == (42, 256_000)
    assert "grows" in why(reading, "logged.tokens_per_step")


@pytest.mark.parametrize(
    ("line", "key", "word"),
    [
        ("LAYERS=$1", "architecture.n_layer", "argument $1"),
        ("LAYERS=$(cat layers)", "architecture.n_layer", "output of a command"),
        ("LAYERS=$NUMBER_OF_LAYERS", "architecture.n_layer", "$NUMBER_OF_LAYERS is not set"),
        ("if [ $SIZE = 1B ]; then LAYERS=3; else LAYERS=4; fi", "architecture.n_layer", "branches"),
    ],
)
def test_open_values(line: str, key: str, word: str) -> None:
    """What the script does not decide is unknown, with the reason, and hides Megatron's default."""
    assert word in why(read_one(DIALECT, SCRIPT.replace("LAYERS=3", line), "train.sh"), key)


@pytest.mark.parametrize("call", ["bash -c '{}'", 'bash -c "{}"', "eval {}", 'CMD="{}"\n$CMD', "srun --label {}"])
def test_calls(call: str) -> None:
    """However the command is started, it is found."""
    command = "python -u pretrain_gpt.py --num-layers 3 --hidden-size 64 --num-attention-heads 4 --seq-length 256 --lr 1e-3 --train-iters 9 --micro-batch-size 2"
    text = f"#!/bin/sh\n{call.format(command)}\n"
    assert plain(read_one(DIALECT, text, "train.sh"))["max_steps"] == 9


@pytest.mark.parametrize(
    ("flags", "family"),
    [
        ("--swiglu --normalization RMSNorm --position-embedding-type rope", "llama"),
        ("--position-embedding-type alibi", "bloom"),
        ("--num-experts 8", "megatron_moe"),
        ("--swiglu", "megatron_gpt"),
    ],
)
def test_families(flags: str, family: str) -> None:
    """Only the plain GPT is a GPT-2."""
    assert plain(read_one(DIALECT, SCRIPT.replace("--bf16", f"--bf16 {flags}"), "train.sh"))["family"] == family


def test_two_trainings() -> None:
    """Two different commands of one script are two runs, the same one twice is one."""
    one = SCRIPT.partition("torchrun")[0]
    call = "torchrun pretrain_gpt.py ${GPT_ARGS[@]} $OPTIMIZER_ARGS --seed "
    readings = list(DIALECT.read(file_of(f"{one}{call}1\n{call}2\n{call}2\n", "train.sh")))
    assert [reading.label for reading in readings] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("python eval.py --num-layers 3 --hidden-size 4 --num-attention-heads 2 --seq-length 8\n", "eval.sh"),
        (SCRIPT, "train.md"),
        (" iteration        1/     500 | lm loss: 3.0 |\n" + SCRIPT, "train.txt"),
        ("echo hello\n", "hello.sh"),
    ],
)
def test_leaves_others_alone(text: str, name: str) -> None:
    """Scripts that train nothing, prose and logs that begin with their command are not claimed."""
    assert DIALECT.sniff(file_of(text, name)) < 0.5


@settings(max_examples=80, deadline=None)
@given(st.one_of(mangled(SCRIPT), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "train.sh")


def test_corpus() -> None:
    """The scripts of BLOOM and of the 13B run come out at the 115,311 and 311,541 iterations that their logs planned."""
    bloom, smaller = (
        *case_files("incidents-bloom-176b", "tr11-176B-ml/tr11-176B-ml.slurm"),
        *case_files("incidents-bigscience-13b", "tr1-13B-base/tr1-13B-round1.slurm"),
    )
    for path, steps, layers, gpus in ((bloom, 115_311, 70, 192), (smaller, 311_541, 40, 512)):
        (reading,) = DIALECT.read(open_path(path, path.name))
        found = plain(reading)
        assert (found["max_steps"], found["n_layer"], found["gpu_count"]) == (steps, layers, gpus)
