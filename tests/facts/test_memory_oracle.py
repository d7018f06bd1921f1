"""Saved activations against autograd itself: what torch keeps for backward, over models of transformers and compiled ones.

``torch.autograd.graph.saved_tensors_hooks`` shows every tensor that backward will read. Distinct storages that are neither
weights nor their autocast copies are added up for models of 2 and 4 layers; half the difference is one layer's.

Everything runs on the CPU. What differs from CUDA there is left out of the comparison: LayerNorm's statistics are kept in
bf16 (8 bytes a token here), and autocast leaves some functions in bf16 that CUDA runs in fp32, so the models below that
are compared under autocast use none of these.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.architectures import Attention, Block, Experts, Linear, Mlp, Model, Norm, Stack, Table, build
from auscult.facts.memory import activation_slopes, model_states
from auscult.facts.setup import Optimizer, Precision, Setup

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
    pytest.skip("needs torch and transformers", allow_module_level=True)

import torch
import transformers
from torch import nn
from torch.utils.checkpoint import checkpoint

TOLERANCE = 0.02
"""Statistics of norms, and what a mixture's loop over experts keeps in indices."""
BATCH, CONTEXT, VOCAB = 2, 33, 512  # 66 tokens: no width below is 66 or 33, so that shapes tell tensors apart


@dataclass(frozen=True)
class Shape:
    """Widths of one layer."""

    width: int
    heads: int
    groups: int
    d_ff: int

    @property
    def head(self) -> int:
        """Width of a head."""
        return self.width // self.heads


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def saved_bytes(model: nn.Module, precision: Precision) -> int:
    """Bytes of every distinct storage that backward will read, without weights and their casts."""
    weights = [*model.parameters(), *model.buffers()]
    owned = {weight.untyped_storage().data_ptr() for weight in weights}
    shapes = {tuple(w.shape) for w in weights} | {tuple(reversed(w.shape)) for w in weights}
    kept: dict[int, torch.Tensor] = {}  # holds the tensors, so that no address is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        cast = precision != "bf16" and tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in shapes
        if address not in owned and not cast and tensor.numel():
            kept[address] = tensor
        return tensor

    tokens = torch.randint(0, VOCAB, (BATCH, CONTEXT))
    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if precision.startswith("amp") else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        output = model(input_ids=tokens)
    assert output is not None
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def layer_bytes_per_token(make: Callable[[int], nn.Module], precision: Precision) -> float:
    """Bytes that one more layer keeps of one token."""
    found = []
    for layers in (2, 4):
        model = make(layers).train()
        found.append(saved_bytes(model.bfloat16() if precision == "bf16" else model, precision))
    return (found[1] - found[0]) / 2 / (BATCH * CONTEXT)


def ours(model: Model, precision: Precision, **how: Any) -> float:
    setup = Setup(micro_batch=BATCH, context=CONTEXT, precision=precision, **how)
    slopes = activation_slopes(model, setup)
    return slopes.blocks + slopes.scores * CONTEXT


def drawn(block: Block, width: int, *, positions: bool = False) -> Model:
    tables = (Table("embedding", VOCAB, width), *((Table("position", 64, width),) if positions else ()))
    return Model("test", width, VOCAB, 64, tables, (Stack(block, 1),), (), Linear("lm_head", width, VOCAB), False)


def separate(shape: Shape, **more: Any) -> Attention:
    inner, keys = shape.heads * shape.head, shape.groups * shape.head
    linears = (
        Linear("q_proj", shape.width, inner),
        Linear("k_proj", shape.width, keys),
        Linear("v_proj", shape.width, keys),
        Linear("o_proj", inner, shape.width),
    )
    return Attention(shape.heads, shape.groups, shape.head, shape.head, linears, **more)


def gated(shape: Shape, activation: str = "silu") -> Mlp:
    up = [Linear(name, shape.width, shape.d_ff) for name in ("gate_proj", "up_proj")]
    return Mlp(shape.d_ff, True, (*up, Linear("down_proj", shape.d_ff, shape.width)), activation)


def plain(shape: Shape, activation: str = "gelu") -> Mlp:
    linears = (Linear("c_fc", shape.width, shape.d_ff), Linear("c_proj", shape.d_ff, shape.width))
    return Mlp(shape.d_ff, False, linears, activation)


