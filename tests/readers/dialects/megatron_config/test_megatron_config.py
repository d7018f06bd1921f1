"""Megatron's YAML of arguments: flags, samples turned into steps, defaults that say so, variants."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Known, Unknown
from log_files import corpus_case as case
from log_files import notice_counts as notices
from log_files import plain

DIALECT = find_dialect("megatron_config")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "model_config.yaml") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "model_config.yaml") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


CONFIG = """\
ENV_VARS:
  CUDA_DEVICE_MAX_CONNECTIONS: 1
MODEL_ARGS:
  --num-layers: 4
  --hidden-size: 128
  --num-attention-heads: 4
  --micro-batch-size: 2
  --global-batch-size: 16
  --seq-length: 256
  --train-iters: 200
  --lr: 0.0003
  --lr-decay-iters: 180
  --lr-warmup-fraction: .1
  --data-path: ${DATA_PATH}/corpus
  --bf16: true
TEST_TYPE: regular
"""


def test_arguments() -> None:
    """Flags become settings with their lines."""
    reading = read(CONFIG)
    wanted = {
        "architecture.n_layer": 4,
        "architecture.d_model": 128,
        "architecture.context": 256,
        "recipe.batch_size": 2,
        "recipe.gradient_accumulation_steps": 8,
        "recipe.max_steps": 200,
        "recipe.decay_steps": 180,
        "recipe.warmup_steps": 18,
        "recipe.dtype": "bfloat16",
        "logged.tokens_per_step": 16 * 256,
    }
    assert {key: plain(reading, key) for key in wanted} == wanted
    layers = reading.settings["architecture.n_layer"]
    assert isinstance(layers, Known)
    assert layers.source.line == 4


def test_what_is_not_set_has_megatrons_default_and_says_so() -> None:
    """Defaults are known, and their source is a default."""
    reading = read(CONFIG)
    for key, wanted in (("recipe.dropout", 0.1), ("recipe.weight_decay", 0.01), ("architecture.bias", True)):
        quantity = reading.settings[key]
        assert isinstance(quantity, Known)
        assert quantity.value == wanted
        assert quantity.source.how == "default"
    assert plain(reading, "architecture.d_ff") == 512


def test_flags_that_negate() -> None:
    """Untied embeddings, no bias and grouped queries are what the flags say."""
    text = CONFIG.replace(
        "  --bf16: true",
        "  --untie-embeddings-and-output-weights: true\n  --disable-bias-linear: true\n  --group-query-attention: true\n"
        "  --num-query-groups: 2\n  --swiglu: true",
    )
    reading = read(text)
    assert plain(reading, "architecture.tied") is False
    assert plain(reading, "architecture.bias") is False
    assert plain(reading, "architecture.n_kv_head") == 2
    assert plain(reading, "architecture.d_ff") == 320
    assert plain(reading, "recipe.dtype") == "float32"


def test_samples_are_turned_into_steps() -> None:
    """Planned, decay and warm-up samples are divided by the global batch."""
    text = CONFIG.replace("--train-iters: 200", "--train-samples: 3200").replace(
        "--lr-decay-iters: 180", "--lr-decay-samples: 1600"
    )
    reading = read(text.replace("--lr-warmup-fraction: .1", "--lr-warmup-samples: 160"))
    assert plain(reading, "recipe.max_steps") == 200
    assert plain(reading, "recipe.decay_steps") == 100
    assert plain(reading, "recipe.warmup_steps") == 10


def test_a_batch_schedule() -> None:
    """Thresholds are tokens; a phase that the run never reaches does not count, one that it reaches leaves no single batch."""
    text = CONFIG.replace("--global-batch-size: 16", '--step-batch-size-schedule: "0:16 1M:32"').replace(
        "--train-iters: 200", "--train-samples: 3200"
    )
    assert plain(read(text), "recipe.gradient_accumulation_steps") == 8
    longer = read(text.replace("3200", "10000"))
    assert isinstance(longer.settings["recipe.gradient_accumulation_steps"], Unknown)
    assert plain(longer, "recipe.max_steps") == 3906 // 16 + (10000 - 3906) // 32


def test_variants_and_anchors() -> None:
    """Of several variants the plain one is read, with what it merges in, and the others are told."""
    text = (
        "BASE: &BASE\n  --num-layers: 4\n  --hidden-size: 128\n  --num-attention-heads: 4\n"
        "MODEL_ARGS:\n  <<: *BASE\n  --micro-batch-size: 2\n  --eval-iters: 0\n"
        "MODEL_ARGS_2:\n  <<: *BASE\n  --num-layers: 4\n  --micro-batch-size: 4\n"
    )
    reading = read(text)
    assert plain(reading, "architecture.n_layer") == 4
    assert plain(reading, "recipe.batch_size") == 2
    assert notices(reading)["config_has_variants"] == 1
    assert not reading.problems


def test_the_environment_says_nothing() -> None:
    """A value that only the environment knows is not a setting."""
    assert (
        "recipe.batch_size" not in read(CONFIG.replace("--micro-batch-size: 2", "--micro-batch-size: ${MBS}")).settings
    )


def test_it_knows_its_own() -> None:
    """It is recognised by MODEL_ARGS with flags; another YAML is not, and is refused."""
    assert recognise(file_of(CONFIG))[1] is DIALECT
    assert DIALECT.sniff(file_of("model:\n  num_layers: 4\n")) == 0
    with pytest.raises(InputError):
        read("model:\n  num_layers: 4\n")


def test_corpus() -> None:
    """The real config of the 15B run has its shape and 50,862 planned steps."""
    path = case("megatron-golden-15b-h100") / "model_config.yaml"
    (reading,) = DIALECT.read(open_path(path, path.name))
    assert plain(reading, "architecture.n_layer") == 32
    assert plain(reading, "architecture.d_model") == 6144
    assert plain(reading, "recipe.max_steps") == 50_862
    assert plain(reading, "recipe.gradient_accumulation_steps") == 96
    assert read_all(path.parent).runs[0].dialect == "megatron_golden_json"


@_HARMLESS
@given(data=st.data())
def test_mutations_do_no_harm(data: st.DataObject) -> None:
    """A log that is cut, spliced and sprinkled with odd pieces is read, or refused with an error of ours."""
    text = CONFIG
    for _edit in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(text)))
        odd = st.sampled_from(
            ["\n", "\r", "nan", "-1", "inf", "9" * 40, "9" * 400, "|", "{", "'", '"', ": ", "None", "\x1b[31m"]
        )
        piece = data.draw(st.one_of(st.text(max_size=6), odd))
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 12)) :]
    file = InputFile("model_config.yaml", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
