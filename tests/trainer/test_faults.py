"""Never lose a run: killed, starved, fed with broken files or a changed recipe, it goes on as if nothing had been, or says why not.

Every run is a process of its own of the real command line (see ``trainer_runs``).
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auscult.data.prepare import PrepareSettings, prepare
from trainer_runs import (
    TINY,
    Done,
    Run,
    checkpoints,
    events,
    losses,
    start,
    wait_until,
    weights,
    write_recipe,
    write_tokens,
)

STEPS = int(TINY["schedule"]["steps"])
SAVED = int(TINY["checkpoint"]["every_steps"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tokens and the tiny recipe."""
    folder = tmp_path_factory.mktemp("faults")
    write_recipe(folder / "recipe.toml", write_tokens(folder / "tokens"))
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """The run that nothing happened to."""
    done = start(place / "recipe.toml", folder=place / "whole").end()
    assert done.status == 0, done
    return place / "whole"


@pytest.fixture(scope="module")
def saved(place: Path) -> Path:
    """A run that was stopped at half its way; tests change copies of it."""
    run = start(place / "recipe.toml", folder=place / "saved").at_step(3 * SAVED + 2)
    assert run.end(signal.SIGTERM).status == 128 + signal.SIGTERM
    return place / "saved"


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


def same_as(whole: Path, folder: Path) -> None:
    """Assert that a run had bit for bit the losses, and has byte for byte the weights, of the one that nothing happened to."""
    expected, found = losses(whole), losses(folder)
    assert len(expected) == STEPS + 4 * 4  # two splits in two modes, four times
    assert found == expected
    assert weights(folder) == weights(whole)


def resumed(folder: Path, recipe: Path, *, steps: int = STEPS) -> Done:
    """Give the same command again and let it run to its end."""
    done = start(recipe, folder=folder).end()
    assert done.status == 0, done
    assert f"{steps} steps done" in done.out
    return done


# ---- killed


def test_kill_nine_at_random_moments_changes_nothing(place: Path, whole: Path, tmp_path: Path) -> None:
    """A run that is killed again and again, wherever it stands, has the losses and the weights of one that is left alone."""
    drawn, folder = random.Random(5), tmp_path / "run"
    for goal in sorted(drawn.sample(range(2, STEPS - 5), 4)):
        run = start(place / "recipe.toml", folder=folder).at_step(goal)
        time.sleep(drawn.uniform(0, 0.02))
        assert run.end(signal.SIGKILL).status == -signal.SIGKILL
    resumed(folder, place / "recipe.toml")
    same_as(whole, folder)
    assert sum(one["event"] == "resume" for one in events(folder)) >= 3


def partial(folder: Path) -> Path | None:
    return next((folder / "checkpoints").glob("*.partial"), None) if (folder / "checkpoints").exists() else None


