"""nanochat's checkpoint metadata."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.nanochat_meta import DIALECT
from auscult.readers.files import InputFile
from auscult.run import Known

META: dict[str, Any] = {
    "step": 900,
    "val_bpb": 0.91,
    "model_config": {
        "sequence_len": 512,
        "vocab_size": 4096,
        "n_layer": 6,
        "n_head": 3,
        "n_kv_head": 3,
        "n_embd": 384,
    },
    "user_config": {"run": "d6", "depth": 6, "num_iterations": -1, "total_batch_size": -1, "matrix_lr": 0.02},
    "device_batch_size": 16,
    "max_seq_len": 512,
    "total_batch_size": 131072,
    "loop_state": {"min_val_bpb": 0.905, "smooth_train_loss": 2.9, "total_training_time": 61.5},
}


def file_of(text: str, name: str = "meta_000900.json") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def test_settings_and_figures() -> None:
    """Shape, batch, tokens and the point of the checkpoint are read; -1 says nothing."""
    (reading,) = DIALECT.read(file_of(json.dumps(META)))
    values = {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)}
    assert values["architecture.n_layer"] == 6
    assert values["recipe.batch_size"] == 16
    assert values["logged.tokens_per_step"] == 131_072
    assert values["recipe.gradient_accumulation_steps"] == 16
    assert values["recipe.run_name"] == "d6"
    assert "recipe.max_steps" not in values
    assert reading.noted["nanochat.val_bpb"].value == 0.91
    assert reading.noted["nanochat.min_val_bpb"].value == 0.905
    bpb = reading.get("val_bpb")
    assert bpb is not None
    assert (list(bpb.steps), list(bpb.values), bpb.mode, bpb.unit) == ([900], [0.91], "eval", "bits_per_byte")
    assert reading.noted["nanochat.argument.matrix_lr"].value == 0.02


def test_it_claims_its_own_and_leaves_others() -> None:
    """Another trainer's JSON is not its."""
    assert DIALECT.sniff(file_of(json.dumps(META))) == 1.0
    assert DIALECT.sniff(file_of('{"log_history": []}', "trainer_state.json")) == 0.0


def test_other_json_is_refused() -> None:
    """A JSON without a model config is an error that says what was expected."""
    with pytest.raises(InputError, match="model_config"):
        tuple(DIALECT.read(file_of("[1, 2]")))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(list(META)), children, max_size=4)
    ),
    max_leaves=12,
)


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(key=st.sampled_from([*META, *META["model_config"], *META["user_config"]]), value=ANY)
def test_any_value_does_no_harm(key: str, value: object) -> None:
    """Whatever stands under a key, it is read, left out or refused."""
    changed = json.loads(json.dumps(META))
    for group in (changed, changed["model_config"], changed["user_config"]):
        if key in group:
            group[key] = value
    with contextlib.suppress(InputError):
        tuple(DIALECT.read(file_of(json.dumps(changed))))
