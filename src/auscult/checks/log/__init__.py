"""The log and the comments themselves."""
