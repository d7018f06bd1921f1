"""Headers of safetensors: what the shapes of tensors say of a model."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError, InputTooLarge, NotText
from auscult.readers.dialects.safetensors import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known

Shapes = dict[str, tuple[int, ...]]
LLAMA: Shapes = {
    "model.embed_tokens.weight": (100, 16),
    **{
        f"model.layers.{i}.{name}.weight": shape
        for i in range(3)
        for name, shape in {
            "self_attn.q_proj": (16, 16),
            "self_attn.k_proj": (8, 16),
            "self_attn.v_proj": (8, 16),
            "self_attn.o_proj": (16, 16),
            "mlp.gate_proj": (40, 16),
            "mlp.up_proj": (40, 16),
            "mlp.down_proj": (16, 40),
            "input_layernorm": (16,),
            "post_attention_layernorm": (16,),
        }.items()
    },
    "model.norm.weight": (16,),
}
GPT2: Shapes = {
    "transformer.wte.weight": (50, 8),
    "transformer.wpe.weight": (32, 8),
    "transformer.h.0.ln_1.weight": (8,),
    "transformer.h.0.ln_1.bias": (8,),
    "transformer.h.0.attn.bias": (1, 1, 32, 32),
    "transformer.h.0.attn.c_attn.weight": (8, 24),
    "transformer.h.0.attn.c_attn.bias": (24,),
    "transformer.h.0.mlp.c_fc.weight": (8, 32),
    "transformer.h.0.mlp.c_fc.bias": (32,),
    "transformer.ln_f.weight": (8,),
    "transformer.ln_f.bias": (8,),
}


def encoded(shapes: Shapes, dtype: str = "F32", *, data: bool = True, **entries: Any) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    header.update(entries)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + (b"\0" * at if data else b"")


def file_of(data: bytes, name: str = "model.safetensors") -> InputFile:
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(data: bytes, name: str = "model.safetensors") -> Reading:
    (reading,) = DIALECT.read(file_of(data, name))
    return reading


def plain(reading: Reading) -> dict[str, Any]:
    return {key.partition(".")[2]: q.value for key, q in reading.settings.items() if isinstance(q, Known)}


def total(shapes: Shapes) -> int:
    count = 0
    for shape in shapes.values():
        product = 1
        for n in shape:
            product *= n
        count += product
    return count


def test_shape_and_exact_count() -> None:
    """Layers, widths, vocabulary and the count follow from the shapes; without a head of its own the head is tied."""
    found = plain(read(encoded(LLAMA)))
    assert found == {
        "n_layer": 3,
        "d_model": 16,
        "d_ff": 40,
        "vocab_size": 100,
        "tied": True,
        "bias": False,
        "parameters": (total(LLAMA), total(LLAMA)),
        "parameters_convention": "total",
    }


def test_head_of_its_own() -> None:
    """A head of its own is counted, and is not tied."""
    shapes = {**LLAMA, "lm_head.weight": (100, 16)}
    found = plain(read(encoded(shapes)))
    assert found["tied"] is False
    assert found["parameters"] == (total(shapes), total(shapes))


def test_buffers_are_no_parameters() -> None:
    """GPT-2's causal masks are saved beside its weights, and left out of the count; its biases count."""
    reading = read(encoded(GPT2))
    found = plain(reading)
    assert found["parameters"][0] == total(GPT2) - 32 * 32
    assert found["bias"] is True
    assert found["d_ff"] == 32
    assert reading.noted["checkpoint.positions"].value == 32


def test_one_shard_says_what_one_tensor_tells() -> None:
    """A shard has some of the layers: their number and the count are left to the index."""
    found = plain(read(encoded(LLAMA), "model-00001-of-00002.safetensors"))
    assert found == {"d_model": 16, "d_ff": 40, "vocab_size": 100}


def test_adapter_is_no_model() -> None:
    """An adapter's parameters are noted and are not the model's."""
    reading = read(encoded({"base_model.model.layers.0.q_proj.lora_A.weight": (4, 16)}), "adapter_model.safetensors")
    assert not reading.settings
    assert reading.noted["checkpoint.adapter_parameters"].value == 64


def test_quantised_weights_are_not_counted() -> None:
    """Packed weights have other shapes than the parameters they stand for."""
    found = plain(read(encoded({**LLAMA, "model.layers.0.mlp.up_proj.weight.absmax": (4,)})))
    assert "parameters" not in found
    assert "parameters" not in plain(read(encoded({"model.layers.0.mlp.up_proj.weight": (8, 1)}, "U8")))


