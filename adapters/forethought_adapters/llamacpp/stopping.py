"""Stop strings over a text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Iterable

from forethought.thinking import overlap


class StopStrings:
    """Ends a text before the first stop string to be complete; pieces do not change where that is.

    `held` is what may still turn out to begin a stop string; once stopped, what was cut off.
    """

    __slots__ = ("_stops", "held", "stopped")

    def __init__(self, stops: Iterable[str] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self.held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take the next piece; returns what can be shown by now, and nothing more once stopped."""
        if self.stopped or not self._stops:
            return "" if self.stopped else text
        self.held += text
        end = self._end()
        self.stopped = end is not None
        if end is None:
            end = len(self.held) - max(overlap(self.held, stop) for stop in self._stops)
        shown, self.held = self.held[:end], self.held[end:]
        return shown

    def flush(self) -> str:
        """The text has ended: unless stopped, what was held back is part of it."""
        if self.stopped:
            return ""
        rest, self.held = self.held, ""
        return rest

    def _end(self) -> int | None:
        found = ((self.held.find(stop), len(stop)) for stop in self._stops)
        ends = [(start + size, start) for start, size in found if start >= 0]
        return min(ends)[1] if ends else None
