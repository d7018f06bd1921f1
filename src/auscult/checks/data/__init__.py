"""How much data, and how often."""
