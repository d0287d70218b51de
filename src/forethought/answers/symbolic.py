"""Compares two formulas by what they mean, through `math-verify` where it is installed."""

from __future__ import annotations

import logging
import re
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

_LONGEST = 120
_LARGEST_POWER = 10_000


def equal(left: str, right: str) -> bool:
    """Whether two tidied formulas mean the same; False where one is none, or without the extra `math`.

    Symmetric. The first call imports sympy; a later one takes milliseconds. Only a small, safe part of
    LaTeX is let through, since sympy evaluates what it reads and no timeout could stop it off the main thread.
    """
    if not (_readable(left) and _readable(right) and (_FORMULA.match(left) or _FORMULA.match(right))):
        return False
    engine = _math_verify()
    if engine is None:
        return False
    first, second = (_parsed(side) for side in sorted((left, right)))
    return bool(first and second and engine.verify(first, second, timeout_seconds=None))


def _readable(text: str) -> bool:
    """Whether sympy may see this: short, no words, known commands, no power or factorial that explodes."""
    if not 0 < len(text) <= _LONGEST or not _ALPHABET.fullmatch(text) or "**" in text:
        return False
    names = _COMMAND.findall(text)
    if not _COMMANDS.issuperset(names) or not _COMMANDS.issuperset(_WORD.findall(_COMMAND.sub(" ", text))):
        return False
    powers = _POWER.findall(text)
    if len(powers) != text.count("^") or text.count("!") > 1 or _LARGE_FACTORIAL.search(text):
        return False
    size = 1
    for power in powers:
        size *= max((int(digits) for digits in re.findall(r"\d+", power)), default=1)
    return size <= _LARGEST_POWER


@cache
def _math_verify() -> Any | None:
    try:
        engine = import_module("math_verify")
    except ImportError:
        return None
    # It warns once that no timeout is set; the bounds above stand in for one.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return engine


@lru_cache(maxsize=512)
def _parsed(text: str) -> Any:
    engine = _math_verify()
    assert engine is not None  # noqa: S101  asked by `equal` only
    return engine.parse(
        f"${text}$",
        extraction_config=[engine.LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )


_FORMULA = re.compile(r".*\\[a-z]|.*\^|.*[(\[].*,.*[)\]]|(?=.*[A-Za-z]).*[-+*/=]")
"""What makes a text a formula; `7-4` and `2024-01-02` have none of it and are compared as written."""

_ALPHABET = re.compile(r"[\w\s\\{}()\[\]+\-*/^=,.!|<>&]*", re.ASCII)
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_WORD = re.compile(r"[A-Za-z]{3,}")
_POWER = re.compile(r"\^\s?(-?\w|\{[^{}^!*\\]{1,12}\}|\{\s?-?\\frac\s?\{?\d\}?\s?\{?\d\}?\s?\})(?![\d!])")
_LARGE_FACTORIAL = re.compile(r"\d{3,}\s*!|[)}\]]\s*!")
_COMMANDS = frozenset(
    (
        "frac", "sqrt", "pi", "cdot", "times", "div", "pm", "mp", "infty", "cup", "cap", "in", "emptyset",
        "le", "ge", "leq", "geq", "ne", "neq", "lt", "gt", "ln", "log", "exp",
        "sin", "cos", "tan", "sec", "csc", "cot", "arcsin", "arccos", "arctan",
        "alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "phi", "omega",
        "begin", "end", "pmatrix", "bmatrix", "matrix",
    )
)  # fmt: skip
