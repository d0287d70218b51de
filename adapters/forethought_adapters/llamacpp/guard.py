"""Keeps what a message says from being read as special tokens: a turn that is quoted begins no turn."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import chain, pairwise
from typing import Any, cast

from forethought.wire import is_array, is_object

CUT = "\ufdd0"
"""Stands in a prompt where no token may reach across; a Unicode noncharacter, which is part of no text."""


class Marks:
    """The spellings of special tokens, which only a chat template may write.

    A text is guarded before it is rendered: where it spells a mark, a CUT follows the mark's first character,
    and one stands at an end of the text that might make up a mark together with its neighbour. What the template
    does to the text is done to the cuts too, and a text without marks stays as it is, token for token. The
    tokenizer reads what lies between cuts apart, so that all of it is there, but as text. A vocabulary that
    begins words with a blank puts one at a cut.
    """

    def __init__(self, marks: Iterable[str] = ()) -> None:
        self._marks = frozenset(mark for mark in marks if len(mark) > 1)
        self._sizes = sorted({len(mark) for mark in self._marks})
        self._heads = frozenset(mark[:size] for mark in self._marks for size in range(1, len(mark)))
        self._tails = frozenset(mark[-size:] for mark in self._marks for size in range(1, len(mark)))
        self._first = re.compile("|".join(sorted({re.escape(mark[0]) for mark in self._marks})) or r"(?!)")

    def __contains__(self, mark: str) -> bool:
        return mark in self._marks

    def guard(self, text: str, spared: Collection[str] = ()) -> str:
        """`text` with the cuts that it needs; marks in `spared` are left alone."""
        found = (place.start() for place in self._first.finditer(text))
        inner = (start + 1 for start in found if self._begins(text, start, spared))
        ends = ([0] if self._finishes(text) else []), ([len(text)] if self._starts(text) else [])
        return CUT.join(text[start:end] for start, end in pairwise([0, *chain(ends[0], inner, ends[1]), len(text)]))

    def guard_all(self, value: Any) -> Any:
        """A JSON value with every text in it guarded, names included."""
        if isinstance(value, str):
            return self.guard(value)
        if is_object(value):
            return {self.guard_all(name): self.guard_all(item) for name, item in value.items()}
        if is_array(value):
            return [self.guard_all(item) for item in value]
        return cast("object", value)

    def _begins(self, text: str, start: int, spared: Collection[str]) -> bool:
        spelled = (text[start : start + size] for size in self._sizes)
        return any(mark in self._marks and mark not in spared for mark in spelled)

    def _starts(self, text: str) -> bool:
        """Whether a mark may begin at the end of `text`."""
        return any(text[-size:] in self._heads for size in range(1, self._longest(text)))

    def _finishes(self, text: str) -> bool:
        """Whether a mark may end at the beginning of `text`."""
        return any(text[:size] in self._tails for size in range(1, self._longest(text)))

    def _longest(self, text: str) -> int:
        return min(len(text) + 1, self._sizes[-1]) if self._sizes else 0
