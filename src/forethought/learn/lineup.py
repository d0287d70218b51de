"""The policies among which experience chooses: those it was given, and those of a guide that hold its bound."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import reduce
from hashlib import blake2b
from operator import attrgetter
from typing import Any

from ..errors import InvalidPolicy
from ..policy import Policy
from ..ports import Bound, Capabilities, Demanding
from .constraints import read, wrong_with
from .memory import Memory, identity

GUIDE = "guide"
"""The origin of a policy that a guide proposed."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """Policies by identity; `default` is that of the one which is served where nothing better is known."""

    default: str
    policies: Mapping[str, Policy]

    @classmethod
    def of(cls, default: Policy, candidates: Sequence[Policy]) -> Lineup:
        """The default first; raises InvalidPolicy where one of them would learn itself."""
        policies: dict[str, Policy] = {}
        for policy in (default, *candidates):
            if _learns(policy):
                raise InvalidPolicy("candidates", policy.name, "a policy without the layer 'experience' is expected")
            policies.setdefault(identity(policy.to_json()), policy)
        return cls(next(iter(policies)), policies)

    @property
    def key(self) -> str:
        """The same for the same policies."""
        return blake2b("/".join(self.policies).encode(), digest_size=6).hexdigest()

    @property
    def most(self) -> Bound:
        """What the costliest of them takes."""
        return self._largest(Bound())

    def worst_case(self, inner: Bound, width: int, proposals: int) -> Bound:
        """The most that comparing the default with the costliest others takes, `width` in all.

        With `proposals` a guide is asked before, and any of the others may be one that it once proposed.
        """
        default, *others = (policy.worst_case(inner) for policy in self.policies.values())
        others += [self._largest(inner)] * (width - 1 if proposals else 0)
        costliest = sorted(others, key=attrgetter("requests"))[1 - width :]
        return reduce(_plus, [*costliest, *([inner.times(2)] if proposals else [])], default)

    def usable(self, memory: Memory, capabilities: Capabilities, *, guided: bool) -> Mapping[str, Policy]:
        """Those given and, when `guided`, those in memory that a guide proposed and that can still be run here."""
        if not guided:
            return self.policies
        records = {name: record for cell in memory.cells for name, record in cell.records.items()}
        told = {name: each.policy for name, each in records.items() if each.origin == GUIDE}
        most = self.most
        new = told.keys() - self.policies.keys()
        sound = {name: read(told[name]) for name in sorted(new) if not wrong_with(told[name], most)}
        fit = {name: each for name, each in sound.items() if not _learns(each) and not lack([each], capabilities)}
        return {**self.policies, **fit}

    def _largest(self, inner: Bound) -> Bound:
        bounds = [policy.worst_case(inner) for policy in self.policies.values()]
        tokens = [bound.output_tokens for bound in bounds]
        known = [each for each in tokens if each is not None]
        return Bound(max(bound.requests for bound in bounds), max(known) if len(known) == len(tokens) else None)


def lack(policies: Collection[Policy], capabilities: Capabilities) -> str | None:
    """What the first of them that cannot run on such a backend needs; None where all can."""
    layers = (layer for policy in policies for layer in policy.layers)
    lacks = (layer.missing(capabilities) for layer in layers if isinstance(layer, Demanding))
    return next((each for each in lacks if each is not None), None)


def _learns(policy: Policy) -> bool:
    return "experience" in _kinds(policy.layers)


def _kinds(held: Any) -> Iterator[str]:
    """The kinds of layers and of what they hold."""
    if isinstance(held, tuple | list):
        for each in held:  # pyright: ignore[reportUnknownVariableType]
            yield from _kinds(each)
    elif is_dataclass(held):
        yield str(getattr(held, "kind", ""))
        for option in fields(held):
            yield from _kinds(getattr(held, option.name))


def _plus(one: Bound, other: Bound) -> Bound:
    limited = one.output_tokens is not None and other.output_tokens is not None
    tokens = (one.output_tokens or 0) + (other.output_tokens or 0) if limited else None
    return Bound(one.requests + other.requests, tokens)