def test_kill_nine_amid_a_checkpoint_changes_nothing(place: Path, whole: Path, tmp_path: Path) -> None:
    """Killed while a checkpoint is half written, a run goes on from the one before it, and what was half written goes."""
    folder, amid = tmp_path / "run", 0
    for moment in ("folder", "file", "folder", "file"):
        run = start(place / "recipe.toml", folder=folder).at_step(max(checkpoints(folder), default=0) + SAVED)

        def under_way(moment: str = moment) -> bool:
            found = partial(folder)
            return found is not None and (moment == "folder" or any(found.glob("*.safetensors")))

        wait_until(under_way, run, pause_s=0)
        assert run.end(signal.SIGKILL).status == -signal.SIGKILL
        amid += partial(folder) is not None
    assert amid >= 2, "the kills did not come in time to prove anything"
    (folder / "checkpoints" / "step-00000999.partial").mkdir()  # of a step that this run never saves again
    resumed(folder, place / "recipe.toml")
    same_as(whole, folder)
    assert partial(folder) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_leaves(place: Path, whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM, Ctrl-C and Slurm's warning save where the run stands, say so in a line, and the same command goes on."""
    folder = tmp_path / "run"
    done = start(place / "recipe.toml", folder=folder).at_step(12).end(number)
    assert done.status == 128 + number
    match = re.fullmatch(
        rf"auscult: stopped by {number.name} at step (\d+) of {STEPS}, and saved; the same command goes on from there",
        done.paragraph,
    )
    assert match, done.error
    assert checkpoints(folder)[-1] == int(match[1])
    assert events(folder)[-1]["event"] == "stop"
    again = resumed(folder, place / "recipe.toml")
    assert f"going on from step {match[1]}" in again.out
    same_as(whole, folder)


def test_a_second_interrupt_insists(place: Path, tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice is not made to wait: 130, a word, and the checkpoints so far stay."""
    data = write_tokens(tmp_path / "tokens", 400_000)
    recipe = write_recipe(tmp_path / "r.toml", data, evaluation__tokens=60_000)
    run = start(recipe, folder=tmp_path / "run")
    wait_until(lambda: bool(losses(run.folder, "evaluation")), run)  # three more of them are to come, a second each
    os.kill(run.pid, signal.SIGINT)
    time.sleep(0.1)
    done = run.end(signal.SIGINT)
    assert done.status == 130
    assert done.paragraph == "auscult: interrupted"


def test_compiled_runs_resume_bit_equal(place: Path, tmp_path: Path) -> None:
    """With torch.compile, too: killed and resumed, a run has the losses and weights of one that was left alone."""
    recipe = write_recipe(
        tmp_path / "r.toml", place / "tokens", machine__compile=True, schedule__steps=20, evaluation__every_steps=0
    )
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = start(recipe, folder=tmp_path / "whole", environment=environment).end()
    assert done.status == 0, done
    assert json.loads((tmp_path / "whole" / "run.json").read_text())["compiled"] is True
    run = start(recipe, folder=tmp_path / "run", environment=environment).at_step(12)
    assert run.end(signal.SIGKILL).status == -signal.SIGKILL
    assert start(recipe, folder=tmp_path / "run", environment=environment).end().status == 0
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_killed_between_the_last_checkpoint_and_the_weights(place: Path, whole: Path, tmp_path: Path) -> None:
    """A run that was killed when all but its weights was written has them after the same command."""
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(folder / "weights")
    done = start(place / "recipe.toml", folder=folder).end()
    assert done.status == 0, done
    same_as(whole, folder)


# ---- a full disk


def disk(run: Run, free: bool) -> None:
    """Let a process write no file beyond 100 bytes, or any again: EFBIG stands for ENOSPC, one errno for another."""
    infinite = resource.RLIM_INFINITY
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (infinite if free else 100, infinite))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")
def test_a_full_disk_costs_a_checkpoint_not_the_run(place: Path, whole: Path, tmp_path: Path) -> None:
    """While the disk is full a run goes on without log and checkpoints, and keeps the older ones; then it says what it lacks."""
    folder = tmp_path / "run"
    run = start(place / "recipe.toml", folder=folder).at_step(2 * SAVED + 1)
    wait_until(lambda: 2 * SAVED in checkpoints(folder), run)
    disk(run, free=False)
    kept = checkpoints(folder)
    for _ in range(2):  # saves that fail
        wait_until(lambda: partial(folder) is not None, run, pause_s=0)
        wait_until(lambda: partial(folder) is None, run, pause_s=0)
    assert checkpoints(folder) == kept
    disk(run, free=True)
    done = run.end()
    assert done.status == 0, done
    said = "\n".join(one["text"] for one in events(folder) if one["event"] == "note") + done.out
    assert "before this one could not be written: File too large" in said
    found, expected = losses(folder), losses(whole)
    assert set(found) < set(expected), "lines were lost"
    assert all(expected[key] == loss for key, loss in found.items())
    assert weights(folder) == weights(whole)


def test_a_checkpoint_that_cannot_be_written_is_told(place: Path, whole: Path, tmp_path: Path) -> None:
    """Checkpoints that do not fit are told one by one, the run goes on to its end, and the last one that fails is an error."""
    recipe, folder = write_recipe(tmp_path / "r.toml", place / "tokens", schedule__steps=12), tmp_path / "run"
    done = start(recipe, folder=folder, largest_file_bytes=100_000).end()
    assert done.status == 2
    assert f"{folder}: the last checkpoint could not be written. Next: make room" in done.paragraph
    notes = [one["text"] for one in events(folder) if one["event"] == "note"]
    assert [re.sub(r"\(.*\)", "()", Path(text).name) for text in notes[:2]] == [
        f"step-{step:08d} could not be written (); the checkpoints before it stay" for step in (5, 10)
    ]
    assert all("File too large" in text for text in notes), notes
    assert checkpoints(folder) == []
    assert partial(folder) is None
    assert not (folder / "weights").exists()
    assert len(losses(folder, "step")) == 12
    resumed(folder, recipe, steps=12)


def test_weights_that_cannot_be_written_are_an_error(place: Path, tmp_path: Path) -> None:
    """Where only the weights cannot be written, the state is safe, the message says so in a paragraph, and the command can be repeated."""
    recipe, folder = write_recipe(tmp_path / "r.toml", place / "tokens", schedule__steps=6), tmp_path / "run"
    folder.mkdir()
    (folder / "weights").write_text("in the way")
    done = start(recipe, folder=folder).end()
    assert done.status == 2
    assert "weights" in done.paragraph
    assert checkpoints(folder)[-1] == 6
    (folder / "weights").unlink()
    assert start(recipe, folder=folder).end().status == 0
    assert weights(folder)


# ---- broken data


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Shards with a manifest."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(40):
        (texts / f"{i}.txt").write_text(f"document {i} says {'abc' * i} " * 20, encoding="utf-8")
    prepare([str(texts)], tmp_path / "shards", PrepareSettings(tokenizer="bytes", val_share=0.2, shard_tokens=8000))
    return tmp_path / "shards"


def refused(recipe: Path, folder: Path, *more: str) -> str:
    """Return the paragraph of a command that is refused before step 0."""
    done = start(recipe, *more, folder=folder).end()
    assert done.status == 2, done
    return done.paragraph


@pytest.mark.parametrize("fault", ["missing", "truncated", "corrupt"])
def test_a_broken_shard_is_named_before_step_0(shards: Path, tmp_path: Path, fault: str) -> None:
    """A shard that is missing, cut short or changed is named with what is wrong, and nothing is trained."""
    recipe = write_recipe(tmp_path / "r.toml", shards, model__vocab_size=320)
    broken = sorted(shards.glob("*train*.bin"))[1]
    data = broken.read_bytes()
    match fault:
        case "missing":
            broken.unlink()
        case "truncated":
            broken.write_bytes(data[:-200])
        case "corrupt":
            broken.write_bytes(data[:999] + bytes([data[999] ^ 1]) + data[1000:])
    said = refused(recipe, tmp_path / "run")
    assert said.startswith(f"auscult: {broken}: ")
    assert {"missing": "missing", "truncated": "bytes", "corrupt": "checksum"}[fault] in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_token_outside_the_vocabulary_is_named_with_its_position(tmp_path: Path, split: str) -> None:
    """A token that the model has no row for ends the run with shard and position, and what was trained is saved."""
    data = write_tokens(tmp_path / "tokens", 4000)
    tokens = np.fromfile(data / f"{split}.bin", "<u2")
    tokens[777] = 300
    tokens.tofile(data / f"{split}.bin")
    recipe = write_recipe(tmp_path / "r.toml", data, evaluation__every_steps=9, evaluation__tokens=32 * 1000)
    done = start(recipe, folder=tmp_path / "run").end()
    assert done.status == 2
    for part in (f"{split}.bin: ", "token 300 at position 777 is outside", "tokens below 256"):
        assert part in done.paragraph
    logged = losses(tmp_path / "run", "step") if (tmp_path / "run").exists() else {}
    if logged:
        assert checkpoints(tmp_path / "run")[-1] == max(key[1] for key in logged) + 1


def test_a_shard_cut_short_under_a_running_job(tmp_path: Path) -> None:
    """Data that vanishes while it is read ends the run with one paragraph; the run is saved, and goes on when it is back."""
    data = write_tokens(tmp_path / "tokens")
    recipe, folder = write_recipe(tmp_path / "r.toml", data), tmp_path / "run"
    all_of_it = (data / "train.bin").read_bytes()
    run = start(recipe, folder=folder).at_step(7)
    with (data / "train.bin").open("r+b") as stream:
        stream.truncate(100)
    done = run.end()
    assert done.status == 2
    assert "it was cut short after it was opened. Expected 40,000 tokens" in done.paragraph
    assert checkpoints(folder)[-1] == max(key[1] for key in losses(folder, "step")) + 1
    (data / "train.bin").write_bytes(all_of_it)
    resumed(folder, recipe)


# ---- broken checkpoints


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def spoil(checkpoint: Path) -> None:
    """Flip a bit in the middle of the largest file."""
    data = max(checkpoint.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def test_a_corrupt_checkpoint_is_told_and_the_one_before_is_taken(place: Path, whole: Path, copied: Path) -> None:
    """The newest checkpoint has a flipped bit: it is named, the one before it is taken, and the end is the same."""
    *_, before, last = checkpoints(copied)
    spoil(copied / "checkpoints" / f"step-{last:08d}")
    done = resumed(copied, place / "recipe.toml")
    assert re.search(rf"step-{last:08d}: \S+\.safetensors is not as it was written; the checkpoint before it", done.out)
    assert f"going on from step {before}" in done.out
    same_as(whole, copied)


def test_without_a_whole_checkpoint_nothing_is_started_or_deleted(place: Path, copied: Path) -> None:
    """Where every checkpoint is damaged, the run is refused, and every file stays as it is."""
    for step in checkpoints(copied):
        spoil(copied / "checkpoints" / f"step-{step:08d}")
    before = files_of(copied)
    said = refused(place / "recipe.toml", copied)
    assert f"none of its {len(checkpoints(copied))} checkpoints is whole. Next: restore one from a copy" in said
    assert files_of(copied) == before


# ---- numbers that are none


def test_a_loss_that_is_not_finite_stops_the_run(place: Path, tmp_path: Path) -> None:
    """Exit 1, the step and why, the last good checkpoint named, and nothing saved of what came after."""
    recipe = write_recipe(
        tmp_path / "r.toml",
        place / "tokens",
        optimizer__learning_rate=100.0,
        optimizer__weight_decay=10.0,  # each step turns the matrices round and makes them 999 times larger
        schedule__warmup_steps=0,
        checkpoint__every_steps=2,
    )
    folder = tmp_path / "run"
    done = start(recipe, folder=folder).end()
    assert done.status == 1, done
    stopped = re.match(r"auscult: Step (\d+): loss", done.paragraph)
    assert stopped, done.paragraph
    step, kept = int(stopped[1]), checkpoints(folder)
    assert "nothing of that state was saved" in done.paragraph
    assert f"The last good state is {folder / 'checkpoints'}/step-{kept[-1]:08d}." in done.paragraph
    assert f"auscult diagnose {folder}" in done.paragraph
    assert kept[-1] in (step, step - 1), "saved before the step that went wrong, and nothing after it"
    assert max(key[1] for key in losses(folder, "step")) == step - 1
    assert events(folder)[-1]["event"] == "stop"
    assert not (folder / "weights").exists()


def test_poisoned_weights_stop_the_run_at_step_0(place: Path, whole: Path, tmp_path: Path) -> None:
    """A NaN in the weights that a run starts from is told at step 0; no checkpoint is named, for there is none."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(whole / "weights" / "model.safetensors")
    poisoned = {name: value.copy() for name, value in tensors.items()}
    poisoned["transformer.wte.weight"][200, 0] = np.nan
    save_file(poisoned, tmp_path / "poisoned.safetensors")
    recipe = write_recipe(tmp_path / "r.toml", place / "tokens", model__weights=str(tmp_path / "poisoned.safetensors"))
    done = start(recipe, folder=tmp_path / "run").end()
    assert done.status == 1
    assert "Step 0: loss nan" in done.paragraph
    assert "No checkpoint had been written yet." in done.paragraph
    assert checkpoints(tmp_path / "run") == []


# ---- a changed recipe

CHANGES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        {"model__d_model": 64},
        ("cannot be taken up", "wte.weight is 256 × 32 in the checkpoint and 256 × 64 in the recipe", "more"),
    ),
    ({"model__n_layer": 2}, ("cannot be taken up", "h.1.ln_1.weight is not in the checkpoint")),
    ({"optimizer__name": "muon"}, ("cannot be taken up", "the optimiser was adamw and is muon")),
    ({"schedule__steps": 10}, ("cannot be taken up", "would have 10 steps in all")),
    ({"optimizer__learning_rate": 6e-3}, ("optimizer.learning_rate changed", "the learning rate goes from", " to ")),
    ({"schedule__kind": "wsd"}, ("schedule.kind changed", "the learning rate goes from")),
    ({"schedule__kind": "wsd", "schedule__steps": 90}, ("schedule.kind, schedule.steps changed",)),
    ({"optimizer__beta2": 0.99}, ("optimizer.beta2 was 0.95 and is 0.99: AdamW's averages",)),
    ({"optimizer__grad_clip": 0.0}, ("optimizer.grad_clip was 1.0 and is 0.0",)),
    ({"batch__tokens_per_step": 512}, ("batch.tokens_per_step was 256 and is 512: the steps so far had other tokens",)),
    ({"seed": 7}, ("seed was 1337 and is 7: the order of the data changes",)),
    ({"model__dropout": 0.0}, ("model.dropout was 0.1 and is 0.0",)),
    ({"model__activation": "gelu"}, ("model.activation was gelu_tanh and is gelu",)),
    ({"machine__dtype": "bfloat16"}, ("machine.dtype was auto and is bfloat16",)),
]


