"""`forethought serve`: the OpenAI-compatible proxy, in front of a server or of a model in this process."""

from __future__ import annotations


def serve() -> None:
    """Serve."""
