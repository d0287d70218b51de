"""Reads a number with its unit, exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value and its unit ("" when bare); two are equal where value and unit are.

    `step` is the last decimal place of a number written with six significant digits or more, else 0.
    """

    value: Fraction
    unit: str = ""
    step: Fraction = field(default=Fraction(0), compare=False)

    def agrees(self, other: Number) -> bool:
        """Whether both answer the same: a bare number agrees with any unit, 50% with 50 and with 0.5.

        A decimal of six significant digits or more agrees with what lies within its last place.
        """
        if self.unit == other.unit:
            return _near(self, other)
        if self.unit and other.unit:
            return False
        bare, measured = (other, self) if self.unit else (self, other)
        return _near(bare, measured) or (measured.unit == "%" and _near(bare, _hundredth(measured)))


def number(text: str) -> Number | None:
    """Read the whole of a tidied `text` as a number, or None where it is anything else.

    Integers, decimals, thousands separators, fractions, mixed numbers, scientific notation, currencies,
    percents and units in words.
    """
    if len(text) > _LONGEST:
        return None
    match = _NUMBER.fullmatch(_FRAC.sub(_as_quotient, text).strip())
    if match is None or (match["sign"] and match["inner"]):
        return None
    unit = _unit(match["unit"], match["currency"] or "")
    below = _decimal(match["below"] or "1")
    if unit is None or not below:
        return None
    scale = Fraction(10) ** int(match["e"] or match["power"] or 0)
    value = (int(match["whole"] or 0) + _decimal(match["above"]) / below) * scale
    step = Fraction(0) if match["below"] else _last_place(match["above"]) * scale
    return Number(-value if "-" in (match["sign"], match["inner"]) else value, unit, step)


def _near(a: Number, b: Number) -> bool:
    distance = abs(a.value - b.value)
    return not distance or distance < max(a.step, b.step)


def _hundredth(percent: Number) -> Number:
    return Number(percent.value / 100, "", percent.step / 100)


def _decimal(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").rstrip("."))


def _last_place(digits: str) -> Fraction:
    whole, _, places = digits.replace(",", "").partition(".")
    significant = len((whole + places).lstrip("0"))
    return Fraction(1, 10 ** len(places)) if places and significant >= 6 else Fraction(0)


def _as_quotient(match: re.Match[str]) -> str:
    return f" {match[1] or match[2]}/{match[3] or match[4]}"


def _unit(text: str, currency: str) -> str | None:
    """The unit in its one spelling, or None where `text` is no unit."""
    word = text.casefold().strip(" .")
    spelling = _SPELLINGS.get(word, word if word in _SHORT else None)
    if spelling is None and text[:1] == " " and _WORDS.fullmatch(word) and not _NO_UNIT & set(word.split()):
        spelling = " ".join(_SPELLINGS.get(each, each.removesuffix("s")) for each in word.split())
    if spelling is None or spelling == currency or not currency:
        return spelling
    return f"{currency} {spelling}".strip()


_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+"
_NUMBER = re.compile(
    rf"(?P<sign>[+-])?\s?(?P<currency>[$€£¥])?\s?(?P<inner>[+-])?\s?(?:(?P<whole>\d+)\s(?=\d+\s?/))?(?P<above>{_DIGITS})"
    rf"(?:\s?/\s?(?P<below>{_DIGITS})|[eE](?P<e>[+-]?\d{{1,3}})"
    r"|\s?(?:\*|\\times|\\cdot|x)\s?10\s?\^\s?\{?\s?(?P<power>[+-]?\d{1,3})\s?\}?)?"
    r"(?P<unit>(?!\d).*)"
)
_FRAC = re.compile(r"\\frac\s?(?:\{\s?([+-]?\d[\d.,]*)\s?\}|(\d))\s?(?:\{\s?(\d[\d.,]*)\s?\}|(\d))")
_WORDS = re.compile(r"[^\W\d_]{3,}(?: [^\W\d_]{2,}){0,3}")
_SPELLINGS = {
    "": "", "%": "%", "percent": "%", "per cent": "%", "°": "°", "degree": "°", "degrees": "°",
    "dollar": "$", "dollars": "$", "usd": "$", "euro": "€", "euros": "€", "eur": "€",
    "inches": "inch", "feet": "foot", "ft": "foot", "metre": "meter", "metres": "meter",
    "mm": "millimeter", "cm": "centimeter", "km": "kilometer", "mph": "mile per hour",
    "h": "hour", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "sec": "second", "secs": "second",
    "kg": "kilogram", "lb": "pound", "lbs": "pound", "oz": "ounce",
}  # fmt: skip
_SHORT = {"am", "pm", "mg", "ml", "hz", "km/h", "m/s", "cm^2", "m^2", "km^2", "cm^3", "m^3", "°c", "°f"}
_NO_UNIT = {
    "and", "are", "but", "choose", "cos", "cubed", "divided", "dozen", "exp", "factorial", "few", "from", "half",
    "hundred", "if", "infinity", "infty", "is", "less", "log", "million", "billion", "trillion", "minus", "mod",
    "more", "most", "nor", "not", "or", "over", "pi", "plus", "remainder", "root", "sin", "sqrt", "squared", "tan",
    "than", "then", "thousand", "times", "to", "union", "with",
}  # fmt: skip
"""Words after a number that make it another number, or a sentence."""
