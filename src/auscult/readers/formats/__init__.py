"""Containers: bytes to records, before anything is known about what they mean."""
