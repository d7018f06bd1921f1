"""From a model's config to its blueprint, its parameters and its FLOPs, and what the laws say of it."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import auscult
from architectures.dense_configs import PUBLISHED as DENSE
from architectures.sparse_configs import PUBLISHED as SPARSE
from architectures.sparse_configs import RANDOM
from auscult.architectures import build, family_names
from auscult.architectures.settings import Settings
from auscult.errors import BadConfig
from auscult.examination import Examination
from auscult.facts.parameters import ParameterCount, count_parameters
from auscult.readers.hf_models import is_model_config
from auscult.readers.model_details import MODEL_KEYS
from auscult.run import Known, Run, Series, Source, Unknown

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
}
BERT: dict[str, Any] = {
    **LLAMA,
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "type_vocab_size": 2,
    "max_position_embeddings": 512,
}
OF_TRAINERS = frozenset({"auscult", "litgpt", "llm.c", "modded-nanogpt", "nanochat", "torchtitan"})
"""Families with keys of their own, whose readers take them to families of transformers."""


def read(folder: Path, config: dict[str, Any], **beside: Any) -> Run:
    """Return the run of a folder with a ``config.json`` and a short history, and other JSON files beside them."""
    rows = [{"step": step, "loss": 9 * 0.99**step + 2, "learning_rate": 1e-4} for step in range(1, 200)]
    state = {"global_step": 199, "max_steps": 199, "log_history": rows, "num_input_tokens_seen": 199 * 10**6}
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in {"config": config, "trainer_state": state, **beside}.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    return auscult.read(folder)


def counted(folder: Path, config: dict[str, Any]) -> ParameterCount:
    """Return the parameters of a run with this config."""
    count = Examination(read(folder, config)).parameter_count
    assert isinstance(count, Known), count
    return count.value


def configs() -> Iterator[dict[str, Any]]:
    """Yield published configs and random ones of every family."""
    yield from (config for config, _size in DENSE.values())
    yield from (model.config for model in SPARSE)
    yield from ({"model_type": name, **draw(random.Random(seed))} for name, draw in RANDOM.items() for seed in (1, 2))


def test_a_config_is_carried_whole(tmp_path: Path) -> None:
    """Read back from a file beside a history, published and random configs count as they do when built directly."""
    for number, config in enumerate(configs()):
        if not is_model_config(config):
            continue  # all defaults: a file that says so little is not told apart from other JSON
        model = build(config)
        masked = any(not attention.causal for attention, _layers in model.attentions)
        written = {"architectures": ["AnyForMaskedLM" if masked else "AnyForCausalLM"], **config}
        assert counted(tmp_path / str(number), written) == count_parameters(model), config


def test_every_key_that_a_family_looks_up_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No builder of a transformers family asks for a key that the readers leave out: its default would be counted instead."""
    asked: set[str] = set()
    for method in ("raw", "mentions", "is_null", "list", "below", "__contains__"):
        plain = getattr(Settings, method)

        def one(self: Settings, name: str, *rest: Any, _plain: Any = plain, **more: Any) -> Any:
            asked.add(name)
            return _plain(self, name, *rest, **more)

        monkeypatch.setattr(Settings, method, one)
    for method in ("whole", "whole_or_none", "flag", "number", "text"):
        plain = getattr(Settings, method)

        def several(self: Settings, *names: str, _plain: Any = plain, **more: Any) -> Any:
            asked.update(names)
            return _plain(self, *names, **more)

        monkeypatch.setattr(Settings, method, several)
    for name in sorted(set(family_names()) - OF_TRAINERS):
        try:
            build({"model_type": name})
        except BadConfig:
            continue  # a family without a default for some number: its random configs below ask for the rest
    for config in configs():
        build(config)
    assert "hidden_size" in asked
    assert asked <= MODEL_KEYS, sorted(asked - MODEL_KEYS)


@pytest.mark.parametrize("key", ["layer_types", "layers_block_type"])
def test_kinds_of_layers_under_either_name(tmp_path: Path, key: str) -> None:
    """Granite's hybrid names its attending layers under two keys; under both they are counted as attention."""
    hybrid = {**LLAMA, "model_type": "granitemoehybrid", "architectures": ["GraniteMoeHybridForCausalLM"]}
    mamba = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_expand": 2, "mamba_n_groups": 1}
    config = {**hybrid, **mamba, "num_local_experts": 0, key: ["mamba", "attention", "attention", "attention"]}
    none = counted(tmp_path / "none", {**config, key: ["mamba"] * 4})
    some = counted(tmp_path / "some", config)
    assert some == count_parameters(build(config))
    assert some.total != none.total


MPT: dict[str, Any] = {
    "architectures": ["MPTForCausalLM"],
    "model_type": "mpt",
    "d_model": 64,
    "n_heads": 4,
    "n_layers": 2,
    "vocab_size": 100,
    "max_seq_len": 64,
}


