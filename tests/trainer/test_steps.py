"""What a step sees, what an evaluation measures, how the micro-batch is found, and what a checkpoint brings back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auscult.data import TokenSplit, evaluation_indices, open_split, step_indices
from auscult.errors import UsageError
from auscult.journal import Meter, SilentJournal
from auscult.preflight import learning_rate_at
from auscult.recipe import (
    BatchSettings,
    CheckpointSettings,
    DataSettings,
    EvaluationSettings,
    MachineSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainingRecipe,
    model_settings,
)
from auscult.trainer.batches import Batches
from auscult.trainer.checkpoint import load_state, state_tensors
from auscult.trainer.evaluation import evaluations
from auscult.trainer.fit import confirmed_micro_batch
from auscult.trainer.loop import Trainer
from auscult.trainer.ranks import Ranks
from trainer_runs import write_tokens

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # as the trainer has it: one is meant
CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)
T = 16
SHAPE = model_settings(n_layer=1, n_head=2, d_model=16, vocab_size=256, context=T)
RECIPE = TrainingRecipe(
    model=SHAPE,
    batch=BatchSettings(tokens_per_step=12 * T),
    optimizer=OptimizerSettings(learning_rate=1e-2),
    schedule=ScheduleSettings(steps=6, warmup_steps=2),
    evaluation=EvaluationSettings(every_steps=3, tokens=70 * T),
    checkpoint=CheckpointSettings(every_steps=2),
)


def changed(**tables: dict[str, Any]) -> TrainingRecipe:
    """Return the recipe with settings changed, table by table."""
    return dataclasses.replace(
        RECIPE, **{name: dataclasses.replace(getattr(RECIPE, name), **values) for name, values in tables.items()}
    )


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenSplit]:
    """Train and val of made-up bytes."""
    folder = write_tokens(tmp_path_factory.mktemp("tokens"), 6000)
    return {"train": open_split(folder, "train"), "val": open_split(folder, "val")}


class Notes(SilentJournal):
    """A journal that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def step(self, values: Any) -> None:
        """Keep."""
        self.steps.append(dict(values))

    def evaluation(self, values: Any) -> None:
        """Keep."""
        self.evaluations.append(dict(values))

    def note(self, sentence: str) -> None:
        """Keep."""
        self.notes.append(sentence)


def trainer(recipe: TrainingRecipe, folder: Path, splits: dict[str, TokenSplit], journal: SilentJournal) -> Trainer:
    return Trainer(recipe, folder, splits, ALONE, journal, dtype=torch.float32, compiled=False, cross_entropy="full")


def run(one: Trainer) -> Trainer:
    recipe = one.recipe
    meter = Meter(
        one.journal, steps=recipe.schedule.steps, log_every_steps=1, tokens_per_step=recipe.batch.tokens_per_step
    )
    one.train({}, meter)
    return one


# ---- what a step sees


