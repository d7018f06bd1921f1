"""Several processes: what one computes, no more synchronisation than it takes, and an end in order when one is lost."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from auscult.preflight import good_checkpoint

pytest.importorskip("torch")

WORLD = Path(__file__).with_name("ranks_world.py")
CONTEXT = 32
RECIPE = """
[model]
family = "{family}"
n_layer = 2
n_head = 2
d_model = 32
vocab_size = 256
context = 32

[data]
path = "data"

[batch]
tokens_per_step = {tokens}
micro_batch = 2

[optimizer]
name = "{optimizer}"
learning_rate = 2e-3

[schedule]
steps = {steps}
warmup_steps = 2

[machine]
compile = false
sharding = "{sharding}"

[evaluation]
every_steps = {evaluated}
tokens = 288

[checkpoint]
every_steps = {saved}
keep = {keep}

[log]
every_steps = 1
tensorboard = false
"""
FP32 = 1e-5
"""Nats: losses of 5 are sums over 256 tokens, in another order."""
MUON = 3e-3
"""Nats: torch.optim.Muon orthogonalises in bfloat16, whose rounding is turned by what fp32 sums differ in."""
LOST_S = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a byte corpus in nanoGPT's layout."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "data").mkdir()
    source = b"".join(path.read_bytes() for path in sorted(Path(os.__file__).parent.glob("*.py"))[:40])
    tokens = np.frombuffer(source, np.uint8).astype("<u2")
    tokens[:-40_000].tofile(folder / "data" / "train.bin")
    tokens[-40_000:].tofile(folder / "data" / "val.bin")
    return folder


def _recipe(folder: Path, name: str, **values: Any) -> Path:
    usual = {"family": "gpt2", "optimizer": "adamw", "sharding": "ddp", "tokens": 8 * CONTEXT, "steps": 6}
    path = folder / f"{name}.toml"
    path.write_text(RECIPE.format(**usual | {"evaluated": 3, "saved": 3, "keep": 9} | values), "utf-8")
    return path


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """What runs ``auscult train RECIPE --output DIR`` in some ranks, without torchrun (see ranks_world.py)."""
    command = [sys.executable, str(WORLD), str(_recipe(folder, "usual"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
    ) as server:

        def run(recipe: Path, output: Path, world_size: int, **more: Any) -> dict[str, Any]:
            assert server.stdin is not None
            assert server.stdout is not None
            arguments = ["train", str(recipe), "--output", str(output)]
            server.stdin.write(json.dumps({"arguments": arguments, "world_size": world_size, **more}) + "\n")
            server.stdin.flush()
            answer: dict[str, Any] = json.loads(server.stdout.readline())
            return answer

        yield run
        server.communicate()


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def trained(folder: Path, world: Callable[..., dict[str, Any]]) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Runs to their end, each made once: (sharding or one process, optimiser) -> its folder, and how its ranks ended."""
    made: dict[tuple[str, str], tuple[Path, dict[str, Any]]] = {}

    def run(kind: str, optimizer: str = "adamw") -> tuple[Path, dict[str, Any]]:
        if (kind, optimizer) not in made:
            family = "modern" if optimizer == "muon" else "gpt2"
            sharding, size = ("ddp", 1) if kind == "one" else (kind, 2)
            recipe = _recipe(folder, f"{kind}-{optimizer}", optimizer=optimizer, family=family, sharding=sharding)
            answer = world(recipe, folder / recipe.stem, size, counted_steps=[4] if size > 1 else [])
            assert answer["statuses"] == [0] * size, answer
            made[kind, optimizer] = folder / recipe.stem, answer
        return made[kind, optimizer]

    return run


def _losses(run: Path) -> dict[tuple[Any, ...], float]:
    """Every loss of a log, and each gradient norm."""
    found: dict[tuple[Any, ...], float] = {}
    for record in _log(run):
        if record["event"] in ("step", "evaluation"):
            found[record["event"], record["step"], record.get("split")] = record["loss_nats_per_token"]
        if record["event"] == "step":
            found["norm", record["step"]] = record["grad_norm"]
    return found


def _log(run: Path) -> list[dict[str, Any]]:
    """The records of a log that may be growing."""
    log = run / "log.jsonl"
    text = log.read_text("utf-8") if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _reached(run: Path) -> int:
    return max((record["step"] for record in _log(run) if record["event"] == "step"), default=0)