def test_changed_recipes_are_refused_each_with_its_reason(place: Path, copied: Path, tmp_path: Path) -> None:
    """What cannot be taken up is refused, and so is what was not accepted, naming the settings and the seam; the run stays as it is."""
    before = files_of(copied)
    for change, parts in CHANGES:
        recipe = write_recipe(tmp_path / "changed.toml", place / "tokens", **change)
        said = refused(recipe, copied)
        for part in (str(copied), *parts):
            assert part in said, (change, said)
        accepts = "accept it with --accept-changes"
        assert (accepts in said) == ("cannot be taken up" not in said)
        if "cannot be taken up" in said:
            assert "cannot be taken up" in refused(recipe, copied, "--accept-changes")
        assert files_of(copied) == before, change


def test_other_data_is_a_change(place: Path, copied: Path, tmp_path: Path) -> None:
    """Equal data elsewhere is taken; other data under the same name is refused by its fingerprint."""
    data = Path(shutil.copytree(place / "tokens", tmp_path / "tokens"))
    recipe = write_recipe(tmp_path / "r.toml", data)
    write_tokens(data, seed=1)
    assert "the training data is not what it was: its fingerprint differs" in refused(recipe, copied)
    shutil.rmtree(data)
    shutil.copytree(place / "tokens", data)
    resumed(copied, recipe)


