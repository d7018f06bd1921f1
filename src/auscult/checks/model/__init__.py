"""What is trained: size, shape, vocabulary."""