def _furthest(left: dict[tuple[Any, ...], float], right: dict[tuple[Any, ...], float]) -> float:
    assert left.keys() == right.keys()
    return max(abs(left[key] - right[key]) for key in left)


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_ranks_compute_what_one_process_does(
    trained: Callable[..., tuple[Path, dict[str, Any]]], sharding: str
) -> None:
    """Losses, gradient norms, evaluations and weights are those of one process, with two passes a rank and step."""
    (one, _), (two, answer) = trained("one"), trained(sharding)
    assert len(_losses(one)) == 6 * 2 + 3 * 2
    assert _furthest(_losses(one), _losses(two)) < FP32
    left, right = (load_file(run / "weights" / "model.safetensors") for run in (one, two))
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(right[name], left[name], atol=1e-5, err_msg=name)
    facts = json.loads((two / "run.json").read_text("utf-8"))
    assert (facts["world_size"], facts["micro_batch"], facts["gradient_accumulation_steps"]) == (2, 2, 2)
    assert [record["tokens"] for record in _log(two) if record["event"] == "step"] == [256 * n for n in range(6)]
    assert [record["event"] for record in _log(two)].count("start") == 1, "only rank 0 keeps the log"
    said = [line for line in answer["errors"][1].splitlines() if not line.startswith("USDT:")]  # the profiler's
    assert answer["outputs"][1] == ""
    assert not said


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_muon_of_two_ranks_is_muon_of_one(trained: Callable[..., tuple[Path, dict[str, Any]]], sharding: str) -> None:
    """A matrix is orthogonalised whole, although FSDP2 keeps half of its rows on each rank."""
    (one, _), (two, _) = trained("one", "muon"), trained(sharding, "muon")
    assert _furthest(_losses(one), _losses(two)) < MUON
    begun, left, right = (
        load_file(run / "weights" / "model.safetensors") if path is None else _saved(run / "checkpoints" / path)
        for run, path in ((one, "step-00000003"), (one, None), (two, None))
    )
    for name in (name for name in left if name.startswith("h.") and left[name].ndim == 2):
        moved = np.linalg.norm(left[name] - begun[f"model.{name}"])
        assert np.linalg.norm(right[name] - left[name]) < 0.25 * moved, name


def _saved(checkpoint: Path) -> dict[str, Any]:
    """The tensors of a checkpoint of one process, read by safetensors alone."""
    (file,) = checkpoint.glob("*.safetensors")
    return load_file(file)


def test_gradients_are_summed_once_a_step(trained: Callable[..., tuple[Path, dict[str, Any]]]) -> None:
    """DDP reduces its one bucket once for both passes, FSDP2 each of its three groups; one more sum is the journal's."""
    _, ddp = trained("ddp")
    assert ddp["counts"] == [[{"c10d::allreduce_": 2}]] * 2
    _, modern = trained("ddp", "muon")
    assert modern["counts"] == [[{"c10d::allreduce_": 2}]] * 2, "constant buffers are not broadcast"
    _, fsdp = trained("fsdp")
    for ((counts,),) in zip(fsdp["counts"], strict=True):
        assert counts["c10d::_reduce_scatter_base_"] == 3


@pytest.mark.parametrize(
    ("origin", "sharding", "world_size"), [("ddp", "ddp", 1), ("one", "fsdp", 2), ("fsdp", "ddp", 2)]
)
def test_checkpoints_outlive_their_ranks(
    trained: Callable[..., tuple[Path, dict[str, Any]]],
    world: Callable[..., dict[str, Any]],
    folder: Path,
    origin: str,
    sharding: str,
    world_size: int,
) -> None:
    """What any number of ranks saved, sharded or not, any other number takes up, with the same losses."""
    source, _ = trained(origin)
    output = folder / f"{origin}-as-{sharding}-{world_size}"
    shutil.copytree(source / "checkpoints" / "step-00000003", output / "checkpoints" / "step-00000003")
    answer = world(_recipe(folder, output.name, sharding=sharding), output, world_size)
    assert answer["statuses"] == [0] * world_size, answer
    expected = {key: loss for key, loss in _losses(source).items() if key[1] >= 3}
    assert _furthest(expected, _losses(output)) < FP32