def test_accepted_changes_are_told_and_trained(place: Path, copied: Path, tmp_path: Path) -> None:
    """With --accept-changes the run goes on, its log says where what changed, and the recipe beside it is the new one."""
    recipe = write_recipe(tmp_path / "r.toml", place / "tokens", optimizer__learning_rate=1e-3, schedule__steps=30)
    step = checkpoints(copied)[-1]
    done = start(recipe, "--accept-changes", folder=copied).end()
    assert done.status == 0, done
    notes = [one["text"] for one in events(copied) if one["event"] == "note"]
    assert any(f"changed at step {step}: optimizer.learning_rate, schedule.steps changed" in text for text in notes)
    assert (copied / "recipe.toml").read_text() == recipe.read_text()
    assert max(key[1] for key in losses(copied, "step")) == 29


def test_what_changes_no_mathematics_is_free(place: Path, copied: Path, tmp_path: Path) -> None:
    """Log, evaluations, checkpoints, micro-batch, compilation, the loss in chunks and the run's name may change on resume."""
    recipe = write_recipe(
        tmp_path / "r.toml",
        place / "tokens",
        name="another",
        log__every_steps=7,
        evaluation__every_steps=30,
        evaluation__tokens=320,
        checkpoint__every_steps=11,
        batch__micro_batch=2,
        machine__cross_entropy="chunked",
        machine__checkpointing="full",
    )
    done = resumed(copied, recipe)
    assert "changed at step" not in done.out


