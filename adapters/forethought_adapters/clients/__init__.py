"""Clients that can be wrapped: one SDK, one file."""