def _kill(run: Path, ranks: list[int], number: int) -> dict[str, Any]:
    """Ask for a signal some steps after those that the log holds."""
    return {"log": str(run / "log.jsonl"), "step": _reached(run) + 8, "ranks": ranks, "signal": int(number)}


def _steps(run: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (run / "checkpoints").iterdir() if path.suffix != ".partial")


@pytest.fixture(scope="module")
def endless(folder: Path) -> tuple[Path, Path]:
    """A recipe of more steps than a test waits for, and the folder of its run."""
    return _recipe(folder, "endless", steps=100_000, evaluated=0, saved=5, keep=3), folder / "endless"


def test_a_lost_rank_ends_the_others_and_costs_no_checkpoint(
    world: Callable[..., dict[str, Any]], endless: tuple[Path, Path]
) -> None:
    """After kill -9 of one rank the other says so in a paragraph, at once and without torchrun; the run then goes on."""
    recipe, run = endless
    answer = world(recipe, run, 2, kill=_kill(run, [1], signal.SIGKILL))
    assert answer["statuses"] == [2, -signal.SIGKILL], answer
    assert answer["after_kill_s"] < LOST_S
    (said,) = answer["errors"][0].splitlines()
    assert said.startswith("auscult: Rank 0 lost the others at step ")
    last = _steps(run)[-1]

    answer = world(recipe, run, 2, kill=_kill(run, [0, 1], signal.SIGINT))
    assert answer["statuses"] == [128 + signal.SIGINT] * 2, answer  # Ctrl-C reaches every process of a terminal
    assert "stopped by SIGINT" in answer["errors"][0]
    resumed = [record for record in _log(run) if record["event"] == "resume"]
    assert [record["step"] for record in resumed] == [last]
    assert _steps(run)[-1] == _reached(run) + 1


def test_a_refusal_is_told_once_and_leaves_no_rank_waiting(
    world: Callable[..., dict[str, Any]], folder: Path, endless: tuple[Path, Path]
) -> None:
    """What only rank 0 finds, a locked folder or a broken checkpoint, ends all ranks; what all find, one of them tells."""
    recipe, run = endless
    if not (run / "checkpoints").exists():
        world(recipe, run, 2, kill=_kill(run, [0, 1], signal.SIGTERM))
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _refused(world(recipe, run, 2), "another process trains there")
    broken = folder / "broken"
    shutil.copytree(run, broken)
    for path in broken.glob("checkpoints/*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    _refused(world(recipe, broken, 2), "checkpoints is whole")
    uneven = _recipe(folder, "uneven", tokens=7 * CONTEXT).read_text("utf-8").replace("micro_batch = 2", "")
    (folder / "uneven.toml").write_text(uneven, "utf-8")
    _refused(world(folder / "uneven.toml", folder / "uneven", 2), "tokens_per_step = 224", "192 or 256")
    (folder / "unknown.toml").write_text(uneven.replace("n_layer", "layers"), "utf-8")
    _refused(world(folder / "unknown.toml", folder / "unknown", 2), "unknown.toml:4", "layers")


def _refused(answer: dict[str, Any], *said: str) -> None:
    assert answer["statuses"] == [2, 2], answer
    assert answer["errors"][1] == answer["outputs"][1] == ""
    (line,) = answer["errors"][0].splitlines()
    assert all(part in line for part in said), line


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the workers of torchrun are found in /proc")
def test_torchrun_ends_when_a_rank_is_lost(folder: Path) -> None:
    """Under torchrun kill -9 of a rank ends the job soon, with the other's paragraph, and the last checkpoint is whole."""
    recipe, run = _recipe(folder, "job", steps=100_000, evaluated=0, saved=5, sharding="fsdp"), folder / "job"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "auscult", "train", str(recipe), "--output", str(run)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=_environment()) as job:
        try:
            _wait_for(job, lambda: _reached(run) >= 7)
            os.kill(_workers(job.pid)[1], signal.SIGKILL)
            killed = time.monotonic()
            output, _ = job.communicate(timeout=2 * LOST_S)
        finally:
            job.terminate()
    assert job.returncode != 0
    assert time.monotonic() - killed < LOST_S
    assert output.count("auscult: Rank 0 lost the others at step ") == 1
    found = good_checkpoint(run / "checkpoints", pytest.fail)
    assert found is not None
    assert 5 <= found[1]["step"] <= _reached(run) + 1


