"""The peer that most people use: Hugging Face's Trainer on transformers' GPT-2.

As its users run it, with the settings that make it fast and equal: fused AdamW, no evaluation, no checkpoint, no reports. Options:
``compile`` sets ``torch_compile``.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .case import BYTES, Case, load_case
from .observed import Observation, run_subject

__all__ = ["train"]


class Crops(Dataset[dict[str, Tensor]]):
    """Crops in the order of the case; the last target is a token that the inputs do not hold, so targets come shifted."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.tokens = np.memmap(folder / "data" / "train.bin", dtype=np.uint16, mode="r")
        self.starts = np.load(folder / "crops.npy").reshape(-1)
        self.context = case.context

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        at = self.starts[index]
        row = torch.from_numpy(self.tokens[at : at + self.context + 1].astype(np.int64))
        return {"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]}


def train(folder: Path, observation: Observation, options: list[str]) -> dict[str, Any]:
    """Train, noting the loss of every step."""
    import accelerate
    import transformers
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    warnings.filterwarnings("ignore", message=".*pin_memory.*")  # torch's, on machines without an accelerator
    case = load_case(folder)
    config = GPT2Config(
        vocab_size=BYTES,
        n_positions=case.context,
        n_embd=case.d_model,
        n_layer=case.n_layer,
        n_head=case.n_head,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    from safetensors.torch import load_file

    left = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert not left.unexpected_keys, left.unexpected_keys
    assert set(left.missing_keys) <= {"lm_head.weight"}, left.missing_keys  # tied

    losses: list[Tensor] = []

    class Listening(Trainer):  # type: ignore[misc]  # transformers is read without its types
        """A Trainer whose losses are noted, and whose data come in the order of the case."""

        def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
            """Note what the step returns: the loss, divided by the passes of a step."""
            loss: Tensor = super().training_step(*args, **kwargs)
            losses.append(loss.detach())
            return loss

        def _get_train_sampler(self, *_args: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=case.micro_batch,
            gradient_accumulation_steps=case.accumulation,
            max_steps=case.steps,
            learning_rate=case.learning_rate,
            lr_scheduler_type="constant",
            adam_beta1=0.9,
            adam_beta2=0.95,
            adam_epsilon=1e-8,
            weight_decay=0.1,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            bf16=case.dtype == "bfloat16",
            use_cpu=case.device == "cpu",
            torch_compile="compile" in options,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=case.seed,
        )
        trainer = Listening(model=model, args=arguments, train_dataset=Crops(folder, case))
        trainer.train()
    passes = torch.stack(losses).reshape(case.steps, case.accumulation)
    observation.losses = [float(loss) for loss in passes.sum(dim=1)]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
    }


if __name__ == "__main__":
    run_subject(train)