def rms(width: int) -> Norm:
    return Norm(width, "rms", fused=False)


def joint(shape: Shape) -> Attention:
    linears = (Linear("qkv", shape.width, 3 * shape.width), Linear("out", shape.width, shape.width))
    return Attention(shape.heads, shape.heads, shape.head, shape.head, linears)


def common(shape: Shape, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": shape.width,
        "num_hidden_layers": layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.d_ff,
        "vocab_size": VOCAB,
        "max_position_embeddings": 64,
        "attn_implementation": "sdpa",
        "use_cache": False,
    }


def grouped(shape: Shape, layers: int) -> dict[str, Any]:
    return {**common(shape, layers), "num_key_value_heads": shape.groups, "head_dim": shape.head}


Case = tuple[Callable[[Shape, int], nn.Module], Callable[[Shape], Model]]


def gpt2(shape: Shape, layers: int, activation: str = "gelu", attention: str = "sdpa") -> nn.Module:
    config = transformers.GPT2Config(
        n_embd=shape.width,
        n_layer=layers,
        n_head=shape.heads,
        n_inner=shape.d_ff,
        vocab_size=VOCAB,
        n_positions=64,
        activation_function=activation,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        attn_implementation=attention,
        use_cache=False,
    )
    return transformers.GPT2LMHeadModel(config)  # type: ignore[no-any-return]  # transformers is not followed


def gpt2_drawn(shape: Shape, activation: str = "gelu") -> Model:
    norm = Norm(shape.width, bias=True)
    return drawn(Block(joint(shape), plain(shape, activation), (norm, norm)), shape.width, positions=True)


def llama_drawn(shape: Shape) -> Model:
    return drawn(Block(separate(shape), gated(shape), (rms(shape.width),) * 2), shape.width)


def qwen3_drawn(shape: Shape) -> Model:
    attention = separate(shape, norms=(rms(shape.head), rms(shape.head)))
    return drawn(Block(attention, gated(shape), (rms(shape.width),) * 2), shape.width)


def neox_drawn(shape: Shape) -> Model:
    norm = Norm(shape.width, bias=True)
    return drawn(Block(joint(shape), plain(shape), (norm, norm)), shape.width)


def bert_drawn(shape: Shape) -> Model:
    norm = Norm(shape.width, bias=True)
    attention = separate(replace(shape, groups=shape.heads), causal=False)
    return drawn(Block(attention, plain(shape), (norm, norm)), shape.width, positions=True)


def mixture_drawn(shape: Shape) -> Model:
    experts = Experts(4, 2, gated(shape), Linear("router", shape.width, 4))
    return drawn(Block(separate(shape), experts, (rms(shape.width),) * 2), shape.width)


def gemma3_drawn(shape: Shape) -> Model:
    attention = separate(shape, norms=(rms(shape.head), rms(shape.head)))
    model = drawn(Block(attention, gated(shape, "gelu_tanh"), (rms(shape.width),) * 4), shape.width)
    return replace(model, family="gemma3_text")


QUERY_RANK, KEY_RANK, PLAIN, ROTATED = 48, 40, 24, 8
VALUE = PLAIN + ROTATED  # the CPU's fused attention wants values as wide as queries; CUDA's does not


def latent_drawn(shape: Shape) -> Model:
    heads, width = shape.heads, shape.width
    linears = (
        Linear("q_a_proj", width, QUERY_RANK),
        Linear("q_b_proj", QUERY_RANK, heads * (PLAIN + ROTATED)),
        Linear("kv_a_proj_with_mqa", width, KEY_RANK + ROTATED),
        Linear("kv_b_proj", KEY_RANK, heads * (PLAIN + VALUE)),
        Linear("o_proj", heads * VALUE, width),
    )
    attention = Attention(heads, heads, PLAIN + ROTATED, VALUE, linears, norms=(rms(QUERY_RANK), rms(KEY_RANK)))
    return drawn(Block(attention, gated(shape), (rms(width),) * 2), width)


def latent(shape: Shape, layers: int) -> dict[str, Any]:
    return {
        **common(shape, layers),
        "q_lora_rank": QUERY_RANK,
        "kv_lora_rank": KEY_RANK,
        "qk_nope_head_dim": PLAIN,
        "qk_rope_head_dim": ROTATED,
        "v_head_dim": VALUE,
        "num_key_value_heads": shape.heads,
        "first_k_dense_replace": layers,
    }


