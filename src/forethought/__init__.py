"""Forethought: decide how to think — how long, how often, when to stop, what to trust — over any model."""

from __future__ import annotations