# ---- one folder, one process; nothing left to do; what is not installed


def test_two_processes_in_one_folder(place: Path, tmp_path: Path) -> None:
    """The second is refused while the first trains, which notices nothing."""
    recipe = write_recipe(tmp_path / "r.toml", place / "tokens", schedule__steps=2000)
    run = start(recipe, folder=tmp_path / "run").at_step(2)
    assert f"{tmp_path / 'run'}: another process trains there" in refused(recipe, tmp_path / "run")
    assert run.end(signal.SIGTERM).status == 143
    assert sum(one["event"] in ("start", "resume") for one in events(tmp_path / "run")) == 1


def test_a_finished_run_says_so(place: Path, whole: Path) -> None:
    """The same command once more: status 0, a sentence, and every file stays as it is."""
    before = files_of(whole)
    done = start(place / "recipe.toml", folder=whole).end()
    assert done.status == 0
    assert f"its {STEPS} steps are done already; nothing is left to train" in done.out
    assert files_of(whole) == before


def test_preflight_alone_writes_nothing(place: Path, tmp_path: Path) -> None:
    """``--preflight`` says what would be trained and makes no folder."""
    done = start(place / "recipe.toml", "--preflight", folder=tmp_path / "run").end()
    assert done.status == 0
    assert "parameters" in done.out
    assert not (tmp_path / "run").exists()


