"""Compares two formulas by what they mean; `math-verify` reads them where it is installed."""

from __future__ import annotations

import asyncio
import logging
import re
from functools import cache, lru_cache
from importlib import import_module
from math import isfinite
from typing import Any

from .numbers import number

_LONGEST = 100
_DEEPEST = 8
_LARGEST_POWER = 1_000
_PROBES = ((0.731, 0.618), (2.449, 0.414), (-1.303, 0.577))
"""Where two formulas are compared: the value of the first variable, and the step to the next."""


def equal(left: str, right: str) -> bool:
    """Whether two tidied formulas mean the same; False where one is none, or without the extra `math`.

    Symmetric. Tuples, sets, intervals, matrices and equations are compared part by part, and expressions by
    their values at a few fixed points: unlike a proof this takes a bounded time, milliseconds once sympy is
    imported. Only a small part of LaTeX is let through, since no timeout could stop sympy off the main thread.
    """
    if not (_readable(left) and _readable(right) and (_FORMULA.match(left) or _FORMULA.match(right))):
        return False
    first, second = _parsed(left), _parsed(right)
    return first is not None and second is not None and _agree(first, second, max(_step(left), _step(right)))


async def load() -> None:
    """Import sympy in a thread, where it is installed, so that the first comparison does not wait for it."""
    await asyncio.to_thread(equal, "x+1", "1+x")


def _readable(text: str) -> bool:
    """Whether sympy may see this: short, flat, no words, known commands, no power or factorial that explodes."""
    if not 0 < len(text) <= _LONGEST or not _ALPHABET.fullmatch(text) or "**" in text or _depth(text) > _DEEPEST:
        return False
    names = _COMMAND.findall(text)
    if not _COMMANDS.issuperset(names) or not _COMMANDS.issuperset(_WORD.findall(_COMMAND.sub(" ", text))):
        return False
    powers = _POWER.findall(text)
    if len(powers) != text.count("^") or text.count("!") > 1 or text.count("exp") > 1 or _LARGE_FACTORIAL.search(text):
        return False
    size = 1
    for power in powers:
        size *= max((int(digits) for digits in re.findall(r"\d+", power)), default=1)
    return size <= _LARGEST_POWER


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        deepest = max(deepest, depth)
    return deepest


def _step(text: str) -> float:
    """How far a decimal may be off that was written with six digits or more."""
    read = number(text)
    return float(read.step) if read else 0.0


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
def _parsed(text: str) -> Any | None:
    engine = _math_verify()
    if engine is None:
        return None
    config = [engine.LatexExtractionConfig()]
    found = engine.parse(f"${text}$", extraction_config=config, fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if found else None


def _agree(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    if a == b:
        return True
    if _is_expression(a) and _is_expression(b):
        return _agree_in_value(a, b, tolerance)
    first, second = _parts(a), _parts(b)
    if type(a) is not type(b) or len(first) != len(second) or not first:
        return False
    if getattr(a, "is_FiniteSet", False):
        return _match(first, second)
    return getattr(a, "shape", None) == getattr(b, "shape", None) and all(map(_agree, first, second))


def _is_expression(value: Any) -> bool:
    return hasattr(value, "evalf") and hasattr(value, "as_real_imag") and not getattr(value, "is_Matrix", False)


def _parts(value: Any) -> list[Any]:
    return list(value if getattr(value, "is_Matrix", False) else getattr(value, "args", value))


def _match(first: list[Any], second: list[Any]) -> bool:
    """Whether each element of one set has its own equal in the other."""
    left = list(second)
    for part in first:
        index = next((index for index, other in enumerate(left) if _agree(part, other)), None)
        if index is None:
            return False
        del left[index]
    return True


def _agree_in_value(a: Any, b: Any, tolerance: float) -> bool:
    names = sorted(a.free_symbols | b.free_symbols, key=str)
    for start, step in _PROBES if names else _PROBES[:1]:
        point = {name: start + index * step for index, name in enumerate(names)}
        first, second = _value(a, point), _value(b, point)
        if first is None or second is None:
            return False
        if abs(first - second) > max(tolerance, 1e-9 * abs(first), 1e-9 * abs(second)):
            return False
    return True


def _value(expression: Any, point: dict[Any, float]) -> complex | None:
    """The value at a point, or None where it is not a finite number."""
    try:
        value = complex(expression.evalf(20, subs=point))
    except Exception:  # noqa: BLE001  sympy raises errors of any kind on a formula that it cannot evaluate
        return None
    return value if isfinite(value.real) and isfinite(value.imag) else None


_FORMULA = re.compile(r".*\\[a-z{]|.*\^|.*[(\[].*,.*[)\]]|(?=.*[A-Za-z]).*[-+*/=]")
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
