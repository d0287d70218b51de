"""What is the answer in this text, and are two answers the same."""

from __future__ import annotations

from .equivalence import Clusters, canonical, same
from .extraction import extract
from .symbolic import load

__all__ = ["Clusters", "canonical", "extract", "load", "same"]
