"""Configs of a planned run in the dialects of trainers: one file for each dialect."""

from .base import Document, dialects, documents, write

__all__ = ["Document", "dialects", "documents", "write"]
