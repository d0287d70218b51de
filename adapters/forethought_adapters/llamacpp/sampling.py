"""From a row of logits to the next token and its logprob."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .job import Sampling

Row: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = NDArray[np.intp]

_COLDEST = 1e-4
"""Below this temperature the likeliest token is taken: quotients would overflow."""


class Picked(NamedTuple):
    """The next token; `logprob` and `top` are of the model's own distribution, before any sampling rule."""

    token: int
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Draws the tokens of one sequence, one uniform number each, so that a seed repeats in any company.

    Temperature comes first, then top_k, top_p and min_p, each on what the one before has left. Temperature 0
    takes the likeliest token. Floating point makes logprobs differ by up to 1e-3 between batches of different
    make-up: a choice that is closer than that between two tokens may go either way.
    """

    __slots__ = ("_asked", "_random", "_seen")

    def __init__(self, asked: Sampling) -> None:
        self._asked = asked
        self._random = np.random.Generator(np.random.PCG64(asked.seed))
        self._seen: Counter[int] = Counter()

    @property
    def measures(self) -> bool:
        """Whether logprobs were asked for."""
        return self._asked.logprobs

    def pick(self, row: Row) -> Picked:
        """Choose from `row`, the logits of every token; the row is not kept."""
        token = self._draw(self._penalised(row))
        if self._asked.penalises:
            self._seen[token] += 1
        return self._measured(row, token) if self._asked.logprobs else Picked(token)

    def _penalised(self, row: Row) -> Row:
        if not self._seen:
            return row
        row = row.copy()
        ids = np.fromiter(self._seen.keys(), np.intp)
        counts = np.fromiter(self._seen.values(), np.float32)
        row[ids] -= self._asked.presence_penalty + self._asked.frequency_penalty * counts
        return row

    def _draw(self, row: Row) -> int:
        asked = self._asked
        if asked.temperature < _COLDEST or asked.top_k == 1:
            return int(row.argmax())
        ids, logits = _likeliest(row, asked.top_k)
        weights = np.exp((logits - logits.max()).astype(np.float64) / asked.temperature)
        if asked.top_p < 1.0:
            ids, weights = _nucleus(ids, weights, asked.top_p)
        if asked.min_p > 0.0:
            weights = np.where(weights >= asked.min_p * weights.max(), weights, 0.0)
        steps = weights.cumsum()
        place = int(np.count_nonzero(steps <= self._random.random() * steps[-1]))
        return int(ids[min(place, len(ids) - 1)])

    def _measured(self, row: Row, token: int) -> Picked:
        logprobs = row.astype(np.float64) - _log_sum(row)
        ids, values = _likeliest(logprobs, self._asked.top_logprobs) if self._asked.top_logprobs else ((), ())
        top = sorted(zip(map(int, ids), map(float, values), strict=True), key=lambda pair: -pair[1])
        return Picked(token, float(logprobs[token]), tuple(top))


def _log_sum(row: Row) -> float:
    high = float(row.max())
    return high + float(np.log(np.exp(row.astype(np.float64) - high).sum()))


def _likeliest(row: NDArray[np.floating], count: int) -> tuple[Ids, NDArray[np.floating]]:
    """The `count` highest, in the order of their ids; all of them for 0."""
    if not 0 < count < len(row):
        return np.arange(len(row)), row
    ids = np.sort(np.argpartition(row, -count)[-count:])
    return ids, row[ids]


def _nucleus(ids: Ids, weights: NDArray[np.float64], share: float) -> tuple[Ids, NDArray[np.float64]]:
    """The fewest likeliest ids that hold `share` of the weight (Holtzman et al. 2020); at least one."""
    order = np.argsort(-weights, kind="stable")
    held = weights[order].cumsum()
    kept = order[: np.count_nonzero(held < share * held[-1]) + 1]
    return ids[kept], weights[kept]
