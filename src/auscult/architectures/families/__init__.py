"""One file for each group of families; each is found by listing this folder, so that adding one touches nothing else."""
