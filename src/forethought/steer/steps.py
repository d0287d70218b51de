"""A thought in steps, as it is written: where one ends, which words of doubt it holds, whether it concludes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..answers import extract

LONGEST_STEP = 4_000
"""Characters after which a step ends wherever it stands."""


class Steps:
    """Cuts a thought into steps; however it comes in pieces, the steps are the same.

    A step ends at a blank line. For models that seldom write one it also ends with its line number `lines`
    (0: however many), so 1 makes every line a step, and at `LONGEST_STEP` characters. Steps come without the
    blanks around them, and none is empty. A piece costs its length.
    """

    __slots__ = ("_blank", "_lines", "_most", "_parts", "_size", "count")

    def __init__(self, lines: int = 8) -> None:
        self.count = 0
        self._most = lines
        self._parts: list[str] = []
        self._size = 0
        self._lines = 0
        self._blank = True

    def feed(self, text: str) -> list[str]:
        """The steps that end in this piece; `count` is how many have ended so far."""
        ended: list[str] = []
        first, *others = text.split("\n")
        self._write(first, ended)
        for line in others:
            self._break(ended)
            self._write(line, ended)
        return ended

    def flush(self) -> list[str]:
        """The step that the end of the thought ends, if there is one."""
        ended: list[str] = []
        self._end(ended)
        return ended

    def _write(self, text: str, ended: list[str]) -> None:
        while self._size + len(text) >= LONGEST_STEP:
            room = LONGEST_STEP - self._size
            self._append(text[:room])
            self._end(ended)
            text = text[room:]
        self._append(text)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        self._blank = self._blank and not text.strip()

    def _break(self, ended: list[str]) -> None:
        self._lines += not self._blank
        if self._blank or self._lines == self._most:
            self._end(ended)
        else:
            self._parts.append("\n")
            self._size += 1
        self._blank = True

    def _end(self, ended: list[str]) -> None:
        step = "".join(self._parts).strip()
        self._parts.clear()
        self._size = self._lines = 0
        if step:
            self.count += 1
            ended.append(step)


class Words:
    """Counts words, and those among them that belong to one of `phrases`.

    Phrases are found as whole words whatever their case, the longest first and each word once: `know` holds no
    `no`, and `let me check` no second `check`. A phrase does not reach from one text into the next.
    """

    __slots__ = ("_pattern", "found", "total")

    def __init__(self, phrases: Iterable[str]) -> None:
        self._pattern = whole_words(phrases)
        self.found = 0
        self.total = 0

    def add(self, text: str) -> None:
        """Count the words of one more text."""
        self.total += len(text.split())
        self.found += sum(len(match[0].split()) for match in self._pattern.finditer(text))

    @property
    def ratio(self) -> float:
        """Words found over all words; 0 before the first."""
        return self.found / self.total if self.total else 0.0


def whole_words(phrases: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of `phrases` as whole words; what a hyphen or an apostrophe joins is one word."""
    longest_first = sorted(phrases, key=len, reverse=True)
    said = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
    return re.compile(rf"(?<![\w'’-])(?:{said})(?![\w'’]|-\w)", re.IGNORECASE)


def comes_to_an_answer(step: str) -> bool:
    """Whether a step concludes something: it has a box, or a word such as `answer`, `so` or `therefore`."""
    return _CUE.search(step) is not None


def stated(step: str) -> str:
    r"""The answer that a step ends by stating, "" where it states none: `\boxed{7}`, `the answer is 7`, or only `so 7`.

    What is stated may be that of a part of the problem only.
    """
    line = step.rpartition("\n")[2]
    if _STATING.search(line):
        return extract(line)
    bare = _BARE.fullmatch(line)
    return bare[1] if bare else ""


class Doubt:
    """Whether what stood is looked at anew: a step that begins with a word of doubt opens one, a conclusion ends it.

    Further doubts before a conclusion belong to the first, so that a thought which only doubts is not heard for ever.
    """

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = 0

    def read(self, step: str, number: int) -> None:
        """Take step `number`, from 1."""
        if comes_to_an_answer(step):
            self._since = 0
        elif not self._since and _DOUBT.match(step):
            self._since = number

    def open(self, number: int, patience: int) -> bool:
        """Whether a doubt that began fewer than `patience` steps ago is open after step `number`."""
        return bool(self._since) and number - self._since < patience


DOUBTS = ("wait", "hold", "but", "okay", "no", "hmm", "hmmm")
"""Words after which a trial answer is not meant as the last one (Dynasor, arXiv 2412.20993)."""

OVERTHINKING = (
    "wait", "hmm", "hmmm", "but", "however", "hold on", "actually", "alternatively", "another", "maybe", "perhaps",
    "might", "not sure", "check", "recheck", "double-check", "let me check", "let me verify", "verify", "make sure",
    "instead", "go back", "going back", "backtrack", "retry", "try again",
)  # fmt: skip
"""Words of doubt and of looking again, after the markers of Self-Braking Tuning (arXiv 2505.14604)."""

_DOUBT = whole_words(DOUBTS)
_CUE = re.compile(
    r"\\boxed|(?<!\w)(?:answer|so|thus|hence|therefore|conclude|result|gives|finally|consequently)(?!\w)",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?:so|thus|hence|therefore)[,:]?\s+([^\s.]+)\.?", re.IGNORECASE)
_STATING = re.compile(r"\\boxed\s{0,3}\{|\banswer\s{1,3}is\b", re.IGNORECASE)
