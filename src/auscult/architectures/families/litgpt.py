"""litgpt's own GPT, from the keys of its ``Config`` or the name of a model that it knows."""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Attention, Block, Experts, Linear, Mlp, Model, Norm, Table
from ..registry import family
from ..settings import MAX_LAYERS, MAX_SIZE, Settings, shown
from .litgpt_names import MODELS
from .parts import active_experts, stacked

__all__ = ["litgpt"]

_MLPS = ("GptNeoxMLP", "LLaMAMLP", "GemmaMLP", "LLaMAMoE")


@family("litgpt")
def litgpt(config: Settings) -> Model:
    """Draw litgpt's GPT.

    ``name`` (or ``model_name``) may be one that litgpt knows; keys beside it override that model's. The head has a matrix of
    its own even for models whose authors tie it, unless ``tie_embeddings`` is set, as in litgpt. Queries, keys and values are
    one matrix in litgpt; they are drawn as ``query``, ``key`` and ``value``, and the output of attention as ``projection``,
    because litgpt puts an adapter on each of them apart (``lora_query`` …), and so adapters count as it counts them. Its
    ``lora_mlp`` is every matrix of the MLP: ``fc``, ``fc_1``, ``fc_2`` and ``proj``.

    References
    ----------
    Lightning-AI/litgpt 0.5.13: ``config.py`` ``Config``, ``model.py`` ``GPT``, ``lora.py`` ``LoRAQKVLinear``.
    """
    config = _with_name(config)
    if "latent_attention" in config:
        raise BadConfig("litgpt's latent attention is not drawn", hint="give the model as deepseek_v3")
    d = config.whole("n_embd", default=4096)
    n_layer = config.whole("n_layer", default=16, most=MAX_LAYERS)
    part, dense = _feed_forward(config, d)
    norm = _norm(config, d)
    block_norms = _block_norms(config, norm)
    first = config.whole("first_k_dense_replace", default=0, least=0)
    windows = _windows(config, n_layer)

    def draw(kind: tuple[int | None, bool]) -> Block:
        window, is_dense = kind
        return Block(_attention(config, d, window), dense if is_dense else part, block_norms)

    vocab = _padded_vocabulary(config)
    tied = config.flag("tie_embeddings", "tie_word_embeddings", default=False)
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=config.whole("block_size", default=4096),
        tables=(Table("embedding", vocab, d),),
        stacks=stacked(((windows[i], i < first) for i in range(n_layer)), draw),
        norms=(norm,),
        head=Linear("lm_head", d, vocab, config.flag("lm_head_bias", default=False)),
        tied=tied,
    )


def _with_name(config: Settings) -> Settings:
    """Return the settings over those of the model that is named, where litgpt's table has it."""
    name = config.text("model_name", "name", default="")
    if name in MODELS:
        return config.over(MODELS[name])
    if name and "n_embd" not in config:
        raise BadConfig(
            f"litgpt's model {name[:80]!r} is not among those known", hint="give its keys: n_layer, n_embd, n_head …"
        )
    return config