def test_model_without_a_head_is_not_called_tied() -> None:
    """A bare LlamaModel has no head, tied or not."""
    found = plain(read(encoded({name.removeprefix("model."): shape for name, shape in LLAMA.items()})))
    assert "tied" not in found
    assert found["n_layer"] == 3


def test_cut_file_is_reported() -> None:
    """A file that is shorter than its header says was not written or copied to its end."""
    reading = read(encoded(LLAMA, data=False))
    assert [p.kind for p in reading.problems] == ["unread_bytes"]
    assert plain(reading)["n_layer"] == 3


def test_broken_headers_are_refused() -> None:
    """A header that is cut, or of an absurd length, is an error and no allocation."""
    with pytest.raises(NotText, match="cut or broken"):
        read(encoded(LLAMA)[:60])
    with pytest.raises(InputTooLarge):
        read((2**60).to_bytes(8, "little") + b"{}")


def test_odd_entries_are_passed_over() -> None:
    """Entries without a shape, with an impossible one, or of another kind say nothing."""
    odd: dict[str, Any] = {
        "a": 3,
        "b": {"dtype": "F32"},
        "c": {"dtype": "F32", "shape": [-1]},
        "d": {"dtype": "F32", "shape": [2**60], "data_offsets": "x"},
    }
    assert plain(read(encoded(LLAMA, **odd)))["n_layer"] == 3


def test_agrees_with_the_library() -> None:
    """A file that torch and safetensors wrote has the count of the model it came from."""
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    layers = {
        "transformer.wte.weight": torch.zeros(20, 4),
        "transformer.h.0.mlp.c_fc.weight": torch.zeros(4, 16, dtype=torch.bfloat16),
    }
    found = plain(read(library.save(layers)))
    assert found["parameters"] == (144, 144)
    assert found["d_ff"] == 16


def test_sniff() -> None:
    """The header is unmistakable; other files are not claimed."""
    assert DIALECT.sniff(file_of(encoded(LLAMA))) == 1.0
    assert DIALECT.sniff(file_of(encoded(LLAMA), "weights")) >= 0.5
    assert DIALECT.sniff(file_of(b"iter 0: loss 3", "x.safetensors")) == 0
    assert DIALECT.sniff(file_of(b"", "x.safetensors")) == 0


@settings(deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever happens to the bytes, there are readings or an error of ours."""
    whole = bytearray(encoded(GPT2))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, 900))
        whole[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    with contextlib.suppress(InputError):
        read(bytes(whole))


def test_a_first_matrix_with_a_gate_is_twice_as_wide() -> None:
    """A SwiGLU whose gate and value stand in one ``c_fc``: the inner width is what ``c_proj`` takes, in either layout."""
    gated = {"h.0.mlp.c_fc.weight": (96, 16), "h.0.mlp.c_proj.weight": (16, 48)}
    plain_ = {"h.0.mlp.c_fc.weight": (48, 16), "h.0.mlp.c_proj.weight": (16, 48)}
    turned = {"h.0.mlp.c_fc.weight": (16, 48), "h.0.mlp.c_proj.weight": (48, 16)}
    for shapes in (gated, plain_, turned):
        assert plain(read(encoded({"wte.weight": (50, 16), **shapes})))["d_ff"] == 48


def test_slices_of_a_distributed_checkpoint_say_nothing_of_the_model() -> None:
    """What torch.distributed.checkpoint writes is a rank's part, with the optimiser's states: no shape and no count is taken."""
    state = {f"{kind}.{name}": shape for kind in ("model", "optimizer") for name, shape in GPT2.items()}
    reading = read(
        encoded(state, __metadata__={"DCP_SHARDING_INFO": json.dumps(dict.fromkeys(state, 0)), "format": "pt"})
    )
    assert not reading.settings
    assert reading.noted["checkpoint.kind"].value == "one rank's part of a training state"


def test_biases_that_are_zeros_are_none() -> None:
    """A GPT-2 without biases is written with zeros for transformers, and says so: it is counted without them."""
    ours = plain(read(encoded(GPT2, __metadata__={"biases": "zero", "format": "pt"})))
    bare = plain(read(encoded({name: shape for name, shape in GPT2.items() if not name.endswith(".bias")})))
    assert ours == bare
    assert ours["bias"] is False
