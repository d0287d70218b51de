"""From a row of logits to the next token and its logprob."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .penalties import Penalties
from .rules import Sampling

Row: TypeAlias = NDArray[Any]
"""Floats of one width, for whom numpy has no name."""
Ids: TypeAlias = NDArray[np.intp]

_COLDEST = 1e-4
"""Below this temperature the likeliest token is taken: quotients would overflow."""
_BLOCK = 512
_ROWS = 64
_HANDFUL = 256
_TRIES = 8


class Gate(Protocol):
    """Says which tokens may come next; `gate.Gate` is the real one."""

    def take(self, token: int) -> bool:
        """Whether `token` may come next; if so, it has come."""
        ...

    def allowed(self, ids: Ids) -> NDArray[np.bool_]:
        """For each of `ids` whether it may come next; `take` may still refuse some."""
        ...

    def close(self) -> None: ...


class Picked(NamedTuple):
    """The next token; `logprob` and `top` are of the model's own distribution, before any sampling rule."""

    token: int
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Draws the tokens of one sequence with its own random numbers, so that a seed repeats in any company.

    Biases and penalties come first, then temperature, top_k, top_p and min_p, each on what the one before has
    left. Temperature 0 takes the likeliest token. What the gate refuses is drawn again: the distribution is that
    of the tokens it lets through. Floating point makes logprobs differ by up to 1e-3 between batches of different
    make-up: a choice that is closer than that between two tokens may go either way.
    """

    __slots__ = ("_asked", "_gate", "_penalties", "_random")

    def __init__(self, asked: Sampling, prompt: Iterable[int] = (), gate: Gate | None = None) -> None:
        self._asked = asked
        self._gate = gate
        self._penalties = Penalties(asked, prompt)
        self._random = np.random.Generator(np.random.PCG64(asked.seed))

    @property
    def measures(self) -> bool:
        """Whether logprobs were asked for."""
        return self._asked.logprobs

    def pick(self, row: Row) -> Picked | None:
        """Choose from `row`, the logits of every token, which is not kept; None where the gate lets nothing through."""
        weighed = self._penalties.apply(row)
        token = self._draw(weighed)
        if self._gate is not None and not self._gate.take(token):
            other = self._draw_again(weighed.copy(), token, self._gate)
            if other is None:
                return None
            token = other
        self._penalties.add(token)
        return self._measured(row, token) if self._asked.logprobs else Picked(token)

    def close(self) -> None:
        """Nothing more is drawn: free what the gate holds."""
        if self._gate is not None:
            self._gate.close()

    def _draw_again(self, row: Row, refused: int, gate: Gate) -> int | None:
        """Asking the gate about a whole vocabulary takes tens of milliseconds, about a few tokens next to nothing."""
        row[refused] = -np.inf
        _bar(row, _highest(row, _HANDFUL), gate)
        for attempt in range(len(row)):
            if attempt == _TRIES:
                _bar(row, np.flatnonzero(row > -np.inf), gate)
            if row.max() == -np.inf:
                break
            token = self._draw(row)
            if gate.take(token):
                return token
            row[token] = -np.inf
        return None

    def _draw(self, row: Row) -> int:
        asked = self._asked
        if asked.temperature < _COLDEST or asked.top_k == 1:
            return int(row.argmax())
        ids: Ids | None = None
        if 0 < asked.top_k < len(row):
            ids = _highest(row, asked.top_k)
            row = row[ids]
        weights = row - row.max()
        weights *= 1 / asked.temperature
        np.exp(weights, out=weights)
        if asked.top_p < 1.0:
            ids, weights = _kept(ids, weights, _nucleus(weights, asked.top_p))
        if asked.min_p > 0.0:
            ids, weights = _kept(ids, weights, np.flatnonzero(weights >= asked.min_p))  # the highest weighs 1
        place = _reached(weights, self._random.random())
        return place if ids is None else int(ids[place])

    def _measured(self, row: Row, token: int) -> Picked:
        high = row.max()
        whole = float(high) + float(np.log(np.exp(row - high).sum(dtype=np.float64)))
        count = self._asked.top_logprobs
        ids = _highest(row, count)
        top = sorted(((int(id_), float(row[id_]) - whole) for id_ in ids), key=lambda pair: -pair[1])
        return Picked(token, float(row[token]) - whole, tuple(top))


def _bar(row: Row, ids: Ids, gate: Gate) -> None:
    row[ids[~gate.allowed(ids)]] = -np.inf


def _kept(ids: Ids | None, weights: Row, places: Ids) -> tuple[Ids, Row]:
    return places if ids is None else ids[places], weights[places]


def _highest(row: Row, count: int) -> Ids:
    """The `count` highest in the order of their ids, of equals the first; all where there are no more.

    The row is cut beforehand at the `count`-th of the maxima of its columns, which so many values reach.
    """
    if not 0 < count < len(row):
        return np.arange(len(row) if count else 0)
    columns = len(row) // _ROWS
    if count > columns:
        return _from(row, np.partition(row, -count)[-count], count)
    peaks = row[: columns * _ROWS].reshape(_ROWS, columns).max(axis=0)
    ids = np.flatnonzero(row >= np.sort(peaks)[-count])
    values = row[ids]
    return ids[_from(values, np.sort(values)[-count], count)]


def _from(values: Row, least: Any, count: int) -> Ids:
    """The places of `count` values of at least `least`, of those that equal it the first."""
    kept = values > least
    kept[np.flatnonzero(values == least)[: count - np.count_nonzero(kept)]] = True
    return np.flatnonzero(kept)


def _nucleus(weights: Row, share: float) -> Ids:
    """The fewest likeliest places that hold `share` of the weight (Holtzman et al. 2020); at least one.

    Few are sorted first, since few are mostly enough.
    """
    goal = share * (1 - 1e-6) * float(weights.sum())  # what is missing is rounding
    for size in (_HANDFUL, 8 * _HANDFUL, len(weights)):
        descending = np.sort(weights if size >= len(weights) else weights[_highest(weights, size)])[::-1]
        held = float(descending.sum())
        if held >= goal:
            last = _reached(descending, goal / held)
            return _from(weights, descending[last], last + 1)
    return np.arange(len(weights))


def _reached(weights: Row, share: float) -> int:
    """The first place where the running sum of `weights` exceeds `share` of the whole.

    Blocks are summed first: one running sum over a vocabulary would take longer than all the rest.
    """
    starts = np.arange(0, len(weights), _BLOCK)
    sums = np.add.reduceat(weights, starts).cumsum(dtype=np.float64)
    goal = share * float(sums[-1])
    block = min(int(sums.searchsorted(goal, "right")), len(sums) - 1)
    start = int(starts[block])
    inside = weights[start : start + _BLOCK].cumsum(dtype=np.float64)
    inside += sums[block - 1] if block else 0.0
    return start + min(int(inside.searchsorted(goal, "right")), len(inside) - 1)
