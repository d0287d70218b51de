"""What a candidate step is worth by where it leads: the values of MAXS as plain functions over log-probabilities.

MAXS is arXiv 2601.09259 (ACL 2026 Findings). Logarithms are natural.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp
from statistics import fmean

LEAST_LOGPROB = -100.0
"""Less than this counts as this, so that a token a server calls impossible leaves every variance finite."""

Steps = Sequence[Sequence[float]]
"""The log-probabilities of the tokens of each step of a rollout."""


@dataclass(frozen=True, slots=True)
class Valuation:
    """How rollouts are valued, with the paper's constants.

    `alpha` weighs the variance of the steps, `beta` that of their slopes and what is left the advantage; `tau`
    is the temperature of every exponential. Where `normalised`, a step and a rollout count by the mean of their
    tokens: the sum, which the paper takes, is a probability of about 0 at any real length. The search has
    converged where the values vary by `delta` or less, which is taken over the square of their number unless
    `scaled` is false: they sum to 1, so that with more of them they vary less however much the candidates differ.
    """

    alpha: float = 0.3
    beta: float = 0.2
    tau: float = 0.6
    delta: float = 0.002
    normalised: bool = True
    scaled: bool = True

    def foresight(self, steps: Steps) -> float:
        """F: how probable a rollout is; 1 for one without a token."""
        return exp(self._logprob([logprob for step in steps for logprob in step]))

    def values(self, rollouts: Sequence[Steps], before: float) -> list[float]:
        """R: a value for each rollout, summing to 1; `before` is the foresight of the step chosen last."""
        steps = [[self._logprob(step) for step in rollout if step] for rollout in rollouts]
        advantages = [exp((self.foresight(rollout) - before) / self.tau) for rollout in rollouts]
        steady = [exp(-variance(each) / self.tau) for each in steps]
        smooth = [exp(-variance(slopes(each)) / self.tau) for each in steps]
        parts = zip(*(softmax(part, self.tau) for part in (advantages, steady, smooth)), strict=True)
        rest = 1 - self.alpha - self.beta
        return [rest * advantage + self.alpha * step + self.beta * slope for advantage, step, slope in parts]

    def converged(self, values: Sequence[float]) -> bool:
        """Whether the values are so alike that looking further ahead decides nothing."""
        return variance(values) <= (self.delta / len(values) ** 2 if self.scaled else self.delta)

    def _logprob(self, tokens: Sequence[float]) -> float:
        if not tokens:
            return 0.0
        held = [max(logprob, LEAST_LOGPROB) for logprob in tokens]
        return fmean(held) if self.normalised else sum(held)


def variance(values: Sequence[float]) -> float:
    """The mean square distance from the mean; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    mean = fmean(values)
    return fmean((value - mean) ** 2 for value in values)


def slopes(values: Sequence[float]) -> list[float]:
    """From each value to the next."""
    return [after - before for before, after in pairwise(values)]


def softmax(values: Sequence[float], tau: float) -> list[float]:
    """Positive weights that sum to 1, in proportion to `exp(value / tau)`."""
    highest = max(values)
    weights = [exp((value - highest) / tau) for value in values]
    total = sum(weights)
    return [weight / total for weight in weights]


def cut(text: str, lines: int) -> list[str]:
    """The steps of a text, which joined are the text again; only the last may still go on.

    A step ends after the blank lines that follow it, or after its line number `lines` (0: however many). Each is
    more than blanks, unless the whole text is not.
    """
    steps = _step(lines).findall(text)
    rest = text[sum(map(len, steps)) :]
    return [*steps[:-1], "".join(steps[-1:]) + rest] if text else []


@cache
def _step(lines: int) -> re.Pattern[str]:
    blank, line = r"(?:[^\S\n]*\n)*", r"[^\S\n]*[^\s][^\n]*(?:\n|\Z)"
    return re.compile(f"{blank}(?:{line}){{1,{lines or ''}}}{blank}")
