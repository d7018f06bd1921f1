"""Whether the budget fits the model."""
