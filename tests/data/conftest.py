"""A small corpus and tokenizers trained on it, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from auscult.data.corpus import write_corpus

SEPARATOR = "<|endoftext|>"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 600 kB of the Python library, a document a file."""
    folder = tmp_path_factory.mktemp("corpus") / "python"
    write_corpus(folder, size_bytes=600_000)
    return folder


@pytest.fixture(scope="session")
def tokenizer_json(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE of 1,000 tokens, as GPT-2's is made, trained by the tokenizers library."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((path.read_text("utf-8") for path in sorted(corpus.rglob("*.txt"))), trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path
