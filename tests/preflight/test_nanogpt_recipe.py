"""nanoGPT's configs as recipes, against what nanoGPT's own train.py and model.py would make of them."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import BadConfig, InputError
from auscult.facts.schedule import scheduled_learning_rate
from auscult.preflight import load_recipe
from auscult.preflight.nanogpt import meta_vocabulary
from auscult.recipe import TrainingRecipe

SAME_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAKESPEARE = """# train a miniature character-level shakespeare model
out_dir = 'out-shakespeare-char'
eval_interval = 250 # keep frequent because we'll overfit
eval_iters = 200
log_interval = 10 # don't print too too often
always_save_checkpoint = False
wandb_log = False # override via command line if you like
wandb_project = 'shakespeare-char'
wandb_run_name = 'mini-gpt'
dataset = 'shakespeare_char'
gradient_accumulation_steps = 1
batch_size = 64
block_size = 256 # context of up to 256 previous characters
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.2
learning_rate = 1e-3 # with baby networks can afford to go a bit higher
max_iters = 5000
lr_decay_iters = 5000 # make equal to max_iters usually
min_lr = 1e-4 # learning_rate / 10 usually
beta2 = 0.99 # make a bit bigger because number of tokens per iter is small
warmup_iters = 100 # not super necessary potentially
"""
"""karpathy/nanoGPT config/train_shakespeare_char.py at 3adf61e, its values."""
GPT2 = """wandb_log = True
wandb_project = 'owt'
wandb_run_name='gpt2-124M'
batch_size = 12
block_size = 1024
gradient_accumulation_steps = 5 * 8
max_iters = 600000
lr_decay_iters = 600000
eval_interval = 1000
eval_iters = 200
log_interval = 10
weight_decay = 1e-1
"""
"""config/train_gpt2.py at 3adf61e, its values."""


def load(folder: Path, text: str, name: str = "config/train.py") -> TrainingRecipe:
    """Write a config as it lies in nanoGPT's folder, and read it."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def prepared(folder: Path, dataset: str, meta: dict[str, Any] | None = None, protocol: int | None = None) -> Path:
    """Make a data folder as nanoGPT's prepare.py leaves it."""
    home = folder / "data" / dataset
    home.mkdir(parents=True, exist_ok=True)
    (home / "train.bin").write_bytes(bytes(1000))
    if meta is not None:
        (home / "meta.pkl").write_bytes(pickle.dumps(meta, protocol=protocol))
    return home


def test_shakespeare_is_what_nanogpt_trains(tmp_path: Path) -> None:
    """Every value of the best known config, the vocabulary of its meta.pkl among them."""
    home = prepared(tmp_path, "shakespeare_char", {"vocab_size": 65, "itos": {0: "\n"}, "stoi": {"\n": 0}})
    found = load(tmp_path, SHAKESPEARE)
    model = found.model
    assert (model.n_layer, model.n_head, model.n_kv_head, model.d_model, model.d_ff) == (6, 6, 6, 384, 1536)
    assert (model.vocab_size, model.context, model.dropout) == (65, 256, 0.2)
    assert (model.position, model.norm, model.activation, model.qk_norm, model.bias, model.tied) == (
        *("learned", "layernorm", "gelu", False, False, True),
    )
    assert Path(found.data.path).samefile(home)
    assert (found.batch.tokens_per_step, found.batch.micro_batch) == (64 * 256, 64)
    assert (found.optimizer.name, found.optimizer.learning_rate, found.optimizer.eps) == ("adamw", 1e-3, 1e-8)
    assert (found.optimizer.beta1, found.optimizer.beta2, found.optimizer.weight_decay) == (0.9, 0.99, 0.1)
    schedule = found.schedule
    assert (schedule.kind, schedule.steps, schedule.warmup_steps, found.decay_steps) == ("cosine", 5000, 100, 5000)
    assert schedule.min_learning_rate == 1e-4
    assert (found.evaluation.every_steps, found.evaluation.tokens) == (250, 200 * 64 * 256)
    assert (found.log.every_steps, found.log.wandb, found.name, found.seed) == (10, None, "out-shakespeare-char", 1337)
    assert (found.machine.device, found.machine.dtype, found.machine.compile) == ("auto", "auto", True)


