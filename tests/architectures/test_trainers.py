"""The trainers' own models against torch modules written from their programs, litgpt's own counts, and what logs print."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from auscult.architectures import Attention, Model, build
from auscult.architectures.families.litgpt_names import MODELS
from auscult.errors import BadConfig
from auscult.facts.parameters import ParameterCount, count_parameters

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"))


def counted(family: str, **config: Any) -> ParameterCount:
    """Count the model that a trainer's keys describe."""
    return count_parameters(build({"model_type": family, **config}))


def on_meta(make: Callable[[], nn.Module]) -> int:
    """Count the parameters of a module that takes no memory, shared ones once."""
    with torch.device("meta"):
        return sum(value.numel() for value in make().parameters())


def log_of(case: str, *, name: str) -> str:
    """Return the text of a log in the corpus, or skip the test."""
    path = CORPUS / case / name
    if not path.is_file():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    return path.read_text(encoding="utf-8", errors="replace")


def printed(log: str, pattern: str) -> int:
    """Return the first number that a log prints in a pattern's group."""
    found = re.search(pattern, log)
    assert found is not None, pattern
    return int(found[1].replace(",", ""))


class NanoChat(nn.Module):
    """What ``nanochat/gpt.py`` creates (3a5e0bc, e85db6b, a825e63: each adds to the one before)."""

    def __init__(
        self, *, vocab: int, layers: int, d: int, heads: int, kv: int, values: bool, gate: int, smear: bool
    ) -> None:
        super().__init__()
        rows, kv_dim = (vocab + 63) // 64 * 64, kv * (d // heads)
        valued = [values and i % 2 == (layers - 1) % 2 for i in range(layers)]
        self.wte, self.lm_head = nn.Embedding(rows, d), nn.Linear(d, rows, bias=False)
        self.h = nn.ModuleList(
            nn.ModuleDict(
                {
                    "c_q": nn.Linear(d, d, bias=False),
                    "c_k": nn.Linear(d, kv_dim, bias=False),
                    "c_v": nn.Linear(d, kv_dim, bias=False),
                    "c_proj": nn.Linear(d, d, bias=False),
                    "c_fc": nn.Linear(d, 4 * d, bias=False),
                    "mlp_c_proj": nn.Linear(4 * d, d, bias=False),
                    **({"ve_gate": nn.Linear(gate, kv, bias=False)} if has else {}),
                }
            )
            for has in valued
        )
        if values:
            self.resid_lambdas, self.x0_lambdas = nn.Parameter(torch.ones(layers)), nn.Parameter(torch.zeros(layers))
            self.value_embeds = nn.ModuleList(nn.Embedding(rows, kv_dim) for has in valued if has)
        if smear:
            self.smear_gate = nn.Linear(24, 1, bias=False)
            self.smear_lambda, self.backout_lambda = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))


def test_nanochat_of_every_age_has_the_parameters_of_its_program() -> None:
    """Random shapes of three versions of nanochat count as modules written from its program."""
    for number in range(60):
        rng = random.Random(number)
        kv = rng.choice((1, 2))
        heads = kv * rng.choice((1, 2, 3))
        values, gate = rng.random() < 0.7, rng.choice((12, 32))
        smear = values and rng.random() < 0.5
        vocab, layers, d = rng.randint(2, 300), rng.randint(1, 7), heads * rng.choice((16, 32))
        shape = {"vocab": vocab, "layers": layers, "d": d, "heads": heads, "kv": kv}
        oracle = on_meta(partial(NanoChat, **shape, values=values, gate=gate, smear=smear))
        keys = {"vocab_size": vocab, "n_layer": layers, "n_embd": d, "n_head": heads, "n_kv_head": kv}
        age = {"value_embeds": values, "ve_gate_channels": gate, "smear": smear}
        assert counted("nanochat", **keys, **age).total == oracle, (keys, age)


def test_nanochat_without_a_window_pattern_is_its_first_version() -> None:
    """A config of October 2025 has no value embeddings and no scalars: d20 is the "561M" model of nanochat's README."""
    keys = {"n_layer": 20, "n_head": 10, "n_kv_head": 10, "n_embd": 1280, "vocab_size": 65536, "sequence_len": 2048}
    assert counted("nanochat", **keys).total == 2 * 65536 * 1280 + 20 * 12 * 1280**2 == 560_988_160
    assert counted("nanochat", **keys, window_pattern="L").other_tables > 0


