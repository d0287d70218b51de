"""Estimates with 95 % intervals, by the bootstrap over problems; pairs of policies are compared problem by problem.

Needs the extra `evaluate`; raises MissingExtra where it is not installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from ..errors import MissingExtra

try:
    import numpy as np
    from scipy.stats import DegenerateDataWarning, binomtest, bootstrap
except ModuleNotFoundError as missing:
    raise MissingExtra(missing.name or "scipy", "evaluate") from missing

LEVEL = 0.95
RESAMPLES = 9999


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the ends of its 95 % interval; nan where there is too little to tell."""

    value: float
    low: float = nan
    high: float = nan

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def mean(values: Sequence[float]) -> Estimate:
    """The mean of `values`."""
    return _estimate(_mean, values)


def share(flags: Sequence[bool]) -> Estimate:
    """How many of `flags` are true, of 1.

    Where all are alike every resample is the same, and Wilson's interval stands in for the bootstrap's.
    """
    right = sum(flags)
    if not flags or 0 < right < len(flags):
        return mean([float(flag) for flag in flags])
    wilson = binomtest(right, len(flags)).proportion_ci(LEVEL, method="wilson")
    return Estimate(right / len(flags), float(wilson.low), float(wilson.high))


def gap(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """How much larger the mean of `ours` is; the two are paired by problem."""
    return mean([a - b for a, b in zip(ours, theirs, strict=True)])


def growth(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """How much larger the sum of `ours` is, as a share of that of `theirs`; the two are paired by problem."""
    return _estimate(_growth, ours, theirs) if any(theirs) else Estimate(nan)


def differ(ours: Sequence[bool], theirs: Sequence[bool]) -> bool:
    """Whether paired answers are right at different rates: McNemar's exact test at the 5 % level.

    Stricter than the bootstrap where few problems tell the two apart.
    """
    won = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    lost = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    return won + lost > 0 and bool(binomtest(won, won + lost).pvalue < 1 - LEVEL)


def _mean(values: Any, axis: int = -1) -> Any:
    return np.mean(values, axis=axis)


def _growth(ours: Any, theirs: Any, axis: int = -1) -> Any:
    base = np.sum(theirs, axis=axis)
    return np.sum(ours, axis=axis) / np.where(base == 0, nan, base) - 1  # a resample may hold nothing but zeros


def _estimate(statistic: Callable[..., Any], *samples: Sequence[float]) -> Estimate:
    """The percentile bootstrap, always with the same resamples."""
    if not samples[0]:
        return Estimate(nan)
    value = float(statistic(*map(np.asarray, samples)))
    if len(samples[0]) < 2:
        return Estimate(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # the ends are nan then, which says as much
        found = bootstrap(
            samples,
            statistic,
            n_resamples=RESAMPLES,
            batch=1000,
            vectorized=True,
            paired=True,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return Estimate(value, float(found.low), float(found.high))
