"""From the files of a run to the blueprint of its model, its parameters and its FLOPs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import auscult
from architectures.dense_configs import PUBLISHED
from architectures.sparse_configs import RANDOM, drawn
from auscult.architectures import build
from auscult.examination import Examination
from auscult.facts.flops import count_flops, flops_per_token
from auscult.facts.parameters import count_gpt2, count_parameters
from auscult.readers.model_details import MODEL_KEYS, details_of, own_details, plain_details
from auscult.run import Architecture, Known, Logged, Quantity, Run, Source, Unknown
from made_up import MadeUpRun

HERE = Source("read", "config.json", 1, "here")
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "vocab_size": 128256,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
}
LLAMA_TOTAL = 8_030_261_248


def of_config(folder: Path, config: dict[str, Any], **changes: Any) -> Examination:
    """Return the examination of a folder that holds a config.json alone, with some of its architecture changed."""
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    return changed(auscult.read(folder), **changes)


def changed(run: Run, *, logged: Logged | None = None, noted: dict[str, Any] | None = None, **a: Any) -> Examination:
    """Return the examination of a run with parts of its architecture, printed figures or notes replaced."""
    architecture = dataclasses.replace(run.recipe.architecture, **a)
    recipe = dataclasses.replace(run.recipe, architecture=architecture)
    notes = {**run.noted, **{key: Known(value, HERE) for key, value in (noted or {}).items()}}
    return Examination(dataclasses.replace(run, recipe=recipe, logged=logged or run.logged, noted=notes))


def printed(count: int, convention: str = "total") -> Logged:
    """Return what a log says that prints one exact count."""
    return Logged(parameters=Known((count, count), HERE), parameters_convention=Known(convention, HERE))


def reason(quantity: Quantity[Any]) -> str:
    """Return why something is unknown."""
    assert isinstance(quantity, Unknown), quantity
    return quantity.reason


def total(exam: Examination) -> int:
    """Return the count of all parameters, which has to be known."""
    assert isinstance(exam.parameter_count, Known), exam.parameter_count
    return exam.parameter_count.value.total


@pytest.mark.parametrize("repo", PUBLISHED)
def test_a_published_config_is_counted_from_its_file(repo: str, tmp_path: Path) -> None:
    """What the reader takes from a published config.json is enough for the count that its authors' checkpoint has."""
    config, published = PUBLISHED[repo]
    config = {
        "num_hidden_layers": build(config).n_layer,
        **config,
    }  # some are all defaults: no file has nothing but them
    exam = of_config(tmp_path, config)
    assert isinstance(exam.model, Known)
    assert exam.model.value == build(config)
    assert total(exam) == (published or count_parameters(build(config)).total)


@pytest.mark.parametrize("family", RANDOM)
def test_no_key_that_shapes_a_model_is_lost_on_the_way(family: str, tmp_path: Path) -> None:
    """Random configs of mixtures, state-space models and hybrids have the same blueprint through a file as without."""
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        config = drawn(family, number)
        model = of_config(folder, config).model
        assert isinstance(model, Known), (config, model)
        assert model.value == build(config)


def test_nothing_but_keys_of_models_is_carried(tmp_path: Path) -> None:
    """Names, paths, tokens and texts of a config stay behind."""
    private = {"_name_or_path": "/home/me/secret", "token": "hf_abc", "notes": "x" * 10_000, "bos_token_id": 1}
    details = of_config(tmp_path, {**LLAMA, **private}).run.recipe.architecture.details
    assert isinstance(details, Known)
    assert set(details.value) <= MODEL_KEYS
    assert "secret" not in repr(details.source)


@pytest.mark.parametrize("value", ["/home/me", [[[[1]]]], list(range(5000)), {"a": 1}, "a b", ["/home/me"]])
def test_a_value_that_is_not_plain_makes_the_config_unknown(value: Any) -> None:
    """A key that shapes the model is taken whole or not at all: leaving it out would draw another model."""
    found = details_of({"layer_types": Known(value, HERE)}, Known("llama", HERE))
    assert reason(found) == "config.json:1 gives a layer_types that is no plain value"
    own = own_details({"n_embd": Known(value, HERE)}, Known("litgpt", HERE), "litgpt's config")
    assert "n_embd" in reason(own)
    lost = own_details({"n_embd": Unknown("a reference")}, Known("litgpt", HERE), "litgpt's config")
    assert reason(lost) == "a reference"


@pytest.mark.parametrize("head", ["LlamaForSequenceClassification", "LlamaModel", "GPT2DoubleHeadsModel"])
def test_a_model_without_the_head_of_a_language_model_is_not_counted(head: str, tmp_path: Path) -> None:
    """A classifier has another head: its parameters are not those of the language model of that family."""
    exam = of_config(tmp_path, {**LLAMA, "architectures": [head]})
    assert head in reason(exam.parameter_count)


