"""What kind of problem a request is: its task, its size, and how often each shape of word occurs in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from math import log2
from typing import Literal, Self, TypeAlias

from ..wire import JSON, Request, is_object

Task: TypeAlias = Literal["tools", "json", "choice", "code", "maths", "other"]

SHAPES = 64
"""Shapes that a signature keeps: the most frequent."""

_READ = 2_000
"""Characters that are looked at, from either end of a question."""
_WORD = 24
_SIZE_STEP = 64


@dataclass(frozen=True)
class Signature:
    """The kind of one problem, as it is compared with others; it holds words, but no number and no order of them.

    `task` is what is asked for. `size` counts how often the question's length, in characters, doubles from 64 on.
    `shapes` says how often each word occurs, in lower case: a number is `#`, a single letter `x`, and operators stand
    for themselves, those that multiply by 0 or 1 or divide by 1 with that number, since they are easy. So `2+3` and a
    chain of nine operations are of different kinds, and `a=7 b=a+2` and `t=5 u=t+9` of the same.
    """

    task: Task = "other"
    size: int = 0
    shapes: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def of(cls, request: Request) -> Self:
        """The kind of the last question in a request; takes time that does not grow with a question's length."""
        question = request.question
        text = question if len(question) <= 2 * _READ else f"{question[:_READ]} {question[-_READ:]}"
        counts = Counter(map(_shape, _TOKEN.findall(text)))
        shapes = dict(sorted(counts.most_common(SHAPES)))
        return cls(_task(request, text, counts), (len(question) // _SIZE_STEP).bit_length(), shapes)

    @cached_property
    def key(self) -> str:
        """A short name that is the same for equal signatures."""
        told = f"{self.task} {self.size} {sorted(self.shapes.items())}"
        return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()

    def similarity(self, other: Signature) -> float:
        """How alike two kinds of problem are: 1 for equal signatures, symmetric, never below 0.

        What the bags of shapes have in common, of what either has (weighted Jaccard), where each further occurrence
        of a shape counts less, and `#` and `x`, which stand for anything, half; a fifth less for each step in size,
        and half where the task differs.
        """
        ours, theirs = self._weights, other._weights
        common = sum(min(weight, theirs[shape]) for shape, weight in ours.items() if shape in theirs)
        either = self._total + other._total - common
        alike = common / either if either else 1.0
        return min(1.0, alike * 0.8 ** abs(self.size - other.size) * (1.0 if self.task == other.task else 0.5))

    def describe(self) -> str:
        """The kind in a few words, for people."""
        frequent = sorted(self.shapes, key=lambda shape: (-self.shapes[shape], shape))[:8]
        return f"{self.task}, under {_SIZE_STEP << self.size} characters: {' '.join(frequent)}"

    @cached_property
    def _weights(self) -> Mapping[str, float]:
        return {
            shape: log2(1 + count) * (0.5 if shape in _STANDS_FOR_ANY else 1.0) for shape, count in self.shapes.items()
        }

    @cached_property
    def _total(self) -> float:
        return sum(self._weights.values())


def _shape(token: str) -> str:
    if token.isalpha():
        return token.lower()[:_WORD] if len(token) > 1 else "x"
    return "#" if token[0].isdigit() else token.replace(" ", "")


def _task(request: Request, text: str, counts: Mapping[str, int]) -> Task:
    if request.params.get("tools") and request.params.get("tool_choice") != "none":
        return "tools"
    wanted: JSON | None = request.params.get("response_format")
    if is_object(wanted) and wanted.get("type") in ("json_object", "json_schema"):
        return "json"
    if {"A", "B"} <= {first or second for first, second in _OPTION.findall(text)}:
        return "choice"
    if "```" in text or not counts.keys().isdisjoint(_CODE):
        return "code"
    asked = "how" in counts and ("many" in counts or "much" in counts)
    sums = "#" in counts and any(shape[0] in _OPERATORS for shape in counts)
    return "maths" if asked or sums or not counts.keys().isdisjoint(_MATHS) else "other"


_STANDS_FOR_ANY = frozenset("#x")
_OPERATORS = frozenset("+-*/^=<>%×÷·±√∑∫≤≥≠")
_TOKEN = re.compile(r"[*/×÷^]\s?[01](?![\d.,])|\d+(?:[.,]\d+)*|[^\W\d_]+|[-+*/^=<>%×÷·±√∑∫≤≥≠!|&~(){}\[\]\\$]")
_OPTION = re.compile(r"(?:^|[\s,;])(?:\(([A-J])\)|([A-J])[.):])\s")
_CODE = frozenset(("python", "javascript", "typescript", "java", "rust", "golang", "sql", "regex", "def", "stdin"))
_MATHS = frozenset(
    ("solve", "prove", "compute", "calculate", "equation", "integral", "probability", "percent", "integer")
)