def test_gpt2_is_what_nanogpt_trains(tmp_path: Path) -> None:
    """What config/train_gpt2.py leaves out is train.py's default: OpenWebText, 50,304 rows, 491,520 tokens a step."""
    found = load(tmp_path, GPT2, "config/train_gpt2.py")
    assert (found.batch.tokens_per_step, found.batch.micro_batch) == (491_520, 12)
    assert (found.model.vocab_size, found.model.n_layer, found.model.bias) == (50_304, 12, False)
    assert (found.optimizer.learning_rate, found.schedule.min_learning_rate) == (6e-4, 6e-5)
    assert (found.schedule.warmup_steps, found.decay_steps) == (2000, 600_000)
    assert (found.log.wandb, found.name) == ("owt", "train_gpt2")
    assert Path(found.data.path) == tmp_path / "data" / "openwebtext"


def test_data_lie_beside_the_config_or_beside_its_folder(tmp_path: Path) -> None:
    """``data/`` is sought in the config's folder and in the one above; where both have it, the config's own wins."""
    text = "dataset = 'owt'\n"
    above = prepared(tmp_path, "owt")
    assert Path(load(tmp_path, text).data.path).samefile(above)
    (tmp_path / "config").mkdir(exist_ok=True)
    beside = prepared(tmp_path / "config", "owt")
    assert Path(load(tmp_path, text).data.path).samefile(beside)
    assert Path(load(tmp_path, "dataset = 'other'\n", "train.py").data.path) == tmp_path / "data" / "other"


CONFIGS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 64),
        "gradient_accumulation_steps": st.integers(1, 64),
        "block_size": st.integers(1, 2048),
        "learning_rate": st.floats(1e-4, 1e-2),
        "min_lr": st.floats(0, 1e-4),
        "warmup_iters": st.integers(0, 99),
        "lr_decay_iters": st.integers(100, 2000),
        "max_iters": st.integers(100, 1500),
        "decay_lr": st.booleans(),
        "bias": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.1]),
        "dtype": st.sampled_from(["bfloat16", "float32"]),
        "compile": st.booleans(),
    }
)


@SAME_FOLDER
@given(config=CONFIGS)
def test_tokens_and_learning_rates_are_nanogpts(config: dict[str, Any], tmp_path: Path) -> None:
    """Tokens of a step by train.py's own product, and the rate of any step by its ``get_lr``."""
    found = load(tmp_path, "".join(f"{key} = {value!r}\n" for key, value in config.items()))
    for ranks in (1, 2, 4, 8):
        if config["gradient_accumulation_steps"] % ranks == 0:
            each = config["gradient_accumulation_steps"] // ranks
            assert found.batch.tokens_per_step == each * ranks * config["batch_size"] * config["block_size"]

    def get_lr(it: int) -> float:  # train.py
        if it < config["warmup_iters"]:
            return float(config["learning_rate"] * (it + 1) / (config["warmup_iters"] + 1))
        if it > config["lr_decay_iters"]:
            return float(config["min_lr"])
        decay_ratio = (it - config["warmup_iters"]) / (config["lr_decay_iters"] - config["warmup_iters"])
        coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
        return float(config["min_lr"] + coeff * (config["learning_rate"] - config["min_lr"]))

    for step in (0, 1, 50, 98, 99, 100, 500, config["max_iters"] - 1, 1999, 2001):
        ours = scheduled_learning_rate(
            step,
            kind=found.schedule.kind,
            learning_rate=found.optimizer.learning_rate,
            min_lr=found.schedule.min_learning_rate,
            warmup_steps=found.schedule.warmup_steps,
            decay_steps=found.decay_steps,
            steps=found.schedule.steps,
        )
        theirs = get_lr(step) if config["decay_lr"] else config["learning_rate"]
        assert ours == pytest.approx(theirs, rel=1e-12)
    assert (found.machine.dtype, found.machine.compile) == (config["dtype"], config["compile"])
    assert (found.model.bias, found.model.dropout) == (config["bias"], config["dropout"])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("first", [True, False])
def test_the_vocabulary_is_read_without_unpickling(protocol: int, first: bool, tmp_path: Path) -> None:
    """A meta.pkl of any protocol says its vocab_size, wherever in it the word stands."""
    meta: dict[str, Any] = {"vocab_size": 65} if first else {"stoi": {"a": 7}, "vocab_size": 65}
    path = prepared(tmp_path, "chars", meta, protocol) / "meta.pkl"
    assert meta_vocabulary(path) == 65


