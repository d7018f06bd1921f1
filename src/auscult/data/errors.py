"""What is wrong with token data, or with the text that it is made from."""

from __future__ import annotations

from ..errors import InputError

__all__ = ["BadData"]


class BadData(InputError):
    """Token shards, a manifest, or a source of text that cannot be used; the message names the file and the place.

    Examples
    --------
    >>> print(BadData("the file is shorter than its header says", where="fineweb_train_000001.bin", found="12 bytes"))
    fineweb_train_000001.bin: the file is shorter than its header says. Found 12 bytes.
    """
