"""What the owner thread tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """The model that was loaded; `known_tags` says that its vocabulary has the reasoning tags as tokens.

    `cells` are those of the KV cache, `longest` the most tokens one sequence may have.
    """

    description: str
    chat_template: str
    bos: str
    eos: str
    known_tags: bool
    cells: int
    longest: int


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What an engine is doing: sequences `live`, `waiting` and `parked`, cells in use, tokens evaluated so far.

    Parked sequences are finished ones whose cells are kept until somebody needs them.
    """

    live: int = 0
    waiting: int = 0
    parked: int = 0
    cells: int = 0
    evaluated: int = 0
