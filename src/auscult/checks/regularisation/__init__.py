"""Dropout, and the gap between training and validation."""