def _workers(pid: int) -> list[int]:
    """The processes that torchrun started, by rank."""
    ranks: dict[int, int] = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            ranks |= {int(entry[5:]): int(child) for entry in environment if entry.startswith(b"RANK=")}
    return [ranks[rank] for rank in sorted(ranks)]


def _wait_for(job: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    waited = time.monotonic()
    while not happened():
        assert time.monotonic() - waited < 120, "it did not get there"
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.05)


SCRIPT = Path(__file__).parents[2] / "examples" / "slurm" / "train.sbatch"
SAVES = """
import os, pathlib, signal, sys, time
heard = []
signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
pathlib.Path("ready" + os.environ["RANK"]).touch()
while not heard:
    time.sleep(0.01)
time.sleep(1)
pathlib.Path("saved" + os.environ["RANK"]).write_text(" ".join(sys.argv[1:]))
sys.exit(128 + signal.SIGUSR1)
"""


def _cluster(folder: Path, **programs: str) -> dict[str, str]:
    """An environment with a Slurm of one node: srun runs what it is given, scontrol knows the node and notes a requeue."""
    (folder / "bin").mkdir()
    for name, text in {
        "srun": 'shift\nexec "$@"',
        "scontrol": '[ "$1" = show ] && echo localhost || echo "$@" > requeued',
        **programs,
    }.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n", "utf-8")
        (folder / "bin" / name).chmod(0o755)
    port = random.randrange(20_000, 30_000)  # what the script makes of the job's number
    slurm = {"NNODES": "1", "GPUS_ON_NODE": "2", "JOB_ID": str(port), "JOB_NODELIST": "localhost"}
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return _environment() | {f"SLURM_{name}": value for name, value in slurm.items()} | {"PATH": path}


def test_the_slurm_script_saves_and_requeues_before_its_time_is_up(tmp_path: Path) -> None:
    """Slurm's warning passes through the script and the real torchrun to each process, which saves; the job is requeued."""
    (tmp_path / "auscult").mkdir()
    (tmp_path / "auscult" / "__init__.py").touch()
    (tmp_path / "auscult" / "__main__.py").write_text(SAVES, "utf-8")
    command = ["bash", str(SCRIPT), "recipe.toml", "run"]
    where = _cluster(tmp_path) | {"PYTHONPATH": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=where) as job:
        _wait_for(job, lambda: all((tmp_path / f"ready{rank}").exists() for rank in (0, 1)))
        job.send_signal(signal.SIGUSR1)
        output, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    saved = [(tmp_path / f"saved{rank}").read_text() for rank in (0, 1)]
    assert saved == ["train recipe.toml --output run"] * 2, output
    assert (tmp_path / "requeued").read_text().split() == ["requeue", where["SLURM_JOB_ID"]]


@pytest.mark.parametrize("status", [0, 2])
def test_the_slurm_script_ends_with_its_run(tmp_path: Path, status: int) -> None:
    """A run that is done, or fails, ends its job with its status; a failure is not started again and again."""
    environment = _cluster(tmp_path, torchrun=f"exit {status}")
    job = subprocess.run(["bash", str(SCRIPT), "recipe.toml"], cwd=tmp_path, env=environment, check=False)
    assert job.returncode == status
    assert not (tmp_path / "requeued").exists()


def test_the_slurm_script_uses_options_that_there_are() -> None:
    """What the script passes to torchrun and to auscult are options that these have."""
    text = SCRIPT.read_text("utf-8").replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if line.startswith("srun "))
    to_torchrun, _, to_auscult = line.partition(" torchrun ")[2].partition(" -m auscult train ")
    assert "--signals-to-handle=" in to_torchrun
    for command, arguments in ((["torch.distributed.run"], to_torchrun), (["auscult", "train"], to_auscult)):
        known = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=True)
        for option in (word.partition("=")[0] for word in arguments.split() if word.startswith("--")):
            assert f"{option} " in known.stdout or f"{option}," in known.stdout, option
