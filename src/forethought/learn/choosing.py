"""Which policy a problem gets, and which are worth comparing on it, by what is remembered of problems like it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .memory import Memory, Record, wilson
from .signature import Signature

GIVEN_UP = 2
"""How many more comparisons with the default a policy loses than it wins before it is compared no longer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which policy a problem gets: `policy` is its identity, `cell` the key of its kind ("" where that is new).

    `why` is `default`, `served` for one that has earned its place, or `explored` for one that is not yet sure. `share`
    is the part of such problems that this one may get.
    """

    policy: str
    why: Literal["default", "served", "explored"]
    cell: str = ""
    share: float = 0.0


def choose(
    memory: Memory,
    signature: Signature,
    default: str,
    epsilon: float,
    draw: float,
    *,
    among: Collection[str] | None = None,
) -> Choice:
    """The policy for one problem, by identity; the same for the same `draw`, which is uniform in [0, 1).

    Served is the cheapest of the default and the active ones whose lower bound of accuracy reaches (1 - epsilon) of
    that of each other, counted on as many answers. One that is not sure to, or still in quarantine, gets the share of
    `explorable`: an active one first, then that which may be right most often. `among` are the identities that may be
    chosen at all, any by default.
    """
    cell = memory.cell(signature)
    known = {name: record for name, record in memory.records(signature).items() if among is None or name in among}
    good = _good(known, default, epsilon)
    best = _cheapest(known, good, default)
    unsure = [name for name in known if name not in good and name != default]
    new = max(
        (name for name in unsure if known[name].state != "retired" and _promising(known[name], known.get(best))),
        key=lambda name: (known[name].state == "active", known[name].high, -known[name].mean_tokens, name),
        default=None,
    )
    key = "" if cell is None else cell.key
    share = 0.0
    if new is not None:
        share = explorable(known[new].low, known[best].high if best in known else 1.0, epsilon)
        if draw < share:
            return Choice(new, "explored", key, share)
    return Choice(best, "default" if best == default else "served", key, share)


def _good(known: Mapping[str, Record], default: str, epsilon: float) -> list[str]:
    """The default and active policies that are as often right as each other of them, by their lower bounds.

    Two bounds are compared on as many answers as the less tried of the two has, since on more the same accuracy has a
    higher bound, and what has long been served would never be replaced.
    """
    trusted = {
        name: each for name, each in known.items() if each.trials and (each.state == "active" or name == default)
    }

    def reaches(record: Record, other: Record) -> bool:
        trials = min(record.trials, other.trials)
        ours, theirs = (wilson(each.accuracy * trials, trials)[0] for each in (record, other))
        return ours >= (1 - epsilon) * theirs

    return [name for name, each in trusted.items() if all(reaches(each, other) for other in trusted.values())]


def _cheapest(known: Mapping[str, Record], good: Collection[str], default: str) -> str:
    return min(good, key=lambda name: (known[name].mean_tokens, name != default, name), default=default)


def _promising(record: Record, best: Record | None) -> bool:
    """Whether a policy may turn out cheaper, or right more often, than what is served."""
    if best is None or not record.runs:
        return True
    return record.mean_tokens < best.mean_tokens or record.high > best.high


def contenders(
    memory: Memory, signature: Signature, default: str, names: Sequence[str], *, width: int, runs: int
) -> tuple[str, ...]:
    """Which policies to compare on one more problem of a kind, the default first; () where nothing is left to learn.

    That is while one of `names` is in quarantine there, was compared on fewer than `runs` problems, is not given up,
    and may turn out cheaper or more often right than the best that is active. A policy of fewer than ENOUGH
    comparisons in the problem's own cell borrows those of similar cells. Those never compared come first, then those
    that have lost least, and of these the cheapest: the first of them to win ends the search for dearer ones. There
    are `width` policies in all.
    """
    records = memory.compared_on(signature)
    best = records.get(_cheapest(records, _good(records, default, 0.0), default))
    untried = Record({})
    some = {name: records.get(name, untried) for name in names if name != default}
    wanted = [
        name
        for name, record in some.items()
        if record.state == "quarantined"
        and record.pairs < runs
        and record.worse - record.better < GIVEN_UP
        and _promising(record, best)
    ]
    wanted.sort(key=lambda name: _turn(some[name]))
    return (default, *wanted[: width - 1]) if wanted else ()


def _turn(record: Record) -> tuple[bool, int, float]:
    return record.pairs > 0, max(0, record.worse - record.better), record.mean_tokens


def explorable(new: float, old: float, epsilon: float) -> float:
    """The largest share p of problems with p·new + (1 - p)·old >= (1 - epsilon)·old.

    StepMix (arXiv 2306.06265): `new` is the lower bound of the new policy's accuracy and `old`, for which the most
    cautious value is the largest, that of the policy served so far.
    """
    return 1.0 if new >= (1 - epsilon) * old else epsilon * old / (old - new)