def test_the_preflight_of_a_card_elsewhere(place: Path, tmp_path: Path) -> None:
    """On a machine without a GPU, ``--preflight`` answers for the card that the recipe names; training does not need it."""
    recipe = write_recipe(
        tmp_path / "r.toml", place / "tokens", machine__gpu="RTX 4070", machine__device="auto", batch__micro_batch=None
    )
    done = start(recipe, "--preflight", folder=tmp_path / "run", environment={"CUDA_VISIBLE_DEVICES": ""}).end()
    assert done.status == 0, done
    assert "RTX 4070" in done.out
    assert "on the CPU" not in done.out
    assert not (tmp_path / "run").exists()


def test_without_torch_the_message_says_what_to_install(place: Path, tmp_path: Path) -> None:
    """Where PyTorch is not installed, one line says how to install it."""
    code = """
        import importlib.abc, sys
        class Absent(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "torch":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        import importlib.util
        real = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "torch" else real(name, *rest)
        sys.meta_path.insert(0, Absent())
        from auscult.cli import main
        sys.exit(main(sys.argv[1:]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), "train", str(place / "recipe.toml")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "auscult: auscult train needs PyTorch, which is not installed. Next: pip install 'auscult[train]'.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of programs, to be PATH."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


@pytest.mark.parametrize("compilers", [(), ("g++",), ("clang++",)])
def test_without_a_working_compiler_training_is_eager(
    place: Path, tmp_path: Path, tools: Path, compilers: tuple[str, ...]
) -> None:
    """No C++ compiler, one that fails, or one that torch does not look for: the run is eager, and says so."""
    for name in compilers:
        (tools / name).write_text("#!/bin/sh\necho no headers >&2\nexit 1\n")
        (tools / name).chmod(0o755)
    recipe = write_recipe(
        tmp_path / "r.toml", place / "tokens", machine__compile=True, schedule__steps=2, schedule__warmup_steps=1
    )
    environment = {"PATH": f"{tools}", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    if compilers:
        environment["PATH"] += ":/bin" if Path("/bin/sh").resolve().parent == Path("/bin") else ""
    done = start(recipe, folder=tmp_path / "run", environment=environment).end()
    assert done.status == 0, done
    assert "training runs eager" in done.out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["compiled"] is False
