"""FLOPs against torch's own counter, run over transformers' models, forward and backward apart.

The counter counts matrix multiplications. Attention runs in ``eager``: torch 2.13 counts nothing for the flash kernel on a
CPU (pytorch #195460). Shapes are random and tiny, so that a term left out is far from lost in the total.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from torch.utils.flop_counter import FlopCounterMode

from auscult.architectures import Linear, Ssm, build
from auscult.facts.flops import count_flops
from drawn_models import drawn

BATCH = 2
MASKED = ("bert", "roberta", "distilbert", "modernbert")
GROUPED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "olmo2", "stablelm")
MIXTURES = ("mixtral", "qwen3_moe", "olmoe", "deepseek_v3")
FAMILIES = (
    *("gpt2", "gpt_neox", "falcon", "bloom", "mpt", "opt", "phi"),
    *GROUPED,
    *MASKED,
    *MIXTURES,
)
SHAPES_EACH = 2


def random_config(family: str, rng: random.Random) -> dict[str, Any]:
    """Return a tiny config of a family in transformers' keys; heads are multiples of 8 wide, for partial rotary embeddings."""
    kv, group, head = rng.choice((1, 2)), rng.choice((1, 2, 3)), 8 * rng.choice((1, 2))
    heads, layers = kv * group, rng.randint(1, 4)
    width, ffn = heads * head, rng.randint(20, 90)
    vocab, longest = rng.randint(40, 200), 64
    config: dict[str, Any] = {
        "model_type": family,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "max_position_embeddings": longest,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    if family in GROUPED + MIXTURES:
        config |= {"num_key_value_heads": kv}
    if family in ("qwen3", "gemma", "gemma2", "qwen3_moe"):
        config |= {"head_dim": head + 8}
    match family:
        case "gpt2":
            names = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_inner": ffn, "n_positions": longest}
        case "bloom":
            names = {"hidden_size": width, "n_layer": layers, "n_head": heads}
        case "mpt":
            names = {"d_model": width, "n_layers": layers, "n_heads": heads, "max_seq_len": longest}
        case "distilbert":
            names = {"dim": width, "n_layers": layers, "n_heads": heads, "hidden_dim": ffn}
        case "opt":
            return config | {"ffn_dim": ffn, "word_embed_proj_dim": rng.choice((width, 12))}
        case "roberta":
            return config | {"max_position_embeddings": longest + 2}
        case "modernbert":
            return config | {"cls_token_id": 1, "sep_token_id": 2, "global_attn_every_n_layers": 2}
        case "mixtral":
            return config | {"num_local_experts": 5, "num_experts_per_tok": rng.randint(1, 3), "sliding_window": None}
        case "qwen3_moe" | "olmoe":
            return config | {"num_experts": 5, "num_experts_per_tok": rng.randint(1, 3), "moe_intermediate_size": 12}
        case "deepseek_v3":
            return config | {
                "num_key_value_heads": heads,
                "q_lora_rank": rng.choice((None, 20)),
                "kv_lora_rank": 16,
                "qk_nope_head_dim": 8,
                "qk_rope_head_dim": 4,
                "v_head_dim": 10,
                "n_routed_experts": 8,
                "num_experts_per_tok": 2,
                "n_group": 2,
                "topk_group": 1,
                "first_k_dense_replace": 1,
                "moe_intermediate_size": 24,
                "n_shared_experts": rng.randint(1, 2),
            }
        case _:
            return config
    return {"model_type": family, "vocab_size": vocab, "bos_token_id": 1, "eos_token_id": 2} | names


def transformers_model(config: dict[str, Any]) -> nn.Module:
    family = config["model_type"]
    settings = transformers.AutoConfig.for_model(family, **{k: v for k, v in config.items() if k != "model_type"})
    settings.use_cache = False  # a cache would grow once more when a layer is computed again
    auto = transformers.AutoModelForMaskedLM if family in MASKED else transformers.AutoModelForCausalLM
    how = {"attn_implementation": "eager"} | ({"experts_implementation": "eager"} if family in MIXTURES else {})
    torch.manual_seed(0)
    model: nn.Module = auto.from_config(settings, **how)
    return model.train()


def counted(model: nn.Module, vocab: int, context: int) -> tuple[float, float]:
    """Return torch's FLOPs per token of the forward and of the backward pass."""
    tokens = torch.randint(3, vocab, (BATCH, context))
    with FlopCounterMode(display=False) as forward:
        loss = model(input_ids=tokens, labels=tokens).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return tuple(mode.get_total_flops() / tokens.numel() for mode in (forward, backward))


@pytest.mark.parametrize("family", FAMILIES)
def test_torchs_counter(family: str) -> None:
    """Forward and backward equal torch's counts exactly, for random shapes of each family."""
    for seed in range(SHAPES_EACH):
        rng = random.Random(f"{family} {seed}")
        config, context = random_config(family, rng), rng.randint(5, 40)
        flops = count_flops(build(config), context=context)
        assert (flops.forward.total, flops.backward.total) == counted(
            transformers_model(config), config["vocab_size"], context
        ), config


@pytest.mark.parametrize("family", ["gpt2", "llama", "mixtral"])
def test_full_checkpointing(family: str) -> None:
    """With gradient checkpointing torch's backward holds each layer's forward once more, and not the head's.

    Early stop, which spares what comes after the last tensor that backward needs, is off: HFU counts whole layers.
    """
    rng = random.Random(family)
    config, context = random_config(family, rng), 17
    model = transformers_model(config)
    layers = next(module for module in model.modules() if isinstance(module, nn.ModuleList))
    for layer in layers:
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
    with set_checkpoint_early_stop(False):
        forward, backward = counted(model, config["vocab_size"], context)
    flops = count_flops(build(config), context=context, checkpointing="full")
    assert forward == flops.forward.total
    assert forward + backward == flops.hardware


class Adapted(nn.Module):
    """A frozen matrix with an adapter of some rank (Hu et al. 2021)."""

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Linear(frozen.in_features, rank, bias=False)
        self.up = nn.Linear(rank, frozen.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the adapter makes of the input."""
        out: Tensor = self.frozen(x) + self.up(self.down(x))
        return out


def linears(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                yield parent, name, child


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("gate_proj", "down_proj", "o_proj"), ()])
def test_lora(targets: tuple[str, ...]) -> None:
    """With everything frozen but adapters, torch's backward is ours exactly (inputs take gradients, as PEFT lets them)."""
    rank, context = 3, 17
    config = random_config("llama", random.Random("lora"))
    model = transformers_model(config).requires_grad_(False)
    for parent, name, child in linears(model):
        if name in targets or (not targets and name != "lm_head"):
            setattr(parent, name, Adapted(child, rank))
    model.enable_input_require_grads()  # type: ignore[operator]  # transformers' method, unknown to nn.Module
    flops = count_flops(build(config), context=context, lora_rank=rank, lora_targets=targets)
    assert (flops.forward.total, flops.backward.total) == counted(model, config["vocab_size"], context)


def decay(log_decay: Tensor) -> Tensor:
    """Return what is left at l of what came in at s, for positions of the last axis: exp of the sum over s < r <= l."""
    total = log_decay.cumsum(-1)
    between = total[..., :, None] - total[..., None, :]
    return torch.where(torch.ones_like(between).tril().bool(), between, -torch.inf).exp()


def scan_in_chunks(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, chunk: int) -> Tensor:
    """Mamba-2's state-space duality for (T, H, P) inputs, (T, H) decays and (T, G, N) projections, chunk by chunk."""
    length, n_head, head_dim = x.shape
    share = n_head // b.shape[1]
    state = x.new_zeros(n_head, head_dim, b.shape[2])
    out = []
    for start in range(0, length, chunk):
        xs, bs, cs = (t[start : start + chunk].transpose(0, 1) for t in (x, b, c))
        a = log_decay[start : start + chunk].T
        scores = (cs @ bs.transpose(1, 2)).repeat_interleave(share, 0) * decay(a)
        b_head, c_head = (t.repeat_interleave(share, 0) for t in (bs, cs))
        since_start = a.cumsum(-1).exp()[..., None]
        out.append(scores @ xs + (c_head @ state.transpose(1, 2)) * since_start)
        until_end = (a.sum(-1, keepdim=True) - a.cumsum(-1)).exp()[..., None]
        state = state * a.sum(-1).exp()[:, None, None] + (xs * until_end).transpose(1, 2) @ b_head
    return torch.cat(out, 1).transpose(0, 1)


def scan_token_by_token(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Run the recurrence that the scan computes: h = exp(a)·h + x bᵀ, y = h c."""
    share = x.shape[1] // b.shape[1]
    state = x.new_zeros(*x.shape[1:], b.shape[2])
    out = []
    for t in range(x.shape[0]):
        b_head, c_head = (v[t].repeat_interleave(share, 0) for v in (b, c))
        state = log_decay[t].exp()[:, None, None] * state + x[t][..., None] * b_head[:, None, :]
        out.append((state * c_head[:, None, :]).sum(-1))
    return torch.stack(out)


@pytest.mark.parametrize(("chunk", "chunks", "groups"), list(itertools.product((8, 16), (1, 3), (1, 2))))
def test_the_state_space_scan(chunk: int, chunks: int, groups: int) -> None:
    """A chunked scan that computes Mamba-2's recurrence takes the multiplications that we count, by torch's counter."""
    n_head, head_dim, d_state, length = 4, 6, 10, chunk * chunks
    torch.manual_seed(0)
    x = torch.randn(length, n_head, head_dim, dtype=torch.float64)
    a = -torch.rand(length, n_head, dtype=torch.float64)
    b, c = torch.randn(2, length, groups, d_state, dtype=torch.float64)
    with FlopCounterMode(display=False) as mode:
        y = scan_in_chunks(x, a, b, c, chunk)
    assert torch.allclose(y, scan_token_by_token(x, a, b, c))
    ssm = Ssm(n_head, head_dim, d_state, groups, chunk, 0, 0, (Linear("in_proj", 8, 8),))
    ours = count_flops(drawn(ssm, None, n_layer=1), context=length).forward.ssm_scan
    assert mode.get_total_flops() == ours * length
