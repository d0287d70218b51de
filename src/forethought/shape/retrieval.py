"""Which behaviors fit a question: Okapi BM25 over words and operations of formulas, and meaning where it is known."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import log
from typing import Self

from .behaviors import Behavior

K1, B = 1.2, 0.75
"""Saturation of repeated words and the weight of a text's length, as Robertson and Zaragoza (2009) advise."""

NEAR = 0.5
"""What fits less well than this share of the best is left out: its input would cost more than it helps."""

RANKS = 60
"""Added to a rank before rankings are fused, so that no first place outweighs the rest (Cormack et al., 2009)."""

READ = 20_000
"""Characters of a question that are read, half of them from its end: the task stands first or last."""


class Shelf:
    """The active behaviors of one book, indexed by their terms; it does not change."""

    __slots__ = ("_weights", "behaviors", "texts")

    def __init__(self, behaviors: Iterable[Behavior] = ()) -> None:
        self.behaviors: Sequence[Behavior] = tuple(behavior for behavior in behaviors if behavior.active)
        self.texts: Sequence[str] = tuple(map(_text, self.behaviors))
        self._weights = _weights([Counter(terms(text)) for text in self.texts])

    async def shelf(self, _tenant: str, /) -> Self:
        """The same for every tenant."""
        return self

    def fitting(self, question: str, k: int, close: Sequence[int] = ()) -> list[Behavior]:
        """Up to `k` behaviors that share words with the question or are close to it, in the order of topic and name.

        `close` are the places of those that are close in meaning, the closest first; that ranking and the one by words
        are fused by their reciprocal ranks. By words, what fits less than half as well as the best is left out. The
        order does not depend on the question, so that prompts begin alike and a cache of prefixes holds.
        """
        served = [self.behaviors[place] for place in _fused(self._by_words(question), close)[:k]]
        return sorted(served, key=lambda behavior: (behavior.topic, behavior.name))

    def _by_words(self, question: str) -> list[int]:
        """The places of the behaviors that fit, the best first."""
        scores: defaultdict[int, float] = defaultdict(float)
        for term in sorted(frozenset(terms(ends(question, READ)))):
            for place, weight in self._weights.get(term, ()):
                scores[place] += weight
        best = sorted(scores, key=lambda place: (-scores[place], place))
        return [place for place in best if scores[place] >= NEAR * scores[best[0]]]


def _fused(*rankings: Sequence[int]) -> list[int]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009); one ranking alone stays as it is."""
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, place in enumerate(ranking, 1):
            scores[place] += 1 / (RANKS + rank)
    return sorted(scores, key=lambda place: -scores[place])


def _weights(documents: Sequence[Counter[str]]) -> dict[str, list[tuple[int, float]]]:
    """By term, the places of the documents that have it, and what it counts for there."""
    seen = Counter(term for document in documents for term in document)
    width = max(1.0, sum(document.total() for document in documents) / max(1, len(documents)))
    weights: dict[str, list[tuple[int, float]]] = {term: [] for term in seen}
    for place, document in enumerate(documents):
        length = K1 * (1 - B + B * document.total() / width)
        for term, count in document.items():
            rarity = log(1 + (len(documents) - seen[term] + 0.5) / (seen[term] + 0.5))
            weights[term].append((place, rarity * count * (K1 + 1) / (count + length)))
    return weights


def _text(behavior: Behavior) -> str:
    """What a behavior is found by; its name says in words what it is about."""
    return f"{behavior.name.replace('_', ' ')} {behavior.topic} {behavior.instruction}"


def ends(text: str, most: int) -> str:
    """The beginning and the end of a text that has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most // 2]} {text[-most // 2 :]}"


def terms(text: str) -> Iterator[str]:
    """Words of two letters and more, without plural and without those that say nothing; and operations.

    An operation is two operands and what stands between them: `a+a` and `b+b` are both `x+x`, since a lone
    letter may stand for anything, and `b*0` is `x*0`, since a number stands for itself.
    """
    lowered = text.lower()
    for word in _WORD.findall(lowered):
        if word not in _EMPTY:
            yield _singular(word)
    for left, operation, right in _OPERATION.findall(lowered):
        yield f"{_operand(left)}{operation}{_operand(right)}"


def _operand(text: str) -> str:
    return "x" if text.isalpha() else text


def _singular(word: str) -> str:
    """The S-stemmer of Harman (1991)."""
    if word.endswith("ies") and word[-4:-3] not in ("e", "a"):
        return word[:-3] + "y"
    if word.endswith("es") and word[-3:-2] not in ("a", "e", "o"):
        return word[:-1]
    return word[:-1] if word.endswith("s") and word[-2:-1] not in ("u", "s") else word


_WORD = re.compile(r"[^\W\d_]{2,}")
_OPERATION = re.compile(r"(?<![\w.])(?=([^\W\d_]|\d+)\s*([-+*/^×÷·])\s*([^\W\d_]|\d+)(?!\w))")
_EMPTY = frozenset(
    _WORD.findall(
        "about after all also am an and any are as at be been before but by can could did do does each every find for "
        "from get give given had has have he her here him his how if in into is it its let made make many may me more "
        "most much must my no not of off on one only or other our out over own please same say she should show so some "
        "such than that the their them then there these they this those to too two under up us use used using very was "
        "we were what when where which while who whose why will with would you your"
    )
)
