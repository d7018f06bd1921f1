"""A model's config as its family's blueprint needs it: transformers' keys, few and bounded, each with its place.

Ten numbers are not enough to draw most models; `auscult.architectures` takes a config. What is carried of one are the keys
that some family reads, with plain values only, so that nothing private and nothing large comes along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Known, Quantity, Unknown, known
from .patterns import lazy

__all__ = ["MODEL_KEYS", "OWN_KEYS", "details_of", "own_details", "plain_details"]

MODEL_KEYS = frozenset(
    {
        *("_remove_final_layer_norm", "_sliding_window_pattern", "attention_bias", "attention_chunk_size"),
        *("attention_heads", "attention_out_bias", "attention_types", "attn_config", "attn_layer_indices"),
        *("attn_layer_offset", "attn_layer_period", "bias", "block_size", "chunk_size", "classifier_bias"),
        *("conv_kernel", "d_model", "decoder_bias", "decoder_sparse_step", "dim", "do_layer_norm_before"),
        *("enable_bias", "expand", "expansion_ratio", "expert_layer_offset", "expert_layer_period", "ffn_config"),
        *("ffn_dim", "ffn_hidden_size", "first_k_dense_replace", "full_attention_interval"),
        *("global_attn_every_n_layers", "head_dim", "hidden_act", "hidden_dim", "hidden_size"),
        *("interleave_moe_layer_step", "intermediate_size", "intermediate_size_mlp", "kv_lora_rank"),
        *("layer_norm_elementwise_affine", "layer_types", "linear_conv_kernel_dim", "linear_key_head_dim"),
        *("linear_num_key_heads", "linear_num_value_heads", "linear_value_head_dim", "lm_head_bias"),
        *("local_attention", "mamba_chunk_size", "mamba_conv_bias", "mamba_d_conv", "mamba_d_head", "mamba_d_state"),
        *("mamba_dt_rank", "mamba_expand", "mamba_n_groups", "mamba_n_heads", "mamba_proj_bias"),
        *("max_position_embeddings", "max_seq_len", "max_window_layers", "mlp_bias", "mlp_only_layers", "model_type"),
        *("moe_intermediate_size", "moe_layers", "multi_query", "n_embd", "n_embed", "n_groups", "n_head"),
        *("n_head_kv", "n_heads", "n_inner", "n_layer", "n_layers", "n_positions", "n_routed_experts"),
        *("n_shared_experts", "new_decoder_architecture", "no_rope_layer_interval", "no_rope_layers", "norm_bias"),
        *("num_attention_heads", "num_experts", "num_experts_per_tok", "num_heads", "num_hidden_layers"),
        *("num_key_value_heads", "num_kv_heads", "num_layers", "num_ln_in_parallel_attn", "num_local_experts"),
        *("parallel_attn", "q_lora_rank", "qk_layernorm", "qk_nope_head_dim", "qk_rope_head_dim", "qkv_bias"),
        *("shared_expert_intermediate_size", "shared_intermediate_size", "sliding_window", "sliding_window_pattern"),
        *("state_size", "tie_word_embeddings", "time_step_rank", "type_vocab_size", "use_bias", "use_conv_bias"),
        *("use_parallel_residual", "use_qk_norm", "use_qkv_bias", "use_sliding_window", "v_head_dim", "vocab_size"),
        *("window_size", "word_embed_proj_dim"),
        *("kv_n_heads", "moe_num_experts", "moe_top_k", "ffn_act_fn", "name"),
        *("activation", "activation_function", "afn", "alibi", "attn_type", "embedding_size", "ffn_type", "fused_qkv"),
        *("hidden_activation", "layers_block_type", "learned_pos_emb", "no_bias", "norm_type", "pad_token_id"),
        *("qk_gn", "qk_ln", "rope", "sliding_window_size"),
    }
)
"""Every key that the builders in ``architectures/families`` look up (a test compares them), nested ones of dbrx and MPT among them."""
_NESTED = frozenset({"attn_config", "ffn_config", "ffn_act_fn"})
_OF_MPT = frozenset({"alibi", "attn_type", "ffn_type", "fused_qkv", "qk_gn", "qk_ln", "rope", "sliding_window_size"})
_INSIDE = _OF_MPT | {"kv_n_heads", "moe_num_experts", "moe_top_k", "ffn_act_fn", "ffn_hidden_size", "name"}
_ONLY_INSIDE = _INSIDE - {"ffn_hidden_size"}
OWN_KEYS = frozenset(
    {
        *("attn_bias", "elementwise_affine", "head_size", "latent_attention", "mlp_class_name", "model_name"),
        *("n_expert", "n_expert_per_token", "n_query_groups", "n_shared_expert", "norm_1", "norm_2", "norm_class_name"),
        *("norm_qk", "norm_qk_type", "padded_vocab_size", "padding_multiple", "parallel_residual"),
        *("post_attention_norm", "post_mlp_norm", "shared_attention_norm", "sliding_window_indices"),
        *("sliding_window_size", "gelu_approximate", "tie_embeddings", "flavor", "n_kv_head", "sequence_len"),
        *("window_pattern",),
    }
)
"""Keys of the trainers' own models (litgpt, torchtitan, nanochat) that transformers has not."""
_MAX_LIST = 1024
"""No model has more layers than this in a list of their kinds that a config writes out."""
_MAX_DEPTH = 3
_WORD = lazy(r"[\w.-]{1,80}")
_HEADS = lazy(r"\w{1,80}(?:ForCausalLM|LMHeadModel|ForMaskedLM)")


