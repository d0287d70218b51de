"""Ends a thought that goes round in circles, which small and quantised models do until their tokens run out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import InvalidPolicy
from ..ports import Continue, Situation, Steering, Stop
from ..wire import JSON
from .drive import Steered
from .probing import thinks
from .repeats import Lines, Period

TRANSITION = "\n\nI am going round in circles, so I answer with what I have.\n"
WORDLESS = 6
"""How many times as much is let pass where no word is repeated: tables, grids and rows of digits look like that."""


@dataclass(frozen=True, slots=True)
class Loop(Steered):
    """Stops a thought that repeats itself; the answer is written after `transition`.

    It has begun to loop once a unit of 1 to 4,095 characters stands `repeats` times in a row, exactly, on `characters`
    or more; and once three of the last four lines, on as many characters, had been said `repeats` times, with others
    between them. Rows of digits and signs are given six times as much. Needs no probes and works on every backend:
    where thinking cannot be continued the answer is asked for in a new turn.
    """

    kind: ClassVar[str] = "loop"

    repeats: int = 4
    characters: int = 500
    transition: str = TRANSITION

    def __post_init__(self) -> None:
        if not 2 <= self.repeats <= 1_000:
            raise InvalidPolicy("loop.repeats", self.repeats, "2 to 1000 is expected")
        if not 32 <= self.characters <= 1_000_000:
            raise InvalidPolicy("loop.characters", self.characters, "32 to 1000000 is expected")

    def steer(self, _: Situation, /) -> Steering:
        period, lines = Period(), Lines(self.repeats)
        seen = yield Continue()
        while thinks(seen):
            facts = self._round(seen.reasoning, period, lines)
            seen = yield Stop("loop", self.transition, facts) if facts else Continue()

    def _round(self, text: str, period: Period, lines: Lines) -> JSON | None:
        """What goes round after this piece of the thought, or None."""
        for character in text:
            period.add(character)
            if period.run and self._loops(period):
                return {"period": period.period, "repeated": period.run}
        lines.add(text)
        return {"repeated": lines.again} if lines.again >= self.characters else None

    def _loops(self, period: Period) -> bool:
        least = self.characters * (WORDLESS if period.wordless else 1)
        return period.run + period.period >= max(least, self.repeats * period.period)
