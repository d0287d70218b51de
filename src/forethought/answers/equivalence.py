"""Are two answers the same: by a cheap canonical key, and by what they mean where the keys differ."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from . import symbolic
from .notation import tidy
from .numbers import Number, number


def canonical(answer: str) -> Hashable:
    """A key that is equal for answers that are plainly the same: numbers and JSON by value, text by its words."""
    return _read(answer).key


def same(a: str, b: str) -> bool:
    r"""Whether `a` and `b` are the same answer; reflexive, symmetric, and never raises.

    Compared as numbers (`1/2`, `0.5`, `\frac12`; with units, percents and separators), as JSON by value, as
    formulas through `math-verify` where it is installed, and otherwise as text without case, articles and
    punctuation at the ends, so that `(C)`, `C.` and `c` are one. Not transitive where a bare number meets two units:
    `5` answers both `5 cm` and `5 kg`, which differ.
    """
    return _alike(_read(a), _read(b))


class Clusters:
    """Answers put together as they come, each with those that are the same; the first stands for its cluster.

    An empty answer is no answer and belongs nowhere. An addition costs at most one comparison per cluster.
    """

    __slots__ = ("_by_key", "_counts", "_first", "_forms")

    def __init__(self) -> None:
        self._by_key: dict[Hashable, int] = {}
        self._forms: list[_Form] = []
        self._first: list[str] = []
        self._counts: list[int] = []

    def __len__(self) -> int:
        return len(self._first)

    @property
    def counts(self) -> Sequence[int]:
        """How many answers each cluster has, in the order of their first answers."""
        return self._counts

    @property
    def answers(self) -> Sequence[str]:
        """The first answer of each cluster."""
        return self._first

    def add(self, answer: str) -> int | None:
        """The index of the cluster that `answer` joined or began; None for an empty answer."""
        if not answer.strip():
            return None
        form = _read(answer)
        index = self._by_key.get(form.key)
        if index is None:
            index = next((i for i, known in enumerate(self._forms) if _alike(known, form)), len(self))
            self._by_key[form.key] = index
        if index == len(self):
            self._forms.append(form)
            self._first.append(answer)
            self._counts.append(0)
        self._counts[index] += 1
        return index


@dataclass(frozen=True, slots=True)
class _Form:
    """An answer as it is compared: its key, and its formula ("" where it cannot be one)."""

    key: Hashable
    formula: str = ""


def _read(answer: str) -> _Form:
    text = answer.strip()
    value = _json(text)
    if value is not None:
        return _Form(("json", value), tidy(text))
    if "\n" in text and "\\" not in text:
        return _Form("\n".join(line.rstrip() for line in text.splitlines()))
    plain = tidy(text)
    found = number(plain)
    return _Form(_words(plain) if found is None else found, plain)


def _alike(a: _Form, b: _Form) -> bool:
    if a.key == b.key:
        return True
    if isinstance(a.key, Number) and isinstance(b.key, Number):
        return a.key.agrees(b.key)
    return symbolic.equal(a.formula, b.formula)


def _words(text: str) -> str:
    text = _ARTICLE.sub("", _EXCLAMATION.sub("", text)).casefold()
    return text.replace(" ", "") if "\\" in text else text


def _json(text: str) -> Hashable | None:
    """A JSON object or array as a hashable value, or None where the text is anything else."""
    if not text or text[0] not in "{[":
        return None
    try:
        return _frozen(json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError):
        return None


def _frozen(value: Any) -> Hashable:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return ("object", tuple((name, _frozen(fields[name])) for name in sorted(fields)))
    if isinstance(value, list):
        return ("array", tuple(_frozen(item) for item in cast("Sequence[Any]", value)))
    # True and 1 are equal and have one hash; the name of the type keeps them apart.
    return (type(value).__name__, value) if isinstance(value, bool | str) else cast("Hashable", value)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_ARTICLE = re.compile(r"^(?:the|an?)\s+(?=\S)", re.IGNORECASE)
_EXCLAMATION = re.compile(r"(?<=[^\W\d_]{2})[!?]+$")
