"""What makes single tokens more or less likely than the model has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rules import Sampling


class Penalties:
    """The biases and penalties of one sequence; a token costs O(distinct tokens of its text).

    A bias is added to its token's logit first. Then the repetition penalty divides the logits above 0 of every
    token of prompt and answer, and multiplies those below (CTRL, Keskar et al. 2019). Last, for tokens of the
    answer alone, presence and frequency penalties are subtracted (OpenAI).
    """

    __slots__ = ("_asked", "_biased", "_biases", "_counts", "_ids", "_places")

    def __init__(self, asked: Sampling, prompt: Iterable[int] = ()) -> None:
        self._asked = asked
        self._biased = np.array([token for token, _ in asked.logit_bias], np.intp)
        self._biases = np.array([bias for _, bias in asked.logit_bias], np.float32)
        self._places: dict[int, int] = {}
        self._ids = np.zeros(64, np.intp)
        self._counts = np.zeros(64, np.float32)
        if asked.repetition_penalty != 1.0:
            for token in prompt:
                self._place(token)

    def apply(self, row: NDArray[Any]) -> NDArray[Any]:
        """The logits as changed: `row` itself where nothing is to change, else a copy."""
        if not (self._places or len(self._biased)):
            return row
        row = row.copy()
        row[self._biased] += self._biases
        known = slice(len(self._places))
        ids, counts, asked = self._ids[known], self._counts[known], self._asked
        logits = row[ids]
        if asked.repetition_penalty != 1.0:
            logits = np.where(logits > 0, logits / asked.repetition_penalty, logits * asked.repetition_penalty)
        row[ids] = logits - asked.presence_penalty * (counts > 0) - asked.frequency_penalty * counts
        return row

    def add(self, token: int) -> None:
        """`token` was written."""
        if self._asked.penalises:
            place = self._place(token)
            self._counts[place] += 1

    def _place(self, token: int) -> int:
        place = self._places.setdefault(token, len(self._places))
        if place == len(self._ids):
            self._ids = np.concatenate((self._ids, np.zeros_like(self._ids)))
            self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
        self._ids[place] = token
        return place