@pytest.mark.parametrize(
    ("case", "log", "keys"),
    [
        (
            "nanochat-d24-speedrun-full",
            "speedrun_d24_feb01.log",
            {"n_layer": 24, "n_head": 12, "n_kv_head": 12, "n_embd": 1536, "ve_gate_channels": 32, "smear": False},
        ),
        (
            "nanochat-d2-smoke-a100",
            "slurm.out",
            {"n_layer": 2, "n_head": 2, "n_kv_head": 2, "n_embd": 128, "sequence_len": 256},
        ),
    ],
)
def test_nanochat_counts_by_part_are_those_its_logs_print(case: str, log: str, keys: dict[str, int]) -> None:
    """A log of February 2026 and one of the newest version print the tables, the head and the total that are counted."""
    text = log_of(case, name=log)
    count = counted("nanochat", vocab_size=32768, window_pattern="SSSL", **keys)
    parts = {name: printed(text, rf"(?m)^{name} +: ([\d,]+)$") for name in ("wte", "value_embeds", "lm_head", "total")}
    assert parts["wte"] == count.embedding
    assert parts["value_embeds"] == count.other_tables
    assert parts["total"] == count.total
    scalars = printed(text, r"(?m)^scalars +: ([\d,]+)$")
    assert parts["lm_head"] + scalars == count.head
    assert printed(text, r"(?m)^transformer_matrices +: ([\d,]+)$") == count.attention + count.mlp


def test_nanochat_windows_repeat_and_end_in_full_attention() -> None:
    """``SSSL`` over six layers of 2048 tokens gives four windows of 512; a window given outright is taken."""
    model = build({"model_type": "nanochat", "n_layer": 6, "window_pattern": "SSSL", "sequence_len": 2048})
    short = sum(count for attention, count in model.attentions if attention.window == 512)
    assert (short, model.n_layer) == (4, 6)
    given = build({"model_type": "nanochat", "n_layer": 2, "window_pattern": "S", "short_window": 1024})
    assert {a.window for a, _n in given.attentions} == {1024, None}
    wide = next(attention for attention, _n in given.attentions if attention.window is None)
    assert "ve_gate" in [linear.name for linear in wide.linears], "the last layer has a value embedding"
    with pytest.raises(BadConfig, match="window_pattern"):
        build({"model_type": "nanochat", "n_layer": 2, "window_pattern": "SM"})


def test_nanochat_by_transformers_keys_is_transformers_model() -> None:
    """With transformers' keys, or none, nanochat is transformers' NanoChatForCausalLM, which is another width by default."""
    transformers = pytest.importorskip("transformers")
    for keys in ({}, {"hidden_size": 96, "num_hidden_layers": 3, "num_key_value_heads": 2, "attention_bias": True}):
        made = transformers.AutoConfig.for_model("nanochat", **keys)
        oracle = on_meta(partial(transformers.AutoModelForCausalLM.from_config, made))
        assert counted("nanochat", **keys).total == oracle


