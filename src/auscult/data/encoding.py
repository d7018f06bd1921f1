"""Tokenizers: bytes, tiktoken's and those of ``tokenizers``, each resolved once and built again in every worker."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .errors import BadData

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

__all__ = ["BYTES_SEPARATOR", "Encode", "ResolvedTokenizer", "make_encode", "pieces", "resolve_tokenizer"]

Encode: TypeAlias = Callable[[str], NDArray[Any]]
BYTES_SEPARATOR = 256
"""Behind the 256 bytes: a vocabulary of 257."""
PIECE_BYTES = 1 << 20
"""A longer document is tokenized in pieces, so that no tokenizer holds more than this at once."""
_SEARCH_BYTES = 1 << 16
_ENDS_OF_TEXT = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<|eos|>",
    "[EOS]",
    "<|begin_of_text|>",
    "<s>",
    "<bos>",
)
"""Tokens that stand between documents, in GPT-2, Llama 3, Llama 2 and Mistral, Gemma and others; the first one is taken."""


@dataclass(frozen=True, slots=True)
class ResolvedTokenizer:
    """Everything that a worker needs to build the same tokenizer; cheap to send.

    Attributes
    ----------
    kind : str
        ``bytes``, ``tiktoken`` or ``tokenizers``.
    name : str
        As asked for, without folders.
    vocab_size : int
        Every token is below it.
    separator : int, optional
        The token before every document, or none.
    sha256 : str, optional
        Of what defines it.
    text : str, optional
        The ``tokenizer.json``.
    """

    kind: Literal["bytes", "tiktoken", "tokenizers"]
    name: str
    vocab_size: int
    separator: int | None
    sha256: str | None = None
    text: str | None = None

    @property
    def dtype(self) -> str:
        """The smaller of ``uint16`` and ``uint32`` that holds every token."""
        return "uint16" if self.vocab_size <= 1 << 16 else "uint32"


def resolve_tokenizer(name: str, separator: str = "auto") -> ResolvedTokenizer:
    """Find a tokenizer by what was asked for.

    Parameters
    ----------
    name : str
        ``bytes``; a ``tokenizer.json``, or a folder with one; a name of tiktoken's, such as ``gpt2``; or a repository on
        the Hugging Face Hub, such as ``HuggingFaceTB/SmolLM2-135M``.
    separator : str
        ``auto``, ``none``, a token, or its number.

    Raises
    ------
    UsageError
        When there is no such tokenizer, or no such separator, or the package for it is not installed.
    BadData
        When a file is not a tokenizer.

    Examples
    --------
    >>> resolve_tokenizer("bytes").vocab_size, resolve_tokenizer("bytes", "none").vocab_size
    (257, 256)
    """
    if name == "bytes":
        return _bytes(separator)
    path = Path(name)
    if path.is_dir():
        path = path / "tokenizer.json"
        if not path.is_file():
            raise UsageError(f"--tokenizer: {name} has no tokenizer.json. Next: name the file, or tiktoken's name.")
    if path.is_file():
        return _from_json(path, separator)
    if path.suffix == ".json" or path.is_absolute() or name.startswith((".", "~")):
        raise UsageError(f"--tokenizer: there is no file {name}. Next: check the path.")
    return _named(name, separator)


def make_encode(tokenizer: ResolvedTokenizer) -> Encode:
    """Return the function from a text to its tokens, without any special token: text that looks like one is only text.

    Examples
    --------
    >>> make_encode(resolve_tokenizer("bytes"))("a€").tolist()
    [97, 226, 130, 172]
    """
    if tokenizer.kind == "bytes":
        return lambda text: np.frombuffer(text.encode(), np.uint8)
    if tokenizer.kind == "tiktoken":
        encoding = _tiktoken(tokenizer.name)
        return _in_pieces(lambda text: encoding.encode_to_numpy(text, disallowed_special=()))
    assert tokenizer.text is not None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # workers share the cores already
    built = _build(tokenizer.text, tokenizer.name)
    return _in_pieces(
        lambda text: np.array(built.encode_batch_fast([text], add_special_tokens=False)[0].ids, np.uint32)
    )


def _in_pieces(encode: Encode) -> Encode:
    def encode_any(text: str) -> NDArray[Any]:
        if len(text) * 4 <= PIECE_BYTES:  # no longer in UTF-8 than that
            return encode(text)
        data = text.encode()
        return np.concatenate([encode(str(piece, "utf-8")) for piece in pieces(data)])

    return encode_any


def pieces(data: bytes) -> list[bytes]:
    """Cut UTF-8 text into pieces of at most ``PIECE_BYTES``, where the cut changes no token if that is possible.

    Notes
    -----
    A cut between a letter or digit of ASCII and the end of its line is a boundary of the patterns with which GPT-2,
    cl100k, o200k and Llama 3 take text apart before they merge. Where the last 64 KiB of a piece have none, the cut is at
    another end of a line, else between two characters.
    """
    found = []
    begin = 0
    while len(data) - begin > PIECE_BYTES:
        end = begin + cut_at(data[begin : begin + PIECE_BYTES])
        found.append(data[begin:end])
        begin = end
    found.append(data[begin:])
    return found


def cut_at(block: bytes) -> int:
    """Return where to cut the end off a block of UTF-8 text that goes on behind it; at least 1."""
    least = max(len(block) - _SEARCH_BYTES, 1)
    end = len(block)
    while (newline := block.rfind(b"\n", least, end)) >= 0:
        before = newline - 1 if block[newline - 1 : newline] == b"\r" else newline
        if before >= least and block[before - 1 : before].isalnum():  # of bytes: ASCII only
            return before
        end = newline
    if (newline := block.rfind(b"\n", least)) >= 0:
        return newline
    end = len(block)
    while end > len(block) - 4 and end > 1 and block[end - 1] & 0xC0 == 0x80:
        end -= 1  # to the first byte of the last character
    return end - 1 if end > 1 and block[end - 1] >= 0xC0 else len(block)


def _bytes(separator: str) -> ResolvedTokenizer:
    if separator == "auto":
        return ResolvedTokenizer("bytes", "bytes", BYTES_SEPARATOR + 1, BYTES_SEPARATOR)
    if separator == "none":
        return ResolvedTokenizer("bytes", "bytes", BYTES_SEPARATOR, None)
    number = _number(separator)
    if number is None or number > BYTES_SEPARATOR:
        raise UsageError(f"--separator: expected a number from 0 to {BYTES_SEPARATOR} for bytes, found {separator!r}.")
    return ResolvedTokenizer("bytes", "bytes", max(BYTES_SEPARATOR, number + 1), number)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _from_json(path: Path, separator: str) -> ResolvedTokenizer:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise BadData("not a tokenizer.json: it is not UTF-8", where=str(path)) from None
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror})", where=str(path)) from None
    name = path.parent.name if path.name == "tokenizer.json" and path.parent.name else path.name
    return _of_text(text, name, separator, said=_end_of_text(path.with_name("tokenizer_config.json")))


def _of_text(text: str, name: str, separator: str, said: str | None = None) -> ResolvedTokenizer:
    built = _build(text, name)
    vocab_size = max(built.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    if vocab_size < 1:
        raise BadData("the tokenizer has no tokens", where=name)

    def look_up(token: str) -> int | None:
        found: int | None = built.token_to_id(token)
        return found

    special = sorted(t.content for t in built.get_added_tokens_decoder().values())
    names = (said, *_ENDS_OF_TEXT) if said else _ENDS_OF_TEXT
    chosen = _separator(separator, look_up, names, special, vocab_size)
    return ResolvedTokenizer("tokenizers", name, vocab_size, chosen, hashlib.sha256(text.encode()).hexdigest(), text)


def _separator(
    asked: str, look_up: Callable[[str], int | None], names: tuple[str, ...], special: list[str], vocab_size: int
) -> int | None:
    if asked == "none":
        return None
    if asked == "auto":
        found = next((n for name in names if (n := look_up(name)) is not None), None)
        if found is None:
            has = f"its special tokens are {', '.join(special[:8])}" if special else "it has no special tokens"
            raise UsageError(
                f"--separator: no token of the tokenizer is known to stand between documents; {has}. Next: name one,"
                " or its number, or none."
            )
        return found
    number = _number(asked)
    found = look_up(asked) if number is None else number
    if found is None or found >= vocab_size:
        raise UsageError(f"--separator: the tokenizer has no token {asked!r} (its vocabulary is {vocab_size:,}).")
    return found


def _end_of_text(config: Path) -> str | None:
    """Return the ``eos_token`` that a ``tokenizer_config.json`` names."""
    try:
        found = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return None
    token = found.get("eos_token") if isinstance(found, dict) else None
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _build(text: str, name: str) -> tokenizers.Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(
            "--tokenizer: the package tokenizers is not installed. Next: pip install 'auscult[data]'."
        ) from None
    try:
        built = Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises plain Exception
        raise BadData(f"not a tokenizer.json: {error}"[:300], where=name) from None
    built.no_truncation()
    built.no_padding()
    built.encode_special_tokens = True  # "<|endoftext|>" inside a document is text
    return built


def _named(name: str, separator: str) -> ResolvedTokenizer:
    try:
        import tiktoken

        names = tiktoken.list_encoding_names()
    except ImportError:
        names = []
        if "/" not in name:
            raise UsageError(
                f"--tokenizer: {name} may be tiktoken's, and tiktoken is not installed. Next: pip install 'auscult[data]',"
                " or name a tokenizer.json, or bytes."
            ) from None
    if name in names:
        return _resolve_tiktoken(name, separator)
    if "/" not in name:
        import difflib

        near = difflib.get_close_matches(name, [*names, "bytes"], 1)
        raise UsageError(
            f"--tokenizer: {name!r} is neither a file nor a name of tiktoken's{f'; did you mean {near[0]}' if near else ''}."
            f" Next: one of bytes, {', '.join(sorted(names))}; a tokenizer.json; or OWNER/NAME on the Hugging Face Hub."
        )
    return _from_hub(name, separator)


def _from_hub(name: str, separator: str) -> ResolvedTokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(
            "--tokenizer: the package tokenizers is not installed. Next: pip install 'auscult[data]'."
        ) from None
    try:
        text = Tokenizer.from_pretrained(name).to_str()
    except Exception as error:  # of huggingface_hub, requests or the operating system, through Rust
        raise UsageError(
            f"--tokenizer: {name} is no file here, and could not be fetched from the Hugging Face Hub"
            f" ({_brief(error)}). Next: download its tokenizer.json where there is a network, and name the file."
        ) from None
    return _of_text(text, name, separator)


def _brief(error: BaseException) -> str:
    lines = str(error).split("\n")
    return f"{type(error).__name__}: {lines[0]}"[:200]


def _tiktoken(name: str) -> tiktoken.Encoding:
    import tiktoken

    try:
        return tiktoken.get_encoding(name)
    except Exception as error:  # of requests, the operating system, or a checksum
        raise UsageError(
            f"--tokenizer: the ranks of {name} could not be fetched ({_brief(error)}). Next: run once where there is a"
            " network with TIKTOKEN_CACHE_DIR set, and bring that folder here; or name a tokenizer.json."
        ) from None


def _resolve_tiktoken(name: str, separator: str) -> ResolvedTokenizer:
    encoding = _tiktoken(name)
    digest = hashlib.sha256(repr((encoding._pat_str, sorted(encoding._special_tokens.items()))).encode())
    for rank in range(encoding.n_vocab):
        try:
            token = encoding.decode_single_token_bytes(rank)
        except KeyError:
            continue  # a gap before the special tokens
        digest.update(f"{rank}:{len(token)}:".encode() + token)

    def look_up(token: str) -> int | None:
        return encoding._special_tokens.get(token)

    special = sorted(encoding.special_tokens_set)
    chosen = _separator(separator, look_up, _ENDS_OF_TEXT, special, encoding.n_vocab)
    return ResolvedTokenizer("tiktoken", name, encoding.n_vocab, chosen, digest.hexdigest())
