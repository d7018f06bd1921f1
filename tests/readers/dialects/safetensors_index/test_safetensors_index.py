"""Indexes of sharded weights."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.errors import InputError, NotText
from auscult.readers.dialects.safetensors_index import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
WEIGHTS = {
    "model.embed_tokens.weight": SHARDS[0],
    "model.layers.0.mlp.up_proj.weight": SHARDS[0],
    "model.layers.5.mlp.up_proj.weight": SHARDS[1],
}


def file_of(document: Any, name: str = "model.safetensors.index.json") -> InputFile:
    data = (document if isinstance(document, str) else json.dumps(document)).encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(document: Any) -> Reading:
    (reading,) = DIALECT.read(file_of(document))
    return reading


def test_names_tell_layers_and_the_tied_head() -> None:
    """Layers by the largest index, a head that is tied where there is none, the bytes of all weights."""
    reading = read({"metadata": {"total_size": 4096}, "weight_map": WEIGHTS})
    assert {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)} == {
        "architecture.n_layer": 6,
        "architecture.tied": True,
    }
    assert reading.noted["checkpoint.total_size"].value == 4096
    assert reading.noted["checkpoint.shards"].value == 2


def test_count_where_it_is_written() -> None:
    """Newer versions write the number of parameters."""
    reading = read(
        {
            "metadata": {"total_size": 4096, "total_parameters": 2048},
            "weight_map": {**WEIGHTS, "lm_head.weight": SHARDS[1]},
        }
    )
    assert isinstance(count := reading.settings["logged.parameters"], Known)
    assert count.value == (2048, 2048)
    assert isinstance(tied := reading.settings["architecture.tied"], Known)
    assert tied.value is False


def test_other_documents_are_refused() -> None:
    """JSON without a weight map is an error."""
    with pytest.raises(NotText):
        read({"weight_map": 3})


def test_sniff() -> None:
    """The weight map is unmistakable."""
    assert DIALECT.sniff(file_of({"weight_map": WEIGHTS})) == 1.0
    assert DIALECT.sniff(file_of({"a": 1})) == 0


@given(
    st.dictionaries(
        st.sampled_from(["metadata", "weight_map"]),
        st.none() | st.integers() | st.dictionaries(st.text(), st.integers() | st.text()),
    )
)
def test_any_values_are_read_or_refused(document: dict[str, Any]) -> None:
    """Whatever the values, there are readings or an error of ours."""
    with contextlib.suppress(InputError):
        read(document)