class Modded(nn.Module):
    """What modded-nanogpt's programs create in ``records/track_1_short``, with the scalars of each date."""

    def __init__(self, date: str, *, layers: int = 12, d: int = 768, world_size: int = 8) -> None:
        super().__init__()
        rows = 50257 if "2024-12-17" <= date < "2025-01-04" or "2025-01-13" <= date < "2025-07" else 50304
        self.wte, self.lm_head = nn.Embedding(rows, d), nn.Linear(d, (rows + 127) // 128 * 128, bias=False)
        if date < "2024-11-03":
            self.wte.weight = self.lm_head.weight
        attends = [not (date >= "2024-12-17" and i == 7) for i in range(layers)]
        self.attn = nn.ModuleList(
            nn.ModuleList(nn.Linear(d, d, bias=False) for _ in range(4)) for attending in attends if attending
        )
        self.mlp = nn.ModuleList(
            nn.ModuleList((nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False))) for _ in range(layers)
        )
        tables = 0 if date < "2024-12-04" else 12 if date < "2024-12-08" else 6 if date < "2024-12-17" else 3
        self.values = nn.ModuleList(nn.Embedding(rows, d) for _ in range(tables))
        if date >= "2025-05":
            scalars = 5 * layers
            self.scalars = nn.Parameter(torch.ones(scalars + (-scalars) % world_size))
        elif date >= "2024-11-10":
            self.skip_weights = nn.Parameter(torch.ones(layers - layers // 2))
            self.lambdas = nn.ParameterList(torch.ones(2) for _ in range(layers))
            of_values = 1 if date < "2024-12-08" else 2
            self.of_values = nn.ParameterList(torch.ones(of_values) for attending in attends if attending)


FEWER: dict[str, Any] = {"scalars": 52, "value_embeds": 3, "attention_layers": 11}
MODDED: dict[str, dict[str, Any]] = {
    "2024-10-14": {"tie_word_embeddings": True},
    "2024-11-03": {},
    "2024-11-10": {"scalars": 42},
    "2024-12-04": {"scalars": 42, "value_embeds": 12},
    "2024-12-08": {"scalars": 54, "value_embeds": 6},
    "2024-12-17": {**FEWER, "vocab_size": 50257, "head_vocab_size": 50304},
    "2025-01-04": FEWER,
    "2025-01-16": {**FEWER, "vocab_size": 50257, "head_vocab_size": 50304},
    "2025-07-12": {"scalars": 64, "value_embeds": 3, "attention_layers": 11},
}


@pytest.mark.parametrize("date", MODDED)
def test_modded_nanogpt_of_every_date_has_the_parameters_of_its_program(date: str) -> None:
    """The keys that a record's date stands for count as a module written from its program."""
    assert counted("modded-nanogpt", **MODDED[date]).total == on_meta(lambda: Modded(date))


def test_modded_nanogpt_of_july_2025_is_what_its_log_prints() -> None:
    """The log of record 2025-07-12_BosAlign prints "Total parameters: 275,742,784", and its embeddings apart."""
    count = counted("modded-nanogpt", **MODDED["2025-07-12"])
    assert count.total == 275_742_784
    assert count.embedding + count.other_tables == 154_533_888


def test_modded_nanogpt_of_october_2024_is_124_million_without_positions() -> None:
    """The record of 2024-10-14 has GPT-2's 50,304 tied rows and matrices, and nothing else: 123,568,128."""
    count = counted("modded-nanogpt", tie_word_embeddings=True, num_layers=12, num_heads=6, model_dim=768)
    assert (count.total, count.norms) == (123_568_128, 0)


@pytest.mark.parametrize(
    ("descriptor", "layers", "channels", "context"),
    [
        ("d12", 12, 768, 1024),
        ("gpt2:d48", 48, 1600, 1024),
        ("gpt3:c768", 12, 768, 2048),
        ("gpt3:c12288", 96, 12288, 2048),
    ],
)
def test_llmc_descriptors_are_gpt2_with_padded_rows(descriptor: str, layers: int, channels: int, context: int) -> None:
    """llm.c's sixteen tensors, summed as ``fill_in_parameter_sizes`` of train_gpt2.cu lists them."""
    v, c, t, n = 50304, channels, context, layers
    tensors = (
        *(v * c, t * c, n * c, n * c, n * 3 * c * c, n * 3 * c, n * c * c, n * c, n * c, n * c),
        *(n * 4 * c * c, n * 4 * c, n * c * 4 * c, n * c, c, c),
    )
    count = counted("llm.c", descriptor=descriptor)
    assert count.total == sum(tensors)
    assert build({"model_type": "llm.c", "descriptor": descriptor}).context == context


def test_llmc_d12_is_the_124475904_that_it_prints() -> None:
    """llm.c prints "num_parameters: 124475904" for d12; a log of build-nanogpt prints the same of the same shape."""
    assert counted("llm.c", descriptor="d12").total == 124_475_904
    log = log_of("build-nanogpt-124m-tiny-corpus-memorised", name="log.md")
    assert printed(log, r"Total Parameters: ([\d,]+)") == 124_475_904


@pytest.mark.parametrize(
    "descriptor", ["", "12", "d13", "gpt2:c768", "gpt3:c5140", "gpt3:d12", "d", "d²", "d" + "9" * 40]
)
def test_llmc_refuses_what_it_does_not_know(descriptor: str) -> None:
    """A descriptor that llm.c stops at is refused by name."""
    with pytest.raises(BadConfig, match="descriptor"):
        build({"model_type": "llm.c", "descriptor": descriptor})


class Titan(nn.Module):
    """What ``torchtitan/models/llama3/model.py`` creates."""

    def __init__(self, dim: int, layers: int, heads: int, kv: int, hidden: int, vocab: int, *, tied: bool) -> None:
        super().__init__()
        kv_dim = dim // heads * kv
        self.tok_embeddings, self.output = nn.Embedding(vocab, dim), nn.Linear(dim, vocab, bias=False)
        if tied:
            self.output.weight = self.tok_embeddings.weight
        shapes = ((dim, dim), (dim, kv_dim), (dim, kv_dim), (dim, dim), (dim, hidden), (hidden, dim), (dim, hidden))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [*(nn.Linear(i, o, bias=False) for i, o in shapes), nn.RMSNorm(dim), nn.RMSNorm(dim)],
            )
            for _ in range(layers)
        )
        self.norm = nn.RMSNorm(dim)


