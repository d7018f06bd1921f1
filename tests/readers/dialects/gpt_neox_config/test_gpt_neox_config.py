"""GPT-NeoX's configs: JSON-like YAML with - and _, several files for one run, the inner width of gated MLPs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read, read_all
from auscult.readers.dialects.gpt_neox_config import DIALECT
from auscult.run import Known
from config_files import case_files, file_of, line_of, mangled, plain, read_one, survives, why

TEXT = """\
# a small model
{
  "pipe-parallel-size": 1,
  "model-parallel-size": 2,
  "num-layers": 3,
  "hidden-size": 96,
  "num-attention-heads": 4,
  "seq-length": 512,
  "max-position-embeddings": 512,
  "pos-emb": "rotary",
  "no-weight-tying": true,
  "optimizer": {
    "type": "Adam",
    "params": {"lr": 0.002, "betas": [0.9, 0.95], "eps": 1.0e-8},
  },
  "min_lr": 0.0002,
  "zero_optimization": {"stage": 1, "overlap_comm": True},
  "train_micro_batch_size_per_gpu": 4,
  "gas": 2,
  "gradient_clipping": 1.0,
  "weight-decay": 0.1,
  "hidden-dropout": 0,
  "fp16": {"enabled": true, "loss_scale": 0},
  "train-iters": 1000,
  "lr-decay-iters": 900,
  "lr-decay-style": "cosine",
  "warmup": 0.05,
  "eval-interval": 100,
}
"""
SETUP = """\
{
  "data_path": "data/my_text_document",
  "vocab_file": "data/vocab.json",
  "save": "checkpoints",
  "load": "checkpoints",
  "tokenizer_type": "HFTokenizer",
}
"""


def test_settings() -> None:
    """Keys with - are those with _; warm-up is a share of the decay; what is not set is GPT-NeoX's default."""
    reading = read_one(DIALECT, TEXT, "model.yml")
    found = plain(reading)
    assert (found["n_layer"], found["d_ff"], found["family"], found["tied"]) == (3, 384, "gpt_neox", False)
    assert (found["learning_rate"], found["min_lr"], found["beta2"], found["dtype"]) == (0.002, 0.0002, 0.95, "float16")
    assert (found["max_steps"], found["decay_steps"], found["warmup_steps"]) == (1000, 900, 45)
    assert (found["log_interval"], found["eval_iters"]) == (100, 100)
    assert line_of(reading, "architecture.d_model") == 6
    assert "2 for each rank" in why(reading, "recipe.gradient_accumulation_steps")


def test_global_batch() -> None:
    """With train_batch_size the accumulation over all ranks and the tokens of a step are known."""
    found = plain(read_one(DIALECT, TEXT.replace('"gas": 2', '"train_batch_size": 64'), "model.yml"))
    assert (found["gradient_accumulation_steps"], found["tokens_per_step"]) == (16, 64 * 512)


def test_known_gpus() -> None:
    """With the number of GPUs the data-parallel ranks are what parallelism leaves of them."""
    found = plain(read_one(DIALECT, TEXT.replace('"gas": 2', '"gas": 2, "global_num_gpus": 8'), "model.yml"))
    assert (found["world_size"], found["gradient_accumulation_steps"]) == (8, 8)


@pytest.mark.parametrize(
    ("more", "width"),
    [
        ('"activation": "swiglu", "intermediate_size": 600, "mlp_multiple_of": 64', 256),
        ('"mlp_type": "llama", "activation": "swiglu"', 256),
        ('"activation": "swiglu", "intermediate_size": 600', None),
        ('"intermediate_size": 100', 100),
    ],
)
def test_inner_width(more: str, width: int | None) -> None:
    """A gated MLP's inner width follows from the version that the keys belong to; where they fit several, none is taken."""
    reading = read_one(DIALECT, TEXT.replace('"gas": 2', more), "model.yml")
    assert plain(reading).get("d_ff") == width


def test_files_are_put_together(tmp_path: Path) -> None:
    """A file without a shape completes the run of the file beside it."""
    (tmp_path / "model.yml").write_text(TEXT)
    (tmp_path / "local_setup.yml").write_text(SETUP)
    (run,) = read_all(tmp_path).runs
    assert isinstance(run.recipe.dataset, Known)
    assert (run.recipe.dataset.value, run.recipe.dataset.source.place) == ("my_text_document", "local_setup.yml:2")
    assert isinstance(run.recipe.max_steps, Known)


def test_several_configs_are_several_runs(tmp_path: Path) -> None:
    """Two files with a shape are two runs."""
    (tmp_path / "a.yml").write_text(TEXT)
    (tmp_path / "b.yml").write_text(TEXT.replace('"num-layers": 3', '"num-layers": 5'))
    assert len(read_all(tmp_path).runs) == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"name": "x", "version": "1.0.0", "scripts": {}, "dependencies": {}}', "package.json"),
        ('{"compilerOptions": {"strict": true}}', "tsconfig.json"),
        ("services:\n  web:\n    image: x\n", "docker-compose.yml"),
        ("on: push\njobs:\n  a:\n    steps: []\n", "workflow.yml"),
        ('{"zero_optimization": {"stage": 1}, "train_batch_size": 8, "fp16": {"enabled": true}}', "ds_config.json"),
        ('{"model_type": "gpt_neox", "hidden_size": 8, "num_attention_heads": 2}', "config.json"),
    ],
)
def test_leaves_others_alone(text: str, name: str) -> None:
    """Package files, workflows, DeepSpeed's and transformers' configs are not claimed."""
    assert DIALECT.sniff(file_of(text, name)) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(TEXT), mangled(SETUP), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "model.yml")


def test_corpus() -> None:
    """Pythia-160M and GPT-NeoX-20B have their published shapes, and the number of GPUs stays unknown."""
    pythia, large = (
        *case_files("config-pythia-neox", "models/160M/pythia-160m.yml"),
        *case_files("config-gptneox", "configs/20B.yml"),
    )
    run = read(pythia)
    assert "12×768" in repr(run)
    assert repr(run.recipe.warmup_steps) == "Known(1430, warmup · decay steps)"
    assert "44×6144" in repr(read(large))
