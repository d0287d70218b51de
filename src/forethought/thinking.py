"""Parts a text, as it arrives in pieces, into thinking and answer by a pair of tags."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Tags(NamedTuple):
    """How a model opens and closes its thinking; `answer` opens the answer in a family that has a tag for it."""

    open: str = "<think>"
    close: str = "</think>"
    answer: str = ""


THINK = Tags()


class Phase(Enum):
    """Where a stream stands: before its first word, inside the thinking, or in the answer."""

    BEFORE = "before"
    THINKING = "thinking"
    ANSWERING = "answering"


class Split(NamedTuple):
    """What has become readable; the reasoning comes before the answer."""

    reasoning: str = ""
    answer: str = ""


class Splitter:
    """Parts one stream; however the text is cut into pieces, the sum of what comes out is the same.

    The opening tag counts only before the first word, the closing tag only inside the thinking: tags that an
    answer quotes are text. Where the answer has a tag of its own, thinking may be opened again before that.
    Blanks that follow a tag belong to it. `held` is what may still turn out to be a tag.
    """

    __slots__ = ("_after_tag", "_tags", "held", "phase")

    def __init__(self, tags: Tags = THINK, phase: Phase = Phase.BEFORE) -> None:
        self._tags = tags
        self.phase = phase
        self.held = ""
        self._after_tag = False

    @property
    def over(self) -> bool:
        """Whether there is nothing left to part: all that comes is answer."""
        return self.phase is Phase.ANSWERING and not self.held and not self._after_tag

    def feed(self, text: str) -> Split:
        """Take the next piece; returns what can be shown by now."""
        self.held += text
        reasoning = ""
        while True:
            if self.phase is Phase.BEFORE:
                self._begin()
            self._trim()
            if self.phase is not Phase.THINKING:
                return Split(reasoning, self._release() if self.phase is Phase.ANSWERING else "")
            reasoning += self._think()
            if self.phase is Phase.THINKING:
                return Split(reasoning)

    def flush(self) -> Split:
        """The text has ended: whatever was held back is no tag."""
        rest = self._release()
        return Split(reasoning=rest) if self.phase is Phase.THINKING else Split(answer=rest)

    def _begin(self) -> None:
        start = self.held.lstrip()
        opening, _, answer = self._tags
        if start.startswith(opening):
            self._enter(Phase.THINKING, start.removeprefix(opening))
        elif answer and start.startswith(answer):
            self._enter(Phase.ANSWERING, start.removeprefix(answer))
        elif not (opening.startswith(start) or answer.startswith(start)):
            self.phase = Phase.ANSWERING

    def _think(self) -> str:
        thought, closed, rest = self.held.partition(self._tags.close)
        if closed:
            self._enter(Phase.BEFORE if self._tags.answer else Phase.ANSWERING, rest)
            return thought
        shown = len(self.held) - overlap(self.held, self._tags.close)
        thought, self.held = self.held[:shown], self.held[shown:]
        return thought

    def _release(self) -> str:
        rest, self.held = self.held, ""
        return rest

    def _trim(self) -> None:
        if self._after_tag:
            self.held = self.held.lstrip()
            self._after_tag = not self.held

    def _enter(self, phase: Phase, rest: str) -> None:
        self.phase = phase
        self.held = rest
        self._after_tag = True


def overlap(text: str, mark: str) -> int:
    """How many characters at the end of `text` may be the beginning of `mark`; never the whole of it."""
    longest = min(len(text), len(mark) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(mark[:size])), 0)
