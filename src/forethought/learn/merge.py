"""Candidates meet what a book knows already: what says the same is merged, so that a book does not grow by rewording.

The handbooks of the paper grew by about one behavior a question; merging at insert is what keeps them searchable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TypeAlias

from ..ports import Embedder
from ..shape.behaviors import Behavior
from ..shape.meaning import meaning_of

ALIKE = 0.9
"""The share of words in common, and in the same order, from which two instructions say the same."""

CLOSE = 0.9
"""The cosine above which two instructions are taken to mean the same."""

Comparison: TypeAlias = Callable[[str, str], bool]
"""Whether two instructions say the same."""

_TURNING = frozenset(("not", "no", "never", "none", "without", "except", "only", "unless", "nor", "cannot"))


def merged(known: Sequence[Behavior], candidates: Iterable[Behavior], same: Comparison | None = None) -> list[Behavior]:
    """`known`, and after it each candidate that says something new, in quarantine and under a name of its own.

    Two say the same where they are `alike`, or where `same` says so.

    One that says what is known only adds its sources to it: a tried instruction is not replaced by an untried
    one, nor one that was retired taken up again.
    """
    book = {behavior.name: behavior for behavior in known}
    says_the_same = same or alike
    for candidate in candidates:
        twin = next((each for each in book.values() if says_the_same(each.instruction, candidate.instruction)), None)
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
    if _contrary(left, right):
        return False
    return SequenceMatcher(None, _words(left), _words(right), autojunk=False).ratio() >= ALIKE


async def comparison(embedder: Embedder, texts: Sequence[str]) -> Comparison:
    """`alike`, and besides whether two of `texts` mean the same; raises what the embedder raises.

    Embeddings hardly see a number or a negation that only one of them has, nor the same words in another order.
    """
    rows = dict(zip(texts, await meaning_of(embedder).vectors(texts), strict=True)) if texts else {}

    def same(left: str, right: str) -> bool:
        close = left in rows and right in rows and float(rows[left] @ rows[right]) > CLOSE
        other_words = frozenset(_words(left)) != frozenset(_words(right))
        return (close and other_words and not _contrary(left, right)) or alike(left, right)

    return same


def _contrary(left: str, right: str) -> bool:
    """Whether a number, a sign or a negation stands in only one of the two."""
    apart = frozenset(_words(left)) ^ frozenset(_words(right))
    return bool(apart & _TURNING) or any(not word.isalpha() for word in apart)


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