def test_of_a_composite_model_no_part_is_counted(tmp_path: Path) -> None:
    """The language model within a vision model is not what is trained, although its shape is read."""
    exam = of_config(tmp_path, {"model_type": "llava", "text_config": LLAMA})
    assert isinstance(exam.run.recipe.architecture.vocab_size, Known)
    assert "a part of the model" in reason(exam.parameter_count)


def test_files_that_disagree_about_the_model_leave_it_unknown(tmp_path: Path) -> None:
    """A vocabulary, depth or width that another file gives otherwise: one of the two is of another run."""
    assert total(of_config(tmp_path, LLAMA)) == LLAMA_TOTAL
    for name, value in (("vocab_size", 32_000), ("n_layer", 31), ("d_model", 2048), ("n_head", 16)):
        why = reason(of_config(tmp_path, LLAMA, **{name: Known(value, Source("read", "x.log", 3))}).model)
        assert name in why
        assert "x.log:3" in why
    default = Known(32_000, Source("default", formula="a trainer's default"))
    assert total(of_config(tmp_path, LLAMA, vocab_size=default)) == LLAMA_TOTAL


def test_another_file_may_say_that_the_head_is_tied(tmp_path: Path) -> None:
    """The checkpoint beside a config that does not say it shows whether the head is the token table."""
    tied = Known(True, Source("read", "model.safetensors"))
    exam = of_config(tmp_path, LLAMA, tied=tied)
    assert total(exam) == LLAMA_TOTAL - 128256 * 4096
    assert isinstance(exam.model, Known)
    assert {leaf.file for leaf in exam.model.source.leaves()} == {"config.json", "model.safetensors"}
    assert "tied" in reason(of_config(tmp_path, {**LLAMA, "tie_word_embeddings": False}, tied=tied).model)


def test_the_source_of_a_count_names_the_lines_and_the_family(tmp_path: Path) -> None:
    """Where the count comes from can be looked up: each key's line, and a formula that names the family."""
    count = of_config(tmp_path, LLAMA).parameter_count
    assert isinstance(count, Known)
    assert count.source.formula == "sum over the parts of the llama model"
    lines = {leaf.line for leaf in count.source.leaves()}
    text = (tmp_path / "config.json").read_text(encoding="utf-8").splitlines()
    assert {i for i, line in enumerate(text, 1) if "vocab_size" in line or "num_key" in line} <= lines


def test_an_unknown_or_impossible_family_is_said(tmp_path: Path) -> None:
    """A family without a blueprint, and heads that do not divide the width, are named in the reason."""
    assert "'codemind'" in reason(of_config(tmp_path, {"model_type": "codemind", "hidden_size": 8}).parameter_count)
    assert "divided" in reason(of_config(tmp_path, {**LLAMA, "num_attention_heads": 30}).model)


def concluded(tmp_path: Path, **changes: Any) -> Examination:
    """Return a run whose family a trainer's settings let conclude, not its config."""
    family = Known("llama", Source("derived", formula="a trainer's norm and MLP"))
    return of_config(tmp_path, LLAMA, family=family, **changes)


def test_a_printed_count_overrules_a_family_that_was_only_concluded(tmp_path: Path) -> None:
    """A fork that prints another count under every convention is no model of that family; a config's own word stands."""
    assert total(concluded(tmp_path, logged=printed(LLAMA_TOTAL))) == LLAMA_TOTAL
    assert total(concluded(tmp_path, logged=printed(LLAMA_TOTAL - 128256 * 4096))) == LLAMA_TOTAL  # without the table
    assert total(concluded(tmp_path, logged=printed(1000, "trainable"))) == LLAMA_TOTAL  # adapters say nothing
    assert "8,030,261,248" in reason(concluded(tmp_path, logged=printed(LLAMA_TOTAL + 1)).parameter_count)
    assert total(of_config(tmp_path, LLAMA, logged=printed(LLAMA_TOTAL + 1))) == LLAMA_TOTAL  # MDL006 says it


@given(layers=st.integers(1, 60), heads=st.integers(1, 25), context=st.integers(1, 4096), bias=st.booleans())
def test_nanogpts_flops_are_those_of_its_own_formula(layers: int, heads: int, context: int, bias: bool) -> None:
    """6N + 12·L·d·T of any GPT-2 is the sum by part under nanoGPT's convention."""
    shape = {"n_layer": layers, "n_head": heads, "n_embd": 64 * heads}
    model = build({"model_type": "gpt2", **shape, "n_positions": context, "bias": bias})
    count = count_gpt2(n_layer=layers, d_model=64 * heads, vocab_size=50257, context=context, bias=bias)
    formula = flops_per_token(
        params_without_position=count.without_position, n_layer=layers, d_model=64 * heads, context=context
    )
    assert count_flops(model, context=context, convention="nanogpt").training == formula


