"""The arithmetic of training runs: pure functions, numbers in, numbers out; each formula cites its source."""
