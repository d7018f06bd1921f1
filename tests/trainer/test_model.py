"""The model against models that others wrote: transformers' GPT-2 and Llama, torch's FLOP counter, plain formulas."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # as every PyTorch user writes it
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_mask
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from auscult.errors import BadConfig
from auscult.facts.flops import count_flops
from auscult.facts.parameters import count_parameters
from auscult.preflight.blueprint import blueprint_of
from auscult.recipe import ModelSettings, hugging_face_config, model_settings
from auscult.trainer.model import ACTIVATIONS, IGNORED, Transformer, attention_mask, rotated
from auscult.trainer.weights import load_weights, save_weights
from recipe_files import model_shapes

SMALL = model_shapes().map(
    lambda m: replace(
        m,
        n_layer=1 + m.n_layer % 2,
        d_model=m.n_head * 2 * (1 + m.d_model % 4),
        d_ff=8 * (1 + m.d_ff % 5),
        vocab_size=2 + m.vocab_size % 300,
        context=1 + m.context % 40,
    )
)
"""Models of every kind, in seconds."""
TINY = {"n_layer": 2, "n_head": 2, "d_model": 32, "vocab_size": 97, "context": 16}


def tiny(**more: Any) -> ModelSettings:
    return model_settings(**{**TINY, **more})


def drawn(settings: ModelSettings, seed: int = 0, **more: Any) -> Any:
    """Return a model (Any: torch types no submodule) whose every tensor is random, norms, biases and zeroed projections included."""
    model = Transformer(settings, **more)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "ln_" in name and name.endswith("weight")
            parameter.normal_(1.0 if norm else 0.0, 0.2, generator=generator)
    return model


def tokens(*shape: int, vocab: int = 97, seed: int = 1) -> Tensor:
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(seed))


def gpt2(**more: Any) -> GPT2LMHeadModel:
    """Return transformers' GPT-2 of the same shape, every tensor random."""
    config = {"n_layer": 2, "n_head": 2, "n_embd": 32, "vocab_size": 97, "n_positions": 16}
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**config, **more)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


# ---- GPT-2


@pytest.mark.parametrize("prefix", ["transformer.", ""])
@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu"])
def test_gpt2_computes_what_transformers_computes(tmp_path: Path, prefix: str, activation: str) -> None:
    """Loaded from transformers' file, with its prefix or without as the published one, the logits agree to 1e-4."""
    theirs = gpt2(activation_function="gelu_new" if activation == "gelu_tanh" else "gelu")
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    if not prefix:
        save_file({k.removeprefix("transformer."): v for k, v in load_file(path).items()}, path)
    ours = Transformer(tiny(activation=activation)).eval()
    load_weights(ours, path)
    x = tokens(3, 16)
    with torch.no_grad():
        expected = theirs(x).logits
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-4)
    assert expected.std() > 0.1, "logits that are all alike would prove nothing"


def test_the_published_file_has_masks_that_are_no_weights(tmp_path: Path) -> None:
    """Causal masks and a tied head in the file change nothing."""
    theirs = gpt2()
    theirs.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["transformer.h.0.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
    state["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    state["lm_head.weight"] = state["transformer.wte.weight"].clone()
    save_file(state, tmp_path / "old.safetensors")
    ours = Transformer(tiny()).eval()
    load_weights(ours, tmp_path / "old.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens(1, 9)), theirs(tokens(1, 9)).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "more",
    [{}, {"bias": False}, {"tied": False}, {"d_ff": 80, "activation": "gelu"}, {"tied": False, "bias": False}],
    ids=str,
)
def test_transformers_loads_what_is_saved(tmp_path: Path, more: dict[str, Any]) -> None:
    """``from_pretrained`` takes our weights and config as they are, without biases or a tied head too, and agrees."""
    ours = drawn(tiny(**more)).eval()
    save_weights(dict(ours.state_dict()), ours.settings, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(hugging_face_config(ours.settings)))
    theirs, told = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not told["missing_keys"] - {"lm_head.weight"}
    assert not told["unexpected_keys"]
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(tokens(2, 16)).logits, ours(tokens(2, 16)), rtol=0, atol=1e-4)


@settings(max_examples=40)
@given(SMALL, st.integers(0, 9))
def test_weights_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, shape: ModelSettings, seed: int
) -> None:
    """Every model that a recipe can ask for is saved and loaded without a difference."""
    path = tmp_path_factory.mktemp("w") / "model.safetensors"
    one, two = drawn(shape, seed), Transformer(shape)
    save_weights(dict(one.state_dict()), shape, path)
    load_weights(two, path)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_model": 64}, ("h.0.attn.c_attn.bias", "(192,)", "(96,)")),
        ({"n_layer": 3}, ("h.2.", "found none")),
        ({"n_layer": 1}, ("h.1.", "Expected none")),
        ({"tied": False}, ("lm_head.weight", "found none")),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, change: dict[str, Any], said: tuple[str, ...]) -> None:
    """The first tensor that differs is named with both shapes."""
    one = drawn(tiny())
    save_weights(dict(one.state_dict()), one.settings, tmp_path / "model.safetensors")
    with pytest.raises(BadConfig) as error:
        load_weights(Transformer(tiny(**change)), tmp_path / "model.safetensors")
    for part in (*said, "make [model] that of the weights"):
        assert part in str(error.value)