def test_flops_of_other_families_are_counted_by_part(tmp_path: Path) -> None:
    """6 FLOPs for each weight but the token table, and PaLM's attention over the whole context of the training."""
    exam = of_config(tmp_path, LLAMA, context=Known(8192, HERE))
    attention = 12 * 32 * 4096 * 8192
    norms = (2 * 32 + 1) * 4096
    assert isinstance(exam.flops_per_token, Known)
    assert exam.flops_per_token.value == 6 * (LLAMA_TOTAL - 128256 * 4096 - norms) + attention
    assert "context" in reason(of_config(tmp_path, LLAMA).flops_per_token)


@pytest.mark.parametrize(
    "noted",
    [{"peft.peft_type": "LORA"}, {"litgpt.lora_r": 8}, {"hf.finetuning_type": "lora"}, {"checkpoint.kind": "adapter"}],
)
def test_adapters_take_other_flops_than_training_everything(noted: dict[str, Any], tmp_path: Path) -> None:
    """A frozen model has no gradients of weights: its FLOPs are not those of full training."""
    context = Known(2048, HERE)
    assert isinstance(of_config(tmp_path, LLAMA, context=context).flops_per_token, Known)
    assert "adapters" in reason(of_config(tmp_path, LLAMA, context=context, noted=noted).flops_per_token)
    full = {"hf.finetuning_type": "full", "hf.lora_rank": 8, "litgpt.lora_r": None}
    assert isinstance(of_config(tmp_path, LLAMA, context=context, noted=full).flops_per_token, Known)
    few = of_config(tmp_path, LLAMA, context=context, logged=printed(4_194_304, "trainable"))
    assert "4,194,304 of" in reason(few.flops_per_token)


def test_the_laws_know_no_mixture_of_experts(tmp_path: Path) -> None:
    """Laws of dense models have no N for Mixtral, whose total and active counts are both known."""
    exam = of_config(tmp_path, {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "hidden_size": 4096})
    assert total(exam) == 46_702_792_704
    assert "mixture" in reason(exam.parameters_for_laws)
    dense = of_config(tmp_path, LLAMA).parameters_for_laws
    assert isinstance(dense, Known)
    assert dense.value == LLAMA_TOTAL


def test_a_gpt2_follows_from_its_shape(made_up: MadeUpRun) -> None:
    """A nanoGPT run without any config of the whole model is drawn from its six numbers; other key heads are a fork's."""
    run = auscult.read(made_up.write())
    exam = Examination(run)
    assert isinstance(exam.model, Known)
    assert isinstance(exam.shape, Known)
    assert count_parameters(exam.model.value) == exam.shape.value.parameters
    assert exam.model.value.family == "gpt2"
    assert "heads of their own" in reason(changed(run, n_kv_head=Known(1, HERE)).model)


NANOCHAT = {"n_layer": 24, "n_head": 12, "n_kv_head": 12, "n_embd": 1536, "vocab_size": 32768, "sequence_len": 2048}


def test_the_printed_count_tells_versions_of_nanochat_apart(tmp_path: Path) -> None:
    """The d24 speedrun of February 2026 printed 1,384,124,976; no count or another one leaves the version unknown."""
    exam = of_config(tmp_path, LLAMA)
    quantities = {key: Known(value, HERE) for key, value in NANOCHAT.items()}
    blank = {f.name: Unknown("not said") for f in dataclasses.fields(Architecture)}
    family = Known("nanochat", Source("default", formula="nanochat's gpt.py"))
    a: dict[str, Any] = {
        **blank,
        "family": family,
        "details": own_details(quantities, family, "nanochat's model config"),
    }
    run = exam.run
    assert total(changed(run, **a, logged=printed(1_384_124_976))) == 1_384_124_976
    assert "no printed count" in reason(changed(run, **a).model)
    assert "no version" in reason(changed(run, **a, logged=printed(440_457_264)).model)


def test_ten_settings_make_a_plain_llama_or_say_which_is_missing() -> None:
    """OLMo 2 1B as its trainer's settings give it has the parameters of the released checkpoint."""
    numbers = {"n_layer": 16, "n_head": 16, "n_kv_head": 16, "d_model": 2048, "d_ff": 8192, "vocab_size": 100352}
    found: dict[str, Quantity[Any]] = {f"architecture.{k}": Known(v, HERE) for k, v in numbers.items()}
    assert reason(plain_details(found, "olmo2", "OLMo")) == "needs tied: nothing gives it"
    found["architecture.tied"] = Known(False, HERE)
    details = plain_details(found, "olmo2", "OLMo", attention_bias=Known(False, HERE))
    assert isinstance(details, Known)
    assert count_parameters(build(details.value)).total == 1_484_916_736