def hf(model: str, config: str, keys: Callable[[Shape, int], Mapping[str, Any]]) -> Callable[[Shape, int], nn.Module]:
    def make(shape: Shape, layers: int) -> nn.Module:
        built = getattr(transformers, config)(**keys(shape, layers))
        return getattr(transformers, model)(built)  # type: ignore[no-any-return]  # transformers is not followed

    return make


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CASES: dict[str, Case] = {
    "gpt2": (gpt2, gpt2_drawn),
    "llama": (hf("LlamaForCausalLM", "LlamaConfig", grouped), llama_drawn),
    "qwen3": (hf("Qwen3ForCausalLM", "Qwen3Config", grouped), qwen3_drawn),
    "gpt_neox": (
        hf("GPTNeoXForCausalLM", "GPTNeoXConfig", lambda s, n: {**common(s, n), "use_parallel_residual": False}),
        neox_drawn,
    ),
    "bert": (hf("BertModel", "BertConfig", lambda s, n: {**common(s, n), **NO_DROPOUT}), bert_drawn),
    "gemma3": (hf("Gemma3ForCausalLM", "Gemma3TextConfig", grouped), gemma3_drawn),
    "deepseek_v3": (hf("DeepseekV3ForCausalLM", "DeepseekV3Config", latent), latent_drawn),
    "mixtral": (
        hf(
            "MixtralForCausalLM",
            "MixtralConfig",
            lambda s, n: {**grouped(s, n), "num_local_experts": 4, "num_experts_per_tok": 2},
        ),
        mixture_drawn,
    ),
}
SHAPES = (Shape(128, 4, 2, 352), Shape(192, 6, 6, 320))


PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "amp_bf16")
NOT_CAST = {"mixtral": "the CPU's autocast leaves torch._grouped_mm in fp32"}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        (name, precision)
        for name in CASES
        for precision in PRECISIONS
        if precision != "amp_bf16" or name not in NOT_CAST
    ],
)
def test_a_layer_keeps_what_autograd_keeps(name: str, precision: Precision, shape: Shape) -> None:
    """One more layer of a model of transformers keeps what the list of tensors says, within 2 %."""
    make, draw = CASES[name]
    measured = layer_bytes_per_token(lambda layers: make(shape, layers), precision)
    assert ours(draw(shape), precision) == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_stands_outside_the_layers(precision: Precision) -> None:
    """The final norm keeps its input, the head what it reads, and the embedding its tokens: beside the layers, nothing else.

    The estimate counts targets as well, and the model here has a position for each token of one sequence: 8 bytes each.
    """
    shape = SHAPES[0]
    model = gpt2(shape, 2).train()
    total = saved_bytes(model.bfloat16() if precision == "bf16" else model, precision) / (BATCH * CONTEXT)
    layer = layer_bytes_per_token(lambda layers: gpt2(shape, layers), precision)
    final = replace(gpt2_drawn(shape), norms=(Norm(shape.width, bias=True),))
    ends = activation_slopes(final, Setup(micro_batch=BATCH, context=CONTEXT, precision=precision)).ends
    assert ends == pytest.approx(total - 2 * layer, abs=16)


OPTIMIZERS: dict[Optimizer, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.1),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1),
    "adafactor": lambda weights: torch.optim.Adafactor(weights, lr=0.1),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [*OPTIMIZERS, "muon"])
def test_optimiser_states_are_those_of_torch(name: Optimizer, precision: Precision) -> None:
    """The states that torch's own optimisers hold after a step, counters left out, are what is estimated."""
    shape = SHAPES[0]
    module = gpt2(shape, 2)
    module = module.bfloat16() if precision == "bf16" else module
    module(input_ids=torch.randint(0, VOCAB, (BATCH, CONTEXT))).logits.float().sum().backward()
    weights = [*module.parameters()]
    if name == "muon":
        hidden = [w for key, w in module.named_parameters() if w.ndim == 2 and ".h." in key]
        chosen = {id(weight) for weight in hidden}
        others = [weight for weight in weights if id(weight) not in chosen]
        optimizers = [torch.optim.Muon(hidden, lr=0.1), torch.optim.AdamW(others, lr=0.1)]
    else:
        optimizers = [OPTIMIZERS[name](weights)]
    held = 0
    for optimizer in optimizers:
        optimizer.step()
        tensors = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
        held += sum(t.nbytes for t in tensors if t.numel() > 1)
    config = {"model_type": "gpt2", "n_embd": shape.width, "n_layer": 2, "n_head": shape.heads, "n_inner": shape.d_ff}
    model = build({**config, "vocab_size": VOCAB, "n_positions": 64})
    setup = Setup(micro_batch=1, context=8, precision=precision, optimizer=name)
    found = model_states(model, setup)
    assert found.weights == sum(weight.nbytes for weight in weights)
    assert found.optimizer == pytest.approx(held, rel=0.001)


