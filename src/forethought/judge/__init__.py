"""Which candidate, and is it decided yet."""
