"""Whether a step fits."""
