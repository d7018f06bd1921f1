"""Lightning's hparams.yaml."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.dialects.lightning_hparams import DIALECT
from auscult.run import Known, Unknown
from table_files import at, corpus_case, one, said, survives


def test_names_that_are_common(tmp_path: Path) -> None:
    """Hyperparameters are read under their usual names, with their lines, nested or not."""
    text = (
        "model:\n  n_layers: 4\n  emb_dim: 64\nlr: 1e-4\nmax_seq_len: 128\nnum_epochs: 3\ndata_path: /home/somebody/x\n"
    )
    reading = one(DIALECT, at(tmp_path, "hparams.yaml", text))
    assert said(reading) == {
        "architecture.n_layer": 4,
        "architecture.d_model": 64,
        "recipe.learning_rate": 1e-4,
        "architecture.context": 128,
    }
    layers = reading.settings["architecture.n_layer"]
    assert isinstance(layers, Known)
    assert layers.source.place == "hparams.yaml:2"
    assert reading.noted["lightning.num_epochs"].value == 3
    assert "somebody" not in repr(reading)


def test_python_tags_make_nothing(tmp_path: Path) -> None:
    """Tags of Python objects are ignored, and the values beside them are read."""
    text = "loss: !!python/object/apply:os.system ['echo x']\nargs: !!python/object:argparse.Namespace\n  lr: 0.5\nn_layer: 2\n"
    assert said(one(DIALECT, at(tmp_path, "hparams.yaml", text)))["architecture.n_layer"] == 2


def test_empty(tmp_path: Path) -> None:
    """`{}`, which Lightning writes where nothing was saved, gives no reading."""
    assert list(DIALECT.read(at(tmp_path, "hparams.yaml", "{}\n"))) == []


def test_leaves_that_disagree(tmp_path: Path) -> None:
    """A name that stands at two places with two values is not guessed; the one at the top level is the run's."""
    text = "encoder:\n  n_layer: 2\ndecoder:\n  n_layer: 4\nsched:\n  lr: 0.5\nlr: 0.25\n"
    assert said(one(DIALECT, at(tmp_path, "hparams.yaml", text))) == {"recipe.learning_rate": 0.25}


def test_accumulation_needs_the_number_of_processes(tmp_path: Path) -> None:
    """Accumulation counts for each process: known with their number, unknown with a reason without it."""
    alone = one(DIALECT, at(tmp_path, "a/hparams.yaml", "accumulate_grad_batches: 4\n"))
    assert isinstance(alone.settings["recipe.gradient_accumulation_steps"], Unknown)
    both = one(DIALECT, at(tmp_path, "b/hparams.yaml", "accumulate_grad_batches: 4\ndevices: 2\n"))
    assert said(both)["recipe.gradient_accumulation_steps"] == 8


def test_impossible_values_are_problems(tmp_path: Path) -> None:
    """A value that nothing can have is reported and not used."""
    reading = one(DIALECT, at(tmp_path, "hparams.yaml", "n_layer: -3\nlr: 0.1\n"))
    assert isinstance(reading.settings["architecture.n_layer"], Unknown)
    assert [p.kind for p in reading.problems] == ["impossible_value"]


def test_sniff(tmp_path: Path) -> None:
    """The file's name is Lightning's own."""
    assert DIALECT.sniff(at(tmp_path, "hparams.yaml", "lr: 1\n")) == 0.9
    assert DIALECT.sniff(at(tmp_path, "config.yaml", "lr: 1\n")) == 0


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=200), st.dictionaries(st.text(max_size=6), st.text(max_size=6)).map(str)))
def test_any_text_gives_a_reading_or_an_input_error(text: str) -> None:
    """Whatever the file holds, nothing else is raised."""
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "hparams.yaml", text.encode("utf-8", "ignore")))


def test_corpus() -> None:
    """The learning rate and the shape of the corpus's run are read."""
    _facts, (run,) = corpus_case("lightning-slm-low-lr")
    assert isinstance(run.recipe.learning_rate, Known)
    assert run.recipe.learning_rate.value == 1e-5
    assert isinstance(run.recipe.architecture.d_ff, Known)