def test_a_pickle_is_no_weights(tmp_path: Path) -> None:
    """A checkpoint of ``torch.save`` is refused, not opened."""
    torch.save({"wte.weight": torch.zeros(2)}, tmp_path / "ckpt.pt")
    with pytest.raises(BadConfig, match="not a file of safetensors"):
        load_weights(Transformer(tiny()), tmp_path / "ckpt.pt")


# ---- the modern variant


@pytest.mark.parametrize("kv", [4, 2, 1])
@pytest.mark.parametrize("tied", [True, False])
def test_swiglu_rope_and_grouped_queries_are_llamas(kv: int, tied: bool) -> None:
    """With Llama's choices and Llama's weights, the logits are those of transformers' Llama."""
    shape = model_settings(
        family="modern", n_layer=2, n_head=4, n_kv_head=kv, d_model=64, d_ff=96, vocab_size=97, context=24,
        activation="swiglu", qk_norm=False, rope_theta=5e3, tied=tied,
    )  # fmt: skip
    theirs = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=kv,
            vocab_size=97, max_position_embeddings=24, rms_norm_eps=1e-5, tie_word_embeddings=tied,
            rope_parameters={"rope_type": "default", "rope_theta": 5e3},
        )
    ).eval()  # fmt: skip
    ours = drawn(shape).eval()
    state = {
        "model.embed_tokens.weight": ours.wte.weight,
        "model.norm.weight": ours.ln_f.weight,
        "lm_head.weight": ours.head_VD,
    }
    for i, block in enumerate(ours.h):
        at = f"model.layers.{i}."
        q, k, v = block.attn.c_attn.weight.split([64, 16 * kv, 16 * kv])
        gate, up = block.mlp.c_fc.weight.chunk(2)
        state |= {
            f"{at}self_attn.q_proj.weight": q,
            f"{at}self_attn.k_proj.weight": k,
            f"{at}self_attn.v_proj.weight": v,
            f"{at}self_attn.o_proj.weight": block.attn.c_proj.weight,
            f"{at}mlp.gate_proj.weight": gate,
            f"{at}mlp.up_proj.weight": up,
            f"{at}mlp.down_proj.weight": block.mlp.c_proj.weight,
            f"{at}input_layernorm.weight": block.ln_1.weight,
            f"{at}post_attention_layernorm.weight": block.ln_2.weight,
        }
    theirs.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens(2, 24)), theirs(tokens(2, 24)).logits, rtol=0, atol=1e-4)


def test_normalised_queries_and_keys() -> None:
    """QK-norm by hand: unit mean square over a head, after the rotation; softmax(q·k/√S) v below the diagonal."""
    ours = drawn(tiny(family="modern")).eval()
    attention = ours.h[0].attn
    x = torch.randn(2, 10, 32, generator=torch.Generator().manual_seed(3))
    cos, sin = ours.rotary_cos[:10], ours.rotary_sin[:10]
    q, k, v = (part.view(2, 10, 2, 16) for part in (x @ attention.c_attn.weight.T).split(32, dim=-1))
    q, k = rotated(q, cos, sin), rotated(k, cos, sin)
    q, k = (part / (part.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt() for part in (q, k))
    scores = torch.einsum("bqhs,bkhs->bhqk", q, k) / math.sqrt(16)
    scores = scores.masked_fill(~torch.ones(10, 10, dtype=torch.bool).tril(), -math.inf)
    y = torch.einsum("bhqk,bkhs->bqhs", scores.softmax(-1), v).reshape(2, 10, 32)
    torch.testing.assert_close(attention(x, (cos, sin), None), y @ attention.c_proj.weight.T, rtol=1e-4, atol=1e-5)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_activations_are_their_formulas(a: float, b: float) -> None:
    """ReLU² squares what is positive; GELU and its tanh are Hendrycks & Gimpel's (SwiGLU: see Llama above)."""
    x = torch.tensor([a, b], dtype=torch.float64)
    relu2 = ACTIVATIONS["relu2"](x).tolist()
    assert relu2 == pytest.approx([max(0, a) ** 2, max(0, b) ** 2])
    gelu = [z * 0.5 * (1 + math.erf(z / math.sqrt(2))) for z in (a, b)]
    assert ACTIVATIONS["gelu"](x).tolist() == pytest.approx(gelu, abs=1e-9)
    tanh = [0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) for z in (a, b)]
    assert ACTIVATIONS["gelu_tanh"](x).tolist() == pytest.approx(tanh, abs=1e-9)


