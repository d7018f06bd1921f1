"""Speed against what the card allows."""
