"""Strategies that ask more than once."""