def test_rotations_keep_lengths_and_know_only_distances() -> None:
    """A rotation by position changes no length, and q·k depends on how far apart the two stand."""
    model = Transformer(tiny(family="modern", context=64))
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)).unbind()
    turned = [rotated(x.expand(1, 64, 1, 16), model.rotary_cos, model.rotary_sin)[0, :, 0] for x in (q, k)]
    torch.testing.assert_close(turned[0].norm(dim=-1), q.norm().expand(64))
    products = turned[0] @ turned[1].T
    for distance in (0, 3, 20):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand(len(diagonal)), rtol=1e-4, atol=1e-4)


# ---- counts


@settings(max_examples=60)
@given(model_shapes())
def test_parameters_are_those_of_the_blueprint(shape: ModelSettings) -> None:
    """The blueprint, which all estimates come from, counts what the model has, for any model that a recipe can ask for."""
    with torch.device("meta"):
        model = Transformer(shape, seed=None)
    assert count_parameters(blueprint_of(shape)).total == sum(p.numel() for p in model.parameters())


@settings(max_examples=25)
@given(SMALL)
def test_flops_are_those_that_torch_counts(shape: ModelSettings) -> None:
    """A training step's FLOPs by PaLM's convention, attention not halved, are what torch's counter sees of it."""
    context = min(shape.context, 32)
    with torch.device("meta"):
        model = Transformer(shape, seed=None).eval()
        x = torch.zeros(1, context, dtype=torch.int64)
        counter = FlopCounterMode(display=False)
        with counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            model(x, x).backward()
    expected = count_flops(blueprint_of(shape), context=context, convention="palm").training * context
    assert counter.get_total_flops() == expected


# ---- the loss


