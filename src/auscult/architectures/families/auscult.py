"""auscult's own trainer: GPT-2, a modern decoder, and whatever lies between the two."""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Attention, Block, Linear, Mlp, Model, Norm, Stack, Table
from ..registry import family
from ..settings import MAX_LAYERS, Settings, shown

__all__ = ["auscult"]

_POSITIONS = ("learned", "rope")
_NORMS = ("layernorm", "rmsnorm")
_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_tanh", "relu2": "relu2", "swiglu": "silu"}
SWIGLU_MULTIPLE = 64
"""To which the default inner width of a SwiGLU, 8/3 of the model's, is rounded up."""


@family("auscult")
def auscult(config: Settings) -> Model:
    """Draw the model of a recipe's ``[model]``: its keys, and its defaults where ``family`` is ``modern``.

    All matrices have a bias or none has. RMSNorm has a weight, LayerNorm also a bias where matrices do; the normalisation of
    queries and keys learns nothing. SwiGLU has its gate and its value in one matrix. A head of its own has no bias.

    ``n_layer``, ``n_head``, ``n_kv_head``, ``d_model``, ``d_ff``, ``vocab_size``, ``context`` : int
        As in a recipe; ``n_kv_head`` is ``n_head`` and ``d_ff`` 4 times ``d_model`` (SwiGLU: 8/3, rounded up to 64) by default.
    ``position`` : str
        ``rope``, or ``learned``: a table of ``context`` rows.
    ``norm`` : str
        ``rmsnorm`` or ``layernorm``.
    ``activation`` : str
        ``relu2``, ``swiglu``, ``gelu`` or ``gelu_tanh``.
    ``qk_norm``, ``bias``, ``tied`` : bool
        True, False and False by default.

    References
    ----------
    ``auscult/recipe/settings.py`` and ``auscult/trainer``; Zhang & Sennrich 2019, arXiv:1910.07467 (RMSNorm); Su et al. 2021,
    arXiv:2104.09864 (rotary positions); Shazeer 2020, arXiv:2002.05202 (SwiGLU); So et al. 2021, arXiv:2109.08668 (ReLU²);
    Henry et al. 2020, arXiv:2010.04245 (normalised queries and keys).
    """
    d = config.whole("d_model", default=768)
    n_layer = config.whole("n_layer", default=12, most=MAX_LAYERS)
    n_head = config.whole("n_head", default=12)
    n_kv = config.whole("n_kv_head", default=n_head)
    config.divided(n_head, n_kv, "n_head by n_kv_head")
    width = config.divided(d, n_head, "d_model by n_head")
    vocab = config.whole("vocab_size", default=50304)
    context = config.whole("context", default=1024)
    bias = config.flag("bias", default=False)
    kind = _one_of(config, "norm", "rmsnorm", _NORMS)
    learned = _one_of(config, "position", "rope", _POSITIONS) == "learned"
    norm = Norm(d, "layer", bias=bias) if kind == "layernorm" else Norm(d, "rms")
    of_head = Norm(width, "rms", gain=False)
    attention = Attention(
        *(n_head, n_kv, width, width),
        (Linear("c_attn", d, (n_head + 2 * n_kv) * width, bias), Linear("c_proj", d, d, bias)),
        norms=(of_head, of_head) if config.flag("qk_norm", default=True) else (),
    )
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=context,
        tables=(Table("embedding", vocab, d), *((Table("position", context, d),) if learned else ())),
        stacks=(Stack(Block(attention, _mlp(config, d, bias), (norm, norm)), n_layer),),
        norms=(norm,),
        head=Linear("lm_head", d, vocab),
        tied=config.flag("tied", "tie_word_embeddings", default=False),
    )


def _mlp(config: Settings, d: int, bias: bool) -> Mlp:
    name = _one_of(config, "activation", "relu2", tuple(_ACTIVATIONS))
    gated = name == "swiglu"
    usual = -(-d * 8 // (3 * SWIGLU_MULTIPLE)) * SWIGLU_MULTIPLE if gated else 4 * d
    d_ff = config.whole("d_ff", default=usual)
    inner = Linear("c_fc", d, 2 * d_ff if gated else d_ff, bias)
    return Mlp(d_ff, gated, (inner, Linear("c_proj", d_ff, d, bias)), _ACTIVATIONS[name])


def _one_of(config: Settings, name: str, default: str, choices: tuple[str, ...]) -> str:
    found = config.text(name, default=default)
    if found not in choices:
        raise BadConfig(f"{name} is unknown to auscult's trainer", expected=", ".join(choices), found=shown(found))
    return found