@pytest.mark.parametrize(
    "change",
    [
        {"no_bias": False},
        {"attn_config": {"alibi": False, "rope": False}},
        {"attn_config": {"attn_type": "grouped_query_attention", "kv_n_heads": 2}},
        {"attn_config": {"attn_type": "multiquery_attention"}},
        {"attn_config": {"qk_ln": True}},
        {"ffn_config": {"ffn_type": "mptglu"}},
        {"ffn_config": {"ffn_hidden_size": 128}},
    ],
)
def test_what_llm_foundry_adds_to_an_mpt_is_carried(tmp_path: Path, change: dict[str, Any]) -> None:
    """Biases, positions, heads, norms and gates of an MPT, most of them nested, change the count that is read as built."""
    changed = counted(tmp_path / "changed", {**MPT, **change})
    assert changed == count_parameters(build({**MPT, **change}))
    assert changed.total != counted(tmp_path / "plain", MPT).total


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"architectures": ["LlamaForSequenceClassification"]}, "head is not that of a language model"),
        ({"model_type": "zorblax"}, "not known to auscult"),
        ({"num_attention_heads": 5}, "cannot be divided"),
        ({"hidden_size": 10**30}, "not a size"),
        ({"hidden_act": "/home/alice/act.py"}, "no plain value"),
        ({"layer_types": [[[[["deep"]]]]]}, "no plain value"),
    ],
)
def test_a_model_that_is_not_known_has_no_count(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    """Another head, an unknown family, impossible sizes and values that are no plain ones say why, and nothing private."""
    run = read(tmp_path, {**LLAMA, **change})
    count = Examination(run).parameter_count
    assert isinstance(count, Unknown)
    assert why in count.reason
    assert "alice" not in repr(run.recipe.architecture)


def test_only_keys_of_the_shape_are_carried(tmp_path: Path) -> None:
    """Names, paths and whatever else stands in a config stay out of what is carried of it, at any depth."""
    private = {"_name_or_path": "/home/alice/model", "token": "hf_secret"}
    dbrx = {"model_type": "dbrx", "architectures": ["DbrxForCausalLM"], "d_model": 64, "n_heads": 4, "n_layers": 2}
    nested = {"attn_config": {"kv_n_heads": 2, **private}, "ffn_config": {"ffn_hidden_size": 96, **private}}
    details = read(tmp_path, {**dbrx, "vocab_size": 100, **nested, **private}).recipe.architecture.details
    assert isinstance(details, Known)
    assert details.value["attn_config"] == {"kv_n_heads": 2}
    assert details.value["ffn_config"] == {"ffn_hidden_size": 96}
    assert details.value.keys() <= MODEL_KEYS


def test_another_depth_in_another_file_leaves_the_model_unknown(tmp_path: Path) -> None:
    """Where the run's settings say another number of layers than the config, neither is counted."""
    run = read(tmp_path, LLAMA)
    other = Known(5, Source("read", "args.json", 3, '"n_layer": 5'))
    shape = dataclasses.replace(run.recipe.architecture, n_layer=other)
    model = Examination(dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, architecture=shape))).model
    assert isinstance(model, Unknown)
    assert "args.json:3" in model.reason


def test_the_laws_are_those_of_causal_models_trained_whole(tmp_path: Path) -> None:
    """N stands for the laws in a causal model, and in neither a masked one nor one under adapters, whose sizes are known."""
    lora = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    causal = Examination(read(tmp_path / "causal", LLAMA))
    masked = Examination(read(tmp_path / "masked", BERT))
    tuned = Examination(read(tmp_path / "tuned", LLAMA, adapter_config=lora))
    assert isinstance(causal.parameters_for_laws, Known)
    for exam, why in ((masked, "masked"), (tuned, "adapters")):
        assert isinstance(exam.parameter_count, Known)
        assert isinstance(exam.parameters_for_laws, Unknown)
        assert why in exam.parameters_for_laws.reason


def test_the_mfu_of_the_step_that_compiles_is_left_out(tmp_path: Path) -> None:
    """A trainer that prints the MFU of its first step, 7 % while it compiles, runs at the 38 % that it prints later."""
    peak = Known(2.25e15, Source("read", "x.log", 1, "peak"))
    run = read(tmp_path, LLAMA)
    logged = dataclasses.replace(run.logged, mfu_peak_flops_per_s=peak)

    def mfu(points: dict[int, float]) -> Any:
        told: dict[str, Any] = {
            "split": "-",
            "mode": "unknown",
            "unit": "fraction",
            "window": "the step",
            "file": "x.log",
        }
        made = Series("mfu", **told, steps=list(points), values=list(points.values()), lines=[1] * len(points))
        return Examination(dataclasses.replace(run, logged=logged, series=(*run.series, made))).mfu_logged

    assert mfu({1: 0.07, 10: 0.38}).value == pytest.approx(0.38)
    assert mfu({10: 0.07, 20: 0.38, 30: 0.40}).value == pytest.approx(0.39)
    assert mfu({500: 0.38}).value == pytest.approx(0.38)
    assert isinstance(mfu({1: 0.07}), Unknown)
