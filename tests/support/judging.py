"""Answers the questions of a judge by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from forethought.ports import Candidate, Inquiry
from forethought.wire import Completion


class Asker(Protocol):
    """The part of a judge that asks."""

    def inquiries(self) -> Sequence[Inquiry]: ...

    def answered(self, inquiry: Inquiry, completion: Completion | None, /) -> str: ...


def candidate(index: int, answer: str, text: str | None = None) -> Candidate:
    return Candidate(index, answer, Completion(answer if text is None else text))


def verdict(inquiry: Inquiry, accepts: bool | None) -> Completion:
    """What a verifier says that follows the prompt, or one that says nothing usable."""
    line = re.search(r'"(Verdict \w+): 1"', inquiry.request.question)
    assert line is not None
    return Completion("I cannot tell." if accepts is None else f"Checked.\n{line[1]}: {int(accepts)}")


def hear(judge: Asker, reply: Callable[[Inquiry], Completion | None]) -> list[int]:
    """Answer every question, one at a time, until there is none left; the keys of those that were asked."""
    asked: list[int] = []
    for _ in range(2_000):
        questions = judge.inquiries()
        if not questions:
            return asked
        asked.append(questions[0].key)
        judge.answered(questions[0], reply(questions[0]))
    raise AssertionError("the judge never comes to an end")
