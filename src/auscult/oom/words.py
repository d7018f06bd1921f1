"""How tensors, phases and sizes are said."""

from __future__ import annotations

from ..facts.oom import Candidate
from ..readers.oom_message import Span

__all__ = ["PHASES", "in_units", "middle", "moment_of", "noun_of", "printed"]

_NOUNS = {
    "logits": "logits, as the output head computes them",
    "logits_copy": "fp32 copy of the logits, made for the cross-entropy",
    "logits_shifted": "logits without their last position, copied to be compared with the next token",
    "log_softmax": "log-softmax of the {owner}, a tensor of its own",
    "log_softmax_gradient": "gradient of the log-softmax, in fp32",
    "logits_gradient": "gradient of the logits",
    "logits_gradient_half": "gradient of the logits, cast back to 16 bits",
    "logits_chunk": "logits of one chunk of the loss",
    "stream": "residual stream of all tokens",
    "stream_fp32": "residual stream of all tokens in fp32, inside a norm",
    "heads": "{owner} of all heads",
    "heads_fp32": "{owner} of all heads in fp32, while they are rotated or normalised",
    "rotated_half": "half of the {owner} of all heads, as rotary positions turn them",
    "attention_mask": "mask of unfused attention, one for all heads",
    "attention_scores": "attention scores, which unfused attention stores",
    "attention_softmax": "softmax of the attention scores in fp32, which unfused attention stores",
    "mlp_inner": "inner activations of the feed-forward part",
    "mlp_inner_fp32": "inner activations of the feed-forward part in fp32, inside its activation function",
    "ssm_states": "states of the state-space layer, one for each chunk",
    "result": "result of {owner}",
    "weight": "weight of {owner}",
    "weight_cast": "16-bit copy of the weight of {owner}, which autocast makes",
    "weight_gradient": "gradient of the weight of {owner}",
    "weight_gradient_half": "gradient of the weight of {owner} in 16 bits, before it is added",
    "optimizer_state": "optimiser state of {owner}",
    "optimizer_temporary": "temporary of the optimiser for {owner}",
    "fsdp_gathered": "weights of the {owner}, gathered from all ranks",
    "fsdp_reduced": "gradients of the {owner}, to be reduced over all ranks",
}
PHASES = {
    "loading": "while the weights are made or loaded",
    "evaluation": "in an evaluation",
    "forward": "in the forward pass",
    "backward": "in the backward pass",
    "optimizer": "in the optimiser's step",
}


def noun_of(candidate: Candidate) -> str:
    """Return what a candidate is, without its article."""
    return _NOUNS[candidate.tensor.kind].format(owner=candidate.tensor.owner)


def moment_of(candidate: Candidate) -> str:
    """Return when a candidate was asked for, as an adverb."""
    if candidate.fits is False:  # the setup is not the one of the message: do not tell its steps apart
        return PHASES[candidate.phase]
    if candidate.phase == "evaluation" and candidate.first_step:
        return "in the evaluation before the first step"
    when = PHASES[candidate.phase]
    if candidate.first_step is None or candidate.phase == "loading":
        return when
    return f"{when} of the first step" if candidate.first_step else f"{when} of a later step"


def middle(span: Span) -> int:
    """Return the middle of an interval [bytes]."""
    return (span[0] + span[1]) // 2


def printed(span: Span) -> str:
    """Return an interval as the size that was printed."""
    return in_units(middle(span))


def in_units(size: int) -> str:
    """Return bytes with two decimals, in the unit that PyTorch's ``format_size`` takes (but 1 GiB is not 1024 MiB)."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} bytes"
