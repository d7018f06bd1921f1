"""Training arguments of the Hugging Face trainer: what they mean alone, and together with the state."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects import hf_trainer
from auscult.readers.dialects.hf_training_args import DIALECT, reading_of_text
from auscult.readers.files import InputFile
from auscult.readers.hf_keys import ARGUMENTS, interpret, no_limit, public_name
from auscult.readers.reading import Reading
from auscult.run import Known, Quantity, Unknown

ARGS = {
    "output_dir": "/home/somebody/out",
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 8,
    "learning_rate": 2e-5,
    "weight_decay": 0.1,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "max_grad_norm": 1.0,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.03,
    "warmup_steps": 0,
    "logging_steps": 10,
    "eval_strategy": "no",
    "bf16": True,
    "fp16": False,
    "optim": "adamw_torch_fused",
    "seed": 42,
    "hub_token": "hf_secret",
    "run_name": "/home/somebody/out",
    "local_rank": 0,
}


def file_of(document: Any, name: str = "training_args.json", *, indent: int | None = 2) -> InputFile:
    data = (
        document
        if isinstance(document, bytes)
        else (document if isinstance(document, str) else json.dumps(document, indent=indent)).encode()
    )
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(document: Any, **options: Any) -> Reading:
    (reading,) = DIALECT.read(file_of(document, **options))
    return reading


def meaning(**changes: Any) -> dict[str, Quantity[Any]]:
    return interpret(read({**ARGS, **changes}).raw)


def plain(found: dict[str, Quantity[Any]], key: str) -> Any:
    quantity = found.get(f"recipe.{key}" if "." not in key else key)
    return quantity.value if isinstance(quantity, Known) else None


def with_state(**changes: Any) -> dict[str, Quantity[Any]]:
    """Return what the arguments mean beside a state of 1,000 steps of 128 sequences, four to a micro-batch."""
    state = {
        "epoch": 2.0,
        "global_step": 1000,
        "max_steps": 1000,
        "train_batch_size": 4,
        "log_history": [
            {"step": 1000, "epoch": 2.0, "train_runtime": 2000.0, "train_samples_per_second": 64.0, "train_loss": 2.0}
        ],
    }
    text = json.dumps(state)
    return interpret({**read({**ARGS, **changes}).raw, **hf_trainer.read_state(state, text, "trainer_state.json").raw})


def test_arguments_become_the_recipe() -> None:
    """What the arguments set is in the recipe, with the line of its key."""
    found = meaning()
    expected = {
        "batch_size": 4,
        "learning_rate": 2e-5,
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.95,
        "grad_clip": 1.0,
        "schedule": "cosine",
        "min_lr": 0.0,
        "dtype": "bfloat16",
        "optimizer": "adamw_torch_fused",
        "log_interval": 10,
    }
    assert {key: plain(found, key) for key in expected} == expected
    rate = found["recipe.learning_rate"]
    assert isinstance(rate, Known)
    assert rate.source.line == 5


def test_accumulation_is_unknown_without_the_processes() -> None:
    """The arguments give each process's accumulation; how many processes there were they do not say."""
    accumulation = meaning()["recipe.gradient_accumulation_steps"]
    assert isinstance(accumulation, Unknown)
    assert "8 for each process" in accumulation.reason


def test_processes_follow_from_the_state() -> None:
    """128 sequences a step over micro-batches of 4 and 8 accumulated are four processes, on a card each."""
    found = with_state()
    assert plain(found, "gradient_accumulation_steps") == 32
    assert plain(found, "world_size") == 4
    assert plain(found, "machine.gpu_count") == 4
    assert plain(found, "warmup_steps") == 30
    assert plain(found, "decay_steps") == 1000
    assert plain(found, "max_steps") == 1000


