"""Candidates meet what a book knows already: what says the same is merged, so that a book does not grow by rewording.

The handbooks of the paper grew by about one behavior a question; merging at insert is what keeps them searchable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from ..shape.behaviors import Behavior

ALIKE = 0.9
"""The share of words in common, and in the same order, from which two instructions say the same."""

_TURNING = frozenset(("not", "no", "never", "none", "without", "except", "only", "unless", "nor", "cannot"))


def merged(known: Sequence[Behavior], candidates: Iterable[Behavior]) -> list[Behavior]:
    """`known`, and after it each candidate that says something new, in quarantine and under a name of its own.

    One that says what is known only adds its sources to it: a tried instruction is not replaced by an untried
    one, nor one that was retired taken up again.
    """
    book = {behavior.name: behavior for behavior in known}
    for candidate in candidates:
        twin = next((each for each in book.values() if alike(each.instruction, candidate.instruction)), None)
        if twin is not None:
            book[twin.name] = _sourced(twin, candidate.sources)
        else:
            name = _free(candidate.name, book)
            book[name] = Behavior(
                name=name,
                instruction=candidate.instruction,
                topic=candidate.topic,
                origin=candidate.origin,
                sources=candidate.sources,
            )
    return list(book.values())


def alike(left: str, right: str) -> bool:
    """Whether two instructions say the same: nearly the same words, and no number or negation in only one."""
    ours, theirs = _words(left), _words(right)
    apart = frozenset(ours) ^ frozenset(theirs)
    if apart & _TURNING or any(not word.isalpha() for word in apart):
        return False
    return SequenceMatcher(None, ours, theirs, autojunk=False).ratio() >= ALIKE


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|\d+|[^\w\s.,;:!'\"]", text.lower())


def _sourced(behavior: Behavior, sources: Sequence[str]) -> Behavior:
    new = tuple(source for source in dict.fromkeys(sources) if source not in behavior.sources)
    if not new:
        return behavior
    return replace(behavior, sources=behavior.sources + new, version=behavior.version + 1)


def _free(name: str, taken: Iterable[str]) -> str:
    names = frozenset(taken)
    tries = (f"{name[:56]}_{number}" for number in range(2, len(names) + 3))
    return name if name not in names else next(other for other in tries if other not in names)
