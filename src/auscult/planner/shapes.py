"""Architectures of a size that is asked for: published shapes where one is near, else aligned ones of usual proportions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..architectures import build
from ..errors import UsageError
from ..facts.parameters import count_parameters
from .published import PUBLISHED

__all__ = ["family_choices", "like", "pad_vocabulary", "published_names", "shapes_for"]

VOCABULARY_MULTIPLE = 64
"""Rows of the embedding are padded to it: 64 values of 16 bits are the 128 bytes that an A100's tensor cores want aligned
(NVIDIA, "Matrix Multiplication Background User's Guide"); nanoGPT pads 50,257 to 50,304."""
MLP_MULTIPLE = 256
"""A gated MLP of 8/3 of the width is rounded up to it, as in Llama (Touvron et al. 2023, ``multiple_of``)."""
NEAR_ENOUGH = 0.03
"""A published shape within this share of the size asked for is offered first."""
SLIMMEST, WIDEST = 19.0, 144.0
"""Width over layers of published dense models: SmolLM2-135M has 19, Pythia-12B 142. Loss is nearly flat in it: within 3 %
over a factor of 40 (Kaplan et al. 2020, arXiv:2001.08361, figure 5)."""
USUAL, USUAL_OF_LARGE = 64.0, 128.0
"""Width over layers of GPT-2 small, GPT-3 125M, Pythia-160M; and of GPT-3 13B, Llama 7B, Llama 3 8B."""
SMALL, LARGE = 1e9, 7e9
"""Between these sizes the usual proportion doubles [parameters]."""
NARROW = 2048
"""Narrower models have heads of 64, as GPT-2 and Llama 3.2 1B; from here on of 128, as Llama and GPT-3 6.7B."""
TIED_BELOW = 5e9
"""Llama 3.2, SmolLM2 and Qwen3 share the table with the head up to 4B, and not from 7B on [parameters]."""
SHARED_BY = (4, 3, 2)
"""Query heads to a key and value head: four in Llama 3, three in SmolLM2-135M; two in Qwen3 0.6B."""
MOST_SHAPES = 6
MOST_LAYERS = 256
"""More than the widest width drawn needs; the deepest published dense model here has 126."""
LEAST_SIZE, MOST_SIZE = 1, 10**13


@dataclass(frozen=True, slots=True)
class _Family:
    """How a family's shapes are drawn: its default vocabulary and context, and a config from layers and width."""

    vocab_size: int
    context: int
    head_dim: int | None
    draw: Callable[[_Drawn], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The numbers that a family's config is drawn from."""

    n_layer: int
    width: int
    head_dim: int
    vocab_size: int
    context: int
    tied: bool

    @property
    def n_head(self) -> int:
        return self.width // self.head_dim

    @property
    def n_kv_head(self) -> int:
        return next((self.n_head // share for share in SHARED_BY if self.n_head % share == 0), self.n_head)

    def gated(self, model_type: str, **more: Any) -> Mapping[str, Any]:
        """Return a config with the keys that Llama's descendants share."""
        inner = math.ceil(8 * self.width / 3 / MLP_MULTIPLE) * MLP_MULTIPLE
        return {
            "model_type": model_type,
            "num_hidden_layers": self.n_layer,
            "num_attention_heads": self.n_head,
            "num_key_value_heads": self.n_kv_head,
            "hidden_size": self.width,
            "intermediate_size": inner,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.context,
            "tie_word_embeddings": self.tied,
            **more,
        }


def _gpt2(drawn: _Drawn) -> Mapping[str, Any]:
    return {
        "model_type": "gpt2",
        "n_layer": drawn.n_layer,
        "n_head": drawn.n_head,
        "n_embd": drawn.width,
        "vocab_size": drawn.vocab_size,
        "n_positions": drawn.context,
    }


def _gpt_neox(drawn: _Drawn) -> Mapping[str, Any]:
    return {
        "model_type": "gpt_neox",
        "num_hidden_layers": drawn.n_layer,
        "num_attention_heads": drawn.n_head,
        "hidden_size": drawn.width,
        "intermediate_size": 4 * drawn.width,
        "vocab_size": drawn.vocab_size,
        "max_position_embeddings": drawn.context,
        "rotary_pct": 0.25,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
    }


_FAMILIES: Mapping[str, _Family] = {
    "gpt2": _Family(50_304, 1024, None, _gpt2),
    "gpt_neox": _Family(50_304, 2048, None, _gpt_neox),
    "llama": _Family(32_000, 2048, None, lambda drawn: drawn.gated("llama")),
    "mistral": _Family(32_000, 4096, None, lambda drawn: drawn.gated("mistral", sliding_window=None)),
    "qwen2": _Family(151_936, 4096, None, lambda drawn: drawn.gated("qwen2")),
    "qwen3": _Family(151_936, 4096, 128, lambda drawn: drawn.gated("qwen3", head_dim=128)),
    "olmo2": _Family(100_352, 4096, None, lambda drawn: drawn.gated("olmo2", num_key_value_heads=drawn.n_head)),
}
"""Vocabulary and context are those of GPT-2 (padded), Pythia, Llama 2 and TinyLlama, Mistral, Qwen2.5, Qwen3 and OLMo 2."""


def family_choices() -> tuple[str, ...]:
    """Return the families whose shapes can be drawn for a size."""
    return tuple(_FAMILIES)


def published_names() -> tuple[str, ...]:
    """Return the names that :func:`like` knows."""
    return tuple(PUBLISHED)


def pad_vocabulary(vocab_size: int) -> int:
    """Return a vocabulary rounded up to whole tiles of a matrix multiplication [rows].

    Examples
    --------
    >>> pad_vocabulary(50_257), pad_vocabulary(50_304)
    (50304, 50304)
    """
    return math.ceil(vocab_size / VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def like(name: str) -> Mapping[str, Any]:
    """Return the architecture of a published model, keys as in transformers.

    Parameters
    ----------
    name : str
        ``gpt2-medium``, ``meta-llama/Llama-3.2-1B``, ``pythia 410m``: case, owner, and the marks between words do not count.

    Raises
    ------
    UsageError
        When no model of that name is known; those with the nearest names are suggested.

    Notes
    -----
    For training from scratch: the stretching of rotary positions to longer sequences, done after training, is left out.

    Examples
    --------
    >>> like("GPT2-Medium")["n_layer"], like("HuggingFaceTB/SmolLM2-135M")["hidden_size"]
    (24, 576)
    """
    wanted = _plain(name)
    for known, config in PUBLISHED.items():
        if wanted == _plain(known):
            return dict(config)
    import difflib  # only needed to help

    plain = {_plain(known): known for known in PUBLISHED}
    near = [plain[match] for match in difflib.get_close_matches(wanted, plain, n=4, cutoff=0.55)]
    hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(PUBLISHED)}."
    raise UsageError(f"--like: no published shape is known as {name[:80]!r}. Next: {hint}")


def _plain(name: str) -> str:
    short = name.strip().lower().rpartition("/")[2]
    for ending in ("-hf", "-deduped", "-base"):
        short = short.removesuffix(ending)
    return "".join(letter for letter in short if letter.isalnum() or letter == ".")


def shapes_for(
    parameters: int, *, family: str = "gpt2", vocab_size: int | None = None, context: int | None = None
) -> list[Mapping[str, Any]]:
    """Return architectures of about a size, the most fitting first.

    Parameters
    ----------
    parameters : int
        The size wanted, every parameter counted, tied tables once [parameters].
    family : str
        One of :func:`family_choices`.
    vocab_size : int, optional
        Of the tokenizer; it is padded. The family's usual one where it is not given.
    context : int, optional
        Longest sequence [tokens]; the family's usual one where it is not given.

    Returns
    -------
    list of mapping
        At least one. First a published shape within 3 %, at this vocabulary and context; then by how near size and
        proportions are. Where the table alone is larger than the size wanted, the smallest model there is: look at its
        count.

    Raises
    ------
    UsageError
        When the family cannot be drawn, or a number is out of all proportion.

    Notes
    -----
    Widths are multiples of 64 up to 1,024 and of 128 or 256 above; heads are 64 or 128 wide. A width's count is affine in
    the layers, so that each width has one best depth. Ranked by relative error over 3 %, plus the octaves between width
    over layers and what is usual at the size.

    References
    ----------
    Kaplan et al. 2020, arXiv:2001.08361, figure 5 (the loss is nearly flat in width over layers); published shapes in
    ``published.py``; NVIDIA, "Matrix Multiplication Background User's Guide" (multiples of 64).

    Examples
    --------
    >>> first = shapes_for(124_000_000)[0]
    >>> first["n_layer"], first["n_embd"], first["vocab_size"]
    (12, 768, 50304)
    """
    drawer = _FAMILIES.get(family)
    if drawer is None:
        raise UsageError(
            f"--family: no shapes of {family[:80]!r} are drawn. Next: choose one of {', '.join(_FAMILIES)}, or name a model"
            " with --like."
        )
    if not LEAST_SIZE <= parameters <= MOST_SIZE:
        raise UsageError(f"--params: expected a model of 1 to 10T parameters, found {parameters:,}.")
    rows, length = pad_vocabulary(vocab_size or drawer.vocab_size), context or drawer.context
    if rows < 1 or length < 1:
        raise UsageError("a vocabulary and a context are at least 1.")
    published = _published_near(parameters, family, rows, length)
    tied = parameters < TIED_BELOW
    drawn = sorted(_candidates(parameters, family, rows, length, tied), key=lambda item: item[0])
    found: list[Mapping[str, Any]] = []
    seen: set[tuple[object, ...]] = set()
    for config in (*published, *(config for _cost, config in drawn)):
        shape = tuple(config.get(key) for key in ("n_layer", "n_embd", "num_hidden_layers", "hidden_size"))
        if shape not in seen:
            seen.add(shape)
            found.append(config)
    return found[:MOST_SHAPES]


def _published_near(parameters: int, family: str, vocab_size: int, context: int) -> list[Mapping[str, Any]]:
    """Return published shapes of a family that are of about a size with another vocabulary and context, nearest first."""
    near = []
    for name, config in PUBLISHED.items():
        if config["model_type"] == family:
            count = _published_count(name, vocab_size, context)
            error = abs(count / parameters - 1)
            if error <= NEAR_ENOUGH:
                near.append((error, name))
    return [_at(PUBLISHED[name], vocab_size, context) for _error, name in sorted(near)]


def _at(config: Mapping[str, Any], vocab_size: int, context: int) -> Mapping[str, Any]:
    positions = "n_positions" if "n_positions" in config else "max_position_embeddings"
    return {**config, "vocab_size": vocab_size, positions: context}


@functools.lru_cache(maxsize=1024)
def _published_count(name: str, vocab_size: int, context: int) -> int:
    return count_parameters(build(_at(PUBLISHED[name], vocab_size, context))).total


def _candidates(
    parameters: int, family: str, vocab_size: int, context: int, tied: bool
) -> list[tuple[float, Mapping[str, Any]]]:
    """Return a config for each width whose proportions models have, with how ill it fits."""
    usual = _usual_aspect(parameters)
    found: list[tuple[float, Mapping[str, Any]]] = []
    for width in _widths(family):
        outside, layer = _affine(family, width, vocab_size, context, tied)
        fewest, most = max(1, math.ceil(width / WIDEST)), min(MOST_LAYERS, math.floor(width / SLIMMEST))
        n_layer = min(max(round((parameters - outside) / layer), fewest), most)
        error = abs((outside + n_layer * layer) / parameters - 1)
        cost = error / NEAR_ENOUGH + abs(math.log2(width / n_layer / usual))
        found.append((cost, _draw(family, n_layer, width, vocab_size, context, tied)))
        if outside + fewest * layer > 2 * parameters:
            break
    return found


def _usual_aspect(parameters: float) -> float:
    """Return the width over layers that models of a size usually have."""
    share = math.log(parameters / SMALL) / math.log(LARGE / SMALL)
    return USUAL * math.pow(USUAL_OF_LARGE / USUAL, min(1.0, max(0.0, share)))


@functools.cache
def _widths(family: str) -> tuple[int, ...]:
    least = _FAMILIES[family].head_dim or 64
    steps = ((least, 1024, max(64, least)), (1024, 4096, 128), (4096, 32_768, 256))
    return tuple(width for low, high, step in steps for width in range(low, high, step))


def _draw(family: str, n_layer: int, width: int, vocab_size: int, context: int, tied: bool) -> Mapping[str, Any]:
    kind = _FAMILIES[family]
    head_dim = kind.head_dim or (64 if width < NARROW else 128)
    return kind.draw(_Drawn(n_layer, width, head_dim, vocab_size, context, tied))


@functools.lru_cache(maxsize=8192)
def _affine(family: str, width: int, vocab_size: int, context: int, tied: bool) -> tuple[int, int]:
    """Return the parameters outside the layers and of each layer, of models of a width."""
    one, two = (count_parameters(build(_draw(family, n, width, vocab_size, context, tied))).total for n in (1, 2))
    return 2 * one - two, two - one
