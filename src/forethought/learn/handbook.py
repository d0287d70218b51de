"""The book of a tenant's behaviors: every change is a new edition, which can be gone back to.

A candidate is held in quarantine until it has won a trial on other problems. As shared memories of agents drift
towards what is rewarded, only trials promote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from ..errors import ForethoughtError, InvalidRequest
from ..ports import Embedder, Store
from ..shape.behaviors import Behavior, State, from_json, to_json
from ..shape.retrieval import Shelf
from . import editions
from .merge import Comparison, comparison, merged
from .trial import LEAST, Trial, Verdict

_CACHED = 256
"""Tenants whose shelf is kept in memory."""

Edit = Callable[[Sequence[Behavior]], Sequence[Behavior]]


@dataclass(frozen=True, slots=True)
class Edition:
    """The book as it stood at `version` (0: nothing was written yet); `why` says what changed."""

    version: int = 0
    why: str = ""
    behaviors: tuple[Behavior, ...] = ()

    def __getitem__(self, name: str) -> Behavior:
        """The behavior of this name; raises InvalidRequest where there is none."""
        for behavior in self.behaviors:
            if behavior.name == name:
                return behavior
        known = ", ".join(behavior.name for behavior in self.behaviors)
        raise InvalidRequest("behavior", name, f"the behaviors are {known or 'none yet'}")


class Book:
    """The behaviors of one tenant in `store`, as a row of `Editions`; those of another tenant are never seen.

    With `embeddings` candidates are also merged that mean the same in other words.
    Every method raises StoreError where the store cannot be read or written.
    """

    def __init__(self, store: Store, tenant: str = "", *, embeddings: Embedder | None = None) -> None:
        self._embeddings = embeddings
        self._editions = editions.Editions(store, f"handbook/{quote(tenant, safe='')}/", _BOOK)

    async def version(self) -> int:
        """The number of the latest edition; 0 where nothing was written yet."""
        return await self._editions.version()

    async def latest(self) -> Edition:
        return _edition(await self._editions.latest())

    async def edition(self, version: int) -> Edition:
        """The book as it stood at `version`; raises InvalidRequest where there is no such edition."""
        return _edition(await self._editions.edition(version))

    async def history(self) -> list[Edition]:
        """Every edition that is still there, oldest first."""
        return [_edition(each) for each in await self._editions.history()]

    async def propose(self, candidates: Iterable[Behavior], why: str = "") -> Edition:
        """Put candidates into quarantine, whatever state they say they have; what is known already is merged."""
        proposed = list(candidates)
        names = ", ".join(candidate.name for candidate in proposed)
        same, told = await self._comparison(proposed)
        return await self._change(lambda known: merged(known, proposed, same), (why or f"proposed {names}") + told)

    async def settle(self, trials: Iterable[Trial], *, least: int = LEAST) -> Edition:
        """Promote what has won its trial and retire what has lost; problems it was drawn from do not count.

        A trial counts only for the very instruction that was tried, on at least `least` problems.
        """
        told = list(trials)
        names = ", ".join(f"{trial.behavior.name}: {trial.verdict(least)}" for trial in told)
        return await self._change(lambda known: [_settled(each, told, least) for each in known], f"tried {names}")

    async def retire(self, name: str) -> Edition:
        """Serve a behavior no longer; it stays known, so that it is not proposed anew."""
        (await self.latest())[name]
        return await self._change(
            lambda known: [replace(each, state="retired") if each.name == name else each for each in known],
            f"retired {name}",
        )

    async def rollback(self, version: int) -> Edition:
        """Write a new edition that holds exactly what `version` held, which stays from now on."""
        return _edition(await self._editions.rollback(version))

    async def _comparison(self, proposed: Sequence[Behavior]) -> tuple[Comparison | None, str]:
        """How candidates are compared with what is known, and what is to be told of it."""
        if self._embeddings is None:
            return None, ""
        known = (await self.latest()).behaviors
        try:
            return await comparison(self._embeddings, [each.instruction for each in (*known, *proposed)]), ""
        except ForethoughtError as error:
            return None, f"; compared by words alone, since {error}"

    async def _change(self, edit: Edit, why: str) -> Edition:
        return _edition(await self._editions.change(lambda known: tuple(edit(known)), why))


class Library:
    """The books of all tenants in `store`, as shelves to serve from: `Advised(Library(store))`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shelves: dict[str, tuple[int, Shelf]] = {}

    def book(self, tenant: str = "") -> Book:
        return Book(self._store, tenant)

    async def shelf(self, tenant: str, /) -> Shelf:
        """What is active in the latest edition of the tenant's book."""
        book = self.book(tenant)
        version = await book.version()
        known = self._shelves.pop(tenant, None)
        if known is None or known[0] != version:
            known = version, Shelf((await book.edition(version)).behaviors)
        self._shelves[tenant] = known
        if len(self._shelves) > _CACHED:
            del self._shelves[next(iter(self._shelves))]
        return known[1]


def _edition(kept: editions.Edition[tuple[Behavior, ...]]) -> Edition:
    return Edition(kept.version, kept.why, kept.content)


_BOOK: editions.Form[tuple[Behavior, ...]] = editions.Form(
    (), lambda behaviors: {"behaviors": to_json(behaviors)}, lambda value: from_json(value["behaviors"])
)
_AFTER: dict[Verdict, State] = {"won": "active", "lost": "retired"}


def _settled(behavior: Behavior, trials: Sequence[Trial], least: int) -> Behavior:
    for trial in trials:
        counted = trial.apart_from(behavior.sources)
        tried = (trial.behavior.name, trial.behavior.instruction)
        if counted.outcomes and tried == (behavior.name, behavior.instruction):
            behavior = replace(
                behavior,
                state=_AFTER.get(counted.verdict(least), behavior.state),
                uses=behavior.uses + len(counted.outcomes),
                wins=behavior.wins + counted.wins,
                tokens_saved=behavior.tokens_saved + counted.tokens_without - counted.tokens_with,
                version=behavior.version + 1,
            )
    return behavior