def _padded_vocabulary(config: Settings) -> int:
    padded = config.whole_or_none("padded_vocab_size")
    multiple = config.whole("padding_multiple", default=512)
    return padded or -(-config.whole("vocab_size", default=50254) // multiple) * multiple


def _norm(config: Settings, width: int) -> Norm:
    kind = config.text("norm_class_name", default="LayerNorm")
    if kind == "RMSNorm":
        return Norm(width, "rms", fused=False)
    if kind != "LayerNorm":
        raise BadConfig("norm_class_name is unknown", expected="LayerNorm or RMSNorm", found=shown(kind))
    learns = config.flag("elementwise_affine", default=True)  # OLMo's have nothing to learn
    return Norm(width, gain=learns, bias=learns)


def _block_norms(config: Settings, norm: Norm) -> tuple[Norm, ...]:
    shared = config.flag("shared_attention_norm", default=False)
    if shared and not config.flag("parallel_residual", default=True):
        raise BadConfig("shared_attention_norm needs parallel_residual", hint="litgpt refuses this too")
    present = (
        config.flag("norm_1", default=True),
        config.flag("norm_2", default=True) and not shared,
        config.flag("post_attention_norm", default=False),
        config.flag("post_mlp_norm", default=False),
    )
    return (norm,) * sum(present)


def _windows(config: Settings, n_layer: int) -> list[int | None]:
    """Return each layer's window: in all layers where no marks say which."""
    size = config.whole_or_none("sliding_window_size")
    marks = config.list("sliding_window_indices")
    if marks is None and "sliding_window_indices" in config:
        raise BadConfig("sliding_window_indices is no list", expected=f"{n_layer} times 0 or 1")
    if size is None:
        return [None] * n_layer
    marks = [1] * n_layer if marks is None else marks
    if len(marks) < n_layer or any(mark not in (0, 1) for mark in marks):
        raise BadConfig("sliding_window_indices does not mark every layer", expected=f"{n_layer} times 0 or 1")
    return [size if mark else None for mark in marks[:n_layer]]


def _attention(config: Settings, d: int, window: int | None) -> Attention:
    n_head = config.whole("n_head", default=32)
    groups = config.whole("n_query_groups", default=n_head)
    config.divided(n_head, groups, "n_head by n_query_groups")
    width = config.whole_or_none("head_size") or config.divided(d, n_head, "n_embd by n_head")
    bias = config.flag("bias", default=True)
    fused = bias or config.flag("attn_bias", default=False)
    norms: tuple[Norm, ...] = ()
    if config.flag("norm_qk", default=False):
        whole = config.text("norm_qk_type", default="default") == "olmo2"
        norms = (_norm(config, width * (n_head if whole else 1)), _norm(config, width * (groups if whole else 1)))
    return Attention(
        *(n_head, groups, width, width),
        (
            Linear("query", d, n_head * width, fused),
            Linear("key", d, groups * width, fused),
            Linear("value", d, groups * width, fused),
            Linear("projection", n_head * width, d, bias),
        ),
        norms=norms,
        window=window,
    )


def _feed_forward(config: Settings, d: int) -> tuple[Mlp | Experts, Mlp]:
    """Return the feed-forward part, and the dense one of the first layers of a mixture."""
    kind = config.text("mlp_class_name", default="GptNeoxMLP")
    if kind not in _MLPS:
        raise BadConfig("mlp_class_name is unknown", expected=", ".join(_MLPS), found=shown(kind))
    bias = config.flag("bias", default=True)
    d_ff = config.whole_or_none("intermediate_size")
    if d_ff is None and kind == "LLaMAMLP":
        raise BadConfig("a LLaMAMLP needs intermediate_size", hint="add intermediate_size")
    d_ff = d_ff or min(4 * d, MAX_SIZE)
    gelu = "gelu_tanh" if config.text("gelu_approximate", default="none") == "tanh" else "gelu"
    if kind == "GptNeoxMLP":
        plain = Mlp(d_ff, False, (Linear("fc", d, d_ff, bias), Linear("proj", d_ff, d, bias)), gelu)
        return plain, plain
    activation = gelu if kind == "GemmaMLP" else "silu"
    dense = _gated(d, d_ff, activation, bias)
    if kind != "LLaMAMoE":
        return dense, dense
    count = config.whole("n_expert", default=None)
    active = active_experts(config, "n_expert_per_token", count)
    narrow = config.whole_or_none("moe_intermediate_size")
    shared = config.whole_or_none("n_shared_expert", least=0)
    if shared and narrow is None:
        raise BadConfig("n_shared_expert needs moe_intermediate_size", hint="add moe_intermediate_size")
    always = _gated(d, narrow * shared, "silu", bias) if shared and narrow else None
    expert = _gated(d, narrow or d_ff, "silu", bias)
    return Experts(count, active, expert, Linear("gate", d, count), shared=always), dense


def _gated(d: int, d_ff: int, activation: str, bias: bool) -> Mlp:
    linears = (Linear("fc_1", d, d_ff, bias), Linear("fc_2", d, d_ff, bias), Linear("proj", d_ff, d, bias))
    return Mlp(d_ff, True, linears, activation)