class _Trap:
    """A pickle of it would write a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path) -> None:
    """A meta.pkl from a stranger is taken apart, not opened: its vocabulary is read, and its trap is not sprung."""
    sprung = tmp_path / "sprung"
    path = prepared(tmp_path, "trap", {"vocab_size": 65, "x": _Trap(sprung)}) / "meta.pkl"
    assert meta_vocabulary(path) == 65
    assert not sprung.exists()


@given(data=st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: pickle.dumps({"vocab_size": 65})[:20] + b))
@SAME_FOLDER
def test_any_bytes_give_a_vocabulary_or_none(data: bytes, tmp_path: Path) -> None:
    """Bytes that are no pickle, cut or garbled, end in None or a size that a vocabulary can have."""
    (tmp_path / "meta.pkl").write_bytes(data)
    found = meta_vocabulary(tmp_path / "meta.pkl")
    assert found is None or 1 < found < 10**8


@pytest.mark.parametrize("value", [1, 10**9, True, "65", 65.0, None, [65]])
def test_a_vocabulary_that_is_none_is_told(value: object, tmp_path: Path) -> None:
    """Where meta.pkl says no vocabulary that can be read, the recipe is refused, with what to do."""
    prepared(tmp_path, "chars", {"vocab_size": value})
    with pytest.raises(BadConfig, match=r"meta\.pkl.*never unpickled.*vocab_size under \[model\]"):
        load(tmp_path, "dataset = 'chars'\n")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("n_head = 6\ninit_from = 'gpt2-xl'\n", 2, r"no weights are fetched.*weights = \"model.safetensors\""),
        ("init_from = 'resume'\n", 1, "never opened.*'scratch'"),
        ("eval_only = True\n", 1, "nothing would be trained"),
        ("dtype = 'float16'\n", 1, "loss scaler.*'bfloat16'"),
        ("device = 'mps'\n", 1, "set 'cuda' or 'cpu'"),
        ("n_head = 6\nn_layer = -1\n", 2, "n_layer = -1: expected a whole number"),
        ("n_layer = True\n", 1, "whole number"),
        ("out_dir = 3\n", 1, "Expected a string, found 3"),
        ("\nn_layer = int('3')\n", 2, "more than `key = value`: n_layer = a call of int"),
        ("wandb_log = bool(1)\n", 1, "more than `key = value`"),
        ("from base import *\n", 1, "more than `key = value`"),
        ("from base import n_layer\n", 1, "more than `key = value`"),
        ("exec(open('base.py').read())\n", 1, "a call of exec"),
        ("globals()['n_layer'] = 3\n", 1, "more than `key = value`"),
        ("if True:\n    n_layer = 3\n", 1, "more than `key = value`"),
        ("n_layer = 3 3\n", 1, "not valid Python"),
        ("n_embd = 100\n", 1, r"n_embd = 100 cannot be shared among n_head = 12 \(the default\)"),
        ("max_iters = 100\n", 1, r"warmup_iters = 2000 \(the default\), max_iters = 100"),
        ("learning_rate = 1e-5\n", 1, r"min_lr = 6e-05 \(the default\) is above the peak, learning_rate = 1e-05"),
        ("lr_decay_iters = 2000\n", 1, "lr_decay_iters = 2000, warmup_iters = 2000"),
        ("while True: pass\n", 1, "more than `key = value`"),
    ],
)
def test_what_nanogpt_would_not_train_so_is_refused(text: str, line: int, words: str, tmp_path: Path) -> None:
    """What is no literal, what the trainer has not, and what contradicts itself, by nanoGPT's own names and at the line."""
    with pytest.raises(BadConfig) as error:
        load(tmp_path, text)
    assert error.value.where == f"{tmp_path / 'config/train.py'}:{line}"
    assert re.search(words, str(error.value)), str(error.value)


def test_a_train_py_is_refused(tmp_path: Path) -> None:
    """The program of nanoGPT is no config of it."""
    with pytest.raises(BadConfig, match=r"never run.*config of overrides"):
        load(tmp_path, "n_layer = 12\nexec(open('configurator.py').read()) # overrides\ndef get_batch(split): pass\n")


@pytest.mark.parametrize(
    "text",
    [
        "import time\nwandb_run_name = 'ft-' + str(time.time())\n",
        "print('hello')\n",
        "def f():\n    pass\n",
        "other = [x for x in (1, 2)]\n",
        "'''a docstring'''\npass\nn: int\n",
    ],
)
def test_what_decides_nothing_is_let_pass(text: str, tmp_path: Path) -> None:
    """An import, a name of a tracker's run, a helper: none of them changes what is trained."""
    assert load(tmp_path, text) == load(tmp_path, "# nothing")


@SAME_FOLDER
@given(text=st.text(st.characters(codec="utf-8"), max_size=120))
def test_any_python_is_read_or_refused(text: str, tmp_path: Path) -> None:
    """A stranger's text under the name of a config is a recipe or an error of ours."""
    try:
        load(tmp_path, text)
    except InputError:
        return
