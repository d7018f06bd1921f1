"""A diagnosis as something to read: terminal, Markdown, JSON."""