@settings(database=None, derandomize=True, deadline=None, max_examples=12)
@given(
    name=st.sampled_from(["gpt2", "llama", "qwen3"]),
    precision=st.sampled_from(PRECISIONS),
    head=st.sampled_from([16, 40, 64]),
    groups=st.integers(1, 3),
    queries=st.integers(1, 3),
    d_ff=st.integers(10, 60).map(lambda k: 8 * k + 4),
)
def test_any_shape(name: str, precision: Precision, head: int, groups: int, queries: int, d_ff: int) -> None:
    """The list of tensors holds for heads, groups and widths of any size."""
    shape = Shape(head * groups * queries, groups * queries, groups, d_ff)
    make, draw = CASES[name]
    measured = layer_bytes_per_token(lambda layers: make(shape, layers), precision)
    assert ours(draw(shape), precision) == pytest.approx(measured, rel=TOLERANCE, abs=24)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gelu_written_out_keeps_five_copies(precision: Precision) -> None:
    """GPT-2's own ``gelu_new`` keeps three tensors more of the inner width than the fused function."""
    shape = SHAPES[0]
    measured = layer_bytes_per_token(lambda layers: gpt2(shape, layers, "gelu_new"), precision)
    assert ours(gpt2_drawn(shape, "gelu_new"), precision) == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_attention_that_is_not_fused_keeps_its_scores(precision: Precision, shape: Shape) -> None:
    """Eager attention keeps the softmax in fp32 and its cast, and keys and values repeated for every head."""
    keys = hf("LlamaForCausalLM", "LlamaConfig", lambda s, n: {**grouped(s, n), "attn_implementation": "eager"})
    measured = layer_bytes_per_token(lambda layers: keys(shape, layers), precision)
    assert ours(llama_drawn(shape), precision, flash=False) == pytest.approx(measured, rel=TOLERANCE)


class Adapted(nn.Module):
    """A frozen matrix with a low-rank update (Hu et al. 2021)."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the update to the frozen product."""
        found: torch.Tensor = self.base(x) + 2.0 * self.up(self.down(x))
        return found


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("o_proj", "down_proj"), ("gate_proj",)], ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_adapters_keep_only_what_they_read(precision: Precision, targets: tuple[str, ...]) -> None:
    """Frozen matrices keep no inputs, and frozen gains no normalised values; adapters keep theirs."""
    shape, rank = SHAPES[0], 8

    def make(layers: int) -> nn.Module:
        model = CASES["llama"][0](shape, layers).requires_grad_(requires_grad=False)
        # The embedding's result must need a gradient for the first layer to count like the others.
        model.get_input_embeddings().requires_grad_(requires_grad=True)  # type: ignore[operator]  # transformers has no types
        for module in list(model.modules()):
            for name in targets:
                child = getattr(module, name, None)
                if isinstance(child, nn.Linear):
                    setattr(module, name, Adapted(child, rank))
        return model

    measured = layer_bytes_per_token(make, precision)
    found = ours(llama_drawn(shape), precision, lora_rank=rank, lora_targets=targets)
    assert found == pytest.approx(measured, rel=TOLERANCE)


