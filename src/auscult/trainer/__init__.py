"""The reference trainer, to be read in an evening: model, optimizer, batches, evaluation, ranks, checkpoint, fit, loop."""
