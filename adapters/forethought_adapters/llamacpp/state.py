"""What the owner thread tells of itself, and of each stream that it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forethought.context import Usage
from forethought.wire import Delta

if TYPE_CHECKING:
    from .template import ChatTemplate  # imports an optional package


@dataclass(frozen=True, slots=True)
class Facts:
    """The model that was loaded: what llama.cpp calls it, and its compiled chat template.

    `cells` are those of the KV cache, `longest` the most tokens one sequence may have.
    """

    description: str
    template: ChatTemplate
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


@dataclass(frozen=True, slots=True)
class Piece:
    """One token more: what can be shown by now, None where that is nothing, and what the stream has taken so far."""

    delta: Delta | None
    usage: Usage