class Normal(nn.Module):
    """RMSNorm written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise in fp32, as transformers does."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        found: torch.Tensor = self.weight * wide.to(x.dtype)
        return found


class Layer(nn.Module):
    """A layer as a trainer would write it, gated (Llama) or not (nanoGPT), that casts as CUDA's autocast does."""

    def __init__(self, shape: Shape, gated: bool, autocast: bool) -> None:
        super().__init__()
        self.shape, self.gated, self.autocast = shape, gated, autocast
        norm = Normal if gated else nn.LayerNorm
        self.before, self.between = norm(shape.width), norm(shape.width)
        inner, keys = shape.heads * shape.head, shape.groups * shape.head
        self.qkv = nn.ModuleList(nn.Linear(shape.width, d, bias=False) for d in (inner, keys, keys))
        self.out = nn.Linear(inner, shape.width, bias=False)
        self.gate = nn.Linear(shape.width, shape.d_ff, bias=False)
        self.up = nn.Linear(shape.width, shape.d_ff, bias=False) if gated else None
        self.down = nn.Linear(shape.d_ff, shape.width, bias=False)

    def times(self, linear: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Multiply, casting both sides where autocast would."""
        assert isinstance(linear, nn.Linear)
        return nn.functional.linear(x.bfloat16(), linear.weight.bfloat16()) if self.autocast else linear(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add attention and the feed-forward part to the stream."""
        batch, context, _ = x.shape
        h = self.before(x)
        q, k, v = (
            self.times(linear, h).view(batch, context, -1, self.shape.head).transpose(1, 2) for linear in self.qkv
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.times(self.out, y.transpose(1, 2).reshape(batch, context, -1))
        h = self.between(x)
        inside = self.times(self.gate, h)
        inside = nn.functional.gelu(inside) if self.up is None else nn.functional.silu(inside) * self.times(self.up, h)
        return x + self.times(self.down, inside)


class Trained(nn.Module):
    """An embedding, layers, and a head with a loss."""

    def __init__(self, shape: Shape, layers: int, gated: bool, autocast: bool, checkpointed: bool = False) -> None:
        super().__init__()
        self.checkpointed = checkpointed
        self.embedding = nn.Embedding(VOCAB, shape.width)
        self.layers = nn.ModuleList(Layer(shape, gated, autocast) for _ in range(layers))
        self.head = nn.Linear(shape.width, VOCAB, bias=False)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return a loss."""
        x = self.embedding(input_ids)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=True) if self.checkpointed else layer(x)
        loss: torch.Tensor = self.head(x.to(self.head.weight.dtype)).float().logsumexp(-1).mean()
        return loss


@pytest.mark.parametrize("precision", PRECISIONS)
def test_full_checkpointing_keeps_the_input_of_a_layer(precision: Precision) -> None:
    """With every layer checkpointed, one more layer keeps one value of the residual stream for each of its widths."""
    shape = SHAPES[0]
    setup = Setup(micro_batch=BATCH, context=CONTEXT, precision=precision, checkpointing="full")
    measured = layer_bytes_per_token(
        lambda layers: Trained(shape, layers, True, precision == "amp_bf16", checkpointed=True),
        "bf16" if precision == "bf16" else "fp32",  # casts are the layer's own, not autocast's
    )
    assert activation_slopes(llama_drawn(shape), setup).inputs == pytest.approx(measured, rel=TOLERANCE)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("is_gated", [False, True], ids=["gelu", "silu gated"])
def test_a_compiled_layer_keeps_what_the_partitioner_keeps(is_gated: bool, precision: Precision) -> None:
    """Compiled, the min-cut partitioner keeps the lists of tensors of a compiled layer, within 2 %.

    The partitioner is the one before every backend; what Inductor makes of the graph on a GPU is not seen here.
    """
    shape = SHAPES[0]

    def make(layers: int) -> nn.Module:
        model = Trained(shape, layers, is_gated, precision == "amp_bf16")
        if precision == "bf16":
            model = model.bfloat16()
        compiled = torch.compile(model, backend="aot_eager_decomp_partition")
        compiled(input_ids=torch.randint(0, VOCAB, (BATCH, CONTEXT)))  # the first call compiles, outside any hook
        assert isinstance(compiled, nn.Module)
        return compiled

    norm = rms(shape.width) if is_gated else Norm(shape.width, bias=True)
    mlp = gated(shape) if is_gated else plain(shape)
    model = drawn(Block(separate(shape), mlp, (norm, norm)), shape.width)
    torch._dynamo.reset()
    seen: Precision = "fp32" if precision == "amp_bf16" else precision  # casts are the layer's own, not autocast's
    measured = layer_bytes_per_token(make, seen)
    assert ours(model, precision, compiled=True) == pytest.approx(measured, rel=TOLERANCE)
