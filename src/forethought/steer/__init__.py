"""Strategies that watch one stream while it is written."""
