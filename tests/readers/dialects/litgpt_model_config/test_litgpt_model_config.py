"""litgpt's model_config.yaml."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read_all
from auscult.readers.dialects.litgpt_model_config import DIALECT
from auscult.run import Known, Unknown
from table_files import at, one, said, survives

TEXT = """block_size: 2048
bias: false
hf_config:
  name: Small
  org: me
intermediate_size: 1408
mlp_class_name: LLaMAMLP
n_embd: 512
n_head: 8
n_layer: 12
n_query_groups: 2
name: Small
padded_vocab_size: 32064
vocab_size: 32000
"""


def test_shape(tmp_path: Path) -> None:
    """The shape is read with its lines; the vocabulary is the padded one, which the embedding has."""
    reading = one(DIALECT, at(tmp_path, "final/model_config.yaml", TEXT))
    known = said(reading)
    details = known.pop("architecture.details")
    assert details["model_type"] == "litgpt"
    assert {"n_embd", "mlp_class_name", "padded_vocab_size"} <= details.keys()
    assert "hf_config" not in details
    assert known == {
        "architecture.n_layer": 12,
        "architecture.n_head": 8,
        "architecture.n_kv_head": 2,
        "architecture.d_model": 512,
        "architecture.d_ff": 1408,
        "architecture.vocab_size": 32064,
        "architecture.bias": False,
        "architecture.context": 2048,
        "architecture.family": "llama",
    }


def test_context_of_a_fine_tuned_model_is_not_the_block_size(tmp_path: Path) -> None:
    """In fine-tuning the samples have lengths of their own; the block size is only what the model allows."""
    at(
        tmp_path,
        "final/hyperparameters.yaml",
        "checkpoint_dir: org/small\ntrain:\n  global_batch_size: 8\n  micro_batch_size: 2\n",
    )
    at(tmp_path, "final/model_config.yaml", TEXT)
    (run,) = read_all(tmp_path).runs
    assert isinstance(run.recipe.architecture.context, Unknown)
    assert isinstance(run.recipe.architecture.n_layer, Known)
    assert run.noted["litgpt.block_size"].value == 2048


def test_sniff(tmp_path: Path) -> None:
    """The name and litgpt's own keys are needed."""
    assert DIALECT.sniff(at(tmp_path, "model_config.yaml", TEXT)) == 0.97
    assert DIALECT.sniff(at(tmp_path, "model_config.yaml", "dim: 3\n")) == 0
    assert DIALECT.sniff(at(tmp_path, "x.yaml", TEXT)) == 0


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_mangled_configs(data: st.DataObject) -> None:
    """A config with pieces cut out or replaced never raises anything but an input error."""
    text = TEXT
    for _ in range(data.draw(st.integers(1, 4))):
        where, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 40))
        text = (
            text[:where]
            + data.draw(st.sampled_from(["", ": ", "- ", "\n", "-1", "[", "{a: b}", "é"]))
            + text[where + length :]
        )
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "model_config.yaml", text))