@pytest.mark.parametrize(
    ("flavor", "module"),
    [
        ("debugmodel", (256, 6, 16, 16, 768, 2048)),
        ("1B", (2048, 16, 32, 8, 8192, 128256)),
        ("3B", (3072, 28, 24, 8, 8192, 128256)),
        ("8B", (4096, 32, 32, 8, 14336, 128256)),
        ("70B", (8192, 80, 64, 8, 28672, 128256)),
        ("405B", (16384, 126, 128, 8, 53248, 128256)),
    ],
)
def test_torchtitan_flavors_of_llama_3_are_its_modules(flavor: str, module: tuple[int, ...]) -> None:
    """Every flavor has the inner width and the parameters of the Llama that it is named for."""
    tied = flavor in ("1B", "3B")
    assert counted("torchtitan", flavor=flavor).total == on_meta(lambda: Titan(*module, tied=tied))


def test_torchtitan_totals_are_the_published_ones() -> None:
    """The flavors hold what Meta's checkpoints hold: 8,030,261,248 for Llama 3 8B, 70,553,706,496 for 70B …"""
    totals = [counted("torchtitan", flavor=flavor).total for flavor in ("1B", "3B", "8B", "70B", "405B")]
    assert totals == [1_235_814_400, 3_212_749_824, 8_030_261_248, 70_553_706_496, 405_853_388_800]


def test_torchtitan_keys_override_the_flavor() -> None:
    """A debugmodel of twelve layers has twice the layers' parameters; ``hidden_dim`` replaces the rule."""
    six, twelve = counted("torchtitan", flavor="debugmodel"), counted("torchtitan", flavor="debugmodel", n_layers=12)
    assert (twelve.attention, twelve.mlp) == (2 * six.attention, 2 * six.mlp)
    assert counted("torchtitan", flavor="debugmodel", hidden_dim=256).mlp == six.mlp // 3


def test_torchtitan_rounds_up_to_256_where_nothing_else_is_said() -> None:
    """A width of 2048 has an MLP of 5,632, as TinyLlama by the same rule with its multiple of 256."""
    keys = {"dim": 2048, "n_layers": 1}
    assert counted("torchtitan", **keys) == counted("torchtitan", **keys, hidden_dim=5632)


def test_torchtitan_logs_print_the_counts_of_deepseek_and_qwen() -> None:
    """The debug model of DeepSeek-V3 has the total and the active parameters that torchtitan prints; so has Qwen3 14B."""
    moe = log_of("torchtitan-moe-readme", name="README.md")
    count = counted("torchtitan", name="deepseek_v3", flavor="debugmodel")
    assert printed(moe, r"debugmodel size: ([\d,]+) total parameters") == count.total
    assert printed(moe, r"active ([\d,]+)") == count.active
    assert printed(moe, r"sparse ([\d,]+)") == count.experts
    qwen = log_of("torchtitan-qwen3-14b-b200", name="run.log")
    assert counted("litgpt", name="Qwen3-14B").total == printed(qwen, r"dense ([\d,]+), sparse 0")


