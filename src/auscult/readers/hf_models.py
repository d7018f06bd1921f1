"""Shapes of models as ``transformers`` writes them: each family's names for the same thing, and its own defaults.

A key that is absent from a ``config.json`` has the default of its family's configuration class. They are given here for the
families that language models are trained as, and say so in their source (transformers 5.24, ``configuration_*.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..run import Known, Problem, Quantity, Source, Unknown, known
from .json_text import count
from .model_details import details_of
from .patterns import lazy
from .vocabulary import checked

__all__ = ["FAMILIES", "Family", "architecture_of", "is_model_config", "text_part"]


@dataclass(frozen=True, slots=True)
class Family:
    """A family's defaults; None where the class has none or derives it.

    Attributes
    ----------
    n_layer, n_head, n_kv_head, d_model, d_ff, vocab_size : int or None
        Of the configuration class.
    tied : bool
        Whether the output head shares the token embedding unless the config says otherwise.
    bias : bool or None
        Whether linear layers and norms have biases; None where some have and some have not.
    dropout : float or None
        Of the residual stream.
    learned : bool
        Whether positions are a learned table with a row for each.
    """

    n_layer: int | None
    n_head: int | None
    n_kv_head: int | None
    d_model: int | None
    d_ff: int | None
    vocab_size: int | None
    tied: bool
    bias: bool | None = False
    dropout: float | None = None
    learned: bool = False


_F = Family
FAMILIES: Mapping[str, Family] = {
    "gpt2": _F(12, 12, None, 768, None, 50257, tied=True, bias=True, dropout=0.1, learned=True),
    "openai-gpt": _F(12, 12, None, 768, None, 40478, tied=True, bias=True, dropout=0.1, learned=True),
    "gpt_neo": _F(24, 16, None, 2048, None, 50257, tied=True, bias=None, dropout=0.0, learned=True),
    "gpt_neox": _F(44, 64, None, 6144, 24576, 50432, tied=False, bias=True, dropout=0.0),
    "gpt_neox_japanese": _F(32, 32, None, 2560, None, 32000, tied=True, bias=None, dropout=0.0),
    "gptj": _F(28, 16, None, 4096, None, 50400, tied=False, bias=None, dropout=0.0),
    "codegen": _F(28, 16, None, 4096, None, 50400, tied=False, bias=None, dropout=0.0),
    "gpt_bigcode": _F(12, 12, 1, 768, None, 50257, tied=True, bias=True, dropout=0.1, learned=True),
    "opt": _F(12, 12, None, 768, 3072, 50272, tied=True, bias=True, dropout=0.1, learned=True),
    "xglm": _F(24, 16, None, 1024, 4096, 256008, tied=True, bias=True, dropout=0.1),
    "biogpt": _F(24, 16, None, 1024, 4096, 42384, tied=True, bias=True, dropout=0.1, learned=True),
    "bloom": _F(2, 8, None, 64, None, 250880, tied=True, bias=True, dropout=0.0),
    "falcon": _F(32, 71, None, 4544, None, 65024, tied=True, bias=None, dropout=0.0),
    "mpt": _F(24, 16, None, 2048, None, 50368, tied=True, bias=False, dropout=0.0),
    "llama": _F(32, 32, None, 4096, 11008, 32000, tied=False),
    "mistral": _F(32, 32, 8, 4096, 14336, 32000, tied=False),
    "ministral": _F(32, 32, 8, 4096, 14336, 32000, tied=False),
    "mixtral": _F(32, 32, 8, 4096, 14336, 32000, tied=False),
    "qwen2": _F(32, 32, 32, 4096, 22016, 151936, tied=False, bias=None),
    "qwen2_moe": _F(24, 16, 16, 2048, 5632, 151936, tied=False, bias=None),
    "qwen3": _F(32, 32, 32, 4096, 22016, 151936, tied=False),
    "qwen3_moe": _F(24, 32, 4, 2048, 6144, 151936, tied=False),
    "qwen3_next": _F(48, 16, 2, 2048, 5632, 151936, tied=False),
    "gemma": _F(28, 16, 16, 3072, 24576, 256000, tied=True),
    "gemma2": _F(26, 8, 4, 2304, 9216, 256000, tied=True),
    "gemma3_text": _F(26, 8, 4, 2304, 9216, 262208, tied=True),
    "phi": _F(24, 32, None, 2048, 8192, 51200, tied=False, bias=True, dropout=0.0),
    "phi3": _F(32, 32, None, 3072, 8192, 32064, tied=False, dropout=0.0),
    "phimoe": _F(32, 32, 8, 4096, 6400, 32064, tied=False, bias=None),
    "olmo": _F(32, 32, None, 4096, 11008, 50304, tied=False),
    "olmo2": _F(32, 32, None, 4096, 11008, 50304, tied=False),
    "olmo3": _F(32, 32, None, 4096, 11008, 50304, tied=False),
    "olmoe": _F(16, 16, None, 2048, 2048, 50304, tied=False),
    "stablelm": _F(32, 32, 32, 2560, 6912, 50304, tied=False, bias=None, dropout=0.0),
    "starcoder2": _F(30, 24, 2, 3072, 12288, 49152, tied=True, bias=True, dropout=0.0),
    "deepseek_v2": _F(32, 32, None, 4096, 11008, 102400, tied=False),
    "deepseek_v3": _F(61, 128, 128, 7168, 18432, 129280, tied=False),
    "cohere": _F(40, 64, None, 8192, 22528, 256000, tied=True),
    "cohere2": _F(40, 64, None, 8192, 22528, 256000, tied=True),
    "granite": _F(32, 32, None, 4096, 11008, 32000, tied=False),
    "granitemoe": _F(32, 32, None, 4096, 11008, 32000, tied=False),
    "smollm3": _F(36, 16, 4, 2048, 11008, 128256, tied=True),
    "persimmon": _F(36, 64, None, 4096, 16384, 262144, tied=False, bias=True, dropout=0.0),
    "nemotron": _F(32, 48, None, 6144, 24576, 256000, tied=False, bias=None),
    "glm": _F(40, 32, 2, 4096, 13696, 151552, tied=False, bias=None),
    "glm4": _F(40, 32, 2, 4096, 13696, 151552, tied=False, bias=None),
    "dbrx": _F(24, 16, 1, 2048, None, 32000, tied=False, dropout=0.0),
    "jamba": _F(32, 32, 8, 4096, 14336, 65536, tied=False, bias=None),
    "llama4_text": _F(48, 40, 8, 5120, 8192, 202048, tied=False),
    "gpt_oss": _F(36, 64, 8, 2880, 2880, 201088, tied=False, bias=None),
    "ernie4_5": _F(18, 16, 2, 1024, 3072, 103424, tied=True),
    "exaone4": _F(32, 32, 32, 4096, 16384, 102400, tied=False),
    "apertus": _F(32, 32, None, 4096, 14336, 131072, tied=False),
    "arcee": _F(32, 32, None, 2560, 18432, 32000, tied=False),
    "helium": _F(24, 20, 20, 2560, 7040, 48000, tied=False),
    "seed_oss": _F(64, 80, 8, 4096, 27648, 155136, tied=False, bias=None),
    "minimax": _F(32, 32, 8, 4096, 14336, 32000, tied=False),
    "bitnet": _F(30, 20, 5, 2560, 6912, 128256, tied=False),
    "mamba": _F(32, None, None, 768, 1536, 50280, tied=True, bias=None),
    "mamba2": _F(64, None, None, 4096, None, 32768, tied=False, bias=None),
    "rwkv": _F(32, None, None, 4096, None, 50277, tied=False, bias=None),
    "bert": _F(12, 12, None, 768, 3072, 30522, tied=True, bias=True, dropout=0.1, learned=True),
    "roberta": _F(12, 12, None, 768, 3072, 50265, tied=True, bias=True, dropout=0.1, learned=True),
    "camembert": _F(12, 12, None, 768, 3072, 30522, tied=True, bias=True, dropout=0.1, learned=True),
    "xlm-roberta": _F(12, 12, None, 768, 3072, 30522, tied=True, bias=True, dropout=0.1, learned=True),
    "distilbert": _F(6, 12, None, 768, 3072, 30522, tied=True, bias=True, dropout=0.1, learned=True),
    "electra": _F(12, 4, None, 256, 1024, 30522, tied=True, bias=True, dropout=0.1, learned=True),
    "albert": _F(12, 64, None, 4096, 16384, 30000, tied=True, bias=True, dropout=0.0, learned=True),
    "deberta-v2": _F(24, 24, None, 1536, 6144, 128100, tied=True, bias=True, dropout=0.1, learned=True),
    "modernbert": _F(22, 12, None, 768, 1152, 50368, tied=True, bias=None),
    "t5": _F(6, 8, None, 512, 2048, 32128, tied=True, bias=False, dropout=0.1),
    "bart": _F(12, 16, None, 1024, 4096, 50265, tied=True, bias=True, dropout=0.1, learned=True),
}

_NAMES: Mapping[str, tuple[str, ...]] = {
    "n_layer": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "decoder_layers"),
    "n_head": ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads"),
    "n_kv_head": ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv", "multi_query_group_num"),
    "d_model": ("hidden_size", "n_embd", "n_embed", "d_model", "dim"),
    "d_ff": (
        *(
            "intermediate_size",
            "n_inner",
            "ffn_dim",
            "d_ff",
            "ffn_hidden_size",
            "hidden_dim",
            "decoder_ffn_dim",
            "d_inner",
        ),
        *("dff", "ff_dim"),
    ),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
}
_POSITIONS = (
    "n_positions",
    "max_position_embeddings",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "context_length",
    "seq_length",
)
_DROPOUT = (
    "resid_pdrop",
    "resid_dropout",
    "residual_dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "dropout",
    "dropout_rate",
)
_ATTENTION_DROPOUT = ("attention_dropout", "attn_pdrop", "attn_dropout", "attention_probs_dropout_prob")
_QUADRUPLE = frozenset(
    {"gpt2", "openai-gpt", "gpt_neo", "gptj", "codegen", "gpt_bigcode", "bloom", "falcon", "gpt_neox_japanese"}
)
_PARTS = ("text_config", "llm_config", "language_config", "decoder", "thinker_config", "text_model_config")
_SHAPE = frozenset(
    {
        *(
            "hidden_size",
            "n_embd",
            "n_embed",
            "d_model",
            "dim",
            "num_hidden_layers",
            "n_layer",
            "n_layers",
            "num_layers",
        ),
        *("num_attention_heads", "n_head", "n_heads"),
    }
)
_FAMILY = lazy(r"[\w.-]{1,80}")
Values = Mapping[str, Known[Any]]


def is_model_config(found: Mapping[str, Any]) -> bool:
    """Return whether a parsed JSON object is the configuration of a model of transformers.

    Examples
    --------
    >>> is_model_config({"model_type": "gpt2", "n_layer": 12}), is_model_config({"model_type": "gpt2"})
    (True, False)
    """
    if not isinstance(found.get("model_type"), str) and not isinstance(found.get("architectures"), list):
        return False
    if _SHAPE & found.keys():
        return True
    return any(isinstance(part := found.get(name), dict) and bool(_SHAPE & part.keys()) for name in _PARTS)


def text_part(values: Values) -> str:
    """Return the prefix under which the language model of a composite configuration stands: ``text_config.`` or nothing."""
    for name in _PARTS:
        if name in values and isinstance(values[name].value, dict) and _SHAPE & values[name].value.keys():
            return name + "." + (text_part(_below(values, name + ".")) if name == "thinker_config" else "")
    return ""


def _below(values: Values, prefix: str) -> dict[str, Known[Any]]:
    return {key[len(prefix) :]: quantity for key, quantity in values.items() if key.startswith(prefix)}


def architecture_of(values: Values) -> tuple[dict[str, Quantity[Any]], dict[str, Known[Any]], tuple[Problem, ...]]:
    """Return the settings of a model's configuration, what else it says, and what was wrong with it.

    Parameters
    ----------
    values : mapping
        Its values under dotted paths, with their places.

    Returns
    -------
    settings, noted, problems
    """
    prefix = text_part(values)
    inner, outer = _below(values, prefix) if prefix else dict(values), values
    reader = _Shape(inner, outer, composite=bool(prefix))
    return reader.settings(), reader.noted(), tuple(reader.problems)


class _Shape:
    """Reads one configuration: what it says, else its family's default, which says so."""

    def __init__(self, values: Values, outer: Values, *, composite: bool) -> None:
        self._values, self._outer, self._composite = values, outer, composite
        kind = values.get("model_type")
        if kind is None or not isinstance(kind.value, str):
            kind = outer.get("model_type")
        self.kind = kind if kind is not None and isinstance(kind.value, str) and _FAMILY.fullmatch(kind.value) else None
        name = self.kind.value if self.kind is not None else ""
        name = (
            name if name in FAMILIES else name + "_text" if name + "_text" in FAMILIES else name.removesuffix("_text")
        )
        self.name, self.family = name, FAMILIES.get(name)
        self.problems: list[Problem] = []

    def settings(self) -> dict[str, Quantity[Any]]:
        found: dict[str, Quantity[Any] | None] = {"architecture.family": self.kind}
        for field in ("n_layer", "n_head", "d_model", "vocab_size"):
            found[f"architecture.{field}"] = self._whole(field)
        found["architecture.n_kv_head"] = self._kv_heads(found["architecture.n_head"])
        found["architecture.d_ff"] = self._width(found["architecture.d_model"])
        found["architecture.tied"] = self._tied()
        found["architecture.bias"] = self._bias()
        found["architecture.context"] = self._context()
        found["recipe.dropout"] = self._dropout()
        if self.kind is not None:
            found["architecture.details"] = details_of(self._values, self.kind, composite=self._composite)
        return {key: quantity for key, quantity in found.items() if quantity is not None}

    def noted(self) -> dict[str, Known[Any]]:
        noted: dict[str, Known[Any]] = {}
        positions = self._read(_POSITIONS)
        if positions is not None and count(positions.value):
            noted["hf.max_positions"] = positions
        for name in ("torch_dtype", "dtype", "transformers_version", "hidden_act", "activation_function"):
            quantity = self._outer.get(name, self._values.get(name))
            if quantity is not None and isinstance(quantity.value, str) and _FAMILY.fullmatch(quantity.value):
                noted["hf.dtype" if name == "torch_dtype" else f"hf.{name}"] = quantity
        for name in (
            *(
                "head_dim",
                "num_experts",
                "num_local_experts",
                "n_routed_experts",
                "num_experts_per_tok",
                "sliding_window",
            ),
            *("moe_intermediate_size", "n_shared_experts", "shared_expert_intermediate_size", "first_k_dense_replace"),
            *("rope_theta", "initializer_range", "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "v_head_dim"),
            *("word_embed_proj_dim", "use_qkv_bias", "attention_bias", "mlp_bias", "d_kv", "is_gated_act"),
        ):
            quantity = self._values.get(name)
            if quantity is not None and isinstance(quantity.value, int | float):
                noted[f"hf.{name}"] = quantity
        quantised = self._outer.get("quantization_config.quant_method")
        if quantised is not None and isinstance(quantised.value, str) and _FAMILY.fullmatch(quantised.value):
            noted["hf.quantization"] = quantised
        return noted

    def _read(self, names: tuple[str, ...]) -> Known[Any] | None:
        return next((q for n in names if (q := self._values.get(n)) is not None and q.value is not None), None)

    def _checked(self, key: str, quantity: Known[Any]) -> Quantity[Any]:
        checked_one, problem = checked(key, quantity)
        if problem is not None:
            self.problems.append(problem)
        return checked_one

    def _default(self, value: Any, key: str) -> Known[Any]:
        return Known(
            value,
            Source(
                "default", formula=f"default of {self.name} in transformers ({key} = {value}), not set in the config"
            ),
        )

    def _whole(self, field: str) -> Quantity[Any] | None:
        quantity = self._read(_NAMES[field])
        if quantity is not None:
            return self._checked(f"architecture.{field}", quantity)
        value = getattr(self.family, field) if self.family is not None else None
        return self._default(value, _NAMES[field][0]) if value is not None else None

    def _kv_heads(self, heads: Quantity[Any] | None) -> Quantity[Any] | None:
        said = self._read((*_NAMES["n_kv_head"], "attn_config.kv_n_heads"))
        new_falcon = self._values.get("new_decoder_architecture")
        single = self._values.get("multi_query")
        if self.name in ("falcon", "RefinedWebModel", "RefinedWeb", "gpt_bigcode"):
            if not (new_falcon is not None and new_falcon.value is True) and (single is None or single.value is True):
                if single is None:
                    return self._default(1, "multi_query = true, one key and value head")
                return known(1, "multi_query: one key and value head", single)
            if said is None or not (new_falcon is not None and new_falcon.value is True):
                return heads
        if said is not None:
            return self._checked("architecture.n_kv_head", said)
        if self.family is not None and self.family.n_kv_head is not None:
            return self._default(self.family.n_kv_head, "num_key_value_heads")
        if isinstance(heads, Known) and (
            self.family is not None or "num_attention_heads" in self._values or self.kind is not None
        ):
            formula = "as many as heads: num_key_value_heads is not set in the config"
            return Known(heads.value, Source("default", formula=formula, inputs=(heads.source,)))
        return None

    def _width(self, model: Quantity[Any] | None) -> Quantity[Any] | None:
        if self.name in ("mamba2", "rwkv") and self._read(("intermediate_size",)) is None:
            return None
        said = self._read((*_NAMES["d_ff"], "ffn_config.ffn_hidden_size"))
        if said is not None and count(said.value):
            return self._checked("architecture.d_ff", said)
        ratio = self._read(("expansion_ratio", "ffn_config.ffn_ratio"))
        if isinstance(model, Known) and (self.name == "mpt" or ratio is not None):
            times = ratio.value if ratio is not None else 4
            if isinstance(times, int | float) and 0 < times < 1000:
                inputs = (model,) if ratio is None else (model, ratio)
                return known(int(times * model.value), f"{times:g} · d_model", *inputs)
        if self.name in _QUADRUPLE and isinstance(model, Known):
            formula = f"4 · the width: default of {self.name} in transformers, not set in the config"
            return Known(4 * model.value, Source("default", formula=formula, inputs=(model.source,)))
        if self.family is not None and self.family.d_ff is not None:
            return self._default(self.family.d_ff, "intermediate_size")
        return None

    def _tied(self) -> Quantity[Any] | None:
        said = next(
            (
                q
                for place in (self._values, self._outer)
                if isinstance((q := place.get("tie_word_embeddings", _NOTHING)).value, bool)
            ),
            None,
        )
        if said is not None:
            return said
        return self._default(self.family.tied, "tie_word_embeddings") if self.family is not None else None

    def _bias(self) -> Quantity[Any] | None:
        for name, turn in (("bias", False), ("use_bias", False), ("enable_bias", False), ("no_bias", True)):
            quantity = self._values.get(name)
            if quantity is not None and isinstance(quantity.value, bool):
                return Known(not quantity.value, quantity.source) if turn else quantity
        some = [
            q
            for n in ("attention_bias", "mlp_bias", "use_qkv_bias", "qkv_bias")
            if (q := self._values.get(n)) is not None
        ]
        if self.family is None:
            return None
        if self.family.bias is False and any(q.value is True for q in some):
            return Unknown("some layers have biases and some have not")
        if self.family.bias is None:
            return Unknown(f"in {self.name} some layers have biases and some have not")
        return self._default(self.family.bias, "biases")

    def _context(self) -> Quantity[Any] | None:
        positions = self._read(_POSITIONS)
        if positions is None or not count(positions.value):
            return None
        return Unknown(
            f"{positions.source.place} gives the longest sequence that the model takes ({positions.value:,} tokens), not the"
            " length it was trained on"
        )

    def _dropout(self) -> Quantity[Any] | None:
        said = self._read(_DROPOUT)
        said = said if said is not None else self._read(_ATTENTION_DROPOUT)
        if said is not None and isinstance(said.value, int | float) and not isinstance(said.value, bool):
            return self._checked("recipe.dropout", said)
        default = self.family.dropout if self.family is not None else None
        return self._default(default, "dropout") if default is not None else None


_NOTHING: Known[Any] = Known(None, Source("default"))