def test_a_step_has_exactly_its_tokens(
    splits: dict[str, TokenSplit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all micro-batches of a step, the model sees the sequences of ``step_indices``, each once, in order, and no other."""
    journal = Notes()
    one = trainer(RECIPE, tmp_path, splits, journal)
    seen: list[Tensor] = []
    inner = one.loss

    def watched(module: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            seen.append(torch.cat((inputs, targets[:, -1:]), dim=1))
        return inner(module, inputs, targets)

    monkeypatch.setattr(one, "loss", watched)
    one.micro_batch = 4
    run(one)
    assert [len(part) for part in seen] == [4] * 3 * 6
    count = splits["train"].sequence_count(T)
    for step in range(6):
        indices = step_indices(seed=RECIPE.seed, step=step, sequences_per_step=12, sequence_count=count)
        expected = splits["train"].sequences(indices, T)
        assert np.array_equal(torch.cat(seen[3 * step : 3 * step + 3]).numpy(), expected)
    assert [one["tokens"] for one in journal.steps] == [step * 12 * T for step in range(6)]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_share_a_step(splits: dict[str, TokenSplit], world_size: int) -> None:
    """What all ranks see of a step, one after the other, is what one rank alone would, asked in any order of steps."""
    alone = Batches(splits["train"], RECIPE, ALONE)
    ranks = [Batches(splits["train"], RECIPE, Ranks(rank, world_size, CPU)) for rank in range(world_size)]
    for step in (0, 1, 2, 30, 31, 7):
        assert torch.equal(torch.cat([one.at(step) for one in ranks]), alone.at(step))


def test_passes_of_another_size_are_the_same_step(splits: dict[str, TokenSplit], tmp_path: Path) -> None:
    """However a step is cut into passes, its loss, its gradient norm and its weights agree to rounding."""
    found = []
    for micro_batch in (12, 4, 1):
        journal = Notes()
        one = trainer(RECIPE, tmp_path / str(micro_batch), splits, journal)
        one.micro_batch = micro_batch
        run(one)
        found.append((journal, one.model.state_dict()))
    for journal, state in found[1:]:
        for a, b in zip(journal.steps, found[0][0].steps, strict=True):
            assert a["loss_nats_per_token"] == pytest.approx(b["loss_nats_per_token"], abs=1e-5)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
        for name, value in state.items():
            torch.testing.assert_close(value, found[0][1][name], rtol=1e-3, atol=1e-4)


def test_a_step_by_hand(splits: dict[str, TokenSplit], tmp_path: Path) -> None:
    """Mean loss per token, gradients clipped to their norm, the scheduled rate, AdamW: written out, it is the same step."""
    recipe = changed(optimizer={"grad_clip": 0.05})
    journal = Notes()
    one, two = (trainer(recipe, tmp_path / name, splits, journal) for name in ("a", "b"))
    one.micro_batch = 3
    run(one)
    optimizer = two.optimizers[0]
    for step in range(6):
        x = two.batches.at(step)
        logits = two.model(x[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in two.model.parameters() if p.grad is not None]).norm()
        for p in two.model.parameters():
            assert p.grad is not None
            p.grad.mul_(min(1.0, 0.05 / (norm.item() + 1e-6)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(recipe, step)
        optimizer.step()
        optimizer.zero_grad()
        assert journal.steps[step]["loss_nats_per_token"] == pytest.approx(loss.item(), abs=1e-5)
        assert journal.steps[step]["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
        assert journal.steps[step]["learning_rate"] == learning_rate_at(recipe, step)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_dropout_is_drawn_anew_for_each_step_rank_and_seed(splits: dict[str, TokenSplit], tmp_path: Path) -> None:
    """What is dropped is a function of (seed, step, rank): never the same twice, and the same again in another process."""
    drawn: dict[tuple[int, int, int], bytes] = {}
    for again in range(2):
        for seed, rank in ((1, 0), (1, 1), (2, 0)):
            recipe = dataclasses.replace(
                changed(schedule={"steps": 20}), seed=seed, model=dataclasses.replace(SHAPE, dropout=0.5)
            )
            one = trainer(recipe, tmp_path / f"{again}-{seed}-{rank}", splits, SilentJournal())
            one.micro_batch, one.ranks = 12, Ranks(rank, 1, CPU)
            seen: list[bytes] = []
            hook = one.model.h[0].register_forward_pre_hook(
                lambda _module, inputs, seen=seen: seen.append((inputs[0][0] == 0).numpy().tobytes())
            )
            for step in range(3):
                one.step = step
                one._train_step()
                assert drawn.setdefault((seed, step, rank), seen[-1]) == seen[-1]
            hook.remove()
    assert len(set(drawn.values())) == len(drawn) == 9


# ---- evaluation


def evaluated(
    splits: dict[str, TokenSplit], recipe: TrainingRecipe, micro_batch: int, ranks: Ranks = ALONE
) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    one = trainer(recipe, Path("/nonexistent") if ranks.rank else Path(recipe.data.path), splits, SilentJournal())
    return list(evaluations(one.module, one.loss, splits, recipe, ranks, micro_batch))


@pytest.fixture
def recipe(tmp_path: Path) -> TrainingRecipe:
    """The recipe; its data path is only a folder to make a trainer in."""
    return dataclasses.replace(RECIPE, data=DataSettings(path=str(tmp_path)))


@pytest.mark.parametrize("micro_batch", [1, 7, 12, 70, 500])
def test_an_evaluation_is_the_mean_over_its_sequences(
    splits: dict[str, TokenSplit], recipe: TrainingRecipe, micro_batch: int
) -> None:
    """Of both splits, the mean loss of the fixed sequences, whatever passes at once: what a pass is filled up with counts nothing."""
    found = evaluated(splits, recipe, micro_batch)
    assert [(one["split"], one["mode"]) for one in found] == [("train", "eval"), ("val", "eval")]
    one = trainer(recipe, Path(recipe.data.path), splits, SilentJournal())
    for values in found:
        split = splits[values["split"]]
        indices = evaluation_indices(split.sequence_count(T), 70)
        x = torch.from_numpy(split.sequences(indices, T))
        with torch.no_grad():
            expected = nn.functional.cross_entropy(one.model.eval()(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        assert values["loss_nats_per_token"] == pytest.approx(expected.item(), abs=1e-5)
        assert values["tokens"] == len(indices) * T


@pytest.mark.parametrize("world_size", [2, 3])
def test_an_evaluation_does_not_depend_on_ranks(
    splits: dict[str, TokenSplit], recipe: TrainingRecipe, world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of all ranks add up to the evaluation of one, and all take as many passes, which a collective needs."""
    alone = evaluated(splits, recipe, 8)
    parts: list[list[Tensor]] = []
    passes = []
    for rank in range(world_size):
        mine: list[Tensor] = []

        def keep(_self: Ranks, values: Tensor, mine: list[Tensor] = mine) -> Tensor:
            mine.append(values.clone())
            return values

        monkeypatch.setattr(Ranks, "sum", keep)
        one = trainer(recipe, Path(recipe.data.path), splits, SilentJournal())
        count = [0]

        def loss(module: nn.Module, x: Tensor, y: Tensor, count: list[int] = count, one: Trainer = one) -> Tensor:
            count[0] += 1
            return one.loss(module, x, y)

        list(evaluations(one.module, loss, splits, recipe, Ranks(rank, world_size, CPU), 8))
        parts.append(mine)
        passes.append(count[0])
    assert len(set(passes)) == 1
    for values, totals in zip(alone, zip(*parts, strict=True), strict=True):
        loss, count = torch.stack(totals).sum(0).tolist()
        assert count == values["tokens"]
        assert loss / count == pytest.approx(values["loss_nats_per_token"], abs=1e-6)


def test_with_dropout_both_modes_are_measured(splits: dict[str, TokenSplit], recipe: TrainingRecipe) -> None:
    """Each split in eval mode and in train mode, which is worse; afterwards the model is in train mode."""
    with_dropout = dataclasses.replace(recipe, model=dataclasses.replace(SHAPE, dropout=0.3))
    one = trainer(with_dropout, Path(recipe.data.path), splits, SilentJournal())
    with torch.no_grad():
        for parameter in one.model.parameters():
            parameter.mul_(5)  # a model that says something, for dropout to spoil
    found = list(evaluations(one.module, one.loss, splits, with_dropout, ALONE, 8))
    assert [(v["split"], v["mode"]) for v in found] == [
        (split, mode) for mode in ("eval", "train") for split in ("train", "val")
    ]
    assert found[0]["loss_nats_per_token"] != found[2]["loss_nats_per_token"]
    assert one.module.training
    assert found[0]["tokens"] == found[2]["tokens"]


def test_evaluations_come_when_they_should(splits: dict[str, TokenSplit], tmp_path: Path) -> None:
    """Before steps 0 and 3, and after the last, of both splits; never where they are off; and they change no step."""
    journals = [Notes(), Notes()]
    for journal, every in zip(journals, (3, 0), strict=True):
        one = trainer(changed(evaluation={"every_steps": every}), tmp_path / str(every), splits, journal)
        one.micro_batch = 4
        run(one)
    assert [(v["step"], v["split"]) for v in journals[0].evaluations] == [
        (step, split) for step in (0, 3, 6) for split in ("train", "val")
    ]
    assert journals[1].evaluations == []
    losses = [[v["loss_nats_per_token"] for v in journal.steps] for journal in journals]
    assert losses[0] == losses[1]


# ---- the micro-batch


@pytest.fixture
def sequences(splits: dict[str, TokenSplit]) -> Tensor:
    """Those of a step."""
    return Batches(splits["train"], RECIPE, ALONE).at(0)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_steps_down(sequences: Tensor, error: RuntimeError) -> None:
    """Above three sequences a pass memory runs out: three is taken, what did not fit is told, and no gradient is left."""
    module = nn.Embedding(256, 4)
    notes: list[str] = []

    def loss(module: nn.Module, x: Tensor, _y: Tensor) -> Tensor:
        if len(x) > 3:
            module(x).sum().backward()  # it ran out in the middle of the backward pass
            raise error
        out: Tensor = module(x).sum()
        return out

    assert confirmed_micro_batch(module, loss, (12, 6, 4, 3, 2, 1), sequences, ALONE, notes.append) == 3
    assert [note.split(" ran")[0] for note in notes] == [f"a micro-batch of {n}" for n in (12, 6, 4)]
    assert module.weight.grad is None


def test_where_nothing_fits_it_says_what_to_do(sequences: Tensor) -> None:
    """Not even one sequence: an error with ways out."""

    def loss(_module: nn.Module, _x: Tensor, _y: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UsageError, match=r"Not even a micro-batch of 1 fits\. Next: checkpointing = 'full'"):
        confirmed_micro_batch(nn.Linear(1, 1), loss, (2, 1), sequences, ALONE, lambda _: None)


def test_other_errors_are_not_taken_for_memory(sequences: Tensor) -> None:
    """A shape that does not match is raised as it is, at the first micro-batch."""
    tried = []

    def loss(_module: nn.Module, x: Tensor, _y: Tensor) -> Tensor:
        tried.append(len(x))
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        confirmed_micro_batch(nn.Linear(1, 1), loss, (2, 1), sequences, ALONE, lambda _: None)
    assert tried == [2]


def test_stepping_down_keeps_the_tokens_per_step(
    splits: dict[str, TokenSplit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that had to take smaller passes trains on the same tokens, to the same losses."""
    journals = [Notes(), Notes()]
    for journal, largest in zip(journals, (12, 3), strict=True):
        one = trainer(RECIPE, tmp_path / str(largest), splits, journal)
        inner = one.loss

        def short(module: nn.Module, x: Tensor, y: Tensor, inner: Any = inner, largest: int = largest) -> Tensor:
            if len(x) > largest:
                raise torch.OutOfMemoryError("CUDA out of memory")
            found: Tensor = inner(module, x, y)
            return found

        monkeypatch.setattr(one, "loss", short)
        assert one.confirm((12, 6, 4, 3, 2, 1)) == largest
        run(one)
    for a, b in zip(journals[0].steps, journals[1].steps, strict=True):
        assert a["tokens"] == b["tokens"]
        assert a["loss_nats_per_token"] == pytest.approx(b["loss_nats_per_token"], abs=1e-5)
    assert len(journals[1].notes) == 3


# ---- checkpoints


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("family", ["gpt2", "modern"])
def test_a_checkpoint_brings_everything_back(
    splits: dict[str, TokenSplit], tmp_path: Path, optimizer: str, family: str
) -> None:
    """Every tensor that decides what comes next is read back bit for bit, and the next steps are those of the run itself."""
    model = model_settings(family=family, n_layer=1, n_head=2, d_model=16, vocab_size=256, context=T, dropout=0.1)
    recipe = dataclasses.replace(changed(optimizer={"name": optimizer}), model=model)
    journals = [Notes(), Notes()]
    one = trainer(recipe, tmp_path / "run", splits, journals[0])
    one.micro_batch = 6
    run(one)
    two = trainer(recipe, tmp_path / "run", splits, journals[1])
    saved = tmp_path / "run" / "checkpoints" / "step-00000004"
    two.resume(saved, 4)
    before = {name: value.clone() for name, value in state_tensors(two.model, two.optimizers).items()}
    fresh = trainer(recipe, tmp_path / "other", splits, SilentJournal())
    load_state(saved, state_tensors(fresh.model, fresh.optimizers))
    assert all(torch.equal(v, before[n]) for n, v in state_tensors(fresh.model, fresh.optimizers).items())
    two.micro_batch = 6
    run(two)
    assert [v["loss_nats_per_token"] for v in journals[1].steps] == [
        v["loss_nats_per_token"] for v in journals[0].steps[4:]
    ]
    final = state_tensors(one.model, one.optimizers)
    assert all(torch.equal(v, final[n]) for n, v in state_tensors(two.model, two.optimizers).items())
    assert any(v.abs().sum() > 0 for n, v in before.items() if n.endswith(("exp_avg", "momentum_buffer")))


def test_a_document_mask_reaches_the_model(splits: dict[str, TokenSplit], tmp_path: Path) -> None:
    """With ``document_mask`` and a separator, the loss of a step is that of the masked model."""
    parted = {name: dataclasses.replace(split, separator=7) for name, split in splits.items()}
    rope = dataclasses.replace(RECIPE, model=model_settings(
        family="modern", n_layer=1, n_head=2, d_model=16, vocab_size=256, context=T))  # fmt: skip
    plain = trainer(rope, tmp_path / "a", parted, SilentJournal())
    masked = trainer(
        dataclasses.replace(rope, data=DataSettings(document_mask=True)), tmp_path / "b", parted, SilentJournal()
    )
    for one in (plain, masked):
        with torch.no_grad():
            for parameter in one.model.parameters():
                parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    x = plain.batches.at(0)
    x[:, 5] = 7
    first = [one.loss(one.module, x[:, :5], x[:, 1:6]).item() for one in (plain, masked)]
    assert first[0] == pytest.approx(first[1])
    whole = [one.loss(one.module, x[:, :-1], x[:, 1:]).item() for one in (plain, masked)]
    assert whole[0] != pytest.approx(whole[1])


def test_memory_stays_where_it_is(splits: dict[str, TokenSplit], tmp_path: Path) -> None:
    """A trainer holds weights and states in fp32, whatever its passes compute in."""
    one = Trainer(
        dataclasses.replace(RECIPE, machine=MachineSettings(dtype="bfloat16")),
        tmp_path, splits, ALONE, SilentJournal(), dtype=torch.bfloat16, compiled=False, cross_entropy="full",
    )  # fmt: skip
    one.micro_batch = 12
    run(one)
    assert {value.dtype for value in state_tensors(one.model, one.optimizers).values()} == {torch.float32}


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """Undo the ``gc.freeze`` of a run."""
    import gc

    yield
    gc.unfreeze()