def test_torchtitan_names_deepseek_v3_in_its_sizes() -> None:
    """Its 16B is DeepSeek-V2-Lite's shape, its 671B DeepSeek-V3's, by the totals of transformers' own."""
    found = [counted("torchtitan", name="deepseek_v3", flavor=f).total for f in ("16B", "236B", "671B")]
    assert found == [15_706_484_224, 235_741_434_880, 671_026_404_352]


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"name": "flux"}, "llama3"),
        ({"flavor": "9B"}, "flavor"),
        ({"name": "deepseek_v3"}, "flavor"),
        ({"ffn_dim_multiplier": -1}, "ffn_dim_multiplier"),
        ({"ffn_dim_multiplier": 1e300}, "ffn_dim_multiplier"),
        ({"dim": 100, "n_heads": 3}, "n_heads"),
    ],
)
def test_torchtitan_refuses_what_it_cannot_build(config: dict[str, Any], named: str) -> None:
    """What torchtitan does not have is refused in a message that names the key."""
    with pytest.raises(BadConfig, match=named):
        build({"model_type": "torchtitan", **config})


LITGPT = {
    "stablelm-base-alpha-3b": 3_637_321_728,
    "pythia-14m": 14_067_712,
    "pythia-31m": 30_494_720,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "falcon-7b": 7_217_189_760,
    "falcon-40b": 41_835_970_560,
    "open_llama_3b": 3_426_473_600,
    "Llama-2-7b-hf": 6_738_415_616,
    "Llama-2-70b-hf": 68_976_648_192,
    "Llama-3-8B": 8_030_261_248,
    "Llama-3.1-405B": 405_853_388_800,
    "Llama-3.2-1B": 1_498_482_688,
    "Llama-3.2-3B": 3_606_752_256,
    "OLMo-1B-hf": 1_279_787_008,
    "Gemma-2b": 3_030_460_416,
    "Gemma-7b": 9_324_112_896,
    "Gemma-2-2b": 3_204_165_888,
    "Gemma-2-9b": 10_159_209_984,
    "phi-1_5": 1_418_270_720,
    "phi-2": 2_779_683_840,
    "Phi-3-mini-4k-instruct": 3_821_079_552,
    "Mistral-7B-v0.1": 7_241_732_096,
    "Mixtral-8x7B-v0.1": 46_702_792_704,
    "tiny-llama-1.1b": 1_100_048_384,
    "micro-llama-300M": 304_636_928,
    "Qwen2.5-0.5B": 630_167_424,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen3-4B": 4_411_424_256,
    "Qwen3-30B-A3B": 30_532_122_624,
    "SmolLM2-135M": 162_826_560,
}
"""Parameters of ``litgpt.model.GPT`` on the meta device, litgpt 0.5.13, torch 2.13, counted 2026-11-25."""


@pytest.mark.parametrize("name", LITGPT)
def test_litgpt_models_have_the_parameters_that_litgpt_gives_them(name: str) -> None:
    """A model named as litgpt names it counts as litgpt's own module; its head has a matrix of its own."""
    assert counted("litgpt", name=name).total == LITGPT[name]


def test_litgpt_variants_share_the_shape_of_their_base() -> None:
    """Chat and instruct variants, and ``model_name`` for ``name``, give the same model."""
    pairs = (("Llama-3.2-1B", "Llama-3.2-1B-Instruct"), ("tiny-llama-1.1b", "tiny-llama-1.1b-chat"))
    for base, variant in (*pairs, ("Gemma-2-9b", "Gemma-2-9b-it"), ("pythia-1b", "pythia-1b-deduped")):
        assert counted("litgpt", model_name=variant) == counted("litgpt", name=base)
    assert len(MODELS) > 100


def test_litgpt_log_prints_phi_2() -> None:
    """The tutorial of litgpt prints 2,779,683,840 frozen parameters of phi-2."""
    log = log_of("litgpt-tutorial-log", name="0_to_litgpt.md")
    assert counted("litgpt", name="phi-2").total == printed(log, r"non-trainable parameters: ([\d,]+)")


