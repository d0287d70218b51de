"""Finds that a text has begun to repeat itself, in constant time a character and bounded memory."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

LONGEST_PERIOD = 4_096
"""Characters of the longest unit whose repetition is seen: a long paragraph."""
_GRAM = 16
_BASE = 1_000_003
_PRIME = (1 << 61) - 1
_LEAVING = pow(_BASE, _GRAM, _PRIME)


class Period:
    """How long the text has been going round: for the last `run` characters, each is the one `period` before it.

    A rolling hash of the last 16 characters proposes the period, the characters themselves confirm it. `run` is 0
    where nothing repeats. Holds the last `LONGEST_PERIOD` characters and where their hashes were seen.
    """

    __slots__ = ("_at", "_hash", "_hashes", "_last", "_seen", "period", "run", "wordless")

    def __init__(self) -> None:
        self.period = 0
        self.run = 0
        self.wordless = True
        self._at = 0
        self._hash = 0
        self._last = [""] * LONGEST_PERIOD
        self._hashes = [0] * LONGEST_PERIOD
        self._seen: dict[int, int] = {}

    def add(self, character: str) -> None:
        """Take the next character of the text."""
        slot = self._at % LONGEST_PERIOD
        if self.run and self._last[(self._at - self.period) % LONGEST_PERIOD] == character:
            self.run += 1
            self.wordless = self.wordless and not character.isalpha()
        else:
            self.run = 0
        self._roll(character, slot)
        if not self.run:
            self._propose()
        self._seen[self._hash] = self._at
        self._at += 1

    def _roll(self, character: str, slot: int) -> None:
        """Forget the oldest character and let the hash end with the newest."""
        forgotten = self._hashes[slot]
        if self._seen.get(forgotten) == self._at - LONGEST_PERIOD:
            del self._seen[forgotten]
        leaving = self._last[(self._at - _GRAM) % LONGEST_PERIOD]
        self._last[slot] = character
        value = self._hash * _BASE + ord(character) + 1
        self._hash = (value - (ord(leaving) + 1) * _LEAVING if leaving else value) % _PRIME
        self._hashes[slot] = self._hash

    def _propose(self) -> None:
        before = self._seen.get(self._hash)
        if before is not None and self._at >= _GRAM:
            self.period = self._at - before
            self.run = _GRAM
            self.wordless = not any(map(str.isalpha, self._tail()))

    def _tail(self) -> list[str]:
        return [self._last[(self._at - back) % LONGEST_PERIOD] for back in range(_GRAM)]


class Lines:
    """How much of what was said last had been said before: lines that come round, with others between them.

    A line, without case and blanks, counts as said again from its occurrence number `repeats` on, where it has a
    word. Looks at the last `WINDOW` lines, and knows the last `KNOWN` different ones.
    """

    WINDOW: ClassVar[int] = 16
    KNOWN: ClassVar[int] = 512

    __slots__ = ("_counts", "_parts", "_recent", "_repeats", "_size")

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._counts: dict[int, int] = {}
        self._recent: deque[int] = deque([0] * self.WINDOW, self.WINDOW)
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        """Take the next piece of the text."""
        first, *others = text.split("\n")
        self._write(first)
        for line in others:
            self._end()
            self._write(line)

    @property
    def again(self) -> int:
        """How many characters of the last lines were said again; 0 unless that is nearly all of the lines."""
        return sum(self._recent) if sum(map(bool, self._recent)) >= self.WINDOW * 3 // 4 else 0

    def _write(self, text: str) -> None:
        room = LONGEST_PERIOD - self._size
        self._parts.append(text[:room])
        self._size += min(len(text), room)

    def _end(self) -> None:
        line = " ".join("".join(self._parts).casefold().split())
        self._parts.clear()
        self._size = 0
        if not line:
            return
        key = hash(line)
        count = self._counts[key] = self._counts.pop(key, 0) + 1
        if len(self._counts) > self.KNOWN:
            del self._counts[next(iter(self._counts))]
        said_again = count >= self._repeats and any(map(str.isalpha, line))
        self._recent.append(len(line) if said_again else 0)
