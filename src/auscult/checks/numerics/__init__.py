"""Losses that are not finite, rise, or start wrong."""
