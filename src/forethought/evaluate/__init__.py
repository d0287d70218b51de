"""Accuracy against tokens, money and seconds: every policy on the same problems, with confidence intervals."""
