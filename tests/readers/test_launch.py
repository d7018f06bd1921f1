"""Commands taken apart: launchers, programs, flags, and what Slurm is asked for."""

from __future__ import annotations

import pytest

from auscult.readers.launch import Launch, launch_of, slurm_variables
from auscult.readers.shell import read_script
from auscult.run import Known, Unknown


def launch(text: str) -> Launch:
    found = launch_of(read_script(text).commands[-1], "run.sh")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "program", "ranks"),
    [
        ("python train.py --a 1", "train.py", None),
        ("torchrun --standalone --nproc_per_node=8 train.py", "train.py", 8),
        ("torchrun --nproc-per-node 4 --nnodes 2 -m pkg.train --a 1", "pkg.train", 8),
        ("python -u -m torch.distributed.launch --nproc_per_node 4 --nnodes 3 x/y/go.py", "go.py", 12),
        ("accelerate launch --num_processes 6 --mixed_precision bf16 go.py", "go.py", 6),
        ("deepspeed --num_gpus 4 --num_nodes 2 go.py --deepspeed ds.json", "go.py", 8),
        ("mpirun -np 16 python go.py", "go.py", 16),
        ("litgpt pretrain pythia-14m", "litgpt", None),
    ],
)
def test_launchers(text: str, program: str, ranks: int | None) -> None:
    """The program is what stands behind the launchers, whose processes are counted."""
    found = launch(text)
    assert found.program == program
    assert (found.ranks.value if isinstance(found.ranks, Known) else found.ranks) == ranks


def test_flags() -> None:
    """Flags have one value, several, none, or one after =; numbers and switches are those that were meant."""
    found = launch("python go.py word --a 1 --b=2.5 --c --d x y --e -0.5 --lr 1e-4 f.g=true --n 1_000 --p /home/me/x")
    values = {name: q.value for name, q in found.flags.items() if isinstance(q, Known)}
    assert values == {
        "a": 1,
        "b": 2.5,
        "c": True,
        "d": "x y",
        "e": -0.5,
        "lr": 1e-4,
        "f.g": True,
        "n": 1000,
        "p": "/home/me/x",
    }
    assert [word.text for word in found.words] == ["word"]
    path = found.flags["p"]
    assert isinstance(path, Known)
    assert path.source.text == "--p ~/x"


def test_open_flags() -> None:
    """A flag whose value the script leaves open is unknown, with the reason."""
    layers = launch("python go.py --layers $N").flags["layers"]
    assert isinstance(layers, Unknown)
    assert layers.reason == "run.sh:1 gives --layers in a way that cannot be read: $N is not set in the script"


def test_elastic_nodes() -> None:
    """A range of nodes is no number of processes."""
    assert isinstance(launch("torchrun --nproc_per_node 4 --nnodes 1:4 go.py").ranks, Unknown)


def test_slurm() -> None:
    """What a job asks for gives Slurm's variables, and names cards and their number."""
    text = "#!/bin/bash\n#SBATCH --nodes=4\n#SBATCH --ntasks-per-node 2\n#SBATCH --gres=gpu:8\n#SBATCH --constraint=v100-32g\n"
    variables, machine = slurm_variables(text, "job.slurm")
    assert variables["SLURM_NNODES"] == "4"
    assert variables["SLURM_NTASKS"] == "8"
    assert machine["gpu_name"].value == "V100 32GB"
    assert (machine["gpu_count"].value, machine["gpu_name"].source.line) == (32, 5)
    assert slurm_variables("#SBATCH --nodes=²\n#SBATCH --gres=gpu:a", "job.slurm") == ({}, {})


def test_no_program() -> None:
    """A command without a program is none."""
    assert launch_of(read_script("echo hello").commands[0], "run.sh") is None