def test_one_process_with_several_cards() -> None:
    """``nn.DataParallel`` makes the state's micro-batch a multiple of the arguments': the cards are counted with it."""
    found = with_state(per_device_train_batch_size=2, gradient_accumulation_steps=32)
    assert plain(found, "batch_size") == 4
    assert plain(found, "world_size") == 1
    assert plain(found, "machine.gpu_count") == 2


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"warmup_steps": 50}, 50),
        ({"warmup_steps": 0, "warmup_ratio": 0.0}, 0),
        ({"warmup_steps": 50, "warmup_ratio": 0.5}, 50),
        ({"warmup_steps": 0.05, "warmup_ratio": None}, 50),
        ({"lr_scheduler_type": "constant", "warmup_steps": 50}, 0),
    ],
)
def test_warm_up(changes: dict[str, Any], steps: int) -> None:
    """Steps go before a share of the steps; version 5 writes the share into the steps; a constant schedule has none."""
    assert plain(with_state(**changes), "warmup_steps") == steps


def test_share_of_unknown_steps_is_unknown() -> None:
    """Without the planned steps a share of them is no number."""
    assert isinstance(meaning()["recipe.warmup_steps"], Unknown)
    assert plain(meaning(max_steps=2000), "warmup_steps") == 60


def test_floor_of_the_schedule() -> None:
    """A floor is read from the scheduler's own arguments."""
    assert (
        plain(meaning(lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr": 1e-6}), "min_lr") == 1e-6
    )
    rate = plain(meaning(lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": 0.1}), "min_lr")
    assert rate == pytest.approx(2e-6)
    assert plain(meaning(lr_scheduler_type="constant_with_warmup"), "min_lr") is None


@pytest.mark.parametrize("value", ["SchedulerType.LINEAR", "linear"])
def test_options_written_as_python_prints_them(value: str) -> None:
    """An option may stand as the name of its class and value."""
    assert plain(meaning(lr_scheduler_type=value), "schedule") == "linear"


def test_optimizer_and_precision() -> None:
    """The old switch for Adafactor wins; without a precision switch nothing is claimed."""
    found = meaning(adafactor=True, bf16=False)
    assert plain(found, "optimizer") == "adafactor"
    assert "recipe.dtype" not in found
    assert plain(meaning(bf16=False, fp16=True), "dtype") == "float16"


def test_evaluation_interval_only_where_it_counts_steps() -> None:
    """``eval_steps`` means nothing when evaluation is off or made at epochs."""
    assert plain(meaning(eval_steps=100), "eval_interval") is None
    assert plain(meaning(eval_strategy="steps", eval_steps=100), "eval_interval") == 100
    assert plain(meaning(eval_strategy="steps", eval_steps=None), "eval_interval") == 10
    assert plain(meaning(eval_strategy="IntervalStrategy.STEPS", eval_steps=7), "eval_interval") == 7


def test_search_for_a_batch_leaves_it_open() -> None:
    """With auto_find_batch_size the batch asked for may not be the one used; the state says which was."""
    assert isinstance(meaning(auto_find_batch_size=True)["recipe.batch_size"], Unknown)
    assert plain(with_state(auto_find_batch_size=True), "batch_size") == 4


def test_not_distributed() -> None:
    """Older versions write local_rank -1 for a single process: the accumulation is known."""
    found = meaning(local_rank=-1, _n_gpu=2)
    assert plain(found, "gradient_accumulation_steps") == 8
    assert plain(found, "batch_size") == 8
    assert plain(found, "machine.gpu_count") == 2


def test_packed_sequences_have_the_length_given() -> None:
    """A limit is the length only where sequences are packed to it."""
    assert plain(meaning(max_length=2048, packing=True), "architecture.context") == 2048
    assert isinstance(meaning(max_length=2048, packing=False)["architecture.context"], Unknown)
    assert plain(meaning(cutoff_len=1024, stage="pt"), "architecture.context") == 1024
    assert "architecture.context" not in meaning()


def test_deepspeed_auto_says_nothing() -> None:
    """``auto`` is filled in by somebody else."""
    assert plain(meaning(learning_rate="auto", gradient_accumulation_steps="auto"), "learning_rate") is None


def test_nothing_personal_is_surfaced() -> None:
    """Tokens, folders and names of people are in nothing that is read, even from a document of one line."""
    reading = read(ARGS, indent=None)
    for shown in (
        repr(dict(interpret(reading.raw))),
        repr(reading.noted),
        repr([q.source for q in interpret(reading.raw).values() if isinstance(q, Known)]),
    ):
        assert "secret" not in shown
        assert "somebody" not in shown
    assert "secret" not in repr(reading)
    assert "somebody" not in repr(reading)


def test_run_name_that_somebody_chose() -> None:
    """A name of its own is the run's; the folder's name, its default, is not."""
    assert plain(meaning(run_name="tiny-2"), "run_name") == "tiny-2"
    assert plain(meaning(output_dir="tiny-2", run_name="tiny-2"), "run_name") is None


def test_yaml_of_llamafactory() -> None:
    """The YAML that LLaMA-Factory is started with holds the same arguments, in numbers YAML takes for strings."""
    text = (
        "### model\nmodel_name_or_path: org/base\nstage: sft\nfinetuning_type: lora\nlora_rank: 8\ndataset: mine,other\ncutoff_len: 2048\n"
        "output_dir: saves/x\nlogging_steps: 10\nper_device_train_batch_size: 2\ngradient_accumulation_steps: 8\n"
        "learning_rate: 1.0e-4\nnum_train_epochs: 3.0\nlr_scheduler_type: cosine\nwarmup_ratio: 0.1\nbf16: true\n"
    )
    file = file_of(text, "train.yaml")
    assert DIALECT.sniff(file) >= 0.5
    reading = read(text, name="train.yaml")
    found = interpret(reading.raw)
    assert (plain(found, "batch_size"), plain(found, "learning_rate"), plain(found, "dtype")) == (2, 1e-4, "bfloat16")
    assert reading.noted["hf.finetuning_type"].value == "lora"
    rate = found["recipe.learning_rate"]
    assert isinstance(rate, Known)
    assert rate.source.line == 12


def test_pickle_is_named_and_not_opened() -> None:
    """``training_args.bin`` is said to be there, whatever is in it."""
    reading = read(b"\x80\x04cos\nsystem\n(S'false'\ntR.", name="out/training_args.bin")
    assert reading.role == "summary"
    assert [n.kind for n in reading.notices] == ["training_args_pickled"]


def test_arguments_inside_another_file() -> None:
    """Event files hold the arguments as a text: other texts there are none."""
    reading = reading_of_text(json.dumps(ARGS), "events.0")
    assert reading is not None
    assert plain(interpret(reading.raw), "batch_size") == 4
    assert reading_of_text("hello", "events.0") is None
    assert reading_of_text("[1]", "events.0") is None
    assert reading_of_text('{"a": 1}', "events.0") is None


@pytest.mark.parametrize(
    ("name", "document", "claimed"),
    [
        ("training_args.json", ARGS, True),
        ("args.json", ARGS, True),
        ("training_args.bin", b"PK\x03\x04", True),
        ("trainer_state.json", {"log_history": [], **ARGS}, False),
        ("ds_config.json", {"train_micro_batch_size_per_gpu": 4}, False),
        ("app.yaml", "training:\n  per_device_train_batch_size: 8\n  learning_rate: 1\n", False),
        ("app.yaml", "per_device_train_batch_size: 8\n", False),
        ("config.yaml", "".join(f"{name}:\n  desc: null\n  value: 1\n" for name in ARGS), False),
    ],
)
def test_sniff(name: str, document: Any, claimed: bool) -> None:
    """Arguments are claimed where they stand at the top; the settings of an application that has some of them are not."""
    assert (DIALECT.sniff(file_of(document, name)) >= 0.5) is claimed


def test_names() -> None:
    """What may be shown is a word or a name on the hub."""
    assert public_name("a/b") == "a/b"
    assert public_name("/a/b") is None
    assert public_name("../b") is None
    assert public_name(3) is None
    assert no_limit(2.0**63)


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.lists(st.integers(), max_size=2)
    | st.just({"min_lr": "x"})
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(ARGUMENTS)), values, max_size=12))
def test_any_values_can_be_interpreted(document: dict[str, Any]) -> None:
    """Whatever the arguments' values, each setting is known within its bounds or unknown with a reason."""
    with contextlib.suppress(InputError):
        found = interpret(read(document).raw)
        assert all(isinstance(q, Known | Unknown) for q in found.values())


@settings(deadline=None)
@given(st.binary(max_size=120), st.sampled_from(["training_args.json", "training_args.bin", "a.yaml"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    """Whatever the bytes, there are readings or an error of ours."""
    with contextlib.suppress(InputError):
        tuple(DIALECT.read(file_of(data, name)))