class Lit(nn.Module):
    """What ``litgpt/model.py`` creates of its ``Config`` (0.5.13), without latent attention."""

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        d, heads, bias = c["n_embd"], c["n_head"], c["bias"]
        groups, size = c["n_query_groups"] or heads, c["head_size"] or d // heads
        norm = nn.RMSNorm if c["norm_class_name"] == "RMSNorm" else nn.LayerNorm
        rows = c["padded_vocab_size"] or -(-c["vocab_size"] // c["padding_multiple"]) * c["padding_multiple"]
        self.wte, self.lm_head = nn.Embedding(rows, d), nn.Linear(d, rows, bias=c["lm_head_bias"])
        self.ln_f = norm(d)
        whole = c["norm_qk_type"] == "olmo2"
        norms = (
            c["norm_1"]
            + (c["norm_2"] and not c["shared_attention_norm"])
            + c["post_attention_norm"]
            + c["post_mlp_norm"]
        )
        self.h = nn.ModuleList()
        for layer in range(c["n_layer"]):
            block = nn.ModuleList(norm(d) for _ in range(norms))
            block.append(nn.Linear(d, (heads + 2 * groups) * size, bias=bias or c["attn_bias"]))
            block.append(nn.Linear(heads * size, d, bias=bias))
            if c["norm_qk"]:
                block.extend((norm(size * (heads if whole else 1)), norm(size * (groups if whole else 1))))
            block.append(self._mlp(c, layer))
            self.h.append(block)

    @staticmethod
    def _mlp(c: dict[str, Any], layer: int) -> nn.Module:
        d, bias, d_ff = c["n_embd"], c["bias"], c["intermediate_size"] or 4 * c["n_embd"]

        def gated(width: int) -> nn.Module:
            return nn.ModuleList(nn.Linear(i, o, bias=bias) for i, o in ((d, width), (d, width), (width, d)))

        if c["mlp_class_name"] == "GptNeoxMLP":
            return nn.ModuleList((nn.Linear(d, d_ff, bias=bias), nn.Linear(d_ff, d, bias=bias)))
        if c["mlp_class_name"] != "LLaMAMoE" or layer < (c["first_k_dense_replace"] or 0):
            return gated(d_ff)
        parts = nn.ModuleList(gated(c["moe_intermediate_size"] or d_ff) for _ in range(c["n_expert"]))
        parts.append(nn.Linear(d, c["n_expert"], bias=False))
        if c["n_shared_expert"]:
            parts.append(gated(c["moe_intermediate_size"] * c["n_shared_expert"]))
        return parts


def lit_config(number: int) -> dict[str, Any]:
    """Draw a config of litgpt in which every key that changes the parameters may be set."""
    rng = random.Random(number)
    groups = rng.choice((1, 2, 3))
    heads, kind = groups * rng.choice((1, 2)), rng.choice(("GptNeoxMLP", "LLaMAMLP", "GemmaMLP", "LLaMAMoE"))
    experts, narrow = rng.randint(1, 5), rng.choice((None, 6))
    flags = ("norm_qk", "bias", "attn_bias", "lm_head_bias", "post_attention_norm", "post_mlp_norm", "norm_1", "norm_2")
    shared_norm = rng.random() < 0.3
    return {
        **{name: rng.random() < 0.5 for name in flags},
        "n_layer": rng.randint(1, 4),
        "n_head": heads,
        "n_embd": heads * rng.choice((4, 8)),
        "n_query_groups": rng.choice((None, groups)),
        "head_size": rng.choice((None, 6)),
        "vocab_size": rng.randint(5, 90),
        "padding_multiple": rng.choice((1, 8, 64)),
        "padded_vocab_size": rng.choice((None, 100)),
        "norm_class_name": rng.choice(("LayerNorm", "RMSNorm")),
        "norm_qk_type": rng.choice(("default", "olmo2")),
        "mlp_class_name": kind,
        "intermediate_size": rng.choice((7, 20) if kind == "LLaMAMLP" else (None, 7, 20)),
        "moe_intermediate_size": narrow,
        "shared_attention_norm": shared_norm,
        "parallel_residual": shared_norm or rng.random() < 0.5,
        "n_expert": experts,
        "n_expert_per_token": rng.randint(1, experts),
        "n_shared_expert": rng.choice((None, 1, 2)) if narrow else None,
        "first_k_dense_replace": rng.choice((None, 1)),
    }


def test_litgpt_configs_have_the_parameters_of_its_program() -> None:
    """150 random configs count as a module written from litgpt's program; 600 were compared with litgpt itself once."""
    for number in range(150):
        config = lit_config(number)
        if config["mlp_class_name"] != "LLaMAMoE":
            config["first_k_dense_replace"] = None
        assert counted("litgpt", **config).total == on_meta(partial(Lit, config)), config


def test_litgpt_windows_are_those_marked() -> None:
    """Gemma 2 in litgpt sees a window in every second layer, Mistral 7B v0.1 in all of them."""

    def narrow(model: Model) -> int:
        return sum(count for attention, count in model.attentions if attention.window == 4096)

    assert narrow(build({"model_type": "litgpt", "name": "Gemma-2-2b"})) == 13
    assert narrow(build({"model_type": "litgpt", "name": "Mistral-7B-v0.1"})) == 32


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"name": "gpt-5"}, "gpt-5"),
        ({"mlp_class_name": "SwiGLU"}, "mlp_class_name"),
        ({"mlp_class_name": "LLaMAMLP"}, "intermediate_size"),
        ({"mlp_class_name": "LLaMAMoE"}, "n_expert"),
        ({"norm_class_name": "BatchNorm"}, "norm_class_name"),
        ({"shared_attention_norm": True, "parallel_residual": False}, "shared_attention_norm"),
        ({"latent_attention": {"q_lora_rank": 8}}, "latent"),
        ({"sliding_window_size": 8, "sliding_window_indices": [1, 0]}, "sliding_window_indices"),
    ],
)
def test_litgpt_refuses_what_it_cannot_build(config: dict[str, Any], named: str) -> None:
    """What litgpt stops at, or is not drawn, is refused by name."""
    with pytest.raises(BadConfig, match=named):
        build({"model_type": "litgpt", **config})


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**40)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(-1, 2) | st.none(), max_size=7)
)
CONFIGS: dict[str, dict[str, Any]] = {
    "auscult": {"n_layer": 2, "n_head": 4, "n_kv_head": 2, "d_model": 64, "d_ff": 96, "vocab_size": 99, "context": 32}
    | {"position": "rope", "norm": "rmsnorm", "activation": "swiglu", "qk_norm": True, "bias": True, "tied": True},
    "nanochat": {"n_layer": 4, "n_embd": 64, "n_head": 4, "n_kv_head": 2, "vocab_size": 99, "window_pattern": "SL"}
    | {"value_embeds": True, "ve_gate_channels": 12, "smear": True, "short_window": 128, "sequence_len": 512},
    "modded-nanogpt": {"n_layer": 4, "n_embd": 64, "n_head": 4, "vocab_size": 99, "value_embeds": 2, "scalars": 5}
    | {"attention_layers": 3, "head_vocab_size": 128, "tie_word_embeddings": False, "head_dim": 8},
    "torchtitan": {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 99, "multiple_of": 32}
    | {"ffn_dim_multiplier": 1.3, "enable_weight_tying": True, "flavor": "8B", "name": "llama3", "hidden_dim": 9},
    "llm.c": {"descriptor": "d12"},
    "litgpt": {**lit_config(3), "name": "pythia-14m", "sliding_window_size": 8, "sliding_window_indices": [1] * 6},
}


@given(data=st.data())
def test_no_value_ends_in_anything_but_a_model_or_a_refusal(data: st.DataObject) -> None:
    """Whatever stands under a trainer's keys, the answer is a model of countable size or a refusal."""
    family = data.draw(st.sampled_from(sorted(CONFIGS)))
    config = {"model_type": family, **CONFIGS[family]}
    for key in data.draw(st.lists(st.sampled_from(sorted(CONFIGS[family])), max_size=3)):
        config[key] = data.draw(VALUES)
    try:
        model = build(config)
    except BadConfig:
        return
    assert count_parameters(model).total > 0
    for mixer in (stack.block.mixer for stack in model.stacks):
        assert mixer is None or (isinstance(mixer, Attention) and mixer.linears[-1].d_out == model.d_model)