@pytest.mark.parametrize("family", ["gpt2", "modern"])
def test_the_loss_in_chunks_is_the_loss(family: str) -> None:
    """Sum and every gradient agree, ignored targets included."""
    x, y = tokens(4, 16), tokens(4, 16, seed=2)
    y[1, 3:] = IGNORED
    full, chunked = drawn(tiny(family=family)), drawn(tiny(family=family), cross_entropy="chunked")
    losses = [model(x, y) for model in (full, chunked)]
    expected = F.cross_entropy(full(x).flatten(0, 1), y.flatten(), ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(losses[0], expected)
    torch.testing.assert_close(losses[1], losses[0])
    for loss in losses:
        loss.backward()
    for (name, a), b in zip(full.named_parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointing_changes_no_gradient(dropout: float) -> None:
    """Blocks that are computed again in the backward pass give the same loss and gradients, dropout's masks included."""
    grads = []
    for checkpointing in ("none", "full"):
        model = drawn(tiny(dropout=dropout), checkpointing=checkpointing).train()
        torch.manual_seed(11)
        loss = model(tokens(2, 16), tokens(2, 16, seed=2))
        loss.backward()
        grads.append([loss.detach(), *(p.grad for p in model.parameters())])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(b, a)


def test_bfloat16_is_of_the_passes_alone() -> None:
    """Under autocast weights, gradients and the loss stay fp32, and the loss is near that in fp32, in chunks too."""
    x, y = tokens(2, 16), tokens(2, 16, seed=2)
    exact = drawn(tiny())(x, y).item()
    for cross_entropy in ("full", "chunked"):
        model = drawn(tiny(), cross_entropy=cross_entropy)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(x, y)
        loss.backward()
        assert loss.dtype == torch.float32
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
        assert loss.item() == pytest.approx(exact, rel=0.002), "summed in fp32: a sum in bf16 is off by a hundredth"
        assert loss.item() != exact


def test_dropout_is_off_unless_asked_and_in_eval_mode() -> None:
    """The default has none; with it, train mode draws and eval mode does not."""
    assert ModelSettings().dropout == 0.0
    x = tokens(2, 16)
    plain = drawn(tiny()).train()
    assert torch.equal(plain(x), plain(x))
    dropped = drawn(tiny(dropout=0.2))
    assert not torch.equal(dropped.train()(x), dropped(x))
    assert torch.equal(dropped.eval()(x), plain(x))


@pytest.mark.parametrize("family", ["gpt2", "modern"])
def test_a_fresh_model_knows_nothing(family: str) -> None:
    """Before step 0 the loss is that of a guess, ln V; the seed decides the weights."""
    model: Any = Transformer(tiny(family=family), seed=4)
    loss = model(tokens(8, 16), tokens(8, 16, seed=2)).item() / (8 * 16)
    assert loss == pytest.approx(math.log(97), abs=0.03)
    same, other = (Transformer(tiny(family=family), seed=seed) for seed in (4, 5))
    assert torch.equal(same.wte.weight, model.wte.weight)
    assert not torch.equal(other.wte.weight, model.wte.weight)
    if family == "gpt2":
        assert model.h[1].mlp.c_proj.weight.std().item() == pytest.approx(0.02 / math.sqrt(4), rel=0.1)
        assert model.h[1].mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_no_token_sees_a_later_one() -> None:
    """Changing a token changes no logit before it, and some after."""
    for family in ("gpt2", "modern"):
        model = drawn(tiny(family=family)).eval()
        x = tokens(1, 16)
        changed = x.clone()
        changed[0, 9] = (x[0, 9] + 1) % 97
        with torch.no_grad():
            moved = (model(x) - model(changed)).abs().amax(-1)[0]
        assert moved[:9].max() == 0
        assert moved[9:].min() > 0


# ---- documents

SEPARATOR = 96


def documents() -> Tensor:
    """Three documents in a sequence, a separator before the second and the third."""
    x = tokens(2, 16, vocab=96)
    x[0, 5], x[0, 11], x[1, 2] = SEPARATOR, SEPARATOR, SEPARATOR
    return x


def test_a_document_does_not_see_the_one_before() -> None:
    """Changing a token of the first document moves no logit of the second; without the mask it does."""
    model, x = drawn(tiny(family="modern")).eval(), documents()
    changed = x.clone()
    changed[0, 2] = (x[0, 2] + 1) % 96
    with torch.no_grad():
        mask = attention_mask(x, SEPARATOR, "sdpa")
        moved = (model(x, None, mask) - model(changed, None, mask)).abs().amax(-1)[0]
        unmasked = (model(x) - model(changed)).abs().amax(-1)[0]
    assert moved[2:5].min() > 0
    assert moved[5:].max() == 0
    assert unmasked[5:].min() > 0


def test_masked_documents_are_as_if_alone() -> None:
    """With rotary positions, which know only distances, each document has the logits that it has by itself."""
    model, x = drawn(tiny(family="modern")).eval(), documents()
    with torch.no_grad():
        together = model(x, None, attention_mask(x, SEPARATOR, "sdpa"))[0]
        alone = torch.cat([model(x[:1, a:b])[0] for a, b in ((0, 5), (5, 11), (11, 16))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_flex_and_sdpa_have_one_mask() -> None:
    """The block mask of FlexAttention lets through what SDPA's does, with documents and without."""
    x = documents()
    for separator in (SEPARATOR, None):
        flex = attention_mask(x, separator, "flex")
        assert isinstance(flex, BlockMask)
        dense = create_mask(flex.mask_mod, 2, 1, 16, 16, device="cpu")
        sdpa = attention_mask(x, separator, "sdpa")
        assert sdpa is None or isinstance(sdpa, Tensor)
        assert torch.equal(
            dense, torch.ones(16, 16, dtype=torch.bool).tril().expand(2, 1, 16, 16) if sdpa is None else sdpa
        )


@pytest.mark.parametrize("separator", [SEPARATOR, None])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_computes_what_sdpa_computes(separator: int | None) -> None:
    """The two kernels agree in the forward pass, grouped queries included."""
    model, x = drawn(tiny(family="modern", n_head=4, n_kv_head=2)).eval(), documents()
    with torch.no_grad():
        one, two = (model(x, None, attention_mask(x, separator, kernel)) for kernel in ("sdpa", "flex"))
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-4)
