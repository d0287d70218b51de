"""Whether an instruction tells the problem that it was drawn from, instead of how to solve others.

What tells it in other words still has to win on other problems before it is served.
"""

from __future__ import annotations

import re

from ..answers import same

_RUN = 8
"""Words in a row that make a quotation."""


def leak(instruction: str, question: str, answer: str) -> str:
    """What `instruction` gives away of the problem, in words, or "".

    Refused are the final answer, numbers of the question that are no common constants (of two digits and more),
    and a quotation of it. An answer of one character stands in any text: it is a leak only where the
    instruction speaks of the answer.
    """
    if _tells(instruction, answer):
        return "it tells the answer"
    numbers = _numbers(instruction) & {number for number in _numbers(question) if len(number.strip("0.")) > 1}
    if numbers:
        return f"it has numbers of the problem: {', '.join(sorted(numbers))}"
    return "it quotes the problem" if _runs(instruction) & _runs(question) else ""


def _tells(instruction: str, answer: str) -> bool:
    answer = answer.strip()
    if not answer:
        return False
    if len(answer) > 1:
        inside = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", instruction, re.IGNORECASE)
        return bool(inside) or any(same(number, answer) for number in _numbers(instruction))
    told = rf"\b(?:answer|result|solution)\b\W*(?:(?:is|are|be|equals|will|must)\W+)*{re.escape(answer)}(?!\w)"
    return re.search(told, instruction, re.IGNORECASE) is not None


def _numbers(text: str) -> frozenset[str]:
    """The numbers in a text, without the commas of thousands and without zeros that say nothing."""
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    found = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", plain)
    return frozenset(
        (number.rstrip("0").rstrip(".") if "." in number else number).lstrip("0") or "0" for number in found
    )


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[start : start + _RUN]) for start in range(len(words) - _RUN + 1))