def details_of(values: Mapping[str, Known[Any]], family: Known[str], *, composite: bool = False) -> Quantity[Any]:
    """Return the config of a language model under transformers' keys, or why it is not one.

    Parameters
    ----------
    values : mapping
        The parsed config with the place of every value; null is kept, for some families tell it from an absent key.
    family : Known
        Its ``model_type``.
    composite : bool
        Whether the language model is a part of a larger one, of which it says only a part.
    """
    if composite:
        return Unknown(f"{family.source.place}: the language model is a part of the model that is trained")
    named = values.get("architectures")
    first = named.value[0] if named is not None and isinstance(named.value, list) and named.value else None
    if named is not None and isinstance(first, str) and not _HEADS.fullmatch(first):
        shown = first if _WORD.fullmatch(first) else "another class"
        return Unknown(f"{named.source.place} says {shown}, whose head is not that of a language model")
    keys = MODEL_KEYS - _ONLY_INSIDE - {"model_type"}
    return _carried({key: values[key] for key in keys & values.keys()}, family, "the model's config")


def own_details(values: Mapping[str, Quantity[Any]], family: Known[str], formula: str) -> Quantity[Any]:
    """Return the config of a trainer's own model under the trainer's own keys, or why one of them cannot be taken.

    Parameters
    ----------
    values : mapping
        What the trainer's config says.
    family : Known
        The trainer's name for its model, as `auscult.architectures` has it.
    formula : str
        What the config is.
    """
    said = {key: values[key] for key in (MODEL_KEYS | OWN_KEYS) & values.keys() - {"model_type"}}
    lost = next((quantity for quantity in said.values() if isinstance(quantity, Unknown)), None)
    if lost is not None:
        return lost
    return _carried({key: quantity for key, quantity in said.items() if isinstance(quantity, Known)}, family, formula)


def _carried(values: Mapping[str, Known[Any]], family: Known[str], formula: str) -> Quantity[Any]:
    found = {key: _bounded(quantity.value, 0, nested=key in _NESTED) for key, quantity in sorted(values.items())}
    for key, plain in found.items():
        if plain is _TOO_MUCH:
            return Unknown(f"{values[key].source.place} gives a {key} that is no plain value")
    return known({"model_type": family.value, **found}, formula, family, *values.values())


_TOO_MUCH = object()


def _bounded(value: Any, depth: int, *, nested: bool) -> Any:
    """Return a value that is plain and small, else ``_TOO_MUCH``; of a nested config only the keys that are read."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else _TOO_MUCH
    if isinstance(value, dict) and nested and depth < _MAX_DEPTH:
        inner = {k: _bounded(v, depth + 1, nested=k in _NESTED) for k, v in value.items() if k in _INSIDE}
        return _TOO_MUCH if any(v is _TOO_MUCH for v in inner.values()) else inner
    if isinstance(value, list | tuple) and len(value) <= _MAX_LIST and depth < _MAX_DEPTH:
        items = [_bounded(item, depth + 1, nested=False) for item in value]
        return _TOO_MUCH if any(item is _TOO_MUCH for item in items) else items
    return _TOO_MUCH


_PLAIN: Mapping[str, str] = {
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_kv_head": "num_key_value_heads",
    "d_model": "hidden_size",
    "d_ff": "intermediate_size",
    "vocab_size": "vocab_size",
    "tied": "tie_word_embeddings",
}


def plain_details(found: Mapping[str, Quantity[Any]], family: str, formula: str, **fixed: Any) -> Quantity[Any]:
    """Return the config of a model of transformers that a trainer's own settings amount to.

    Parameters
    ----------
    found : mapping
        Canonical settings (``architecture.n_layer`` …), of which all but biases and context have to be known.
    family : str
        The family of transformers that has the very same parts.
    formula : str
        Why it is that one.
    **fixed
        What else the trainer's model fixes, under transformers' keys: plain, or known from a file.

    Examples
    --------
    >>> plain_details({}, "llama", "a model of the trainer's own")
    Unknown('needs n_layer: nothing gives it')
    """
    config = {"model_type": family, **{k: v.value if isinstance(v, Known) else v for k, v in fixed.items()}}
    used: list[Known[Any]] = [v for v in fixed.values() if isinstance(v, Known)]
    for name, key in _PLAIN.items():
        quantity = found.get(f"architecture.{name}", Unknown("nothing gives it"))
        if isinstance(quantity, Unknown):
            return Unknown(f"needs {name}: {quantity.reason}")
        config[key] = quantity.value
        used.append(quantity)
    return known(config, formula, *used)
