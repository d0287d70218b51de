"""Finds the JSON in what a model wrote, whatever stands around it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

READ = 20_000
"""Characters of what a model wrote that are looked through, from the end."""


def answer_in(text: str) -> str:
    """The end of a text, at most `READ` characters, without the thinking before it."""
    return text[-READ:].rpartition("</think>")[2]


def values_in(text: str) -> Iterator[object]:
    """Every JSON object or array in a text that is in no other; never raises."""
    decoder = json.JSONDecoder()
    place = 0
    for opening in re.finditer(r"[\[{]\s*[\[{\"]", text):
        if opening.start() >= place:
            try:
                value, place = decoder.raw_decode(text, opening.start())
            except (ValueError, RecursionError):
                continue
            yield value
