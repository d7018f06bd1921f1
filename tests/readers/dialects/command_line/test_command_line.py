"""Commands that started runs: each trainer's own terms, prompts and continuations, and what overrides the config."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read
from auscult.readers.dialects.command_line import DIALECT
from auscult.readers.files import open_path
from auscult.readers.hf_keys import interpret
from auscult.run import Known
from config_files import case_files, file_of, line_of, mangled, plain, read_one, survives, why

CLM = """\
#!/bin/bash
export CUDA_VISIBLE_DEVICES=0,1
LR=5e-5
accelerate launch --num_processes 2 run_clm.py \\
    --model_type gpt2 --config_overrides "n_embd=96,n_layer=3,n_head=4" \\
    --dataset_name made_up --per_device_train_batch_size 8 --gradient_accumulation_steps 4 \\
    --learning_rate $LR --num_train_epochs 3 --block_size 256 --bf16 --output_dir /home/somebody/out
"""
NANO = "torchrun --standalone --nproc_per_node=4 train.py config/train_small.py --batch_size=32 --compile=False\n"
CONFIG = "n_layer = 3\nn_head = 4\nn_embd = 96\nbatch_size = 12\nblock_size = 64\nmax_iters = 100\n"


def test_hugging_face() -> None:
    """The arguments join the trainer's vocabulary, with the processes of the launcher; the shape is in the overrides."""
    reading = read_one(DIALECT, CLM, "run.sh")
    meaning = interpret(reading.raw)
    values = {key.rpartition(".")[2]: q.value for key, q in meaning.items() if isinstance(q, Known)}
    assert (values["batch_size"], values["gradient_accumulation_steps"], values["world_size"]) == (8, 8, 2)
    assert (values["learning_rate"], values["dtype"]) == (5e-5, "bfloat16")
    found = plain(reading)
    assert (found["n_layer"], found["d_model"], found["context"], found["dataset"]) == (3, 96, 256, "made_up")
    assert line_of(reading, "architecture.context") == 7
    assert "somebody" not in repr(reading)


def test_nanogpt_overrides_its_config(tmp_path: Path) -> None:
    """What the command says counts more than the config that it names, and torchrun says how many processes there were."""
    (tmp_path / "train_small.py").write_text(CONFIG)
    (tmp_path / "run.sh").write_text(NANO)
    (tmp_path / "train.log").write_text(
        "".join(f"iter {i}: loss 3.{9 - i}000, time 90.00ms, mfu 20.00%\n" for i in range(9))
    )
    run = read(tmp_path)
    recipe = run.recipe
    assert isinstance(recipe.batch_size, Known)
    assert isinstance(recipe.compile, Known)
    assert isinstance(recipe.world_size, Known)
    assert (recipe.batch_size.value, recipe.compile.value, recipe.world_size.value) == (32, False, 4)
    assert recipe.batch_size.source.place == "run.sh:1"


def test_litgpt() -> None:
    """Dotted arguments of litgpt are those of its configs, with its defaults for the rest."""
    text = "$ python -m litgpt pretrain pythia-14m --train.max_steps 5 --train.micro_batch_size 2 --train.global_batch_size 8\n"
    found = plain(read_one(DIALECT, text, "command.txt"))
    assert (found["max_steps"], found["batch_size"], found["gradient_accumulation_steps"]) == (5, 2, 4)
    assert (found["n_layer"], found["grad_clip"]) == (6, 1.0)


def test_torchtitan() -> None:
    """Tables of torchtitan on a command line; a module and a config name the model."""
    text = (
        "+ torchrun --nproc_per_node=8 -m torchtitan.train --module qwen3 --config qwen3_14b --training.steps=10"
        " --compile.enable --training.seq_len=128 --training.local_batch_size=16 --training.global_batch_size=256\n"
    )
    found = plain(read_one(DIALECT, text, "cmd.txt"))
    assert (found["n_layer"], found["tokens_per_step"], found["gradient_accumulation_steps"]) == (40, 256 * 128, 16)
    assert (found["compile"], found["world_size"]) == (True, 8)
    assert "learning_rate" not in found, "the config says it"


def test_any_other() -> None:
    """Names that mean the same everywhere are read of any program; accumulation of each process needs their number."""
    text = "nohup python my_train.py --lr 1e-3 --batch-size 16 --gradient_accumulation_steps 4 --epochs 3 > log.txt 2>&1 &\n"
    reading = read_one(DIALECT, text, "run.sh")
    assert (plain(reading)["learning_rate"], plain(reading)["batch_size"]) == (1e-3, 16)
    assert "gradient_accumulation_steps" not in plain(reading)
    assert reading.noted["command.epochs"].value == 3


def test_batch_of_several_processes() -> None:
    """A batch size of an unknown program with several processes may be that of one or of all: it is left open."""
    text = "#!/bin/bash\ntorchrun --nproc_per_node 4 my_train.py --lr 1e-3 --batch_size 16 --model gpt\n"
    reading = read_one(DIALECT, text, "run.sh")
    assert "of each process or of all" in why(reading, "recipe.batch_size")
    assert plain(reading) == {"learning_rate": 1e-3, "world_size": 4, "gpu_count": 4}


def test_windows_prompt() -> None:
    """A command that was copied with its prompt and paths of Windows is read without them."""
    text = "Microsoft Windows\n\nC:\\Users\\x\\run>python fit.py --model_path C:\\Users\\x\\models--org--tiny\\snapshots\\a1 --lr 0.01 --epochs 2\nepoch 1\n"
    reading = read_one(DIALECT, text, "cmd.txt")
    assert plain(reading) == {"learning_rate": 0.01, "init_from": "org/tiny"}
    assert line_of(reading, "recipe.learning_rate") == 3


def test_several_commands() -> None:
    """Different commands of one script are told apart; the same one twice is one."""
    script = "#!/bin/bash\n" + "".join(
        f"python train_it.py --lr {lr} --batch_size 4\n" for lr in ("1e-3", "2e-3", "2e-3")
    )
    assert [r.label for r in DIALECT.read(file_of(script, "sweep.sh"))] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pip install torch\npython setup.py install\n", "install.sh"),
        ("python eval.py --batch_size 4 --lr 1\n", "eval.sh"),
        ("python tokenize_data.py --batch_size 4 --seq_len 8\n", "prepare.sh"),
        ("Run python train.py --lr 1e-3 --batch_size 4 to train.\n", "README.md"),
        ("step 1: loss 3.0\nstep 2: loss 2.9\n", "log.txt"),
        ("FROM python:3\nRUN pip install x\n", "Dockerfile"),
        ("./train_gpt2cu -b 16 -t 1024 -l 0.0006\n", "run.sh"),
    ],
)
def test_leaves_others_alone(text: str, name: str) -> None:
    """Scripts that train nothing, prose, logs and llm.c's commands are not claimed."""
    assert DIALECT.sniff(file_of(text, name)) < 0.5


@settings(max_examples=80, deadline=None)
@given(st.one_of(mangled(CLM), mangled(NANO), st.binary(max_size=400)), st.sampled_from(["run.sh", "cmd.txt"]))
def test_nothing_else_is_raised(data: bytes, name: str) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, name)


def test_corpus() -> None:
    """The first lines of a log that somebody kept as cmd.txt: its data set, and the model without the person's folders."""
    (path,) = case_files("hf-cpt-finetune-overfit", "cmd.txt")
    (reading,) = DIALECT.read(open_path(path, "cmd.txt"))
    assert plain(reading) == {"dataset": "adgen", "init_from": "fnlp/cpt-large"}
    assert line_of(reading, "recipe.dataset") == 6
