r"""One notation for an answer: without dollar signs, spacing commands, `\text{…}` and typographic variants."""

from __future__ import annotations

import re

_LONGEST = 2_000
"""Longer answers are prose, and are left as they are."""


def tidy(answer: str) -> str:
    """The answer on one line in plain notation; letters keep their case."""
    text = " ".join(answer.translate(_CHARACTERS).split())
    if len(text) > _LONGEST:
        return text
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = " ".join(_unwrapped(text).split()).rstrip(".,;:")
    return _NAMED.sub("", text) or text


def _unwrapped(text: str) -> str:
    """The text without quotes, markdown and math signs around all of it."""
    for _ in range(4):
        text = text.strip()
        inner = next((text[len(a) : -len(b)] for a, b in _WRAPPERS if _wraps(text, a, b)), None)
        if inner is None:
            break
        text = inner
    word = _LONE_WORD.fullmatch(text)
    return word[1] if word else text


def _wraps(text: str, left: str, right: str) -> bool:
    if len(text) <= len(left) + len(right) or not text.startswith(left) or not text.endswith(right):
        return False
    inside = text[len(left) : -len(right)]
    return left not in inside and right not in inside


_CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "⁄": "/", "∕": "/", "×": "*", "·": "*", "‘": "'", "’": "'", "“": '"', "”": '"'}
)
_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'), ("'", "'"))
_LONE_WORD = re.compile(r"\(\s*([-+]?\w+(?:\.\d+)?)\s*\)[.:]?")
_NAMED = re.compile(r"^\\?[A-Za-z]\s*(?:=|\\in(?![a-z]))\s*(?=[^=]+$)")
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle)(?![A-Za-z])", ""),
        (r"(?<!\\)\\[!,;:]", ""),
        (r"\{,\}", ","),
        (r"(?<!\\)\\ |~", " "),
        (r"\\[dt]frac(?![A-Za-z])", r"\\frac"),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})", "°"),
        (r"(?<!\\)\$([^$]*\\[^$]*)\$", r" \1 "),
        (r"\\([$%])", r"\1"),
        (r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r" \1 "),
    )
)
